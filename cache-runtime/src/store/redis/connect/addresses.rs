//! The addresses of one name.
//!
//! The one rule: **no address that says nothing keeps the others from being tried.** They are tried in the order of RFC
//! 8305 (happy eyeballs): the families in turn, each address a moment after the one before unless that one has failed,
//! and the first that succeeds is taken. The whole attempt is raced, TLS and login too, because some peers accept a
//! connection and then say nothing.
//!
//! An address that was of no use is tried after the others for a while, so that a reconnect does not wait for it again.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::time::sleep_until;

use crate::base::sharded::lock;

/// How long an address has for the connection before the next one is tried as well; the shortest "Connection Attempt
/// Delay" that RFC 8305, section 8, recommends, because an operation waits for no more than 250 ms by default.
const HEAD_START: Duration = Duration::from_millis(100);
/// How long an address has for TLS and login, from the connection on.
const TO_ANSWER: Duration = Duration::from_secs(1);
/// How long an address that was of no use is tried after the others.
const MEMORY: Duration = Duration::from_secs(60);

/// What is known of the addresses of one name.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    /// The addresses that were of no use, and since when.
    useless: Mutex<Vec<(SocketAddr, Instant)>>,
    /// What the name stands for, where a test says so.
    #[cfg(test)]
    pub(super) given: Option<Vec<SocketAddr>>,
}

/// When an attempt had its connection.
pub(super) type Reached = Arc<OnceLock<Instant>>;

/// Why an attempt failed.
pub(super) trait Verdict {
    /// Whether the other addresses need not be asked.
    fn is_last_word(&self) -> bool;
    /// How much the error tells: where all attempts fail, the most telling error is returned.
    fn weight(&self) -> u8;
}

impl Addresses {
    /// Makes one attempt at each of the addresses `found`, and returns what comes of the first that succeeds; `None` if
    /// there are no addresses.
    ///
    /// # Errors
    ///
    /// The most telling error, if all attempts failed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the attempts.
    pub(super) async fn race<T, E: Verdict, F: Future<Output = Result<T, E>>>(
        &self,
        found: Vec<SocketAddr>,
        attempt: impl Fn(SocketAddr, Reached) -> F,
    ) -> Option<Result<T, E>> {
        let mut waiting = self.in_order(found, Instant::now()).into_iter();
        let mut running = FuturesUnordered::new();
        let begin = |address| {
            let reached = Reached::default();
            let trying = attempt(address, Arc::clone(&reached));
            // Boxed, because it is large, and moved.
            let trying = Box::pin(async move { (address, trying.await) });
            (trying, (address, reached))
        };
        let (first, mut latest) = begin(waiting.next()?);
        running.push(first);
        let mut patience = Instant::now() + HEAD_START;
        let mut failure: Option<E> = None;
        loop {
            let is_overdue = tokio::select! {
                biased;
                Some((address, outcome)) = running.next() => match outcome {
                    Ok(made) => {
                        self.is_of_use(address);
                        return Some(Ok(made));
                    }
                    Err(error) if error.is_last_word() => return Some(Err(error)),
                    Err(error) => {
                        self.is_useless(address);
                        let known = failure.as_ref().map_or(0, E::weight);
                        if error.weight() >= known {
                            failure = Some(error);
                        }
                        if running.is_empty() && waiting.len() == 0 {
                            return failure.map(Err);
                        }
                        false
                    }
                },
                () = sleep_until(patience.into()), if waiting.len() > 0 => true,
            };
            if is_overdue {
                let (address, reached) = &latest;
                let answer_by = reached.get().map(|reached| *reached + TO_ANSWER);
                match answer_by.filter(|by| *by > patience) {
                    Some(by) => {
                        patience = by;
                        continue;
                    }
                    // Noted now, because the caller may give up before the end of the race.
                    None => self.is_useless(*address),
                }
            }
            if let Some(address) = waiting.next() {
                let trying;
                (trying, latest) = begin(address);
                running.push(trying);
                patience = Instant::now() + HEAD_START;
            }
        }
    }

    /// The addresses with their families in turn, beginning with that of the first one found. Addresses that were of no
    /// use come last, the latest of them at the end.
    fn in_order(&self, found: Vec<SocketAddr>, now: Instant) -> Vec<SocketAddr> {
        let mut useless = lock(&self.useless);
        useless.retain(|(address, since)| {
            found.contains(address) && now.saturating_duration_since(*since) < MEMORY
        });
        let Some(first) = found.first() else {
            return found;
        };
        let (mut ones, others): (Vec<_>, Vec<_>) =
            (found.iter().copied()).partition(|address| address.is_ipv4() == first.is_ipv4());
        for (place, other) in others.into_iter().enumerate() {
            ones.insert(ones.len().min(2 * place + 1), other);
        }
        let since = |address: &SocketAddr| {
            let known = useless.iter().find(|(known, _)| known == address);
            known.map(|(_, since)| *since)
        };
        // The sort is stable, and `None` comes first.
        ones.sort_by_key(since);
        ones
    }

    fn is_useless(&self, address: SocketAddr) {
        let mut useless = lock(&self.useless);
        useless.retain(|(known, _)| *known != address);
        useless.push((address, Instant::now()));
    }

    fn is_of_use(&self, address: SocketAddr) {
        lock(&self.useless).retain(|(known, _)| *known != address);
    }
}

#[cfg(test)]
mod tests;
