//! The setups that are searched: small ones with every test run, large ones by hand.
//!
//! The one rule: **the small ones together use everything that the model has**; the large ones have
//! more callers, changes and faults, and nothing new.

use crate::setup::{Acquire, AtFirst, Change, Lead, OldValues, Setup};

use Change::{Invalidate, Put, PutWith};

/// A setup and what it is about.
pub type Named = (&'static str, Setup);

/// A caller leads at once or after its own miss, as it happens: so what is found for either would be found here.
const SMALL: Setup = Setup {
    lead: Lead::Either,
    ..Setup::small()
};
const TWO_COMMANDS: Setup = Setup {
    acquire: Acquire::TwoCommands,
    ..SMALL
};
const NOTHING_OR_OLD: &[AtFirst] = &[AtFirst::Nothing, AtFirst::Old];

/// Some seconds each, unoptimised.
#[must_use]
pub fn small() -> Vec<Named> {
    vec![
        ("three callers, an invalidation", SMALL),
        (
            "four callers, two GETs at once",
            Setup {
                processes: 1,
                callers: 4,
                reads: 2,
                ..SMALL
            },
        ),
        (
            "three processes, an invalidation",
            Setup {
                processes: 3,
                callers: 2,
                ..SMALL
            },
        ),
        (
            "an invalidation, and one thing goes wrong",
            Setup {
                callers: 2,
                faults: 1,
                ..SMALL
            },
        ),
        (
            "one process, an invalidation, and two things go wrong",
            Setup {
                processes: 1,
                callers: 2,
                faults: 2,
                ..SMALL
            },
        ),
        (
            "a put and an invalidation",
            Setup {
                callers: 2,
                changes: &[Put, Invalidate],
                ..SMALL
            },
        ),
        (
            "a put_with and a put",
            Setup {
                processes: 1,
                callers: 2,
                changes: &[PutWith, Put],
                ..SMALL
            },
        ),
        (
            "a put_with, and one thing goes wrong",
            Setup {
                processes: 1,
                callers: 2,
                changes: &[PutWith],
                faults: 1,
                ..SMALL
            },
        ),
        (
            "coalesce = \"cluster\", two things go wrong",
            Setup {
                cluster: true,
                changes: &[],
                faults: 2,
                ..SMALL
            },
        ),
        (
            "coalesce = \"cluster\", an invalidation, patience may be lost",
            Setup {
                cluster: true,
                impatient: true,
                at_first: &[AtFirst::Nothing],
                ..SMALL
            },
        ),
        (
            "stale_while_revalidate, an invalidation",
            Setup {
                old_values: OldValues::WhileRevalidate,
                at_first: NOTHING_OR_OLD,
                ..SMALL
            },
        ),
        (
            "stale_if_error, an invalidation, and one thing goes wrong",
            Setup {
                callers: 2,
                old_values: OldValues::IfError,
                at_first: NOTHING_OR_OLD,
                faults: 1,
                ..SMALL
            },
        ),
        (
            "soft_timeout and coalesce = \"cluster\", an invalidation",
            Setup {
                callers: 2,
                cluster: true,
                old_values: OldValues::SoftTimeout,
                at_first: NOTHING_OR_OLD,
                ..SMALL
            },
        ),
        (
            "ACQUIRE as two commands, three callers, an invalidation",
            TWO_COMMANDS,
        ),
        (
            "ACQUIRE as two commands, an invalidation, and one thing goes wrong",
            Setup {
                callers: 2,
                faults: 1,
                ..TWO_COMMANDS
            },
        ),
        (
            "ACQUIRE as two commands, three processes, nothing is changed",
            Setup {
                processes: 3,
                changes: &[],
                ..TWO_COMMANDS
            },
        ),
        (
            "ACQUIRE as two commands, one process, a put_with, and one thing goes wrong",
            Setup {
                processes: 1,
                callers: 2,
                changes: &[PutWith],
                faults: 1,
                ..TWO_COMMANDS
            },
        ),
        (
            "ACQUIRE as two commands, one process, a put and an invalidation, and one thing goes wrong",
            Setup {
                processes: 1,
                callers: 1,
                changes: &[Put, Invalidate],
                faults: 1,
                ..TWO_COMMANDS
            },
        ),
        (
            "ACQUIRE as two commands, stale_if_error, one process, an invalidation, and one thing goes wrong",
            Setup {
                processes: 1,
                callers: 2,
                old_values: OldValues::IfError,
                at_first: NOTHING_OR_OLD,
                faults: 1,
                ..TWO_COMMANDS
            },
        ),
        (
            "ACQUIRE as two commands, coalesce = \"cluster\", an invalidation, patience may be lost",
            Setup {
                callers: 2,
                cluster: true,
                impatient: true,
                at_first: &[AtFirst::Nothing],
                ..TWO_COMMANDS
            },
        ),
        (
            "one process, three callers, an invalidation, and one thing goes wrong",
            Setup {
                processes: 1,
                faults: 1,
                ..SMALL
            },
        ),
        (
            "in-process, a put and an invalidation, and two things go wrong",
            Setup {
                changes: &[Put, Invalidate],
                faults: 2,
                ..Setup::in_process()
            },
        ),
        (
            "in-process, a put_with and an invalidation, and one thing goes wrong",
            Setup {
                changes: &[PutWith, Invalidate],
                faults: 1,
                ..Setup::in_process()
            },
        ),
        (
            "in-process, stale_while_revalidate, and one thing goes wrong",
            Setup {
                old_values: OldValues::WhileRevalidate,
                at_first: NOTHING_OR_OLD,
                faults: 1,
                ..Setup::in_process()
            },
        ),
    ]
}

/// Minutes, optimised.
#[must_use]
pub fn large() -> Vec<Named> {
    vec![
        (
            "three callers, an invalidation, and one thing goes wrong",
            Setup { faults: 1, ..SMALL },
        ),
        (
            "an invalidation, and two things go wrong",
            Setup {
                callers: 2,
                faults: 2,
                ..SMALL
            },
        ),
        (
            "three callers, a put and an invalidation",
            Setup {
                changes: &[Put, Invalidate],
                ..SMALL
            },
        ),
        (
            "a put_with and an invalidation, and one thing goes wrong",
            Setup {
                callers: 2,
                changes: &[PutWith, Invalidate],
                faults: 1,
                ..SMALL
            },
        ),
        (
            "three processes, three callers, an invalidation",
            Setup {
                processes: 3,
                ..SMALL
            },
        ),
        (
            "coalesce = \"cluster\", an invalidation, and one thing goes wrong",
            Setup {
                cluster: true,
                faults: 1,
                ..SMALL
            },
        ),
        (
            "stale_while_revalidate, an invalidation, and one thing goes wrong",
            Setup {
                old_values: OldValues::WhileRevalidate,
                at_first: NOTHING_OR_OLD,
                faults: 1,
                ..SMALL
            },
        ),
        (
            "stale_if_error and coalesce = \"cluster\", an invalidation, and two things go wrong",
            Setup {
                callers: 2,
                cluster: true,
                old_values: OldValues::IfError,
                at_first: NOTHING_OR_OLD,
                faults: 2,
                ..SMALL
            },
        ),
        (
            "soft_timeout, three callers, an invalidation",
            Setup {
                old_values: OldValues::SoftTimeout,
                at_first: NOTHING_OR_OLD,
                ..SMALL
            },
        ),
        (
            "ACQUIRE as two commands, three callers, an invalidation, and one thing goes wrong",
            Setup {
                faults: 1,
                ..TWO_COMMANDS
            },
        ),
        (
            "ACQUIRE as two commands, an invalidation, and two things go wrong",
            Setup {
                callers: 2,
                faults: 2,
                ..TWO_COMMANDS
            },
        ),
        (
            "ACQUIRE as two commands, a put_with and an invalidation, and one thing goes wrong",
            Setup {
                callers: 2,
                changes: &[PutWith, Invalidate],
                faults: 1,
                ..TWO_COMMANDS
            },
        ),
        (
            "ACQUIRE as two commands, three processes, three callers, an invalidation",
            Setup {
                processes: 3,
                ..TWO_COMMANDS
            },
        ),
        (
            "ACQUIRE as two commands, stale_if_error, an invalidation, and two things go wrong",
            Setup {
                callers: 2,
                old_values: OldValues::IfError,
                at_first: NOTHING_OR_OLD,
                faults: 2,
                ..TWO_COMMANDS
            },
        ),
        (
            "in-process, a put_with, a put and an invalidation, and one thing goes wrong",
            Setup {
                changes: &[PutWith, Put, Invalidate],
                faults: 1,
                ..Setup::in_process()
            },
        ),
    ]
}
