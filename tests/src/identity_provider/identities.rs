//! What a test says of identities, and what it sees of them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::behaviour::{Fault, Manners, Reply, Whom};
use super::issued::Issued;
use super::shared::{Asked, Shared, Tally};
use crate::wait::{SOON, bounded};

/// All identities of a provider, those of one means, or one.
#[derive(Clone)]
pub struct Identities {
    pub(super) shared: Arc<Shared>,
    pub(super) whom: Whom,
}

impl Identities {
    fn say(&self, change: impl FnOnce(&mut Manners)) {
        change(self.shared.state().behaviours.of(&self.whom));
    }

    fn fault(&self, fault: Fault) {
        self.say(|manners| manners.fault = Some(fault));
    }

    /// The life of the tokens that are issued from now on. Default: one hour.
    pub fn life(&self, life: Duration) {
        self.say(|manners| manners.life = Some(life));
    }

    /// The `oid` claim of the tokens that are issued from now on. Default: one for each identity.
    pub fn oid(&self, oid: Option<&str>) {
        self.say(|manners| manners.oid = Some(oid.map(str::to_owned)));
    }

    /// Whether tokens are random characters from now on, and no JWT. Default: they are JWTs.
    pub fn opaque(&self, opaque: bool) {
        self.say(|manners| manners.opaque = Some(opaque));
    }

    /// Takes this long for each answer.
    pub fn slow(&self, delay: Duration) {
        self.say(|manners| manners.slow = Some(delay));
    }

    /// Takes requests and never answers them; those that hang do so for ever.
    pub fn hang(&self) {
        self.fault(Fault::Hang);
    }

    /// Knows nobody: no such identity, no such application, nobody is logged in.
    pub fn refuse(&self) {
        self.fault(Fault::Refuse);
    }

    /// Answers what is no token, and says that all went well.
    pub fn garbage(&self) {
        self.fault(Fault::Garbage);
    }

    /// Hands out the identity's last token again, if it has had one.
    pub fn repeat_token(&self) {
        self.fault(Fault::RepeatToken);
    }

    /// Issues tokens that expired an hour ago.
    pub fn issue_expired(&self) {
        self.fault(Fault::IssueExpired);
    }

    /// Answers this to every request.
    pub fn answer(&self, reply: Reply) {
        self.fault(Fault::Answer { reply, times: None });
    }

    /// Answers this to the next requests, so many times.
    ///
    /// # Panics
    ///
    /// Panics for no times.
    pub fn answer_times(&self, times: u64, reply: Reply) {
        assert!(times > 0, "an answer is given once or more");
        let times = Some(times);
        self.fault(Fault::Answer { reply, times });
    }

    /// Ends all of the above that is a fault; for one identity or means also what was said of all.
    pub fn well(&self) {
        self.shared.state().behaviours.end_faults(&self.whom);
    }

    /// How many tokens were asked for, also those that were refused.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.asked().len()
    }

    /// The requests so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        let state = self.shared.state();
        let ours = state.asked.iter().filter(|a| a.concerns(&self.whom));
        ours.cloned().collect()
    }

    /// The tokens so far.
    #[must_use]
    pub fn issued(&self) -> Vec<Issued> {
        let state = self.shared.state();
        let ours = state.issued.iter().filter(|issued| match &self.whom {
            Whom::All => true,
            Whom::Source(source) => issued.source == *source,
            Whom::Identity(client_id) => issued.client_id == *client_id,
        });
        ours.cloned().collect()
    }

    /// How many requests are under way: a request is until it is answered, or its client has gone; a tool's
    /// client is its process.
    #[must_use]
    pub fn in_progress(&self) -> usize {
        self.tally().now
    }

    /// How many requests were under way at the same time, at most.
    ///
    /// That an http client has gone is heard a moment later: a test that counts lets it wait before it asks again.
    #[must_use]
    pub fn concurrent_max(&self) -> usize {
        self.tally().most
    }

    fn tally(&self) -> Tally {
        let state = self.shared.state();
        state.tallies.get(&self.whom).copied().unwrap_or_default()
    }

    /// Waits until this many tokens were asked for.
    ///
    /// # Panics
    ///
    /// Panics when they are not in time.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn wait_for_requests(&self, count: usize) {
        self.wait_until("requests", count, Self::requests).await;
    }

    /// Waits until this many tokens were issued, and everybody who listens was told of them.
    ///
    /// # Panics
    ///
    /// As [`wait_for_requests`](Self::wait_for_requests).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn wait_for_issued(&self, count: usize) {
        self.wait_until("tokens", count, |all| all.issued().len())
            .await;
    }

    async fn wait_until(&self, what: &str, count: usize, seen: fn(&Self) -> usize) {
        let mut news = self.shared.news();
        let arrival = bounded(SOON, async {
            while seen(self) < count {
                news.changed().await.expect("the sender lives in `self`");
            }
        });
        assert!(
            arrival.await.is_some(),
            "waited {SOON:?} in vain for {count} {what}; there were {}",
            seen(self)
        );
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identities")
            .field("whom", &self.whom)
            .field("requests", &self.requests())
            .field("in_progress", &self.in_progress())
            .finish_non_exhaustive()
    }
}
