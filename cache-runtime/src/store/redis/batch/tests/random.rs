//! Arrivals, ends and duties in any order.
//!
//! The one rule: **whatever is to be done is done at some time, and then nobody is left.**

use super::*;

/// Everything at random: keys, ends, drops, refusals, and when the duties are done.
struct Chance {
    scene: Scene,
    random: fastrand::Rng,
    tick: u64,
    lone: Vec<Way>,
    /// With the time at which each was sent.
    batches: Vec<(u64, Batch<u64>)>,
    /// With the time at which each came.
    turns: Vec<(u64, Turn)>,
    /// Whether somebody is to call `depart`.
    departs: bool,
    /// When somebody is to call `hurry`.
    hurries: Option<Instant>,
}

impl Chance {
    fn new(seed: u64) -> Self {
        Self {
            scene: Scene::new(),
            random: fastrand::Rng::with_seed(seed),
            tick: 0,
            lone: vec![],
            batches: vec![],
            turns: vec![],
            departs: false,
            hurries: None,
        }
    }

    fn tick(&mut self) -> u64 {
        self.tick += 1;
        self.tick
    }

    fn step(&mut self, number_of_keys: usize) {
        match self.random.u8(0..14) {
            0..6 => self.arrive(number_of_keys),
            6 if !self.turns.is_empty() => {
                let at = self.random.usize(..self.turns.len());
                drop(self.turns.swap_remove(at));
            }
            7 | 8 => self.depart(),
            9 => self.scene.now += LINGER / 2,
            10 => self.scene.now += PATIENCE / 3,
            11 => self.hurry(),
            _ => self.end(),
        }
        self.look();
    }

    fn arrive(&mut self, number_of_keys: usize) {
        let number = self.random.usize(..number_of_keys);
        let came = self.tick();
        match self.scene.arrive(number) {
            Arrival::Go(way) => self.lone.push(way),
            Arrival::Wait(turn, next) => {
                self.turns.push((came, turn));
                self.go_on(next);
            }
        }
    }

    fn go_on(&mut self, next: Duties<u64>) {
        self.send(next.batches);
        assert!(!(next.depart && self.departs), "two are to depart");
        self.departs |= next.depart;
        if next.hurry {
            assert_eq!(self.hurries, None, "two are to hurry");
            self.hurries = Some(self.scene.now + LINGER);
        }
    }

    fn send(&mut self, batches: Vec<Batch<u64>>) {
        for batch in batches {
            assert!((1..=LARGEST).contains(&batch.reads.len()));
            assert!(batch.reads.iter().all(|read| !read.seats.is_empty()));
            let sent = self.tick();
            self.batches.push((sent, batch));
        }
    }

    fn depart(&mut self) {
        if std::mem::take(&mut self.departs) {
            let batches = self.scene.batches.depart(self.scene.now);
            self.send(batches);
        }
    }

    fn hurry(&mut self) {
        if self.hurries.is_some_and(|at| at <= self.scene.now) {
            let (batches, again) = self.scene.batches.hurry(self.scene.now);
            self.send(batches);
            self.hurries = again;
        }
    }

    /// One read ends, in one way or another.
    fn end(&mut self) {
        let ends = self.lone.len() + self.batches.len();
        if ends == 0 {
            return;
        }
        let at = self.random.usize(..ends);
        let next = if at < self.lone.len() {
            let way = self.lone.swap_remove(at);
            let bytes = self.random.usize(..BYTES);
            let reply = self.random.bool().then_some((1, bytes));
            self.scene.batches.end(way, reply, self.scene.now)
        } else {
            let (sent, batch) = self.batches.swap_remove(at - self.lone.len());
            match self.random.u8(0..8) {
                0 if batch.reads.len() > 1 => self.scene.refuse(batch),
                1 => {
                    drop(batch.reads);
                    self.scene.batches.end(batch.way, None, self.scene.now)
                }
                _ => self.scene.answer(batch, sent),
            }
        };
        self.go_on(next);
    }

    /// What must be so at any time.
    fn look(&mut self) {
        self.turns.retain_mut(|(came, turn)| match told(turn) {
            Told::Nothing => true,
            Told::Reply(sent) => {
                assert!(*came < sent, "came at {came}, got a reply from {sent}");
                false
            }
            Told::Closed => false,
        });
        let state = lock(&self.scene.batches.state);
        let batches = self.batches.iter().map(|(_, batch)| &batch.way);
        let ways = self.lone.iter().chain(batches);
        assert_eq!(ways.map(|way| way.callers).sum::<usize>(), state.unended);
        assert!(state.under_way <= state.unended);
        if !state.waiting.is_empty() {
            assert!(self.hurries.is_some(), "nobody looks after those who wait");
            assert!(
                self.departs || state.under_way >= ENOUGH,
                "they are free to go"
            );
        }
    }

    /// All that is to be done is done.
    fn finish(&mut self) {
        while self.departs || !(self.lone.is_empty() && self.batches.is_empty()) {
            if self.random.bool() {
                self.depart();
            } else {
                self.end();
            }
            self.look();
        }
        self.scene.now += LINGER;
        self.hurry();
        assert_eq!(self.hurries, None, "nobody waits");
        self.look();
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
        chance.finish();
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
