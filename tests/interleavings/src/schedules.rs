//! Which schedules a scenario runs under.
//!
//! The one rule: **every schedule with up to so many preemptions, then random ones with any number.**
//! A preemption takes the turn from a thread that could go on; most bugs need one or two (Musuvathi
//! and Qadeer 2007, "Iterative context bounding"). The random ones also take it from a thread that
//! holds a lock, and so find locks that are taken in two orders.
//!
//! A failure prints its schedule and its scenario's name; with both, it runs again alone:
//!
//! ```text
//! INTERLEAVINGS_SCENARIO=<name> INTERLEAVINGS_REPLAY=<schedule> cargo test -p cache-interleavings
//! ```

use std::{env, sync::Arc};

use shuttle::{
    Config, Runner,
    scheduler::{
        PctScheduler, RandomScheduler, ReplayScheduler, Schedule, Scheduler, Task, TaskId,
    },
};

use crate::base::sync;

/// Holds a schedule to run instead of all others.
const REPLAY: &str = "INTERLEAVINGS_REPLAY";

/// Names the only scenario to run.
const SCENARIO: &str = "INTERLEAVINGS_SCENARIO";

/// Says how many times as many random schedules to run.
const TIMES: &str = "INTERLEAVINGS_TIMES";

/// More schedules than that take too long for a test that everybody runs.
const MOST: usize = 200_000;

/// How far a scenario is explored.
#[derive(Debug, Clone, Copy)]
pub struct Schedules {
    preemptions: Option<usize>,
    random: usize,
}

impl Schedules {
    /// All schedules there are.
    pub const ALL: Self = Self {
        preemptions: Some(usize::MAX),
        random: 0,
    };

    /// All schedules with at most that many preemptions.
    #[must_use]
    pub const fn preempting(preemptions: usize) -> Self {
        Self {
            preemptions: Some(preemptions),
            random: 0,
        }
    }

    /// That many random schedules, and as many in which few preemptions come at random places.
    #[must_use]
    pub const fn random(random: usize) -> Self {
        Self {
            preemptions: None,
            random,
        }
    }

    /// The same, and that many random ones.
    #[must_use]
    pub const fn and_random(self, random: usize) -> Self {
        Self { random, ..self }
    }

    /// Runs `scenario` under each; it is called once for each schedule.
    ///
    /// # Panics
    ///
    /// If a schedule makes the scenario panic, or leaves a thread waiting for ever.
    pub fn run(self, name: &str, scenario: impl Fn() + Send + Sync + 'static) {
        if env::var(SCENARIO).is_ok_and(|only| only != name) {
            return;
        }
        let named = Named(name);
        let scenario = Arc::new(scenario);
        let run = |scheduler: Box<dyn Scheduler + Send>| {
            let scenario = Arc::clone(&scenario);
            Runner::new(scheduler, Config::new()).run(move || scenario())
        };
        if let Ok(schedule) = env::var(REPLAY) {
            run(Box::new(ReplayScheduler::new_from_encoded(&schedule)));
            return;
        }
        let all = self.preemptions.map_or(0, |preemptions| {
            run(Box::new(Preemptions::new(preemptions)))
        });
        assert!(
            all <= MOST,
            "more than {MOST} schedules; allow fewer preemptions"
        );
        let times = env::var(TIMES).ok().and_then(|times| times.parse().ok());
        let random = self.random * times.unwrap_or(1);
        if random > 0 {
            // The same ones each time, unless more are asked for than a test runs.
            let seed = random as u64;
            run(Box::new(RandomScheduler::new_from_seed(seed, random)));
            run(Box::new(PctScheduler::new_from_seed(seed, 3, random)));
        }
        drop(named);
        eprintln!("{name}: {all} schedules, and {random} random ones twice");
    }
}

/// Says which scenario a panic ends.
struct Named<'a>(&'a str);

impl Drop for Named<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "to see it again, and nothing else: {SCENARIO}='{}' {REPLAY}='<the schedule above>'",
                self.0
            );
        }
    }
}

/// Every schedule with at most that many preemptions, depth first; none while a lock is held.
///
/// The first thread only starts the others and waits for them, so it keeps its turn while it can.
#[derive(Debug)]
struct Preemptions {
    most: usize,
    /// The path to the present schedule's end: what was chosen, of how many, at each step.
    path: Vec<Choice>,
    step: usize,
    used: usize,
    runs: usize,
}

#[derive(Debug, Clone, Copy)]
struct Choice {
    taken: usize,
    of: usize,
}

impl Preemptions {
    const fn new(most: usize) -> Self {
        Self {
            most,
            path: Vec::new(),
            step: 0,
            used: 0,
            runs: 0,
        }
    }

    /// The choices at a step, the cheapest first.
    fn candidates(&self, runnable: &[&Task], current: Option<TaskId>) -> Vec<TaskId> {
        let ids = runnable.iter().map(|task| task.id());
        let first = TaskId::from(0);
        if ids.clone().any(|id| id == first) {
            return vec![first];
        }
        let Some(current) = current.filter(|current| ids.clone().any(|id| id == *current)) else {
            return ids.collect();
        };
        let mut candidates = vec![current];
        if self.used < self.most && !sync::is_a_lock_held() {
            candidates.extend(ids.filter(|id| *id != current));
        }
        candidates
    }
}

impl Scheduler for Preemptions {
    fn new_execution(&mut self) -> Option<Schedule> {
        if self.runs > 0 {
            while self.path.pop_if(|last| last.taken + 1 == last.of).is_some() {}
            self.path.last_mut()?.taken += 1;
        }
        (self.step, self.used) = (0, 0);
        sync::no_lock_is_held();
        self.runs += 1;
        (self.runs <= MOST + 1).then(|| Schedule::new(0))
    }

    fn next_task(
        &mut self,
        runnable: &[&Task],
        current: Option<TaskId>,
        _is_yielding: bool,
    ) -> Option<TaskId> {
        let candidates = self.candidates(runnable, current);
        if self.step == self.path.len() {
            self.path.push(Choice {
                taken: 0,
                of: candidates.len(),
            });
        }
        let choice = self.path[self.step];
        assert_eq!(
            choice.of,
            candidates.len(),
            "the same schedule went another way"
        );
        self.step += 1;
        let next = candidates[choice.taken];
        let goes_on =
            current.is_some_and(|current| runnable.iter().any(|task| task.id() == current));
        if goes_on && Some(next) != current && current != Some(TaskId::from(0)) {
            self.used += 1;
        }
        Some(next)
    }

    fn next_u64(&mut self) -> u64 {
        0
    }
}
