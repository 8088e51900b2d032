//! The step "read": the value under the key, and how old it is.
//!
//! The one rule: **a key whose invalidation Redis has not confirmed is deleted before it is read.**

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{BoxFuture, Lookup, Slot};
use crate::{
    base::clock::Clock,
    error::{Error, ErrorKind},
    observe::event::{Served, Tier},
    store::{
        Seen, Standing, Urgency,
        fetched::Fetched,
        memory::Shared,
        redis::{lease::LeaseKeys, link::Link},
    },
    value::{
        error::not_decoded,
        freshness::Aged,
        header::{Stamp, Stored},
    },
};

/// What is known of the value that a store put into the slot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    /// `None`: it does not say how old it is, and is fresh for as long as it is there.
    pub(super) aged: Option<Aged>,
    pub(super) tier: Tier,
    /// How much longer it is there, if somebody asked.
    pub(super) left: Option<Duration>,
}

/// What the store has under a key, if it has anything; or why it could not be asked.
pub(super) type Read = Result<Option<Standing>, Error>;

/// What came of asking the store, and how long that took.
pub(super) type Asked = (Read, Duration);

/// What was put into the slot.
pub(super) enum Taken {
    /// It is no value of this type, which was counted.
    Nothing,
    Found(Found),
    /// A value whose age by that link's server is to be asked for.
    Undated(Arc<Link>, Stamp),
}

impl Found {
    fn in_redis(aged: Option<Aged>) -> Self {
        Self {
            aged,
            tier: Tier::Redis,
            left: None,
        }
    }

    pub(super) fn is_fresh(&self) -> bool {
        self.aged.is_none_or(|aged| aged.is_fresh())
    }

    /// The value as the answer of a call.
    #[inline]
    pub(super) fn served(&self) -> Served {
        Served {
            tier: self.tier,
            age_of_ttl: self.aged.map(|aged| (aged.age, aged.fresh_for)),
            left: self.left,
        }
    }
}

impl Lookup {
    /// The step "read", where nothing is left to be deleted before; what comes of it is to be [noted](Self::note).
    #[inline(always)]
    pub(super) fn ask(&self) -> impl Future<Output = Asked> + use<> {
        self.cache.store.read(&self.key, &self.budget)
    }

    /// What was read, if anything was. A failure is told.
    pub(super) fn note(&mut self, (read, took): Asked) -> Option<Standing> {
        self.budget.settle(&read, took);
        self.unless_failed(read)
    }

    /// What the store has under the key.
    ///
    /// # Errors
    ///
    /// If the store could not be asked.
    pub(super) async fn standing(&mut self) -> Read {
        if let Some(finished) = self.finish_invalidation() {
            finished.await?;
        }
        let (read, took) = self.ask().await;
        self.budget.settle(&read, took);
        read
    }

    /// Puts what was read into the slot; `None` if it is no value of this type, which is counted.
    pub(super) async fn take(&mut self, standing: Standing, slot: &mut dyn Slot) -> Option<Found> {
        match self.take_at_once(standing, slot) {
            Taken::Nothing => None,
            Taken::Found(found) => Some(found),
            // On the heap, because whoever looks into an entry has this future in its own.
            Taken::Undated(link, stamp) => Some(Box::pin(self.dated(&link, stamp)).await),
        }
    }

    /// As [`take`](Self::take), but asks nobody.
    pub(super) fn take_at_once(&mut self, standing: Standing, slot: &mut dyn Slot) -> Taken {
        match standing {
            Standing::InProcess(shared) => self.take_shared(&shared, slot),
            Standing::InRedis(fetched, link) => self.decode(link, fetched, slot),
        }
    }

    fn take_shared(&mut self, shared: &Shared, slot: &mut dyn Slot) -> Taken {
        self.seen = Seen::Numbered(shared.number());
        if !slot.take(shared.value()) {
            self.failed(&Error::new(
                ErrorKind::Decode,
                "what is kept in this process is no value of this type",
            ));
            return Taken::Nothing;
        }
        self.outdated = true;
        Taken::Found(Found {
            aged: Some(shared.aged()),
            tier: Tier::Process,
            left: None,
        })
    }

    /// Whether the key must be deleted before this process reads it again, because an earlier invalidation could not.
    pub(super) fn is_to_be_deleted(&self) -> bool {
        self.cache.pending.holds(&self.key)
    }

    /// Deletes what an earlier invalidation could not, before this process reads it again; `None` where nothing is left to
    /// delete.
    pub(super) fn finish_invalidation(&mut self) -> Option<BoxFuture<'_, Result<(), Error>>> {
        if !self.is_to_be_deleted() {
            return None;
        }
        Some(Box::pin(async {
            let keys = LeaseKeys::new(&self.cache.prefix, &self.key);
            let Self { budget, cache, .. } = self;
            let deleted = budget
                .spend(|deadline| cache.pending.delete(&keys, Urgency::Ordinary, deadline))
                .await;
            if deleted.is_err() {
                budget.end();
            }
            deleted
        }))
    }

    fn decode(
        &mut self,
        link: Arc<Link>,
        Fetched { bytes, decoded }: Fetched,
        slot: &mut dyn Slot,
    ) -> Taken {
        let stored = Stored::parse(&bytes).map_err(not_decoded);
        let others = decoded.as_deref();
        let decoded = stored.and_then(|stored| slot.decode(&stored, others).map(|()| stored));
        let (stamp, header) = match decoded {
            Ok(stored) => (stored.stamp, stored.header_len(&bytes)),
            Err(error) => {
                self.failed(&error);
                self.unreadable = true;
                self.seen = Seen::Bytes(bytes);
                return Taken::Nothing;
            }
        };
        let Some(stamp) = stamp else {
            return Taken::Found(Found::in_redis(None));
        };
        self.seen = Seen::Bytes(bytes.slice(..header));
        self.outdated = true;
        match known_age(&self.cache.clock, &link, stamp) {
            Some(aged) => Taken::Found(Found::in_redis(Some(aged))),
            None => Taken::Undated(link, stamp),
        }
    }

    /// What was found, with how old its stamp is by the server's clock, which is asked.
    pub(super) async fn dated(&mut self, link: &Link, stamp: Stamp) -> Found {
        Found::in_redis(Some(self.aged(link, stamp).await))
    }

    /// What was found, with how much longer it is there. Only for a report, so a failure leaves it without.
    pub(super) async fn with_left(&mut self, mut found: Found) -> Found {
        let Self {
            cache, budget, key, ..
        } = self;
        let left = budget.spend(|deadline| cache.store.ttl(key, deadline));
        found.left = left.await.ok().flatten();
        found
    }

    /// How old a stamp is by the server's clock, which is asked.
    async fn aged(&mut self, link: &Link, stamp: Stamp) -> Aged {
        let now = self.budget.spend(|deadline| link.time(deadline));
        let now = match now.await {
            Ok(now) => now,
            Err(error) => {
                self.failed(&error);
                link.guessed_time(Instant::now())
            }
        };
        stamp.aged(now)
    }
}

/// How old a stamp is, without asking the server for its time; `None` where this caller is told to ask.
///
/// What is known of that time is doubted where it makes an entry too old, or one of the future: the server's
/// clock may have been set since, and would make a body run that need not, or keep one from running.
fn known_age(clock: &Clock, link: &Link, stamp: Stamp) -> Option<Aged> {
    if let Some(now) = clock.servers() {
        return Some(stamp.aged(now));
    }
    let now = Instant::now();
    let aged = stamp.aged(link.known_time(now)?);
    (aged.is_fresh() || !link.is_time_to_be_asked(now)).then_some(aged)
}
