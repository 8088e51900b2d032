//! A machine at random: outages, jumps of its clock, sleeps, refusals.

use proptest::{collection::vec, prelude::*};

use super::*;

/// A machine, the provider that it asks and the server that judges its tokens.
#[derive(Debug)]
struct World {
    schedule: Schedule,
    /// As all should be told.
    truth: Duration,
    start: Now,
    slept: Duration,
    /// How far the wall clock is off, in seconds.
    off: i64,
    life: Duration,
    /// How long an answer takes.
    latency: Duration,
    up: bool,
    retry_after: Option<Duration>,
    refuses: bool,
    draws: Vec<f64>,
    /// When the token in hand ends in truth.
    ends: Option<Duration>,
    /// When the latest answer came, and what it asked for.
    answered: Option<(Instant, Duration)>,
    asks: u32,
    /// How often it looked at the clocks since it last asked.
    looks: u32,
}

/// What befalls it.
#[derive(Debug, Clone)]
enum Event {
    Jump(i64),
    Sleep(u64),
    Down(Option<u64>),
    Up,
    Refuses(bool),
}

impl World {
    fn new(margin: u64, life: Duration, latency: u64, draws: Vec<f64>) -> Self {
        Self {
            schedule: Schedule::new(secs(margin)),
            truth: Duration::ZERO,
            start: start(),
            slept: Duration::ZERO,
            off: 0,
            life,
            latency: millis(latency),
            up: true,
            retry_after: None,
            refuses: false,
            draws,
            ends: None,
            answered: None,
            asks: 0,
            looks: 0,
        }
    }

    fn now(&self) -> Now {
        let wall = self.start.wall + self.truth;
        let off = secs(self.off.unsigned_abs());
        Now {
            wall: if self.off < 0 { wall - off } else { wall + off },
            steady: self.start.steady + (self.truth - self.slept),
        }
    }

    fn draw(&mut self) -> f64 {
        self.draws.rotate_left(1);
        self.draws[0]
    }

    fn has_token(&self) -> bool {
        self.ends.is_some_and(|ends| self.truth < ends)
    }

    fn befall(&mut self, event: &Event) {
        match *event {
            Event::Jump(by) => self.off = by,
            Event::Sleep(for_secs) => {
                self.truth += secs(for_secs);
                self.slept += secs(for_secs);
            }
            Event::Down(retry_after) => {
                self.up = false;
                self.retry_after = retry_after.map(secs);
            }
            Event::Up => self.up = true,
            Event::Refuses(refuses) => self.refuses = refuses,
        }
    }

    /// Does what the schedule says once, and lets `event` come in the middle of it.
    fn step(&mut self, event: Option<&Event>) -> NextAsk {
        // As connections would report it.
        if self.refuses || (self.ends.is_some() && !self.has_token()) {
            let draw = self.draw();
            self.schedule.refused(self.now(), draw);
        } else if self.ends.is_some() {
            self.schedule.accepted();
        }
        let now = self.now();
        let next = self.schedule.next(now);
        let time = match next {
            NextAsk::Wait(wait) => {
                assert!(!wait.is_zero() && wait <= LOOK, "{wait:?}");
                self.looks += 1;
                assert!(self.looks < MOST_LOOKS, "it asks no more");
                wait
            }
            NextAsk::Now => {
                self.asks += 1;
                self.looks = 0;
                if let Some((answered, retry_after)) = self.answered {
                    let pause = now.steady - answered;
                    assert!(pause >= secs(1), "asked again after {pause:?}");
                    assert!(
                        pause >= retry_after.min(secs(300)),
                        "asked before Retry-After"
                    );
                }
                self.latency
            }
        };
        self.truth += time / 2;
        if let Some(event) = event {
            self.befall(event);
        }
        self.truth += time - time / 2;
        if matches!(next, NextAsk::Now) {
            self.answer();
        }
        next
    }

