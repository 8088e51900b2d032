//! The shared read: callers side by side. What is checked at each step is in the crate.

use cache_interleavings::{
    Patience::{self, Endless},
    Read::{self, Dropped, GivesUp, Panics, Patient},
    Schedules, read,
};

const ONE: Schedules = Schedules::preempting(1);
const FEW: Schedules = Schedules::preempting(2);

fn side_by_side(schedules: Schedules, patience: Patience, reads: &'static [Read]) {
    schedules.run(&format!("{patience:?}: {reads:?}"), move || {
        let threads: Vec<_> = reads.iter().map(std::slice::from_ref).collect();
        read(patience, &threads);
    });
}

#[test]
fn p4_nobody_gets_a_reply_that_is_older_than_the_call() {
    side_by_side(FEW, Endless, &[Patient; 4]);
    side_by_side(Schedules::random(2_000), Endless, &[Patient; 6]);
}

#[test]
fn p6_p7_a_reader_that_ends_before_its_reply_leaves_nobody_waiting() {
    side_by_side(FEW, Endless, &[Dropped, Dropped, Patient, Patient]);
    for reads in [
        &[Panics, Panics, Patient, Patient],
        &[Dropped, Patient, Dropped, Patient],
        &[Dropped, Dropped, Dropped, Dropped],
    ] {
        side_by_side(ONE.and_random(500), Endless, reads);
    }
}

#[test]
fn p6_readers_to_be_that_go_away_pass_the_duty_on() {
    for reads in [
        &[Patient, Patient, GivesUp, GivesUp, Patient],
        &[Dropped, Dropped, GivesUp, GivesUp, Patient],
    ] {
        side_by_side(ONE.and_random(1_000), Endless, reads);
    }
    side_by_side(FEW, Endless, &[Dropped, Panics, GivesUp, GivesUp]);
}

#[test]
fn reads_that_are_taken_for_abandoned_leave_nothing_behind() {
    let reads = &[Patient, Dropped, Patient, GivesUp];
    side_by_side(FEW.and_random(500), Patience::None, reads);
}

#[test]
fn many_preemptions_of_the_smallest_scenario() {
    side_by_side(
        Schedules::preempting(4),
        Endless,
        &[Patient, Dropped, GivesUp],
    );
}

#[test]
fn everything_at_once() {
    Schedules::random(2_000).run("everything", || {
        read(
            Endless,
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
