//! What an entry of a store in memory takes.
//!
//! **Each store is filled in a process of its own**, this program once more, whose resident memory is read before
//! and after.

use std::fs;
use std::hint::black_box;
use std::process::Command;

use crate::contenders::slow::in_memory;
use crate::section::Section;
use crate::settings::Settings;
use crate::values::{Size, User, user_from_source};

/// The plain values, which all are compared with.
const PLAIN: &str = "a Vec of the values";

/// All stores in memory.
pub(crate) async fn run(settings: &Settings) -> Section {
    let entries: u64 = if settings.quick { 20_000 } else { 100_000 };
    let functions = in_memory();
    let stores = functions.iter().map(|function| function.name());
    let mut rows = Vec::new();
    let mut plain = None;
    for store in [PLAIN].into_iter().chain(stores) {
        let kilobytes = measured(store, entries) as f64;
        let plain = *plain.get_or_insert(kilobytes);
        rows.push(vec![
            store.to_owned(),
            format!("{:.2}", kilobytes / plain),
            format!("{:.1} MB", kilobytes / 1024.0),
            format!("{:.0} B", kilobytes * 1024.0 / entries as f64),
        ]);
    }
    Section {
        title: "Memory".to_owned(),
        reading: format!(
            "{entries} entries with values of 330 bytes of JSON. *memory* is what a process's resident memory grew by when it stored them; less is better. The \
             first line is the plain values in a list; hitbox keeps their bytes, as it recommends, and the others the values themselves."
        ),
        header: ["store", "ratio", "memory", "an entry"]
            .map(str::to_owned)
            .to_vec(),
        rows,
        bars: None,
    }
}

/// What another process says of a store.
fn measured(store: &str, entries: u64) -> u64 {
    let program = std::env::current_exe().expect("the path of this program");
    let output = Command::new(program)
        .args(["--grow", store, &entries.to_string()])
        .output()
        .expect("this program can be started again");
    let said = String::from_utf8_lossy(&output.stdout);
    let kilobytes = said.trim().parse();
    kilobytes
        .unwrap_or_else(|_| panic!("{store}: {said}{}", String::from_utf8_lossy(&output.stderr)))
}

/// Fills a store, and says how many kilobytes this process grew by.
pub(crate) async fn growth(store: &str, entries: u64) -> u64 {
    let ids = Size::B330.first_id()..Size::B330.first_id() + entries;
    if store == PLAIN {
        let before = resident();
        let values: Vec<User> = ids.map(user_from_source).collect();
        let grown = resident() - before;
        black_box(&values);
        return grown;
    }
    let functions = in_memory();
    let function = functions.iter().find(|function| function.name() == store);
    let function = function.expect("a store that there is");
    // What a store and the runtime make once is not an entry's.
    for id in 0..1_000 {
        function.call(id).await.expect("a store that answers");
    }
    let before = resident();
    for id in ids {
        function.call(id).await.expect("a store that answers");
    }
    resident() - before
}

/// How many kilobytes of this process are in memory.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("a Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kilobytes = kilobytes.and_then(|figure| figure.parse().ok());
    kilobytes.expect("a figure in kB")
}
