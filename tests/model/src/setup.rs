//! What is explored: how many take part, what they may do, and which rule is left out.
//!
//! The one rule: **a setup bounds the search and changes nothing else**; two setups that differ in a
//! number differ in how much can happen, never in what any of it means.

/// One search: the sizes, the options of the annotated function, and what may go wrong.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Where values are kept.
    pub store: Store,
    /// Processes with a cache of their own; the in-process store has one.
    pub processes: u8,
    /// Calls, over all processes.
    pub callers: u8,
    /// The calls of `invalidate`, `put` and `put_with`, in the order in which they begin.
    pub changes: &'static [Change],
    /// How many things may go wrong, of whatever kind.
    pub faults: u8,
    /// How many GETs a process has under way at once.
    pub reads: u8,
    /// When a caller leads where nobody else does; counts on Redis only, without the lock and old values.
    pub lead: Lead,
    /// What ACQUIRE is sent as, where it asks for no lock and has seen no value.
    pub acquire: Acquire,
    /// `coalesce = "cluster"`.
    pub cluster: bool,
    /// Whether one that waits for another process may lose patience, and compute.
    pub impatient: bool,
    /// What an old value is good for.
    pub old_values: OldValues,
    /// What lies in the store at first.
    pub at_first: &'static [AtFirst],
    /// The rule that is left out.
    pub without: Option<Rule>,
}

/// Where values are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// One Redis, for all processes.
    Redis,
    /// The memory of the one process.
    InProcess,
}

/// When a caller leads a flight of a key that has no open flight in its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lead {
    /// After its own GET brought nothing.
    AfterItsMiss,
    /// At once: its ACQUIRE is its read.
    AtOnce,
    /// One or the other, as it happens.
    Either,
}

/// What ACQUIRE is on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acquire {
    /// A script, executed whole.
    Script,
    /// SET T NX, then GET K; commands of others may be executed between the two. SET says here whose T it is, where a script
    /// would follow that asks for it.
    TwoCommands,
}

/// A call that says: what was computed before does not count any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Deletes.
    Invalidate,
    /// Stores a value that the caller brings.
    Put,
    /// Stores a value that a future brings, which changes the source.
    PutWith,
}

/// What a value past its ttl is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldValues {
    /// Nothing; it is gone.
    Gone,
    /// An answer at once, and a background run: `stale_while_revalidate`, and `refresh_ahead`.
    WhileRevalidate,
    /// An answer in the place of an `Err`: `stale_if_error`.
    IfError,
    /// An answer when the body takes long: `soft_timeout`.
    SoftTimeout,
}

/// What lies in the store before anybody comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtFirst {
    /// No value.
    Nothing,
    /// A fresh value.
    Fresh,
    /// A value past its ttl.
    Old,
}

/// A rule of the protocol that a search can leave out; by its number there, if it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// 1: a GET's answer belongs to the callers that came before it was sent.
    OwnRead,
    /// 1: what ACQUIRE finds goes to those who joined before it was sent.
    OwnAcquire,
    /// 2: callers join a flight only after their own miss.
    OwnMiss,
    /// 2: ACQUIRE is a caller's read only where nobody leads a flight that new callers may join.
    NobodyLeads,
    /// 3: a body's outcome goes to later callers only with the proof that the token stood.
    Proof,
    /// 4: the attempt closes when STORE or RELEASE is sent, not when it is answered.
    CloseFirst,
    /// 4: whoever comes while STORE or RELEASE is under way waits in the same flight.
    OneFlight,
    /// 5: every send of ACQUIRE has a fresh nonce.
    FreshNonce,
    /// 5: only a token whose answer came before the body began may be used.
    AnsweredToken,
    /// 6: a takeover acquires anew, and never uses a nonce that its predecessor only asked with.
    OwnNonce,
    /// 6: nor a token that its predecessor was given.
    OwnToken,
    /// 7: a change detaches its process's flight.
    Detach,
    /// 8: a stale value serves only a caller that came before the GET that brought it was sent.
    OwnStale,
    /// 9: `put` is two steps.
    TwoSteps,
    /// 9: `put_with` takes its token before the source is written.
    TokenBeforeWrite,
    /// 10: in-process, value and flight change under one lock.
    OneLock,
    /// An invalidation deletes the token before the value.
    TokenFirst,
    /// ACQUIRE, where it is two commands, sets the token before it looks for the value.
    TokenBeforeLook,
    /// Who does not get the lock does not compute.
    LoserWaits,
    /// A lock that nobody renews expires.
    LockExpires,
}

impl Setup {
    /// A small search on Redis: two processes, three callers, one invalidation, nothing goes wrong.
    #[must_use]
    pub const fn small() -> Self {
        Self {
            store: Store::Redis,
            processes: 2,
            callers: 3,
            changes: &[Change::Invalidate],
            faults: 0,
            reads: 1,
            lead: Lead::AfterItsMiss,
            acquire: Acquire::Script,
            cluster: false,
            impatient: false,
            old_values: OldValues::Gone,
            at_first: &[AtFirst::Nothing, AtFirst::Fresh],
            without: None,
        }
    }

    /// The same in one process, which keeps its values itself.
    #[must_use]
    pub const fn in_process() -> Self {
        Self {
            store: Store::InProcess,
            processes: 1,
            ..Self::small()
        }
    }

    /// Whether anybody ever takes the lock L.
    pub(crate) fn uses_lock(&self) -> bool {
        self.store == Store::Redis
            && (self.cluster || self.old_values == OldValues::WhileRevalidate)
    }

    /// Whether ACQUIRE can be a caller's read.
    pub(crate) fn acquire_reads(&self) -> bool {
        self.lead != Lead::AfterItsMiss
            && self.store == Store::Redis
            && self.old_values == OldValues::Gone
            && !self.cluster
    }

    /// Whether a value that is there stays.
    pub(crate) fn values_stay(&self) -> bool {
        self.changes.is_empty() && self.faults == 0
    }

    pub(crate) fn keeps(&self, rule: Rule) -> bool {
        self.without != Some(rule)
    }
}
