//! What clients have sent, whatever became of it.

use std::collections::{HashMap, VecDeque};

/// How many commands are remembered; counters have no such bound.
const REMEMBERED: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Ledger {
    by_name: HashMap<String, u64>,
    commands: VecDeque<Vec<Vec<u8>>>,
}

impl Ledger {
    pub(super) fn record(&mut self, args: &[Vec<u8>]) {
        let name = args
            .first()
            .map(|name| String::from_utf8_lossy(name).to_ascii_uppercase());
        *self.by_name.entry(name.unwrap_or_default()).or_default() += 1;
        if self.commands.len() == REMEMBERED {
            self.commands.pop_front();
        }
        self.commands.push_back(args.to_vec());
    }

    pub(super) fn seen(&self, name: &str) -> u64 {
        self.by_name
            .get(&name.to_ascii_uppercase())
            .copied()
            .unwrap_or_default()
    }

    pub(super) fn in_all(&self) -> u64 {
        self.by_name.values().sum()
    }

    pub(super) fn counts(&self) -> &HashMap<String, u64> {
        &self.by_name
    }

    pub(super) fn find(&self, matches: &impl Fn(&[Vec<u8>]) -> bool) -> Option<Vec<Vec<u8>>> {
        self.commands.iter().find(|args| matches(args)).cloned()
    }

    pub(super) fn texts(&self) -> Vec<Vec<String>> {
        let text = |args: &Vec<Vec<u8>>| {
            args.iter()
                .map(|arg| String::from_utf8_lossy(arg).into_owned())
                .collect()
        };
        self.commands.iter().map(text).collect()
    }
}
