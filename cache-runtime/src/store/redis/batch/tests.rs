use std::{
    future::Future,
    ops::RangeInclusive,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use super::*;

mod random;

const PATIENCE: Duration = Duration::from_secs(1);
/// Longer than any test's time.
const TIMEOUT: Duration = Duration::from_secs(600);

type Turn = oneshot::Receiver<u64>;

/// Reads, and a clock that stands still until a test moves it.
struct Scene {
    batches: Batches<u64>,
    now: Instant,
}

fn key(number: usize) -> Arc<str> {
    format!("users:{number}").into()
}

fn keys(numbers: impl IntoIterator<Item = usize>) -> Vec<Arc<str>> {
    numbers.into_iter().map(key).collect()
}

fn keys_of(batch: &Batch<u64>) -> Vec<Arc<str>> {
    let keys = batch.reads.iter().map(|read| Arc::clone(&read.key));
    keys.collect()
}

fn one(mut batches: Vec<Batch<u64>>) -> Batch<u64> {
    assert_eq!(batches.len(), 1, "{batches:?}");
    batches.remove(0)
}

#[derive(Debug, PartialEq)]
enum Told {
    Nothing,
    Reply(u64),
    /// That nobody asked.
    Closed,
}

fn told(turn: &mut Turn) -> Told {
    match Pin::new(turn).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Pending => Told::Nothing,
        Poll::Ready(Ok(reply)) => Told::Reply(reply),
        Poll::Ready(Err(_)) => Told::Closed,
    }
}

impl Duties<u64> {
    /// Nobody goes, and nobody is to let them go.
    fn is_to_wait(&self) -> bool {
        self.batches.is_empty() && !self.depart
    }

    /// Nobody goes before the tasks that can run have run.
    fn is_to_depart(&self) -> bool {
        self.batches.is_empty() && self.depart
    }
}

impl Scene {
    fn new() -> Self {
        Self {
            batches: Batches::new(PATIENCE),
            now: Instant::now(),
        }
    }

    fn arrive(&self, number: usize) -> Arrival<u64> {
        self.batches
            .arrive(&key(number), self.now + TIMEOUT, self.now)
    }

    fn goes(&self, number: usize) -> Way {
        match self.arrive(number) {
            Arrival::Go(way) => way,
            Arrival::Wait(..) => panic!("users:{number} waits"),
        }
    }

    fn waits(&self, number: usize) -> (Turn, Duties<u64>) {
        match self.arrive(number) {
            Arrival::Wait(turn, next) => (turn, next),
            Arrival::Go(_) => panic!("users:{number} goes"),
        }
    }

    /// Waits, and nothing goes for that reason.
    fn only_waits(&self, number: usize) -> Turn {
        let (turn, next) = self.waits(number);
        assert!(next.is_to_wait(), "{next:?}");
        turn
    }

    /// As many reads on their way as are enough.
    fn busy(&self) -> Vec<Way> {
        let goes = |number| self.goes(1_000 + number);
        (0..ENOUGH).map(goes).collect()
    }

    /// So many callers at once, all of whose reads are on their way.
    fn crowd(&mut self, callers: usize) -> Vec<Way> {
        let busy = self.busy();
        // Fewer keys than fill a batch.
        let waits = |number| self.only_waits(number % (ENOUGH - 1));
        let _turns: Vec<_> = (ENOUGH..callers).map(waits).collect();
        self.now += LINGER;
        let (batches, _) = self.batches.hurry(self.now);
        let ways = batches.iter().map(|batch| batch.way);
        busy.into_iter().chain(ways).collect()
    }

    /// After so many callers at once, who are gone.
    fn after_a_crowd(callers: usize) -> Self {
        let mut scene = Self::new();
        let crowd = scene.crowd(callers);
        scene.end_all(crowd);
        scene
    }

    fn end(&self, way: Way) -> Duties<u64> {
        self.batches.end(way, Some((1, 0)), self.now)
    }

    /// All tasks that can run have run.
    fn departs(&self, next: Duties<u64>) -> Vec<Batch<u64>> {
        assert!(next.is_to_depart(), "{next:?}");
        self.batches.depart(self.now)
    }

    fn answer(&self, batch: Batch<u64>, reply: u64) -> Duties<u64> {
        let values = batch.reads.len();
        for seat in batch.reads.into_iter().flat_map(|read| read.seats) {
            // Some callers are gone.
            let _gone = seat.turn.send(reply);
        }
        self.batches.end(batch.way, Some((values, 0)), self.now)
    }

