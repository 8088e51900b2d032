use std::pin::pin;

use super::*;

const KEY: &str = "users:42";

type TestFlights = Arc<Flights<u64>>;

fn flights() -> (TestFlights, Arc<str>) {
    (Arc::new(Flights::new()), KEY.into())
}

fn lead(flights: &TestFlights, key: &Arc<str>) -> Lead<u64> {
    match flights.join(key) {
        Joined::Lead(lead) => lead,
        Joined::Wait(_) => panic!("somebody else leads"),
    }
}

fn wait(flights: &TestFlights, key: &Arc<str>) -> Waiting<u64> {
    match flights.join(key) {
        Joined::Wait(turn) => turn,
        Joined::Lead(_) => panic!("nobody leads"),
    }
}

/// What a waiter was told so far.
fn told(turn: &mut Waiting<u64>) -> Told {
    let waker = std::task::Waker::noop();
    match pin!(turn).poll(&mut Context::from_waker(waker)) {
        Poll::Pending => Told::Nothing,
        Poll::Ready(Ok(Turn::Answer(answer))) => Told::Answer(answer),
        Poll::Ready(Ok(Turn::Alone)) => Told::Alone,
        Poll::Ready(Ok(Turn::Lead(lead))) => Told::Lead(lead),
        Poll::Ready(Err(_)) => panic!("a waiter was forgotten"),
    }
}

#[derive(Debug)]
enum Told {
    Nothing,
    Answer(u64),
    Alone,
    Lead(Lead<u64>),
}

impl Told {
    fn lead(self) -> Lead<u64> {
        match self {
            Self::Lead(lead) => lead,
            other => panic!("no lead, but {other:?}"),
        }
    }
}

macro_rules! assert_told {
    ($turn:expr, $told:pat) => {
        let told = told(&mut $turn);
        assert!(matches!(told, $told), "{told:?}");
    };
}

#[test]
fn the_first_caller_leads_and_the_others_wait() {
    let (flights, key) = flights();
    let lead = lead(&flights, &key);
    let mut waiter = wait(&flights, &key);
    assert_told!(waiter, Told::Nothing);
    assert_eq!((flights.len(), flights.waiting()), (1, 1));
    drop(waiter);
    assert_eq!(flights.waiting(), 0);
    drop(lead);
    assert_eq!(flights.len(), 0);
}

#[test]
fn other_keys_are_other_flights() {
    let (flights, key) = flights();
    let _one = lead(&flights, &key);
    let _other = lead(&flights, &"users:43".into());
    assert_eq!(flights.len(), 2);
}

#[test]
fn an_outcome_goes_to_those_who_joined_before_the_body_began() {
    let (flights, key) = flights();
    let mut lead = lead(&flights, &key);
    let mut early = wait(&flights, &key);
    lead.acquire_sent();
    let mut in_acquire = wait(&flights, &key);
    lead.body_begun();
    let mut late = wait(&flights, &key);
    lead.answer_early(&7);
    assert_told!(early, Told::Answer(7));
    assert_told!(in_acquire, Told::Answer(7));
    assert_told!(late, Told::Nothing);
    lead.close();
    lead.finish(&7);
    assert_told!(late, Told::Answer(7));
    assert_eq!(flights.len(), 0);
}

#[test]
fn without_proof_a_late_caller_leads_and_the_rest_have_joined_before_its_body() {
    let (flights, key) = flights();
    let mut first = lead(&flights, &key);
    first.body_begun();
    let mut late = wait(&flights, &key);
    let mut later = wait(&flights, &key);
    first.answer_early(&1);
    first.close();
    first.start_over(true);
    let mut second = told(&mut late).lead();
    assert!(second.unanswered());
    assert_told!(later, Told::Nothing);
    // New callers join what follows.
    let mut newcomer = wait(&flights, &key);
    second.acquire_sent();
    second.body_begun();
    second.answer_early(&2);
    assert_told!(later, Told::Answer(2));
    assert_told!(newcomer, Told::Answer(2));
    drop(second);
    assert_eq!(flights.len(), 0);
}

