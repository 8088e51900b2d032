//! The flight: callers, changes and looks side by side. What is checked at each step is in the crate.

use cache_interleavings::{Act, Body, Call, Schedules, Step, Stop, Store, act, follow};

const STORES: [Store; 3] = [Store::InProcess, Store::Tokens, Store::Silent];
const ONE: Schedules = Schedules::preempting(1);
const FEW: Schedules = Schedules::preempting(2);
const PATIENT: Act = Act::Call(Call::PATIENT);
const GIVES_UP: Act = Act::Call(Call::GIVES_UP);
const OVERTAKES: Act = Act::Call(Call::OVERTAKES);

/// One thread for each act.
fn side_by_side(schedules: Schedules, name: &str, store: Store, acts: &[Act]) {
    let acts = acts.to_vec();
    schedules.run(&format!("{store:?}: {name}"), move || {
        let threads: Vec<_> = acts.iter().map(std::slice::from_ref).collect();
        act(store, &threads);
    });
}

/// The steps at which a leader can end early; what comes of an outcome in this process comes at once.
fn steps() -> impl Iterator<Item = (Store, Step)> {
    let can_end =
        |store, step| store == Store::Tokens || !matches!(step, Step::Closed | Step::Stored);
    let of = move |store| Step::ALL.into_iter().map(move |step| (store, step));
    STORES
        .into_iter()
        .flat_map(of)
        .filter(move |&(store, step)| can_end(store, step))
}

fn stopping(step: Step, stop: Stop) -> Act {
    Act::Call(Call::stopping(step, stop))
}

#[test]
fn p5_callers_of_a_cold_key_share_one_body() {
    for store in [Store::InProcess, Store::Tokens] {
        FEW.and_random(1_000)
            .run(&format!("{store:?}: one body"), move || {
                assert_eq!(act(store, &[&[PATIENT] as &[_]; 3]), 1);
            });
        Schedules::random(500).run(&format!("{store:?}: one body of six"), move || {
            assert_eq!(act(store, &[&[PATIENT] as &[_]; 6]), 1);
        });
    }
}

#[test]
fn p1_without_proof_nobody_waits_for_more_than_the_rest_of_one_body_and_one_more() {
    side_by_side(FEW, "no proof", Store::Silent, &[PATIENT; 3]);
    side_by_side(
        Schedules::random(1_000),
        "no proof",
        Store::Silent,
        &[PATIENT; 6],
    );
}

#[test]
fn p6_a_leader_that_goes_away_at_any_step_leaves_nobody_waiting() {
    for (store, step) in steps() {
        let dropped = stopping(step, Stop::Dropped);
        let name = format!("dropped at {step:?}");
        side_by_side(
            FEW.and_random(50),
            &name,
            store,
            &[dropped, PATIENT, PATIENT],
        );
    }
}

#[test]
fn p7_a_leader_that_panics_at_any_step_leaves_nobody_waiting() {
    for (store, step) in steps() {
        let panics = stopping(step, Stop::Panics);
        let name = format!("panics at {step:?}");
        side_by_side(
            ONE.and_random(200),
            &name,
            store,
            &[panics, PATIENT, PATIENT],
        );
    }
}

#[test]
fn p6_heirs_that_go_away_with_the_lead_in_their_hands_pass_it_on() {
    const GONE: Call = Call::GIVES_UP;
    const THERE: Call = Call::PATIENT;
    const STOPS: Call = Call::stopping(Step::Lead, Stop::Dropped);
    for (store, step, stop) in [
        (Store::InProcess, Step::Lead, Stop::Dropped),
        (Store::InProcess, Step::Body, Stop::Panics),
        (Store::Tokens, Step::Answered, Stop::Dropped),
    ] {
        let heirs = |schedules: Schedules, name: &str, calls: &'static [Call]| {
            schedules.run(
                &format!("{store:?}: {stop:?} at {step:?}, then {name}"),
                move || {
                    follow(store, step, stop, calls);
                },
            );
        };
        heirs(ONE.and_random(300), "one of three", &[GONE, THERE, THERE]);
        heirs(ONE.and_random(300), "two of three", &[GONE, GONE, THERE]);
        heirs(FEW.and_random(300), "nobody", &[GONE, GONE]);
        heirs(
            ONE.and_random(300),
            "one who leads no further",
            &[GONE, STOPS, THERE],
        );
    }
}

