//! Callers who each check that what they read is their own.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cache_runtime::{Cache, Connection};
use cache_tests::{eventually, wait::SOON};
use tokio::task::JoinSet;

use crate::site::send;

pub(crate) struct Load {
    callers: JoinSet<()>,
    errors: Arc<Mutex<Vec<String>>>,
    done: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Load {
    /// Each caller does `call` again and again, and pauses a little between.
    pub(crate) fn start<C>(callers: u64, call: impl Fn(u64) -> C) -> Self
    where
        C: AsyncCall,
    {
        let (done, stop) = (
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let errors = Arc::new(Mutex::new(Vec::new()));
        let mut set = JoinSet::new();
        for id in 0..callers {
            let (mut call, done, stop) = (call(id), done.clone(), stop.clone());
            let errors = errors.clone();
            set.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    match call.call().await {
                        Ok(()) => drop(done.fetch_add(1, Ordering::Relaxed)),
                        Err(error) => errors.lock().unwrap().push(format!("caller {id}: {error}")),
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            });
        }
        Self {
            callers: set,
            errors,
            done,
            stop,
        }
    }

    /// Waits for so many more calls that went well.
    pub(crate) async fn goes_on(&self, calls: u64) {
        let enough = self.done.load(Ordering::Relaxed) + calls;
        eventually("calls that go well", SOON, async || {
            self.done.load(Ordering::Relaxed) >= enough
        })
        .await;
    }

    /// Ends it: not one call went wrong. Says how many went well.
    pub(crate) async fn went_well(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let ended = tokio::time::timeout(SOON, self.callers.join_all()).await;
        let errors = self.errors.lock().unwrap();
        let some: Vec<_> = errors.iter().take(5).collect();
        assert!(
            errors.is_empty(),
            "{} calls failed: {some:#?}",
            errors.len()
        );
        assert!(ended.is_ok(), "some callers still wait");
        self.done.load(Ordering::Relaxed)
    }
}

/// What one caller does.
pub(crate) trait AsyncCall: Send + 'static {
    fn call(&mut self) -> impl Future<Output = Result<(), String>> + Send;
}

fn own(id: u64, is: Option<&str>) -> Result<(), String> {
    match is {
        Some(value) if value == format!("value of {id}") => Ok(()),
        other => Err(format!("read {other:?}")),
    }
}

/// Stores the values that [`Reads`] reads.
pub(crate) async fn store_values(cache: &Cache, callers: u64) {
    for id in 0..callers {
        let value = format!("value of {id}");
        let ttl = Duration::from_secs(300);
        cache
            .set_ex(&format!("read:{id}"), &value, ttl)
            .await
            .unwrap();
    }
}

/// Reads one's own value by `cache.get`, which may be repeated.
pub(crate) struct Reads(pub(crate) Cache, pub(crate) u64);

impl AsyncCall for Reads {
    async fn call(&mut self) -> Result<(), String> {
        let Self(cache, id) = self;
        let read: Option<String> = match cache.get(&format!("read:{id}")).await {
            Ok(read) => read,
            Err(error) => return Err(format!("{error:?}")),
        };
        own(*id, read.as_deref())
    }
}

/// Stores and reads one's own value; the first is never repeated, so no connection may break.
pub(crate) struct Stores(pub(crate) Cache, pub(crate) u64);

impl AsyncCall for Stores {
    async fn call(&mut self) -> Result<(), String> {
        let Self(cache, id) = self;
        let (key, value) = (format!("store:{id}"), format!("value of {id}"));
        let stored = cache.set_ex(&key, &value, Duration::from_secs(300)).await;
        stored.map_err(|error| format!("{error:?}"))?;
        let read: Option<String> = match cache.get(&key).await {
            Ok(read) => read,
            Err(error) => return Err(format!("{error:?}")),
        };
        own(*id, read.as_deref())
    }
}

/// The same by commands of one's own.
pub(crate) struct Commands(pub(crate) Connection, pub(crate) u64);

impl AsyncCall for Commands {
    async fn call(&mut self) -> Result<(), String> {
        let Self(connection, id) = self;
        let (key, value) = (format!("command:{id}"), format!("value of {id}"));
        let stored: Result<String, _> = send(connection, &["SET", &key, &value]).await;
        match stored {
            Ok(stored) if stored == "OK" => {}
            other => return Err(format!("stored: {other:?}")),
        }
        let read: Result<Option<String>, _> = send(connection, &["GET", &key]).await;
        own(*id, read.map_err(|error| format!("{error:?}"))?.as_deref())
    }
}
