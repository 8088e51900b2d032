//! The reads of one connection: callers side by side. What is checked at each step is in the crate.

use std::slice;

use cache_interleavings::{
    Patience, Place,
    Read::{self, Dropped, GivesUp, Insists, Panics, Patient},
    Schedules, read,
};

const ONE: Schedules = Schedules::preempting(1);
const FEW: Schedules = Schedules::preempting(2);

/// One key, and nothing else to do.
const QUIET: Place = Place {
    keys: 1,
    busy: false,
    patience: Patience::Endless,
    refuses: false,
};

/// As many keys, and reads that wait for others.
const fn busy(keys: usize) -> Place {
    Place {
        keys,
        busy: true,
        ..QUIET
    }
}

fn side_by_side(schedules: Schedules, place: Place, reads: &'static [Read]) {
    schedules.run(&format!("{place:?}: {reads:?}"), move || {
        let threads: Vec<_> = reads.iter().map(slice::from_ref).collect();
        read(place, &threads);
    });
}

#[test]
fn p4_nobody_gets_a_reply_that_is_older_than_the_call() {
    side_by_side(ONE, QUIET, &[Patient; 4]);
    side_by_side(FEW, busy(2), &[Patient; 3]);
    for place in [QUIET, busy(1), busy(3)] {
        side_by_side(Schedules::random(1_000), place, &[Patient; 6]);
    }
}

#[test]
fn p6_p7_a_caller_that_ends_before_its_reply_leaves_nobody_waiting() {
    for place in [QUIET, busy(2)] {
        for reads in [
            &[Dropped, Dropped, Patient, Patient],
            &[Panics, Panics, Patient, Patient],
            &[Dropped, Patient, Dropped, Patient],
        ] {
            side_by_side(ONE.and_random(500), place, reads);
        }
    }
}

#[test]
fn p6_callers_that_go_away_cost_nobody_their_batch() {
    for place in [QUIET, busy(2)] {
        for reads in [
            &[Patient, Patient, GivesUp, GivesUp, Patient],
            &[Dropped, Dropped, GivesUp, GivesUp, Patient],
        ] {
            side_by_side(Schedules::random(1_000), place, reads);
        }
        side_by_side(ONE, place, &[Dropped, Patient, GivesUp, GivesUp]);
    }
}

#[test]
fn reads_that_are_refused_together_are_all_answered() {
    let refuses = Place {
        refuses: true,
        ..busy(3)
    };
    side_by_side(ONE.and_random(500), refuses, &[Patient; 4]);
    let reads = &[Patient, Dropped, Patient, GivesUp, Patient, Patient];
    side_by_side(Schedules::random(1_000), refuses, reads);
}

#[test]
fn who_insists_is_answered_once() {
    side_by_side(FEW, busy(2), &[Patient, Insists, Patient]);
    let reads = &[Patient, Insists, Insists, GivesUp, Patient];
    side_by_side(Schedules::random(1_000), busy(3), reads);
}

#[test]
fn reads_that_are_taken_for_abandoned_leave_nothing_behind() {
    for place in [QUIET, busy(2)] {
        let place = Place {
            patience: Patience::None,
            ..place
        };
        let reads = &[Patient, Dropped, Patient, GivesUp];
        side_by_side(ONE.and_random(500), place, reads);
    }
}

#[test]
fn many_preemptions_of_the_smallest_scenario() {
    let reads = &[Patient, Dropped, GivesUp];
    side_by_side(Schedules::preempting(3), QUIET, reads);
    side_by_side(Schedules::preempting(3), busy(1), &[Patient, GivesUp]);
}

#[test]
fn everything_at_once() {
    for refuses in [false, true] {
        let place = Place { refuses, ..busy(4) };
        Schedules::random(1_000).run(&format!("everything: {refuses}"), move || {
            read(
                place,
                &[
                    &[Patient, Patient, Patient],
                    &[Dropped, Insists, Dropped],
                    &[GivesUp, GivesUp, Patient],
                    &[Panics, GivesUp, Patient],
                    &[Patient, Dropped, GivesUp],
                ],
            );
        });
    }
}
