//! The search itself.
//!
//! The one rule: **a search that finds nothing has seen every state of its setup.**

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::{Duration, Instant},
};

use stateright::{Checker as _, HasDiscoveries, Model as _};

use crate::{
    model::{Action, Protocol, State},
    properties::Property,
    setup::Setup,
    trace,
};

/// What a search has seen.
#[derive(Debug, Clone)]
pub struct Report {
    /// States, those that differ only in names counted once.
    pub states: usize,
    /// Steps of the longest way that was gone.
    pub depth: usize,
    /// How long it took.
    pub took: Duration,
    /// What does not hold.
    pub violations: Vec<Violation>,
}

/// A property that does not hold, and how it comes about.
#[derive(Debug, Clone)]
pub struct Violation {
    /// What does not hold.
    pub property: Property,
    /// A line for each step.
    pub steps: Vec<String>,
}

/// Looks at every state, with as many threads.
#[must_use]
pub fn explore(setup: &Setup, properties: &[Property], threads: usize) -> Report {
    let began = Instant::now();
    let checker = protocol(setup, properties)
        .checker()
        .threads(threads)
        .finish_when(HasDiscoveries::Any)
        .spawn_dfs()
        .join();
    report(setup, properties, began, &checker)
}

/// Looks for the shortest way to a state in which `property` does not hold.
#[must_use]
pub fn shortest(setup: &Setup, property: Property) -> Report {
    let began = Instant::now();
    // One thread, so that shorter ways are seen first.
    let checker = protocol(setup, &[property]).checker().spawn_bfs().join();
    report(setup, &[property], began, &checker)
}

fn report(
    setup: &Setup,
    properties: &[Property],
    began: Instant,
    checker: &impl stateright::Checker<Protocol>,
) -> Report {
    let mut discoveries = checker.discoveries();
    let violations = properties.iter().filter_map(|&property| {
        let path = discoveries.remove(property.words())?.into_vec();
        let steps = path.windows(2).filter_map(|two| {
            let [(State(before), Some(action)), (State(after), _)] = two else {
                return None;
            };
            Some(trace::line(setup, before, *action, after))
        });
        Some(Violation {
            property,
            steps: steps.collect(),
        })
    });
    Report {
        violations: violations.collect(),
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        took: began.elapsed(),
    }
}

fn protocol(setup: &Setup, properties: &[Property]) -> Protocol {
    Protocol {
        setup: setup.clone(),
        properties: properties.to_vec(),
    }
}

/// Whether a state can be reached from itself; if none can, whatever goes on comes to an end.
#[must_use]
pub fn has_circle(setup: &Setup) -> bool {
    let protocol = protocol(setup, &[]);
    // Whether all that follows from a state has been seen.
    let mut seen = HashMap::new();
    let mut way = Vec::new();
    for state in protocol.init_states() {
        let fingerprint = fingerprint(&state);
        if seen.insert(fingerprint, false).is_none() {
            way.push((fingerprint, successors(&protocol, &state)));
        }
        while let Some((here, next)) = way.last_mut() {
            let Some(state) = next.pop() else {
                seen.insert(*here, true);
                way.pop();
                continue;
            };
            let fingerprint = self::fingerprint(&state);
            match seen.get(&fingerprint) {
                Some(true) => {}
                Some(false) => return true,
                None => {
                    seen.insert(fingerprint, false);
                    way.push((fingerprint, successors(&protocol, &state)));
                }
            }
        }
    }
    false
}

fn successors(protocol: &Protocol, state: &State) -> Vec<State> {
    let mut actions: Vec<Action> = Vec::new();
    protocol.actions(state, &mut actions);
    actions
        .into_iter()
        .filter_map(|action| protocol.next_state(state, action))
        .collect()
}

fn fingerprint(state: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}
