//! What the present tokio runtime can do, and tasks that it finishes.
//!
//! The one rule: **nothing here panics.** Tokio has no way to ask a runtime what it was built with, and panics where
//! something is missing; so each question is a trial whose panic is caught. A panic of a task ends that task alone.

use std::{
    future::Future,
    net::Ipv4Addr,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::runtime::Handle;

/// Begins `task` here, and has it finished on the present runtime: as [`begin_on`]. Outside of a runtime `task` is dropped.
pub(crate) fn begin(task: impl Future<Output = ()> + Send + 'static) {
    if let Ok(runtime) = Handle::try_current() {
        begin_on(&runtime, task);
    }
}

/// Polls `task` once, so that its first command goes before the caller's next one, and spawns the rest on `runtime`. A caller
/// on another runtime, or on none, spawns all of it.
///
/// It may be called while the thread unwinds, because a panic of the first poll does not leave this function.
pub(crate) fn begin_on(runtime: &Handle, task: impl Future<Output = ()> + Send + 'static) {
    let mut task = Box::pin(task);
    let is_here = Handle::try_current().is_ok_and(|here| here.id() == runtime.id());
    let is_left = !is_here
        || catch_unwind(AssertUnwindSafe(|| (&mut task).now_or_never()))
            .is_ok_and(|ended| ended.is_none());
    if is_left {
        drop(runtime.spawn(task));
    }
}

/// Whether the present runtime can wait for a time.
pub(crate) fn has_timers() -> bool {
    catch_unwind(|| drop(tokio::time::sleep(Duration::ZERO))).is_ok()
}

/// What the present runtime lacks for a connection, and how to get it.
pub(crate) fn lacks() -> Option<&'static str> {
    if !has_timers() {
        return Some("the tokio runtime has no timers; build it with `enable_all()`");
    }
    if !has_io() {
        return Some("the tokio runtime has no IO; build it with `enable_all()`");
    }
    None
}

/// Whether the present runtime can wait for a socket.
fn has_io() -> bool {
    catch_unwind(|| {
        // A datagram socket needs no peer and sends nothing. Where the system gives none, nothing is known.
        if let Ok(socket) = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
            && socket.set_nonblocking(true).is_ok()
        {
            drop(tokio::net::UdpSocket::from_std(socket));
        }
    })
    .is_ok()
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    };

    use tokio::{sync::Notify, task::yield_now};

    use super::*;

    /// Calls it when it is dropped.
    struct OnDrop<F: FnMut()>(F);

    impl<F: FnMut()> Drop for OnDrop<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }

    #[tokio::test]
    async fn the_first_step_is_done_at_once_and_the_rest_by_the_runtime() {
        let steps = Arc::new(AtomicUsize::new(0));
        let (counted, ended) = (Arc::clone(&steps), Arc::new(Notify::new()));
        let end = Arc::clone(&ended);
        begin(async move {
            counted.fetch_add(1, Relaxed);
            yield_now().await;
            counted.fetch_add(1, Relaxed);
            end.notify_one();
        });
        assert_eq!(steps.load(Relaxed), 1);
        ended.notified().await;
        assert_eq!(steps.load(Relaxed), 2);
    }

    #[test]
    fn on_another_runtime_and_on_none_nothing_is_done_here() {
        let steps = Arc::new(AtomicUsize::new(0));
        let task = || {
            let steps = Arc::clone(&steps);
            async move {
                steps.fetch_add(1, Relaxed);
            }
        };
        let [one, other] = [(); 2].map(|()| {
            tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap()
        });
        begin(task());
        begin_on(one.handle(), task());
        other.block_on(async { begin_on(one.handle(), task()) });
        assert_eq!(steps.load(Relaxed), 0);
        one.block_on(yield_now());
        assert_eq!(
            steps.load(Relaxed),
            2,
            "what was begun on none of them is dropped"
        );
    }

    #[tokio::test]
    async fn a_panic_of_the_first_step_ends_the_task_alone_even_while_the_thread_unwinds() {
        let dropped = Arc::new(AtomicUsize::new(0));
        let begin_and_panic = || {
            let dropped = Arc::clone(&dropped);
            let dropped = OnDrop(move || {
                dropped.fetch_add(1, Relaxed);
            });
            begin(async move {
                let _dropped = dropped;
                panic!("on purpose");
            });
        };
        begin_and_panic();
        assert_eq!(dropped.load(Relaxed), 1);
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let _begun = OnDrop(begin_and_panic);
            panic!("on purpose");
        }));
        assert!(unwound.is_err());
        assert_eq!(dropped.load(Relaxed), 2);
    }
}