    fn answer(&mut self) {
        let (now, draw) = (self.now(), self.draw());
        let retry_after = self.retry_after.filter(|_| !self.up);
        self.answered = Some((now.steady, retry_after.unwrap_or_default()));
        if !self.up {
            return self.schedule.failed(now, retry_after, draw);
        }
        let expires = self.start.wall + self.truth + self.life;
        if self.schedule.granted(now, expires, false, draw) {
            self.ends = Some(self.truth + self.life);
        }
    }

    /// Goes on for this long by the steady clock.
    fn run(&mut self, time: Duration) {
        let end = self.now().steady + time;
        while self.now().steady < end {
            self.step(None);
        }
    }
}

fn draws() -> impl Strategy<Value = Vec<f64>> {
    vec(0.0..1.0, 1..8)
}

fn lives() -> impl Strategy<Value = Duration> {
    prop_oneof![4_000..30_000_u64, 30_000..7_200_000_u64].prop_map(millis)
}

fn jumps() -> impl Strategy<Value = Event> {
    let days = 5 * 86_400_i64;
    prop_oneof![
        (-days..days).prop_map(Event::Jump),
        (-400..400_i64).prop_map(Event::Jump),
        (1..90_000_u64).prop_map(Event::Sleep),
    ]
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => jumps(),
        2 => Just(Event::Down(None)),
        1 => (0..1_000_u64).prop_map(|asked| Event::Down(Some(asked))),
        2 => Just(Event::Up),
        1 => any::<bool>().prop_map(Event::Refuses),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_two_asks_within_a_second_or_before_retry_after_whatever_befalls(
        margin in 0..1_000_u64,
        life in 0..100_000_u64,
        latency in 0..20_000_u64,
        draws in draws(),
        events in vec((0..40_u32, events()), 0..20),
    ) {
        let mut world = World::new(margin, millis(life), latency, draws);
        for (steps, event) in &events {
            for _ in 0..*steps {
                world.step(None);
            }
            world.step(Some(event));
        }
        // The assertions are in `step`. And it never ends:
        let asks = world.asks;
        world.run(secs(1_000));
        prop_assert!(world.asks > asks);
    }

    #[test]
    fn a_good_provider_leaves_no_moment_without_a_token(
        margin in 2..1_000_u64,
        life in lives(),
        latency in 0..800_u64,
        draws in draws(),
    ) {
        let mut world = World::new(margin, life, latency, draws);
        world.step(None);
        let mut renewals = 0;
        while renewals < 20 {
            let (ends, ask) = (world.ends.unwrap(), world.step(None));
            prop_assert!(world.truth < ends, "expired for {:?}", world.truth - ends);
            renewals += u32::from(ask == NOW);
        }
        // Nor is it asked for much more often than needed.
        let least = (life - world.latency) / 2;
        prop_assert!(world.truth >= (least + world.latency) * 20);
    }

    #[test]
    fn connections_have_the_time_between_the_ask_and_three_fifths_of_the_margin(
        margin in 0..1_000_u64,
        life in lives(),
        draw in 0.0..1.0,
    ) {
        let now = start();
        let mut schedule = Schedule::new(secs(margin));
        prop_assert!(schedule.granted(now, now.wall + life, false, draw));
        let (asked, _) = until_ask(&schedule, now);
        let life = schedule.life().unwrap();
        prop_assert!(life.move_within(asked) >= life.margin.mul_f64(0.299));
        prop_assert!(life.left(asked) <= life.margin);
    }

    #[test]
    fn after_a_jump_or_a_sleep_the_next_look_brings_a_good_token(
        // Of one that the clock calls expired on arrival nobody knows how long it lives.
        life in (60_000..7_200_000_u64).prop_map(millis),
        draws in draws(),
        jumps in vec((1..40_u32, jumps()), 1..10),
    ) {
        let mut world = World::new(300, life, 100, draws);
        for (steps, event) in &jumps {
            world.step(Some(event));
            let mut seen = None;
            let mut left = *steps;
            while left > 0 || seen.is_some() {
                let steady = world.now().steady;
                if world.has_token() {
                    seen = None;
                } else {
                    // The server says so too: also a clock that is behind does not hide it. It
                    // takes `SOME_AGE` if the machine slept through the life of a token that just came.
                    let gone = steady - *seen.get_or_insert(steady);
                    prop_assert!(gone < SOME_AGE + secs(2), "without for {gone:?}");
                }
                world.step(None);
                left = left.saturating_sub(1);
            }
            let asks = world.asks;
            world.run(life + LOOK);
            prop_assert!(world.asks > asks, "no more asks");
        }
    }

    #[test]
    fn neither_a_jump_nor_a_sleep_hides_that_a_token_is_due_though_nobody_refuses_it(
        life in lives(),
        draws in draws(),
        steps in 0..40_u32,
        event in jumps(),
    ) {
        let mut world = World::new(300, life, 0, draws);
        world.step(None);
        for _ in 0..steps {
            world.step(None);
        }
        let due = world.ends.unwrap() - (life / 2).min(secs(300)) * 9 / 10;
        world.befall(&event);
        let mut looks = 0;
        while let NextAsk::Wait(wait) = world.schedule.next(world.now()) {
            looks += 1;
            prop_assert!(looks < MOST_LOOKS, "it asks no more");
            // A second after the last ask at the earliest.
            let waits = world.truth < due || wait <= LEAST_PAUSE;
            prop_assert!(waits, "at {:?}, due at {due:?}", world.truth);
            world.truth += wait;
        }
    }

    #[test]
    fn an_outage_costs_few_asks_and_ends_within_two_seconds(
        life in lives(),
        draws in draws(),
        outage in 1..10_000_u64,
        before in 0..40_u32,
    ) {
        let mut world = World::new(300, life, 10, draws);
        for _ in 0..=before {
            world.step(None);
        }
        world.befall(&Event::Down(None));
        let (start, asks) = (world.truth, world.asks);
        let mut without = Duration::ZERO;
        while world.truth - start < secs(outage) {
            let truth = world.truth;
            let had = world.has_token();
            world.step(None);
            if !had {
                without += world.truth - truth;
            }
        }
        let with = world.truth - start - without;
        let bound = without.as_secs() + with.as_secs() / 15 + 7;
        prop_assert!(u64::from(world.asks - asks) <= bound, "{} asks", world.asks - asks);

        world.befall(&Event::Up);
        let (back, asks) = (world.truth, world.asks);
        let bound = if world.has_token() { secs(31) } else { secs(2) };
        // Only if one was due.
        let ends = world.ends.unwrap();
        if world.asks > 1 && ends.saturating_sub(back) < (life / 2).min(secs(300)) * 9 / 10 {
            while world.asks == asks {
                world.step(None);
            }
            prop_assert!(world.has_token());
            prop_assert!(world.truth - back <= bound, "after {:?}", world.truth - back);
        }
    }

    #[test]
    fn nothing_overflows_however_far_the_clocks_are(
        margin in any::<Duration>(),
        moments in vec((any::<i64>(), any::<u32>(), any::<i64>(), any::<bool>(), 0.0..1.0), 1..10),
    ) {
        let at = |secs: i64| {
            let by = Duration::from_secs(secs.unsigned_abs());
            let epoch = SystemTime::UNIX_EPOCH;
            if secs < 0 { epoch.checked_sub(by) } else { epoch.checked_add(by) }
        };
        let start = Instant::now();
        let mut schedule = Schedule::new(margin);
        for (wall, steady, expires, again, draw) in moments {
            let (Some(wall), Some(expires)) = (at(wall), at(expires)) else {
                continue;
            };
            let now = Now { wall, steady: start + secs(u64::from(steady)) };
            let _ = schedule.granted(now, expires, again, draw);
            schedule.refused(now, draw);
            prop_assert!(matches!(schedule.next(now), NextAsk::Wait(wait) if wait <= LOOK));
            schedule.failed(now, Some(Duration::MAX), draw);
            prop_assert!(matches!(schedule.next(now), NextAsk::Wait(wait) if wait <= LOOK));
            schedule.is_valid(now);
            if let Some(life) = schedule.life() {
                prop_assert!(life.move_within(now) <= life.left(now));
            }
        }
    }
}