    fn refuse(&self, batch: Batch<u64>) -> Duties<u64> {
        self.batches.go_alone(batch.reads, self.now);
        self.batches.end(batch.way, None, self.now)
    }

    /// Does what is next, until nothing is.
    fn settle(&self, mut next: Duties<u64>) {
        loop {
            let departs = next.depart.then(|| self.batches.depart(self.now));
            next.batches.extend(departs.into_iter().flatten());
            let Some(batch) = next.batches.pop() else {
                return;
            };
            let later = self.answer(batch, 0);
            next.batches.extend(later.batches);
            next.depart = later.depart;
        }
    }

    fn end_all(&self, ways: Vec<Way>) {
        for way in ways {
            self.settle(self.end(way));
        }
        self.nothing_is_left();
    }

    fn nothing_is_left(&self) {
        assert_eq!(self.batches.len(), 0);
        let state = lock(&self.batches.state);
        assert_eq!((state.under_way, state.places.len()), (0, 0));
    }

    /// Lets values of this size come until the average knows.
    fn values_of(&self, bytes: usize) {
        for _ in 0..20 * SMOOTHING {
            let next = self.batches.end(self.goes(0), Some((1, bytes)), self.now);
            assert!(next.is_to_wait());
        }
    }
}

#[test]
fn a_read_goes_at_once_while_few_are_on_their_way() {
    let scene = Scene::new();
    let busy = scene.busy();
    let _turn = scene.only_waits(1);
    scene.end_all(busy);
}

#[test]
fn reads_that_wait_go_together_once_fewer_are_on_their_way_and_in_their_order() {
    let scene = Scene::new();
    let mut busy = scene.busy();
    let mut turns = [3, 1, 2].map(|number| scene.only_waits(number));
    let batch = one(scene.departs(scene.end(busy.remove(0))));
    assert_eq!(keys_of(&batch), keys([3, 1, 2]));
    assert!(turns.iter_mut().all(|turn| told(turn) == Told::Nothing));
    scene.settle(scene.answer(batch, 7));
    assert!(turns.iter_mut().all(|turn| told(turn) == Told::Reply(7)));
    scene.end_all(busy);
}

#[test]
fn whoever_comes_while_others_wait_does_not_go_before_them() {
    let scene = Scene::new();
    let mut busy = scene.busy();
    let _turns = [1, 2].map(|number| scene.only_waits(number));
    let next = scene.end(busy.remove(0));
    assert!(next.is_to_depart(), "{next:?}");
    let _turn = scene.only_waits(3);
    let batch = one(scene.batches.depart(scene.now));
    assert_eq!(keys_of(&batch), keys([1, 2, 3]));
    // Three went in the place of one, so that another end makes no place.
    let _turn = scene.only_waits(4);
    let next = scene.end(busy.remove(0));
    assert!(next.is_to_wait(), "as many as are enough: {next:?}");
    let batch = one(scene.departs(scene.answer(batch, 1)));
    assert_eq!(keys_of(&batch), keys([4]));
    scene.settle(scene.answer(batch, 1));
    scene.end_all(busy);
}

#[test]
fn a_full_batch_waits_for_nothing_and_has_the_keys_of_half_a_crowd() {
    for (callers, full) in [
        (2 * ENOUGH, ENOUGH),
        (6 * ENOUGH, 3 * ENOUGH),
        (9 * LARGEST, LARGEST),
    ] {
        let mut scene = Scene::new();
        let crowd = scene.crowd(callers);
        let _turns: Vec<_> = (1..full).map(|number| scene.only_waits(number)).collect();
        let (_last, next) = scene.waits(full);
        let batch = one(next.batches);
        assert_eq!(keys_of(&batch), keys(1..=full));
        // The next one begins another.
        let _turn = scene.only_waits(full + 1);
        scene.settle(scene.answer(batch, 1));
        scene.end_all(crowd);
    }
}