#[test]
fn an_heir_that_goes_away_does_not_make_the_next_one_ask_a_store_that_did_not_answer() {
    let (flights, key) = flights();
    let mut first = lead(&flights, &key);
    first.body_begun();
    let gone = wait(&flights, &key);
    let mut there = wait(&flights, &key);
    first.start_over(true);
    drop(gone); // with the lead, at which it never looked
    let second = told(&mut there).lead();
    assert!(second.unanswered());
    // Who began, and goes away then, is an attempt that did not ask.
    let mut late = wait(&flights, &key);
    let mut second = second;
    second.body_begun();
    drop(second);
    assert!(!told(&mut late).lead().unanswered());
}

#[test]
fn a_value_that_was_stored_meanwhile_goes_to_those_who_came_before_the_question() {
    let (flights, key) = flights();
    let mut lead = lead(&flights, &key);
    let mut before = wait(&flights, &key);
    lead.acquire_sent();
    let mut after = wait(&flights, &key);
    lead.finish(&7);
    assert_told!(before, Told::Answer(7));
    let heir = told(&mut after).lead();
    assert!(!heir.unanswered());
    drop(heir);
    assert_eq!(flights.len(), 0);
}

#[test]
fn who_joins_a_closed_attempt_has_nothing_of_it_and_leads_the_next() {
    let (flights, key) = flights();
    let mut first = lead(&flights, &key);
    first.body_begun();
    let mut late = wait(&flights, &key);
    first.close();
    let mut later = wait(&flights, &key);
    let mut last = wait(&flights, &key);
    first.finish(&1);
    assert_told!(late, Told::Answer(1));
    let mut second = told(&mut later).lead();
    assert!(!second.unanswered());
    second.acquire_sent();
    second.finish(&1);
    assert_told!(last, Told::Answer(1));
    assert_eq!(flights.len(), 0);
}

#[test]
fn p5_until_an_attempt_has_ended_nobody_starts_another_beside_it() {
    let (flights, key) = flights();
    for with_change in [false, true] {
        let mut first = lead(&flights, &key);
        first.body_begun();
        if with_change {
            assert_eq!(first.close_with(|| "stored"), Some("stored"));
        } else {
            first.close();
        }
        assert!(flights.lead(&key).is_none());
        let mut later = wait(&flights, &key);
        first.start_over(false);
        assert!(flights.lead(&key).is_none());
        drop(told(&mut later).lead());
        assert_eq!(flights.len(), 0);
    }
}

#[test]
fn a_detached_flight_has_lost_the_right_to_change_anything() {
    let (flights, key) = flights();
    let mut first = lead(&flights, &key);
    first.body_begun();
    let mut late = wait(&flights, &key);
    assert_eq!(flights.detach(&key, || "removed"), "removed");
    let mut second = lead(&flights, &key);
    assert_eq!(first.close_with(|| "stored"), None);
    drop(first);
    // It came before the change, and leads an attempt that nobody new joins.
    let heir = told(&mut late).lead();
    let mut newcomer = wait(&flights, &key);
    drop(heir);
    assert_told!(newcomer, Told::Nothing);
    assert_eq!(second.close_with(|| "stored"), Some("stored"));
    second.finish(&2);
    assert_told!(newcomer, Told::Answer(2));
    assert_eq!(flights.len(), 0);
}

#[test]
fn everybody_alone_ends_the_flight_for_all() {
    let (flights, key) = flights();
    let mut first = lead(&flights, &key);
    let mut early = wait(&flights, &key);
    first.body_begun();
    let mut late = wait(&flights, &key);
    first.everybody_alone();
    assert_told!(early, Told::Alone);
    assert_told!(late, Told::Alone);
    assert_eq!(flights.len(), 0);
}

#[test]
fn everybody_alone_leaves_the_flight_that_took_the_place_of_a_detached_one() {
    let (flights, key) = flights();
    let mut first = lead(&flights, &key);
    let mut early = wait(&flights, &key);
    first.body_begun();
    flights.detach(&key, || ());
    let second = lead(&flights, &key);
    let mut newcomer = wait(&flights, &key);
    first.everybody_alone();
    assert_told!(early, Told::Alone);
    assert_told!(newcomer, Told::Nothing);
    drop(second);
    drop(told(&mut newcomer).lead());
    assert_eq!(flights.len(), 0);
}

