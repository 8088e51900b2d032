//! What the figures were measured on, and with.
//!
//! **Nothing is written by hand**: versions come from `Cargo.lock` and from the programs themselves.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

/// The crates whose versions the report names: what is compared, and what all of it stands on.
const CRATES: [&str; 11] = [
    "cache-runtime",
    "redis",
    "serde_json",
    "cached",
    "hitbox",
    "hitbox-fn",
    "hitbox-redis",
    "hitbox-moka",
    "amalgam-cache",
    "moka",
    "tokio",
];

/// The machine, the programs and the crates, as lines of the report.
#[derive(Debug)]
pub(crate) struct Machine {
    /// What each line is about, and what it says.
    pub(crate) facts: Vec<(String, String)>,
}

impl Machine {
    /// Looks at where this runs.
    ///
    /// # Errors
    ///
    /// Where `Cargo.lock` is not one, or a program does not tell its version.
    pub(crate) fn look() -> io::Result<Self> {
        let cores = std::thread::available_parallelism()?;
        let processor = processor().unwrap_or_else(|| std::env::consts::ARCH.to_owned());
        let facts = vec![
            ("date".to_owned(), said_by("date", &["-u", "+%Y-%m-%d"])?),
            (
                "processor".to_owned(),
                format!("{processor}, {cores} cores"),
            ),
            ("kernel".to_owned(), said_by("uname", &["-sr"])?),
            ("Redis".to_owned(), redis()?),
            ("Rust".to_owned(), said_by("rustc", &["--version"])?),
            ("crates".to_owned(), crates()?),
        ];
        Ok(Self { facts })
    }
}

/// The processor's model, as Linux tells it.
fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(": ")?.1.to_owned())
}

/// `7.0.15` of `Redis server v=7.0.15 sha=…`.
fn redis() -> io::Result<String> {
    let said = said_by("redis-server", &["--version"])?;
    let version = said.split(' ').find_map(|word| word.strip_prefix("v="));
    Ok(version.unwrap_or(&said).to_owned())
}

fn said_by(program: &str, arguments: &[&str]) -> io::Result<String> {
    let output = Command::new(program).args(arguments).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[derive(Deserialize)]
struct LockFile {
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
}

/// Names and versions of [`CRATES`], from this workspace's `Cargo.lock`.
fn crates() -> io::Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    let file: LockFile = toml::from_str(&fs::read_to_string(path)?).map_err(io::Error::other)?;
    let version_of = |name: &str| file.package.iter().find(|package| package.name == name);
    let found = CRATES.iter().filter_map(|name| version_of(name));
    let words: Vec<_> = found.map(|p| format!("{} {}", p.name, p.version)).collect();
    Ok(words.join(", "))
}