#[test]
fn who_is_left_behind_by_a_full_batch_goes_after_it() {
    let scene = Scene::after_a_crowd(2 * ENOUGH);
    let (_first, next) = scene.waits(1);
    assert!(next.is_to_depart(), "{next:?}");
    let waits = |number| scene.only_waits(number);
    let _others: Vec<_> = (2..ENOUGH).map(waits).collect();
    let (_last, next) = scene.waits(ENOUGH);
    let mut left_behind = scene.only_waits(0);
    assert!(scene.batches.depart(scene.now).is_empty());
    let next = scene.answer(one(next.batches), 1);
    assert!(next.is_to_depart(), "{next:?}");
    assert_eq!(told(&mut left_behind), Told::Nothing);
    scene.settle(next);
    assert_eq!(told(&mut left_behind), Told::Reply(0));
    scene.nothing_is_left();
}

#[test]
fn after_a_crowd_a_read_waits_for_those_who_come_with_it() {
    let scene = Scene::after_a_crowd(10 * ENOUGH);
    for _ in 0..2 {
        let (_first, next) = scene.waits(1);
        assert!(next.is_to_depart(), "{next:?}");
        let _others = [1, 2, 3].map(|number| scene.only_waits(number));
        let batch = one(scene.batches.depart(scene.now));
        assert_eq!(keys_of(&batch), keys([1, 2, 3]));
        scene.settle(scene.answer(batch, 1));
    }
    scene.nothing_is_left();
}

#[test]
fn a_crowd_that_comes_together_goes_in_halves() {
    let scene = Scene::after_a_crowd(8 * ENOUGH);
    let (_first, next) = scene.waits(1);
    assert!(next.is_to_depart(), "{next:?}");
    let all = 1..4 * ENOUGH;
    let _others: Vec<_> = all
        .clone()
        .skip(1)
        .map(|number| scene.only_waits(number))
        .collect();
    let batches = scene.batches.depart(scene.now);
    let sizes: Vec<_> = batches.iter().map(|batch| batch.reads.len()).collect();
    assert_eq!(sizes, [2 * ENOUGH, 2 * ENOUGH - 1]);
    let in_order: Vec<_> = batches.iter().flat_map(keys_of).collect();
    assert_eq!(in_order, keys(all));
    for batch in batches {
        scene.settle(scene.answer(batch, 1));
    }
    scene.nothing_is_left();
}

#[test]
fn a_crowd_that_went_away_is_soon_forgotten() {
    let scene = Scene::after_a_crowd(1000);
    let mut waited = 0;
    let way = loop {
        match scene.arrive(1) {
            Arrival::Go(way) => break way,
            Arrival::Wait(_turn, next) => scene.settle(next),
        }
        waited += 1;
        assert!(waited < 10, "it is still there");
    };
    assert!(waited > 0);
    scene.end_all(vec![way]);
}

#[test]
fn p4_a_reply_does_not_go_to_those_who_came_after_its_read_was_sent() {
    let scene = Scene::new();
    let mut busy = scene.busy();
    let mut together = [scene.only_waits(1), scene.only_waits(1)];
    let batch = one(scene.departs(scene.end(busy.remove(0))));
    assert_eq!(keys_of(&batch), keys([1]), "one read for both");
    let mut newcomer = scene.only_waits(1);
    let next = scene.answer(batch, 1);
    assert!(together.iter_mut().all(|turn| told(turn) == Told::Reply(1)));
    assert_eq!(told(&mut newcomer), Told::Nothing);
    assert!(next.is_to_depart(), "{next:?}");
    let batch = one(scene.batches.depart(scene.now));
    scene.settle(scene.answer(batch, 2));
    assert_eq!(told(&mut newcomer), Told::Reply(2));
    scene.end_all(busy);
}

#[test]
fn a_batch_holds_about_so_many_bytes() {
    let scene = Scene::new();
    let (values, about): (usize, RangeInclusive<usize>) = (8, 7..=10);
    assert!(*about.end() < ENOUGH);
    scene.values_of(BYTES / values);
    let busy = scene.busy();
    let mut batches = vec![];
    let turns: Vec<_> = (0..LARGEST)
        .map(|number| {
            let (turn, next) = scene.waits(number);
            batches.extend(next.batches);
            turn
        })
        .collect();
    assert!(batches.len() > LARGEST / 10 - 1);
    for batch in batches {
        assert!(about.contains(&batch.reads.len()), "{}", batch.reads.len());
        scene.settle(scene.answer(batch, 1));
    }
    drop(turns);
    scene.end_all(busy);
}