/// Else each newcomer would start a body beside it.
#[test]
fn p5_new_callers_join_what_follows_on_a_detached_flight() {
    let (flights, key) = flights();
    let mut first = lead(&flights, &key);
    first.body_begun();
    let mut late = wait(&flights, &key);
    flights.detach(&key, || ());
    first.start_over(false);
    let mut second = told(&mut late).lead();
    let mut newcomer = wait(&flights, &key);
    second.body_begun();
    second.answer_early(&2);
    assert_told!(newcomer, Told::Answer(2));
    drop(second);
    assert_eq!(flights.len(), 0);
}

#[test]
fn who_went_away_waits_no_more() {
    let (flights, key) = flights();
    let lead = lead(&flights, &key);
    assert!(!lead.has_waiters());
    let waiters = [wait(&flights, &key), wait(&flights, &key)];
    assert!(lead.has_waiters());
    drop(waiters);
    assert!(!lead.has_waiters());
}

#[test]
fn p6_a_dropped_lead_goes_to_a_waiter_that_is_still_there() {
    let (flights, key) = flights();
    let first = lead(&flights, &key);
    let gone = wait(&flights, &key);
    let mut there = wait(&flights, &key);
    drop(gone);
    drop(first);
    drop(told(&mut there).lead());
    assert_eq!(flights.len(), 0);
}

#[test]
fn p6_a_waiter_that_goes_away_with_the_lead_in_its_hands_passes_it_on() {
    let (flights, key) = flights();
    let first = lead(&flights, &key);
    let unpolled = wait(&flights, &key);
    let mut next = wait(&flights, &key);
    drop(first);
    assert_told!(next, Told::Nothing);
    drop(unpolled);
    drop(told(&mut next).lead());
    assert_eq!(flights.len(), 0);
}

#[test]
fn p6_all_waiters_going_away_with_the_leader_leave_nothing_behind() {
    let (flights, key) = flights();
    let first = lead(&flights, &key);
    let waiters: Vec<_> = (0..1000).map(|_| wait(&flights, &key)).collect();
    drop(first);
    assert_eq!(flights.len(), 1);
    drop(waiters);
    assert_eq!(flights.len(), 0);
}

#[test]
fn p7_a_lead_that_unwinds_is_passed_on() {
    let (flights, key) = flights();
    let first = lead(&flights, &key);
    let mut waiter = wait(&flights, &key);
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _mine = first;
        panic!("as a body may");
    }));
    assert!(panic.is_err());
    drop(told(&mut waiter).lead());
    assert_eq!(flights.len(), 0);
}

#[test]
fn p11_callers_that_went_away_leave_no_seats() {
    let (flights, key) = flights();
    let lead = lead(&flights, &key);
    let staying: Vec<_> = (0..100).map(|_| wait(&flights, &key)).collect();
    for _ in 0..1_000_000 {
        drop(wait(&flights, &key));
    }
    let seats = lead.flight.state().waiters.capacity();
    assert!(seats <= 4 * (staying.len() + 1), "{seats} seats");
    assert_eq!(flights.waiting(), staying.len());
}

#[test]
fn p5_of_those_whose_patience_ends_at_once_one_leads_beside() {
    let (flights, key) = flights();
    let mut first = lead(&flights, &key);
    first.body_begun();
    let mut waiters: Vec<_> = (0..100).map(|_| wait(&flights, &key)).collect();
    for round in 1..=3 {
        let leads: Vec<_> = waiters.iter_mut().filter_map(Waiting::overtake).collect();
        assert_eq!(leads.len(), 1, "round {round}");
        assert!(leads.iter().all(Lead::is_beside));
        // It hangs, too.
        std::mem::forget(leads);
    }
    assert_eq!((flights.len(), flights.waiting()), (1, 97));
}

