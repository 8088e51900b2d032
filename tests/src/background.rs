//! The kit's own runtime: nothing that a test does to its runtime reaches the kit.

use std::future::Future;
use std::sync::LazyLock;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("kit")
        .enable_all()
        .build()
        .expect("a runtime can be built where tests can run")
});

/// Runs a future beside the test.
pub(crate) fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    RUNTIME.spawn(future)
}

/// Runs blocking code beside the test, and gives its panic to the caller.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match RUNTIME.spawn_blocking(work).await {
        Ok(done) => done,
        Err(failure) => std::panic::resume_unwind(failure.into_panic()),
    }
}

/// Sleeps in real time, also where the caller's runtime has paused its clock.
pub(crate) async fn sleep(duration: Duration) {
    // The timer is made over there: made here, it would follow the caller's clock.
    let mut timer = AbortOnDrop(spawn(async move { tokio::time::sleep(duration).await }));
    // The timer cannot panic, and only its own drop aborts it.
    let _ = (&mut timer.0).await;
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