#[test]
fn large_values_go_alone_until_values_are_small_again() {
    let scene = Scene::new();
    scene.values_of(2 * BYTES);
    let mut busy = scene.busy();
    busy.push(scene.goes(1));
    scene.end_all(busy);
    scene.values_of(0);
    let busy = scene.busy();
    drop(scene.only_waits(1));
    scene.end_all(busy);
}

#[test]
fn the_size_is_that_of_a_value_and_not_of_a_batch() {
    let scene = Scene::new();
    scene.values_of(BYTES);
    for _ in 0..20 * SMOOTHING {
        let reply = Some((LARGEST, BYTES));
        assert!(
            scene
                .batches
                .end(scene.goes(0), reply, scene.now)
                .is_to_wait()
        );
    }
    let busy = scene.busy();
    drop(scene.only_waits(1));
    scene.end_all(busy);
}

#[test]
fn a_read_without_a_reply_says_nothing_of_the_size() {
    let scene = Scene::new();
    scene.values_of(2 * BYTES);
    for _ in 0..20 * SMOOTHING {
        assert!(
            scene
                .batches
                .end(scene.goes(0), None, scene.now)
                .is_to_wait()
        );
    }
    let mut busy = scene.busy();
    busy.push(scene.goes(1));
    scene.end_all(busy);
}

#[test]
fn reads_that_were_refused_together_go_alone_and_so_do_others_for_a_while() {
    let mut scene = Scene::new();
    let mut busy = scene.busy();
    let mut turns = [1, 2, 3].map(|number| scene.only_waits(number));
    let batch = one(scene.departs(scene.end(busy.remove(0))));
    // What they waited for so far is not to be waited for again.
    let deadline = scene.now + TIMEOUT;
    scene.now += TIMEOUT / 2;
    let again = scene.refuse(batch).batches;
    let each: Vec<_> = again.iter().map(keys_of).collect();
    assert_eq!(each, [keys([1]), keys([2]), keys([3])]);
    assert!(again.iter().all(|batch| batch.deadline == deadline));
    busy.push(scene.goes(4));
    for (batch, reply) in again.into_iter().zip(1..) {
        scene.settle(scene.answer(batch, reply));
    }
    assert_eq!(turns.each_mut().map(told), [1, 2, 3].map(Told::Reply));
    scene.end_all(busy);
    let minute = Duration::from_secs(60);
    scene.now += minute - Duration::from_nanos(1);
    scene.end_all(vec![scene.goes(1)]);
    scene.now += Duration::from_nanos(1);
    let (_turn, next) = scene.waits(1);
    scene.settle(next);
    scene.nothing_is_left();
}

#[test]
fn who_came_after_reads_were_refused_goes_with_them() {
    let scene = Scene::new();
    let mut busy = scene.busy();
    let mut early = scene.only_waits(1);
    let _other = scene.only_waits(2);
    let batch = one(scene.departs(scene.end(busy.remove(0))));
    let mut late = scene.only_waits(1);
    let again = scene.refuse(batch).batches;
    assert_eq!(again.len(), 2);
    for batch in again {
        scene.settle(scene.answer(batch, 5));
    }
    assert_eq!([told(&mut early), told(&mut late)], [5, 5].map(Told::Reply));
    scene.end_all(busy);
}

#[test]
fn reads_that_nobody_polls_are_forgotten_after_a_while_and_may_end_later() {
    let mut scene = Scene::new();
    let kept = scene.busy();
    scene.now += PATIENCE;
    let busy = scene.busy();
    // Those who were forgotten make no place for another.
    let mut waiting = scene.only_waits(1);
    for way in kept {
        let next = scene.end(way);
        assert!(next.is_to_wait(), "{next:?}");
    }
    assert_eq!(told(&mut waiting), Told::Nothing);
    scene.end_all(busy);
    assert_eq!(told(&mut waiting), Told::Reply(0));
}

#[test]
fn who_comes_after_reads_were_forgotten_goes_with_those_who_waited_for_them() {
    let mut scene = Scene::new();
    let kept = scene.busy();
    let _waiting = scene.only_waits(1);
    scene.now += PATIENCE;
    let (_turn, next) = scene.waits(2);
    let batch = one(scene.departs(next));
    assert_eq!(keys_of(&batch), keys([1, 2]));
    scene.settle(scene.answer(batch, 1));
    scene.end_all(kept);
}