#[test]
fn an_error_reaches_those_who_may_have_it_and_everybody_else_runs() {
    for store in STORES {
        for body in [Body::Fails, Body::FailsAlone] {
            side_by_side(
                FEW.and_random(200),
                &format!("{body:?}"),
                store,
                &[Act::Call(Call::with(body)), PATIENT, PATIENT],
            );
        }
    }
}

#[test]
fn p4_nobody_who_calls_after_a_change_gets_what_was_before_it() {
    for store in STORES {
        for change in [Act::Change, Act::Put] {
            side_by_side(
                FEW.and_random(200),
                &format!("{change:?} beside two"),
                store,
                &[PATIENT, PATIENT, change],
            );
            FEW.run(&format!("{store:?}: {change:?}, then a call"), move || {
                act(store, &[&[PATIENT], &[PATIENT], &[change, PATIENT]]);
            });
        }
    }
}

#[test]
fn p4_a_change_beside_a_leader_that_ends_at_any_step() {
    for (store, step) in steps().filter(|(store, _)| *store != Store::Silent) {
        let dropped = stopping(step, Stop::Dropped);
        ONE.and_random(300)
            .run(&format!("{store:?}: change, stop at {step:?}"), move || {
                act(store, &[&[dropped], &[PATIENT], &[Act::Change, PATIENT]]);
            });
    }
}

#[test]
fn p4_a_change_beside_errors() {
    for store in [Store::InProcess, Store::Tokens] {
        for body in [Body::Fails, Body::FailsAlone] {
            FEW.run(&format!("{store:?}: change, {body:?}"), move || {
                act(
                    store,
                    &[
                        &[Act::Call(Call::with(body))],
                        &[PATIENT],
                        &[Act::Change, PATIENT],
                    ],
                );
            });
        }
    }
}

#[test]
fn callers_who_lead_beside_a_leader_are_answered_by_whichever_ends_first() {
    for store in STORES {
        let schedules = FEW.and_random(200);
        side_by_side(schedules, "one beside", store, &[PATIENT, OVERTAKES]);
        side_by_side(
            ONE.and_random(500),
            "one beside, one waits",
            store,
            &[PATIENT, OVERTAKES, PATIENT],
        );
        side_by_side(
            ONE.and_random(500),
            "two beside",
            store,
            &[PATIENT, OVERTAKES, OVERTAKES],
        );
        side_by_side(
            Schedules::random(1_000),
            "two beside, two wait",
            store,
            &[PATIENT, OVERTAKES, OVERTAKES, GIVES_UP, PATIENT],
        );
    }
}

#[test]
fn p4_a_change_beside_two_who_lead_at_once() {
    for store in STORES {
        for change in [Act::Change, Act::Put] {
            ONE.and_random(1_000)
                .run(&format!("{store:?}: {change:?} beside two"), move || {
                    act(store, &[&[PATIENT], &[OVERTAKES], &[change, PATIENT]]);
                });
            Schedules::random(1_000).run(
                &format!("{store:?}: {change:?} twice beside three"),
                move || {
                    act(
                        store,
                        &[
                            &[PATIENT, OVERTAKES],
                            &[OVERTAKES],
                            &[OVERTAKES],
                            &[change, OVERTAKES, change, PATIENT],
                        ],
                    );
                },
            );
        }
    }
}

#[test]
fn p6_p7_of_two_who_lead_at_once_either_can_go_away_at_any_step() {
    for (store, step) in steps() {
        for stop in [Stop::Dropped, Stop::Panics] {
            let ends = stopping(step, stop);
            let beside = Act::Call(Call::overtaking_until(step, stop));
            let schedules = ONE.and_random(50);
            side_by_side(
                schedules,
                &format!("{stop:?} at {step:?}, overtaken"),
                store,
                &[ends, OVERTAKES, PATIENT],
            );
            side_by_side(
                schedules,
                &format!("{stop:?} at {step:?}, beside"),
                store,
                &[PATIENT, beside, PATIENT],
            );
            side_by_side(
                Schedules::random(50),
                &format!("{stop:?} at {step:?}, both"),
                store,
                &[ends, beside, GIVES_UP, PATIENT, Act::Change],
            );
        }
    }
}

