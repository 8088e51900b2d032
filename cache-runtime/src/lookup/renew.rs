//! What goes on while a body runs: the right to store, and the lock, are kept.
//!
//! The one rule: **a lock lives no longer than the body that it is held for**, whatever becomes of that.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use super::lead::Granted;
use crate::token;

/// How often a body that runs for long renews its right to store.
const RENEWAL: Duration = Duration::from_secs(10);

/// How often it renews its lock.
const LOCK_RENEWAL: Duration = Duration::from_millis(600);

/// Lets the lock go when it is dropped, for a body that was given up or panicked: those who wait would
/// wait for it in vain until it expires.
struct Held<'a>(Option<&'a Granted>);

impl Held<'_> {
    /// The body is done, and what stores or releases takes care of the lock.
    fn until_stored(mut self) {
        self.0 = None;
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let Some(granted) = self.0.filter(|granted| granted.token.has_lock()) else {
            return;
        };
        // Else it expires by itself. Not begun here: the runtime may be ending, or the thread unwinding.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let Granted { redis, keys, token } = granted.clone();
            let deadline = Instant::now() + LOCK_RENEWAL;
            drop(runtime.spawn(async move {
                drop(token::unlock(&redis, &keys, &token, deadline).await);
            }));
        }
    }
}

/// Renews the right to store, and the lock, while the body runs.
pub(crate) async fn renewing<F: Future + Unpin>(
    granted: Option<&Granted>,
    mut body: F,
) -> F::Output {
    let Some(granted) = granted else {
        return body.await;
    };
    let pause = if granted.token.has_lock() {
        LOCK_RENEWAL
    } else {
        RENEWAL
    };
    let mut renewed = Instant::now();
    let held = Held(Some(granted));
    loop {
        tokio::select! {
            biased;
            outcome = &mut body => {
                held.until_stored();
                return outcome;
            }
            () = tokio::time::sleep(pause) => {
                let Granted { redis, keys, token } = granted.clone();
                let deadline = Instant::now() + pause;
                let token_too = renewed.elapsed() + pause > RENEWAL;
                if token_too {
                    renewed = Instant::now();
                }
                // A failure shows when the value is stored: the token has expired then.
                drop(tokio::spawn(async move {
                    drop(token::renew_lock(&redis, &keys, &token, deadline).await);
                    if token_too {
                        drop(token::renew(&redis, &keys, deadline).await);
                    }
                }));
            }
        }
    }
}
