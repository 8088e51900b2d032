//! The waiters of one connection, each for a key to change.
//!
//! The one rule: **what the server pushes is never kept**: a push wakes the waiters of that moment, so that nothing
//! grows, however much the server pushes and however few wait.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use redis::{
    PushInfo, PushKind, Value,
    aio::{AsyncPushSender, SendError},
};
use tokio::sync::watch;

use crate::base::sharded::lock;

/// The waiters of one connection.
#[derive(Debug)]
pub(crate) struct Pushes {
    /// `None` once no push will come any more.
    keys: Mutex<Option<HashMap<Box<[u8]>, KeyWaiters>>>,
    /// Whether the server said that it tracks what this connection asks it to.
    tracking: AtomicBool,
}

/// The waiters for one key.
#[derive(Debug)]
struct KeyWaiters {
    count: usize,
    wake: watch::Sender<()>,
}

/// Where a connection puts what the server pushes; it goes with the connection.
#[derive(Debug)]
pub(crate) struct PushSink(Arc<Pushes>);

/// A waiter for one key to change; dropping it leaves nothing behind.
#[derive(Debug)]
pub(super) struct KeyWaiter {
    pushes: Arc<Pushes>,
    key: Box<[u8]>,
    woken: watch::Receiver<()>,
}

impl Pushes {
    /// Without waiters yet; pushes come as long as the sink lives.
    pub(crate) fn new() -> (Arc<Self>, PushSink) {
        let pushes = Arc::new(Self {
            keys: Mutex::new(Some(HashMap::new())),
            tracking: AtomicBool::new(false),
        });
        (Arc::clone(&pushes), PushSink(pushes))
    }

    /// Waits for `key` from now on, unless no push will come any more.
    pub(super) fn wait_for(self: &Arc<Self>, key: &[u8]) -> Option<KeyWaiter> {
        let key: Box<[u8]> = key.into();
        let mut keys = lock(&self.keys);
        let waiters = keys
            .as_mut()?
            .entry(key.clone())
            .or_insert_with(|| KeyWaiters {
                count: 0,
                wake: watch::Sender::new(()),
            });
        waiters.count += 1;
        Some(KeyWaiter {
            pushes: Arc::clone(self),
            key,
            woken: waiters.wake.subscribe(),
        })
    }

    pub(super) fn is_tracking(&self) -> bool {
        self.tracking.load(Ordering::Relaxed)
    }

    pub(super) fn track(&self) {
        self.tracking.store(true, Ordering::Relaxed);
    }

    /// Wakes all waiters, because no push will come any more.
    pub(super) fn end(&self) {
        let ended = lock(&self.keys).take();
        // With it goes the sender of every waiter, which wakes the waiter.
        drop(ended);
    }

    fn take(&self, push: &PushInfo) {
        match push.kind {
            PushKind::Invalidate => self.wake(&push.data),
            PushKind::Disconnection => self.end(),
            _ => {}
        }
    }

    /// Wakes the waiters for the keys that the server names, or all waiters where it names none, as when all keys are
    /// flushed.
    fn wake(&self, named: &[Value]) {
        let keys = lock(&self.keys);
        let Some(keys) = &*keys else { return };
        let Some(Value::Array(named)) = named.first() else {
            for waiters in keys.values() {
                waiters.wake.send_replace(());
            }
            return;
        };
        for key in named {
            if let Value::BulkString(key) = key
                && let Some(waiters) = keys.get(&**key)
            {
                waiters.wake.send_replace(());
            }
        }
    }

    /// How many keys are waited for.
    #[cfg(test)]
    pub(super) fn waited_for(&self) -> Option<usize> {
        lock(&self.keys).as_ref().map(HashMap::len)
    }
}

impl AsyncPushSender for PushSink {
    fn send(&self, push: PushInfo) -> Result<(), SendError> {
        self.0.take(&push);
        Ok(())
    }
}

impl Drop for PushSink {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl KeyWaiter {
    /// Waits until the key may have changed. `false` if no push will come any more.
    pub(super) async fn woken(&mut self) -> bool {
        self.woken.changed().await.is_ok()
    }
}

impl Drop for KeyWaiter {
    fn drop(&mut self) {
        if let Some(keys) = &mut *lock(&self.pushes.keys)
            && let Some(waiters) = keys.get_mut(&self.key)
        {
            waiters.count -= 1;
            if waiters.count == 0 {
                keys.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn invalidate(data: Value) -> PushInfo {
        PushInfo {
            kind: PushKind::Invalidate,
            data: vec![data],
        }
    }

    fn named(keys: &[&str]) -> Value {
        let bulk = |key: &&str| Value::BulkString(key.as_bytes().to_vec());
        Value::Array(keys.iter().map(bulk).collect())
    }

    #[test]
    fn a_push_wakes_those_who_wait_for_its_keys_and_nobody_else() {
        let (pushes, sink) = Pushes::new();
        let wait_for = |key: &str| pushes.wait_for(key.as_bytes()).unwrap();
        let (mut one, mut same, mut other) = (wait_for("a"), wait_for("a"), wait_for("b"));
        assert_eq!(pushes.waited_for(), Some(2));
        sink.send(invalidate(named(&["c", "a"]))).unwrap();
        assert_eq!(one.woken().now_or_never(), Some(true));
        assert_eq!(same.woken().now_or_never(), Some(true));
        assert_eq!(other.woken().now_or_never(), None);
        assert_eq!(one.woken().now_or_never(), None, "one push wakes once");

        sink.send(invalidate(Value::Nil)).unwrap();
        for waiter in [&mut one, &mut same, &mut other] {
            assert_eq!(waiter.woken().now_or_never(), Some(true));
        }
    }

    #[test]
    fn a_waiter_takes_with_it_what_nobody_else_needs() {
        let (pushes, sink) = Pushes::new();
        let one = pushes.wait_for(b"a").unwrap();
        let mut same = pushes.wait_for(b"a").unwrap();
        drop(one);
        sink.send(invalidate(named(&["a"]))).unwrap();
        assert_eq!(same.woken().now_or_never(), Some(true));
        drop(same);
        assert_eq!(pushes.waited_for(), Some(0));
    }

    #[test]
    fn a_connection_that_ends_wakes_everybody_and_takes_no_more_waiters() {
        for disconnect in [true, false] {
            let (pushes, sink) = Pushes::new();
            let mut waiter = pushes.wait_for(b"a").unwrap();
            if disconnect {
                let kind = PushKind::Disconnection;
                sink.send(PushInfo { kind, data: vec![] }).unwrap();
            } else {
                drop(sink);
            }
            assert_eq!(waiter.woken().now_or_never(), Some(false));
            assert!(pushes.wait_for(b"a").is_none());
            drop(waiter);
            assert_eq!(pushes.waited_for(), None);
        }
    }
}
