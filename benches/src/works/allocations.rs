//! How often a hit asks the allocator for memory, and for how much.
//!
//! **What counts is a program of its own**, `src/allocations.rs`, because an allocator that counts slows what is timed.

use std::process::Command;

use crate::section::Section;
use crate::settings::Settings;

/// Hits in Redis and in memory.
pub(crate) async fn run(settings: &Settings) -> Section {
    let calls = if settings.quick { "200" } else { "5000" };
    let rows = counted(&settings.server.url(), calls);
    Section {
        title: "Heap allocations of a hit, 330 bytes of JSON".to_owned(),
        reading: format!(
            "One caller on one thread, on average over {calls} calls, with all that the whole process allocates meanwhile. Memory that \
             grows counts as one more allocation. Fewer are better. The value itself has strings and lists: cloning it is what the memory \
             hits' first line says."
        ),
        header: ["store", "contender", "allocations", "bytes"]
            .map(str::to_owned)
            .to_vec(),
        rows,
        bars: None,
    }
}

/// The lines of the program that counts, one cell after a tab.
fn counted(url: &str, calls: &str) -> Vec<Vec<String>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["run", "--quiet", "--release", "--package", "benches"])
        .args(["--bin", "allocations", "--", url, calls])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo can be started");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let cells = |line: &str| line.split('\t').map(str::to_owned).collect();
    said.lines().map(cells).collect()
}
