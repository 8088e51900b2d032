//! What `crate::base::sync` is to the runtime's files here: the same locks and channels, with a scheduler.
//!
//! The one rule: **whatever another thread can see is preceded by a [`point`]**, at which the
//! scheduler decides who goes on. All threads of a schedule share one thread of the system's, so
//! std's own locks serve, as long as nobody waits in them.

use std::{
    cell::Cell,
    ops::{Deref, DerefMut},
    sync::{self, LockResult, PoisonError, TryLockError, atomic::Ordering},
};

use shuttle::{
    sync::atomic::AtomicBool,
    thread::{self, Thread},
};

thread_local! {
    static POINT: AtomicBool = const { AtomicBool::new(false) };
    static HELD: Cell<usize> = const { Cell::new(0) };
}

/// A place where any other thread may go on instead.
pub(crate) fn point() {
    // Unlike a yield, this does not ask for another thread.
    POINT.with(|point| point.load(Ordering::SeqCst));
}

/// Whether anybody holds a lock.
pub(crate) fn is_a_lock_held() -> bool {
    HELD.get() > 0
}

/// To be called before a schedule begins: one that failed may have ended anywhere.
pub(crate) fn no_lock_is_held() {
    HELD.set(0);
}

#[derive(Debug, Default)]
pub(crate) struct Mutex<T> {
    content: sync::Mutex<T>,
    waiting: sync::Mutex<Vec<Thread>>,
}

#[derive(Debug)]
pub(crate) struct MutexGuard<'a, T> {
    content: Option<sync::MutexGuard<'a, T>>,
    waiting: &'a sync::Mutex<Vec<Thread>>,
}

impl<T> Mutex<T> {
    pub(crate) fn new(content: T) -> Self {
        Self {
            content: sync::Mutex::new(content),
            waiting: sync::Mutex::default(),
        }
    }

    /// Never poisoned: std takes a panic in one of the threads for one in all of them.
    pub(crate) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        point();
        let content = loop {
            match self.content.try_lock() {
                Ok(content) => break content,
                Err(TryLockError::Poisoned(error)) => break error.into_inner(),
                Err(TryLockError::WouldBlock) => {
                    whole(&self.waiting).push(thread::current());
                    thread::park();
                }
            }
        };
        HELD.set(HELD.get() + 1);
        Ok(MutexGuard {
            content: Some(content),
            waiting: &self.waiting,
        })
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.content.as_deref().expect("only `drop` takes it")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.content.as_deref_mut().expect("only `drop` takes it")
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        self.content = None;
        HELD.set(HELD.get().saturating_sub(1));
        let waiting = std::mem::take(&mut *whole(self.waiting));
        for thread in waiting {
            thread.unpark();
        }
    }
}

/// Locks what no thread keeps locked while another has the turn.
pub(crate) fn whole<T>(mutex: &sync::Mutex<T>) -> sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// tokio's channel, which has no such places of its own.
pub(crate) mod oneshot {
    use std::{
        future::Future,
        pin::Pin,
        task::{Context, Poll},
    };

    use tokio::sync::oneshot;

    use super::point;

    #[derive(Debug)]
    pub(crate) struct Sender<T>(Option<oneshot::Sender<T>>);

    #[derive(Debug)]
    pub(crate) struct Receiver<T>(Option<oneshot::Receiver<T>>);

    pub(crate) fn channel<T>() -> (Sender<T>, Receiver<T>) {
        let (sender, receiver) = oneshot::channel();
        (Sender(Some(sender)), Receiver(Some(receiver)))
    }

    impl<T> Sender<T> {
        pub(crate) fn send(mut self, value: T) -> Result<(), T> {
            point();
            let sender = self.0.take().expect("only `send` takes it, by value");
            sender.send(value)
        }

        pub(crate) fn is_closed(&self) -> bool {
            point();
            self.0.as_ref().is_none_or(oneshot::Sender::is_closed)
        }
    }

    impl<T> Drop for Sender<T> {
        fn drop(&mut self) {
            if let Some(sender) = self.0.take() {
                point();
                drop(sender);
            }
        }
    }

    impl<T> Future for Receiver<T> {
        type Output = Result<T, oneshot::error::RecvError>;

        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
            point();
            let receiver = self.0.as_mut().expect("only `drop` takes it");
            Pin::new(receiver).poll(context)
        }
    }

    impl<T> Drop for Receiver<T> {
        fn drop(&mut self) {
            let mut receiver = self.0.take().expect("only `drop` takes it");
            point();
            // Two steps, as in tokio's own `drop`: what was sent before the first goes with the second.
            receiver.close();
            point();
            drop(receiver);
        }
    }
}