#[test]
fn a_caller_whose_turn_is_on_its_way_does_not_lead_as_well() {
    let (flights, key) = flights();
    let mut first = lead(&flights, &key);
    let mut waiter = wait(&flights, &key);
    first.body_begun();
    first.answer_early(&7);
    assert!(waiter.overtake().is_none());
    assert_told!(waiter, Told::Answer(7));
}

#[test]
fn who_came_since_the_last_takeover_waits_its_own_time() {
    let (flights, key) = flights();
    let mut first = lead(&flights, &key);
    first.body_begun();
    let mut early = wait(&flights, &key);
    let mut late = wait(&flights, &key);
    let _second = early.overtake().expect("nobody did");
    let mut later = wait(&flights, &key);
    assert!(late.overtake().is_none(), "it begins to wait anew");
    let _third = later.overtake().expect("nobody did since it came");
    assert!(late.overtake().is_none());
    assert!(late.overtake().is_some());
}

#[test]
fn who_hears_that_the_leader_waits_for_another_process_waits_on() {
    let (flights, key) = flights();
    let mut first = lead(&flights, &key);
    let mut waiter = wait(&flights, &key);
    first.waits_for_another();
    assert!(waiter.overtake().is_none());
    let _second = waiter.overtake().expect("nothing was heard since");
    // The first has not the duty any more, and its word does not count.
    let mut waiter = wait(&flights, &key);
    first.waits_for_another();
    assert!(waiter.overtake().is_some());
}

#[test]
fn whichever_of_two_leads_ends_first_answers_those_who_joined_before_its_body() {
    let (flights, key) = flights();
    for first_ends_first in [true, false] {
        let mut first = lead(&flights, &key);
        let mut before_first = wait(&flights, &key);
        let mut overtaker = wait(&flights, &key);
        first.body_begun();
        let mut before_second = wait(&flights, &key);
        let mut second = overtaker.overtake().expect("nobody did");
        second.acquire_sent();
        second.body_begun();
        let mut late = wait(&flights, &key);
        if first_ends_first {
            first.answer_early(&1);
            assert_told!(before_first, Told::Answer(1));
            assert_told!(before_second, Told::Nothing);
            // Without proof, and not to start over: the other is at it.
            first.start_over(false);
            assert_told!(before_second, Told::Nothing);
            second.answer_early(&2);
            assert_told!(before_second, Told::Answer(2));
            assert_told!(late, Told::Nothing);
            second.close();
            second.finish(&2);
            assert_told!(late, Told::Answer(2));
        } else {
            second.answer_early(&2);
            assert_told!(before_first, Told::Answer(2));
            assert_told!(before_second, Told::Answer(2));
            second.close();
            second.finish(&2);
            assert_told!(late, Told::Answer(2));
            assert_eq!(flights.len(), 0, "the one that hangs keeps nothing open");
            first.answer_early(&1);
            first.finish(&1);
        }
        assert_eq!(flights.len(), 0);
    }
}

#[test]
fn the_proof_of_an_overtaken_lead_answers_late_callers_and_the_other_leads_on() {
    let (flights, key) = flights();
    let mut first = lead(&flights, &key);
    first.body_begun();
    let mut overtaker = wait(&flights, &key);
    let mut late = wait(&flights, &key);
    let second = overtaker.overtake().expect("nobody did");
    assert_eq!(first.close_with(|| "stored"), Some("stored"));
    let mut newcomer = wait(&flights, &key);
    first.finish(&1);
    assert_told!(late, Told::Answer(1));
    assert_told!(newcomer, Told::Nothing);
    assert!(flights.lead(&key).is_none());
    drop(second);
    drop(told(&mut newcomer).lead());
    assert_eq!(flights.len(), 0);
}

#[test]
fn p6_p7_the_end_of_an_overtaken_lead_passes_nothing_on() {
    type End = fn(Lead<u64>);
    let ends: [End; 3] = [drop, |lead| lead.start_over(true), Lead::everybody_alone];
    let (flights, key) = flights();
    for end in ends {
        let mut first = lead(&flights, &key);
        first.body_begun();
        let mut overtaker = wait(&flights, &key);
        let mut there = wait(&flights, &key);
        let mut second = overtaker.overtake().expect("nobody did");
        second.body_begun();
        end(first);
        assert_told!(there, Told::Nothing);
        assert!(flights.lead(&key).is_none());
        drop(second);
        drop(told(&mut there).lead());
        assert_eq!(flights.len(), 0);
    }
}

