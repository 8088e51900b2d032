//! The reads of one connection: callers side by side. What is checked at each step is in the crate.

use std::slice;

use cache_interleavings::{
    Others, Patience, Place,
    Read::{self, Dropped, GivesUp, Panics, Patient},
    Schedules, read,
};

const ONE: Schedules = Schedules::preempting(1);
const FEW: Schedules = Schedules::preempting(2);

/// As many keys, and reads that wait for others.
const fn busy(keys: usize) -> Place {
    Place {
        keys,
        others: Others::Busy,
        patience: Patience::Endless,
        refuses: false,
        hurries: false,
    }
}

/// As many keys, and reads that wait for those who come with them.
const fn after_others(keys: usize) -> Place {
    Place {
        others: Others::Gone,
        ..busy(keys)
    }
}

/// As many keys, one of which fills a batch.
const fn among_others(keys: usize) -> Place {
    Place {
        others: Others::Waiting,
        ..busy(keys)
    }
}

/// The same place, where nobody waits for long.
const fn hurrying(place: Place) -> Place {
    Place {
        hurries: true,
        ..place
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
    side_by_side(FEW, busy(2), &[Patient; 3]);
    side_by_side(ONE, busy(2), &[Patient; 4]);
    side_by_side(FEW, after_others(1), &[Patient; 2]);
    side_by_side(ONE, after_others(2), &[Patient; 3]);
    for place in [busy(1), busy(3), after_others(1), among_others(3)] {
        side_by_side(Schedules::random(500), place, &[Patient; 6]);
    }
}

#[test]
fn p6_p7_a_caller_that_ends_before_its_reply_leaves_nobody_waiting() {
    for reads in [
        &[Dropped, Dropped, Patient, Patient],
        &[Panics, Panics, Patient, Patient],
        &[Dropped, Patient, Dropped, Patient],
    ] {
        side_by_side(ONE.and_random(500), busy(2), reads);
        for place in [after_others(2), among_others(2)] {
            side_by_side(Schedules::random(500), place, reads);
        }
    }
}

#[test]
fn p6_callers_that_go_away_cost_nobody_their_batch() {
    for place in [busy(2), after_others(2), among_others(2)] {
        for reads in [
            &[Patient, Patient, GivesUp, GivesUp, Patient],
            &[Dropped, Dropped, GivesUp, GivesUp, Patient],
        ] {
            side_by_side(Schedules::random(500), place, reads);
        }
    }
    side_by_side(ONE, busy(2), &[Dropped, Patient, GivesUp, GivesUp]);
    side_by_side(ONE, after_others(1), &[Patient, GivesUp, GivesUp]);
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
fn who_has_waited_for_too_long_is_answered_once() {
    side_by_side(ONE, hurrying(busy(2)), &[Patient, Patient, Patient]);
    side_by_side(ONE, hurrying(after_others(1)), &[Patient, GivesUp]);
    for place in [busy(2), after_others(2), among_others(2)] {
        let reads = &[Patient, Patient, Dropped, GivesUp, Patient];
        side_by_side(Schedules::random(500), hurrying(place), reads);
    }
}

#[test]
fn reads_that_are_taken_for_abandoned_leave_nothing_behind() {
    for place in [busy(2), hurrying(busy(2)), after_others(2)] {
        let place = Place {
            patience: Patience::None,
            ..place
        };
        let reads = &[Patient, Dropped, Patient, GivesUp];
        side_by_side(Schedules::random(500), place, reads);
    }
}

#[test]
fn many_preemptions_of_the_smallest_scenario() {
    for place in [busy(1), after_others(1)] {
        side_by_side(Schedules::preempting(3), place, &[Patient, GivesUp]);
    }
}

#[test]
fn everything_at_once() {
    for place in [busy(4), after_others(4), among_others(4)] {
        for (refuses, hurries) in [(false, false), (true, false), (false, true)] {
            let place = Place {
                refuses,
                hurries,
                ..place
            };
            Schedules::random(500).run(&format!("everything: {place:?}"), move || {
                read(
                    place,
                    &[
                        &[Patient, Patient, Patient],
                        &[Dropped, Patient, Dropped],
                        &[GivesUp, GivesUp, Patient],
                        &[Panics, GivesUp, Patient],
                        &[Patient, Dropped, GivesUp],
                    ],
                );
            });
        }
    }
}