#[test]
fn an_error_of_one_of_two_who_lead_at_once() {
    for store in STORES {
        for body in [Body::Fails, Body::FailsAlone] {
            side_by_side(
                ONE.and_random(200),
                &format!("{body:?} beside"),
                store,
                &[Act::Call(Call::with(body)), OVERTAKES, PATIENT],
            );
        }
    }
}

#[test]
fn a_refresh_takes_the_key_over_from_whoever_has_it() {
    for store in STORES {
        let refresh = Act::Refresh(Call::PATIENT);
        let schedules = FEW.and_random(200);
        side_by_side(
            schedules,
            "two refreshes",
            store,
            &[refresh, refresh, PATIENT],
        );
        side_by_side(
            schedules,
            "refresh, change",
            store,
            &[refresh, PATIENT, Act::Change],
        );
        let stops = Act::Refresh(Call::stopping(Step::Body, Stop::Panics));
        side_by_side(
            schedules,
            "refresh stops",
            store,
            &[stops, PATIENT, PATIENT],
        );
    }
}

#[test]
fn bodies_that_run_behind_their_calls_are_waited_for_like_any_other() {
    for store in STORES {
        let behind = |call| Act::Behind(call);
        for (name, first) in [
            ("waits", behind(Call::PATIENT)),
            ("gives up", behind(Call::GIVES_UP)),
            ("goes on", Act::Ahead(Call::PATIENT)),
        ] {
            let acts = [first, PATIENT, behind(Call::PATIENT)];
            side_by_side(ONE.and_random(200), name, store, &acts);
            let change = [first, PATIENT, Act::Change];
            side_by_side(
                ONE.and_random(200),
                &format!("{name}, change"),
                store,
                &change,
            );
        }
    }
}

#[test]
fn p6_p7_a_run_behind_its_call_that_ends_at_any_step_leaves_nobody_waiting() {
    for (store, step) in steps() {
        for stop in [Stop::Dropped, Stop::Panics] {
            let call = Call::stopping(step, stop);
            let name = format!("{stop:?} at {step:?}, behind");
            let waits = [Act::Behind(call), PATIENT, Act::Behind(Call::GIVES_UP)];
            side_by_side(ONE.and_random(50), &name, store, &waits);
            let ahead = [Act::Ahead(call), GIVES_UP, PATIENT];
            side_by_side(
                ONE.and_random(50),
                &format!("{name}, unwaited"),
                store,
                &ahead,
            );
        }
    }
}

#[test]
fn whoever_looks_at_the_counts_holds_up_nobody() {
    for store in STORES {
        side_by_side(
            Schedules::random(200),
            "looks",
            store,
            &[
                stopping(Step::Body, Stop::Dropped),
                PATIENT,
                Act::Change,
                Act::Look,
                Act::Look,
            ],
        );
    }
}

#[test]
fn all_schedules_of_the_smallest_scenarios() {
    for store in STORES {
        side_by_side(
            Schedules::ALL,
            "a change and a call",
            store,
            &[PATIENT, Act::Change],
        );
    }
    let dropped = stopping(Step::Acquire, Stop::Dropped);
    side_by_side(
        Schedules::ALL,
        "a stop and a call",
        Store::Silent,
        &[dropped, PATIENT],
    );
    side_by_side(
        Schedules::ALL,
        "a stop and an heir",
        Store::Silent,
        &[dropped, GIVES_UP],
    );
}

#[test]
fn everything_at_once() {
    for store in STORES {
        Schedules::random(1_000).run(&format!("{store:?}: everything"), move || {
            act(
                store,
                &[
                    &[stopping(Step::Body, Stop::Dropped), PATIENT],
                    &[Act::Call(Call::with(Body::Fails)), GIVES_UP],
                    &[GIVES_UP, stopping(Step::Answered, Stop::Panics)],
                    &[PATIENT, OVERTAKES],
                    &[Act::Change, PATIENT, Act::Change],
                    &[Act::Refresh(Call::PATIENT), Act::Behind(Call::GIVES_UP)],
                    &[Act::Ahead(Call::PATIENT), Act::Behind(Call::PATIENT)],
                ],
            );
        });
    }
}