#[test]
fn p6_a_place_that_an_overtaken_lead_took_after_the_flight_ended_is_not_forgotten() {
    let (flights, key) = flights();
    let first = lead(&flights, &key);
    let mut overtaker = wait(&flights, &key);
    let second = overtaker.overtake().expect("nobody did");
    second.finish(&2);
    let mut own = first.wait_too();
    drop(first);
    drop(told(&mut own).lead());
    assert_eq!(flights.len(), 0);
}

#[test]
fn p4_what_began_before_a_change_is_not_stored_though_the_flight_is_open_again() {
    let (flights, key) = flights();
    let mut first = lead(&flights, &key);
    let mut overtaker = wait(&flights, &key);
    let mut waiter = wait(&flights, &key);
    first.body_begun();
    flights.detach(&key, || ());
    let mut second = overtaker.overtake().expect("nobody did");
    // It leads on in the open, because its body is yet to begin.
    let mut newcomer = wait(&flights, &key);
    assert_eq!(first.close_with(|| "stored"), None);
    first.answer_early(&1);
    assert_told!(waiter, Told::Answer(1));
    drop(first);
    assert_told!(newcomer, Told::Nothing);
    second.body_begun();
    assert_eq!(second.close_with(|| "stored"), Some("stored"));
    second.finish(&2);
    assert_told!(newcomer, Told::Answer(2));
    assert_eq!(flights.len(), 0);
}

/// Every order in which 4 callers and a leader can come, be answered and go away: nobody is forgotten.
#[test]
fn p6_no_order_of_drops_forgets_a_waiter() {
    for seed in 0..20_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (flights, key) = flights();
        let mut leads = vec![];
        let mut waiters = vec![];
        for _ in 0..40 {
            match random.u8(0..10) {
                0..4 => match flights.join(&key) {
                    Joined::Lead(lead) => leads.push(lead),
                    Joined::Wait(turn) => waiters.push(turn),
                },
                4 if !waiters.is_empty() => {
                    drop(waiters.swap_remove(random.usize(..waiters.len())));
                }
                5 if !waiters.is_empty() => {
                    let at = random.usize(..waiters.len());
                    match told(&mut waiters[at]) {
                        Told::Nothing => {}
                        Told::Lead(lead) => {
                            leads.push(lead);
                            drop(waiters.swap_remove(at));
                        }
                        Told::Answer(_) | Told::Alone => drop(waiters.swap_remove(at)),
                    }
                }
                6 => flights.detach(&key, || ()),
                7 if !waiters.is_empty() => {
                    let at = random.usize(..waiters.len());
                    if let Some(lead) = waiters[at].overtake() {
                        leads.push(lead);
                        drop(waiters.swap_remove(at));
                    }
                }
                _ if !leads.is_empty() => {
                    let mut lead = leads.swap_remove(random.usize(..leads.len()));
                    match random.u8(0..7) {
                        0 => drop(lead),
                        1 => lead.start_over(random.bool()),
                        2 => lead.finish(&1),
                        3 => lead.everybody_alone(),
                        4 => {
                            lead.body_begun();
                            lead.answer_early(&2);
                            lead.close();
                            leads.push(lead);
                        }
                        5 => {
                            lead.acquire_sent();
                            leads.push(lead);
                        }
                        _ => {
                            lead.close();
                            lead.finish(&3);
                        }
                    }
                }
                _ => {}
            }
        }
        leads.clear();
        // Whoever is left is told something, if need be one after the other.
        while !waiters.is_empty() {
            let before = waiters.len();
            waiters.retain_mut(|turn| matches!(told(turn), Told::Nothing));
            assert!(
                waiters.len() < before,
                "seed {seed}: {before} wait for nobody"
            );
        }
        assert_eq!(flights.len(), 0, "seed {seed}");
    }
}
