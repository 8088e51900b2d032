use std::{
    future::Future,
    ops::RangeInclusive,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use super::*;

const PATIENCE: Duration = Duration::from_secs(1);
/// Longer than any test's time.
const TIMEOUT: Duration = Duration::from_secs(600);

type Turn = oneshot::Receiver<u64>;

/// Reads, and a clock that stands still until a test moves it.
struct Scene {
    reads: Reads<u64>,
    now: Instant,
}

/// A read that its caller drives.
struct Lone {
    key: Arc<str>,
    way: Way,
}

fn key(number: usize) -> Arc<str> {
    format!("users:{number}").into()
}

fn keys(numbers: impl IntoIterator<Item = usize>) -> Vec<Arc<str>> {
    numbers.into_iter().map(key).collect()
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

impl Scene {
    fn new() -> Self {
        Self {
            reads: Reads::new(PATIENCE),
            now: Instant::now(),
        }
    }

    fn arrive(&self, key: &Arc<str>) -> Arrival<u64> {
        self.reads.arrive(key, self.now + TIMEOUT, self.now)
    }

    fn goes(&self, number: usize) -> Lone {
        let key = key(number);
        match self.arrive(&key) {
            Arrival::Go(way) => Lone { key, way },
            Arrival::Wait(..) => panic!("{key} waits"),
        }
    }

    fn waits(&self, number: usize) -> (Turn, Vec<Batch<u64>>) {
        match self.arrive(&key(number)) {
            Arrival::Wait(turn, batches) => (turn, batches),
            Arrival::Go(_) => panic!("users:{number} goes"),
        }
    }

    /// Waits, and nothing goes for that reason.
    fn only_waits(&self, number: usize) -> Turn {
        let (turn, batches) = self.waits(number);
        assert!(batches.is_empty(), "{batches:?}");
        turn
    }

    /// As many reads on their way as are enough.
    fn busy(&self) -> Vec<Lone> {
        (0..ENOUGH)
            .map(|number| self.goes(1_000 + number))
            .collect()
    }

    fn end(&self, lone: Lone) -> Vec<Batch<u64>> {
        self.end_with(lone, Some(0))
    }

    fn end_with(&self, lone: Lone, bytes: Option<usize>) -> Vec<Batch<u64>> {
        self.reads.end(lone.way, &[lone.key], bytes, self.now)
    }

    fn answer(&self, batch: Batch<u64>, reply: u64) -> Vec<Batch<u64>> {
        for seat in batch.seats.into_iter().flatten() {
            // Some callers are gone.
            let _gone = seat.send(reply);
        }
        self.reads.end(batch.way, &batch.keys, Some(0), self.now)
    }

    fn refuse(&self, batch: Batch<u64>) -> Vec<Batch<u64>> {
        let seats = batch.keys.iter().cloned().zip(batch.seats).collect();
        self.reads.go_alone(seats, batch.deadline, self.now);
        self.reads.end(batch.way, &batch.keys, None, self.now)
    }

    fn end_all(&self, lone: Vec<Lone>) {
        let mut batches: Vec<_> = lone.into_iter().flat_map(|lone| self.end(lone)).collect();
        while let Some(batch) = batches.pop() {
            batches.extend(self.answer(batch, 0));
        }
        self.nothing_is_left();
    }

    fn nothing_is_left(&self) {
        assert_eq!(self.reads.len(), 0);
        let state = lock(&self.reads.state);
        assert_eq!((state.under_way, state.order.len()), (0, 0));
    }

    /// Lets values of this size come until the average knows.
    fn values_of(&self, bytes: usize) {
        for _ in 0..20 * SMOOTHING {
            let batches = self.end_with(self.goes(0), Some(bytes));
            assert!(batches.is_empty());
        }
    }
}

#[test]
fn a_read_goes_at_once_while_few_keys_are_on_their_way() {
    let scene = Scene::new();
    let busy = scene.busy();
    drop(scene.only_waits(1));
    scene.end_all(busy);
}

#[test]
fn reads_that_wait_go_together_once_fewer_are_on_their_way_and_in_their_order() {
    let scene = Scene::new();
    let mut busy = scene.busy();
    let mut turns: Vec<_> = [3, 1, 2].map(|number| scene.only_waits(number)).into();
    let batch = one(scene.end(busy.remove(0)));
    assert_eq!(batch.keys, keys([3, 1, 2]));
    assert!(turns.iter_mut().all(|turn| told(turn) == Told::Nothing));
    scene.answer(batch, 7);
    assert!(turns.iter_mut().all(|turn| told(turn) == Told::Reply(7)));
    scene.end_all(busy);
}

#[test]
fn a_full_batch_waits_for_nothing() {
    let scene = Scene::new();
    let busy = scene.busy();
    let first: Vec<_> = (1..LARGEST)
        .map(|number| scene.only_waits(number))
        .collect();
    let (_last, batches) = scene.waits(LARGEST);
    let batch = one(batches);
    assert_eq!(batch.keys, keys(1..=LARGEST));
    // The next one begins another.
    drop(scene.only_waits(LARGEST + 1));
    assert_eq!(first.len() + 1, batch.seats.len());
    scene.answer(batch, 1);
    scene.end_all(busy);
}

#[test]
fn whoever_comes_while_others_wait_does_not_go_before_them() {
    let scene = Scene::new();
    // Two go in the place of one, so that another end makes no place.
    let mut busy = scene.busy();
    let _turns = [1, 2].map(|number| scene.only_waits(number));
    let batch = one(scene.end(busy.remove(0)));
    let _turn = scene.only_waits(3);
    let next = scene.end(busy.remove(0));
    assert!(next.is_empty(), "as many as are enough: {next:?}");
    let batch = one(scene.answer(batch, 1));
    assert_eq!(batch.keys, keys([3]));
    scene.answer(batch, 1);
    scene.end_all(busy);
}

#[test]
fn p4_a_reply_does_not_go_to_those_who_came_after_its_read_was_sent() {
    let scene = Scene::new();
    let mut busy = scene.busy();
    let mut together = [scene.only_waits(1), scene.only_waits(1)];
    let batch = one(scene.end(busy.remove(0)));
    assert_eq!(batch.keys, keys([1]), "one read for both");
    let mut newcomer = scene.only_waits(1);
    let next = one(scene.answer(batch, 1));
    assert!(together.iter_mut().all(|turn| told(turn) == Told::Reply(1)));
    assert_eq!(told(&mut newcomer), Told::Nothing);
    scene.answer(next, 2);
    assert_eq!(told(&mut newcomer), Told::Reply(2));
    scene.end_all(busy);
}

#[test]
fn a_key_is_on_its_way_twice_at_most_and_holds_up_no_other() {
    let scene = Scene::new();
    let [first, second] = [scene.goes(1), scene.goes(1)];
    let mut third = scene.only_waits(1);
    let other = scene.goes(2);
    let batch = one(scene.end(first));
    assert_eq!(batch.keys, keys([1]));
    // Twice again.
    let mut fourth = scene.only_waits(1);
    let batch = one(scene.answer(batch, 3));
    assert_eq!(told(&mut third), Told::Reply(3));
    scene.answer(batch, 4);
    assert_eq!(told(&mut fourth), Told::Reply(4));
    scene.end_all(vec![second, other]);
}

#[test]
fn a_batch_holds_about_so_many_bytes() {
    let scene = Scene::new();
    let (values, about): (usize, RangeInclusive<usize>) = (8, 7..=10);
    assert!(*about.end() < LARGEST);
    scene.values_of(BYTES / values);
    let mut busy = scene.busy();
    let mut batches = vec![];
    let turns: Vec<_> = (0..LARGEST)
        .map(|number| {
            let (turn, batch) = scene.waits(number);
            batches.extend(batch);
            turn
        })
        .collect();
    batches.extend(scene.end(busy.remove(0)));
    // The last one is not full.
    for batch in &batches[..batches.len() - 1] {
        assert!(about.contains(&batch.keys.len()), "{}", batch.keys.len());
    }
    for batch in batches {
        scene.answer(batch, 1);
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
fn a_read_without_a_reply_says_nothing_of_the_size() {
    let scene = Scene::new();
    scene.values_of(2 * BYTES);
    for _ in 0..20 * SMOOTHING {
        assert!(scene.end_with(scene.goes(0), None).is_empty());
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
    let batch = one(scene.end(busy.remove(0)));
    let again = scene.refuse(batch);
    let each: Vec<_> = again.iter().map(|batch| batch.keys.clone()).collect();
    assert_eq!(each, [keys([1]), keys([2]), keys([3])]);
    assert!(
        again
            .iter()
            .all(|batch| batch.deadline == scene.now + TIMEOUT)
    );
    busy.push(scene.goes(4));
    for (batch, reply) in again.into_iter().zip(1..) {
        scene.answer(batch, reply);
    }
    assert_eq!(turns.each_mut().map(told), [1, 2, 3].map(Told::Reply));
    scene.end_all(busy);
    scene.now += ALONE;
    let busy = scene.busy();
    drop(scene.only_waits(1));
    scene.end_all(busy);
}

#[test]
fn who_came_after_reads_were_refused_goes_with_them() {
    let scene = Scene::new();
    let mut busy = scene.busy();
    let mut early = scene.only_waits(1);
    let _other = scene.only_waits(2);
    let batch = one(scene.end(busy.remove(0)));
    let mut late = scene.only_waits(1);
    let again = scene.refuse(batch);
    assert_eq!(again.len(), 2);
    for batch in again {
        scene.answer(batch, 5);
    }
    assert_eq!([told(&mut early), told(&mut late)], [5, 5].map(Told::Reply));
    scene.end_all(busy);
}

#[test]
fn reads_that_nobody_polls_are_forgotten_after_a_while_and_may_end_later() {
    let mut scene = Scene::new();
    let kept = scene.busy();
    scene.now += PATIENCE;
    let busy: Vec<_> = (0..ENOUGH).map(|number| scene.goes(number)).collect();
    // Those who were forgotten make no place for another.
    let mut waiting = scene.only_waits(ENOUGH);
    for lone in kept {
        assert!(scene.end(lone).is_empty());
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
    let (_turn, batches) = scene.waits(2);
    let batch = one(batches);
    assert_eq!(batch.keys, keys([1, 2]));
    scene.answer(batch, 1);
    scene.end_all(kept);
}

#[test]
fn reads_of_a_key_that_nobody_polls_hold_up_its_callers_for_a_while() {
    let mut scene = Scene::new();
    let kept = vec![scene.goes(1), scene.goes(1)];
    let mut early = scene.only_waits(1);
    scene.now += PATIENCE;
    // Goes with those who wait.
    let (mut late, batches) = scene.waits(1);
    scene.answer(one(batches), 3);
    assert_eq!([told(&mut early), told(&mut late)], [3, 3].map(Told::Reply));
    scene.end_all(kept);
}

#[test]
fn who_insists_goes_with_those_who_wait() {
    let scene = Scene::new();
    let kept = scene.busy();
    let mut turns = [1, 2].map(|number| scene.only_waits(number));
    let batch = one(scene.reads.insist(&key(2), scene.now));
    assert_eq!(batch.keys, keys([1, 2]));
    // On its way, which insisting does not shorten; and nobody waits for the other.
    for number in [1, 3] {
        assert!(scene.reads.insist(&key(number), scene.now).is_empty());
    }
    // Nor has anybody after them to wait for those who made them insist.
    let late = scene.goes(3);
    scene.answer(batch, 1);
    assert_eq!(turns.each_mut().map(told), [1, 1].map(Told::Reply));
    scene.end_all(kept.into_iter().chain([late]).collect());
}

#[test]
fn who_insists_on_a_key_that_is_on_its_way_twice_waits_on() {
    let scene = Scene::new();
    let twice = vec![scene.goes(1), scene.goes(1)];
    let _third = scene.only_waits(1);
    assert!(scene.reads.insist(&key(1), scene.now).is_empty());
    scene.end_all(twice);
}

#[test]
fn p6_nobody_asks_for_callers_who_went_away() {
    let scene = Scene::new();
    let mut busy = scene.busy();
    drop(scene.only_waits(1));
    let there = scene.only_waits(2);
    drop(scene.only_waits(3));
    let batch = one(scene.end(busy.remove(0)));
    assert_eq!(batch.keys, keys([2]));
    drop(there);
    scene.answer(batch, 1);
    scene.end_all(busy);
    let twice = [scene.goes(1), scene.goes(1)];
    drop(scene.only_waits(1));
    for lone in twice {
        assert!(scene.end(lone).is_empty());
    }
    scene.nothing_is_left();
}

#[test]
fn p6_callers_of_a_batch_that_was_dropped_are_told() {
    let scene = Scene::new();
    let mut busy = scene.busy();
    let mut turn = scene.only_waits(1);
    let batch = one(scene.end(busy.remove(0)));
    let (way, keys) = (batch.way, batch.keys.clone());
    drop(batch);
    assert!(scene.reads.end(way, &keys, None, scene.now).is_empty());
    assert_eq!(told(&mut turn), Told::Closed);
    scene.end_all(busy);
}

#[test]
fn a_batch_may_take_as_long_as_its_most_patient_caller_waits_and_no_later_one_may() {
    let scene = Scene::new();
    let mut busy = scene.busy();
    let within = |seconds| {
        let deadline = scene.now + Duration::from_secs(seconds);
        match scene.reads.arrive(&key(1), deadline, scene.now) {
            Arrival::Wait(turn, _) => turn,
            Arrival::Go(_) => panic!("it goes"),
        }
    };
    let _turns = [within(3), within(90), within(2)];
    let batch = one(scene.end(busy.remove(0)));
    assert_eq!(batch.deadline, scene.now + Duration::from_secs(90));
    let _later = within(3);
    let next = one(scene.answer(batch, 1));
    assert_eq!(next.deadline, scene.now + Duration::from_secs(3));
    scene.answer(next, 1);
    scene.end_all(busy);
}

#[test]
fn p11_callers_that_went_away_leave_no_seats() {
    let scene = Scene::new();
    let many_go_away = |number| {
        for _ in 0..100_000 {
            drop(scene.only_waits(number));
        }
        let state = lock(&scene.reads.state);
        let seats = state.keys[&key(number)].waiting.capacity();
        assert!(seats <= 8, "{seats} seats");
    };
    let twice = vec![scene.goes(1), scene.goes(1)];
    many_go_away(1);
    scene.end_all(twice);
    let busy = scene.busy();
    many_go_away(2);
    scene.end_all(busy);
}

/// Everything at random: keys, ends, drops, refusals, insisting callers.
struct Chance {
    scene: Scene,
    random: fastrand::Rng,
    tick: u64,
    lone: Vec<Lone>,
    /// With the time at which each was sent.
    batches: Vec<(u64, Batch<u64>)>,
    /// With the time at which each came.
    turns: Vec<(u64, Arc<str>, Turn)>,
    /// Whether no read is ever taken for abandoned.
    calm: bool,
}

impl Chance {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        Self {
            scene: Scene::new(),
            calm: random.bool(),
            random,
            tick: 0,
            lone: vec![],
            batches: vec![],
            turns: vec![],
        }
    }

    fn tick(&mut self) -> u64 {
        self.tick += 1;
        self.tick
    }

    fn step(&mut self, number_of_keys: usize) {
        match self.random.u8(0..12) {
            0..6 => self.arrive(number_of_keys),
            6 => {
                if !self.turns.is_empty() {
                    let at = self.random.usize(..self.turns.len());
                    self.turns.swap_remove(at);
                }
            }
            7 if !self.turns.is_empty() => {
                let at = self.random.usize(..self.turns.len());
                let next = self.scene.reads.insist(&self.turns[at].1, self.scene.now);
                self.send(next);
            }
            8 if !self.calm => self.scene.now += PATIENCE / 3,
            _ => self.end(),
        }
        self.look();
    }

    fn arrive(&mut self, number_of_keys: usize) {
        let key = key(self.random.usize(..number_of_keys));
        let came = self.tick();
        match self.scene.arrive(&key) {
            Arrival::Go(way) => self.lone.push(Lone { key, way }),
            Arrival::Wait(turn, batches) => {
                self.turns.push((came, key, turn));
                self.send(batches);
            }
        }
    }

    fn send(&mut self, batches: Vec<Batch<u64>>) {
        for batch in batches {
            assert!((1..=LARGEST).contains(&batch.keys.len()));
            assert_eq!(batch.keys.len(), batch.seats.len());
            let sent = self.tick();
            self.batches.push((sent, batch));
        }
    }

    /// One read ends, in one way or another.
    fn end(&mut self) {
        let at = self
            .random
            .usize(..(self.lone.len() + self.batches.len()).max(1));
        if at < self.lone.len() {
            let lone = self.lone.swap_remove(at);
            let bytes = self.random.bool().then(|| self.random.usize(..BYTES));
            let next = self.scene.end_with(lone, bytes);
            self.send(next);
        } else if at - self.lone.len() < self.batches.len() {
            let (sent, batch) = self.batches.swap_remove(at - self.lone.len());
            let next = match self.random.u8(0..8) {
                0 if batch.keys.len() > 1 => self.scene.refuse(batch),
                1 => {
                    drop(batch.seats);
                    self.scene
                        .reads
                        .end(batch.way, &batch.keys, None, self.scene.now)
                }
                _ => self.scene.answer(batch, sent),
            };
            self.send(next);
        }
    }

    /// What must be so at any time.
    fn look(&mut self) {
        self.turns.retain_mut(|(came, _, turn)| match told(turn) {
            Told::Nothing => true,
            Told::Reply(sent) => {
                assert!(*came < sent, "came at {came}, got a reply from {sent}");
                false
            }
            Told::Closed => false,
        });
        let mut under_way = HashMap::new();
        let lone = self.lone.iter().map(|lone| &lone.key);
        for key in lone.chain(self.batches.iter().flat_map(|(_, batch)| &batch.keys)) {
            *under_way.entry(key).or_insert(0) += 1;
        }
        for (key, times) in &under_way {
            assert!(!self.calm || *times <= TWICE, "{key}: {times} times");
            let state = lock(&self.scene.reads.state);
            assert_eq!(state.keys[*key].under_way, *times);
        }
    }
}

#[test]
fn p6_no_order_of_events_forgets_a_caller_or_gives_it_a_reply_that_is_too_old() {
    for seed in 0..300 {
        let _named = Seed(seed);
        let mut chance = Chance::new(seed);
        let number_of_keys = [2, 2 * ENOUGH, 2 * LARGEST][chance.random.usize(..3)];
        for _ in 0..300 {
            chance.step(number_of_keys);
        }
        while !(chance.lone.is_empty() && chance.batches.is_empty()) {
            chance.end();
            chance.look();
        }
        assert!(
            chance.turns.is_empty(),
            "{:?} wait for nobody",
            chance.turns
        );
        chance.scene.nothing_is_left();
    }
}

/// Says which seed failed.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}", self.0);
        }
    }
}