#[test]
fn who_waited_for_too_long_goes_whoever_is_on_their_way() {
    let mut scene = Scene::new();
    let kept = scene.busy();
    let (mut first, next) = scene.waits(1);
    assert!(next.hurry, "somebody is to look after them");
    let (mut second, next) = scene.waits(2);
    assert!(!next.hurry, "one is enough");
    let at = scene.now + LINGER;
    scene.now += LINGER / 2;
    let (batches, again) = scene.batches.hurry(scene.now);
    assert!(batches.is_empty(), "too early: {batches:?}");
    assert_eq!(again, Some(at));
    scene.now = at;
    let (batches, again) = scene.batches.hurry(scene.now);
    let batch = one(batches);
    assert_eq!(keys_of(&batch), keys([1, 2]));
    assert_eq!(again, None, "nobody waits");
    // Those they waited for are not to be waited for by others either.
    let (mut third, next) = scene.waits(3);
    assert!(next.is_to_depart() && next.hurry, "{next:?}");
    scene.settle(next);
    scene.settle(scene.answer(batch, 1));
    let told = [&mut first, &mut second, &mut third].map(told);
    assert_eq!(told, [1, 1, 0].map(Told::Reply));
    scene.end_all(kept);
}

#[test]
fn who_came_later_waits_for_as_long_as_others_did() {
    let mut scene = Scene::new();
    let mut busy = scene.busy();
    let _first = scene.only_waits(1);
    let batch = one(scene.departs(scene.end(busy.remove(0))));
    scene.now += LINGER / 2;
    let (_second, next) = scene.waits(2);
    assert!(!next.hurry, "somebody looks");
    scene.now += LINGER / 2;
    let (batches, again) = scene.batches.hurry(scene.now);
    assert!(batches.is_empty(), "{batches:?}");
    assert_eq!(again, Some(scene.now + LINGER / 2));
    scene.settle(scene.answer(batch, 1));
    assert_eq!(scene.batches.hurry(scene.now).1, None, "nobody waits");
    scene.end_all(busy);
}

#[test]
fn p6_nobody_asks_for_callers_who_went_away() {
    let scene = Scene::new();
    let mut busy = scene.busy();
    drop(scene.only_waits(1));
    let there = scene.only_waits(2);
    drop(scene.only_waits(3));
    let batch = one(scene.departs(scene.end(busy.remove(0))));
    assert_eq!(keys_of(&batch), keys([2]));
    drop(there);
    drop(scene.only_waits(1));
    assert!(scene.departs(scene.answer(batch, 1)).is_empty());
    scene.end_all(busy);
}

#[test]
fn p6_callers_of_a_batch_that_was_dropped_are_told() {
    let scene = Scene::new();
    let mut busy = scene.busy();
    let mut turn = scene.only_waits(1);
    let batch = one(scene.departs(scene.end(busy.remove(0))));
    let way = batch.way;
    drop(batch);
    assert!(scene.batches.end(way, None, scene.now).is_to_wait());
    assert_eq!(told(&mut turn), Told::Closed);
    scene.end_all(busy);
}

#[test]
fn a_batch_may_take_as_long_as_its_most_patient_caller_waits_and_no_later_one_may() {
    let scene = Scene::new();
    let mut busy = scene.busy();
    let within = |seconds| {
        let deadline = scene.now + Duration::from_secs(seconds);
        match scene.batches.arrive(&key(1), deadline, scene.now) {
            Arrival::Wait(turn, _) => turn,
            Arrival::Go(_) => panic!("it goes"),
        }
    };
    let _turns = [within(3), within(90), within(2)];
    let batch = one(scene.departs(scene.end(busy.remove(0))));
    assert_eq!(batch.deadline, scene.now + Duration::from_secs(90));
    let _later = within(3);
    let batch = one(scene.departs(scene.answer(batch, 1)));
    assert_eq!(batch.deadline, scene.now + Duration::from_secs(3));
    scene.settle(scene.answer(batch, 1));
    scene.end_all(busy);
}

#[test]
fn p11_callers_that_went_away_leave_no_seats() {
    let scene = Scene::new();
    let busy = scene.busy();
    for _ in 0..100_000 {
        drop(scene.only_waits(1));
    }
    let seats = lock(&scene.batches.state).waiting[0].seats.capacity();
    assert!(seats <= 8, "{seats} seats");
    scene.end_all(busy);
}
