//! Which packages does a package need, all in all? Asked of this workspace's own `Cargo.lock`,
//! through a cached async function.
//!
//! ```text
//! cargo run --example quickstart                    # three packages
//! cargo run --example quickstart tokio syn          # packages of your choice
//! REDIS_URL=redis://127.0.0.1 cargo run --example quickstart
//! ```
//!
//! Without `REDIS_URL` or `REDIS_HOST` the values are kept in this process, so a second run begins
//! cold; with Redis it begins with hits.
#![allow(clippy::print_stdout)] // what an example is for

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    path::Path,
    time::Instant,
};

use cache_runtime::{StoreStats, get_cache, redis_cached, sites};
use serde::Deserialize;

const LOCK_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock");

/// The names of all packages that `package` needs, directly or not; `None` if there is no such one.
///
/// The attribute is all there is to caching it: the answer is stored as JSON for five minutes,
/// `None` and errors are not stored.
#[redis_cached(ttl = "5m")]
async fn needs(package: &str) -> Result<Option<BTreeSet<String>>, LockFileError> {
    let packages = read_lock_file(Path::new(LOCK_FILE)).await?;
    if !packages.contains_key(package) {
        return Ok(None);
    }
    let mut needed = BTreeSet::new();
    let mut open = vec![package.to_owned()];
    while let Some(package) = open.pop() {
        for dependency in packages.get(&package).into_iter().flatten() {
            if needed.insert(dependency.clone()) {
                open.push(dependency.clone());
            }
        }
    }
    Ok(Some(needed))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .without_time()
        .with_target(false)
        .init();
    let store = get_cache().await?.stats().store;
    match &store {
        StoreStats::Redis { endpoint, .. } => println!("Values are kept in Redis at {endpoint}.\n"),
        StoreStats::Off => println!("Nothing is kept: REDIS_CACHE=off\n"),
        _ => println!("Values are kept in this process. With Redis: REDIS_URL=redis://127.0.0.1\n"),
    }

    let mut packages: Vec<String> = std::env::args().skip(1).collect();
    if packages.is_empty() {
        packages = ["cache-runtime", "redis", "tokio"]
            .map(str::to_owned)
            .to_vec();
    }
    for package in &packages {
        for _ in 0..2 {
            ask(package).await?;
        }
        show_key(package, &store)?;
    }

    for site in sites() {
        let stats = site.stats;
        println!(
            "{}: {} hits, {} misses, {} body runs, errors: {}; {:?} in the store, {:?} in the body",
            site.function,
            stats.hits,
            stats.misses,
            stats.body_runs,
            stats.errors,
            stats.time_in_store,
            stats.time_in_body,
        );
    }
    Ok(())
}

async fn ask(package: &str) -> Result<(), LockFileError> {
    let hits_before = hits();
    let start = Instant::now();
    let answer = needs(package).await?;
    let time = start.elapsed();
    let how = if hits() > hits_before { "hit " } else { "miss" };
    let answer = match answer {
        None => "is not in Cargo.lock".to_owned(),
        Some(needed) => {
            let first: Vec<_> = needed.iter().take(3).map(String::as_str).collect();
            format!("needs {} packages: {}, …", needed.len(), first.join(", "))
        }
    };
    println!("{how} {:>9}  {package} {answer}", format!("{time:.1?}"));
    Ok(())
}

/// Says where the answer is, and how to look at it.
fn show_key(package: &str, store: &StoreStats) -> Result<(), cache_runtime::Error> {
    let key = needs_entry(package).key()?;
    println!("     key        {key}");
    if let StoreStats::Redis { endpoint, tls, .. } = store {
        let (host, port) = endpoint.rsplit_once(':').unwrap_or((endpoint, "6379"));
        let tls = if *tls { " --tls" } else { "" };
        println!("     look       redis-cli -h {host} -p {port}{tls} GET '{key}'");
    }
    println!();
    Ok(())
}

fn hits() -> u64 {
    sites().iter().map(|site| site.stats.hits).sum()
}

/// Why a lock file could not be read. `Clone`, so that callers who waited for one read share it.
#[derive(Debug, Clone, thiserror::Error)]
enum LockFileError {
    #[error("cannot read {LOCK_FILE}: {0}")]
    Unreadable(String),
    #[error("{LOCK_FILE} is no lock file: {0}")]
    Malformed(String),
}

#[derive(Deserialize)]
struct LockFile {
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    #[serde(default)]
    dependencies: Vec<String>,
}

/// Package by package, the names of the packages that it needs itself.
async fn read_lock_file(path: &Path) -> Result<BTreeMap<String, BTreeSet<String>>, LockFileError> {
    let text = tokio::fs::read_to_string(path)
        .await
        .map_err(|error| LockFileError::Unreadable(error.to_string()))?;
    let file: LockFile =
        toml::from_str(&text).map_err(|error| LockFileError::Malformed(error.to_string()))?;
    let mut packages = BTreeMap::<String, BTreeSet<String>>::new();
    for package in file.package {
        // A dependency of which there are several versions is written `name version`.
        let names = package
            .dependencies
            .iter()
            .filter_map(|text| text.split(' ').next());
        packages
            .entry(package.name)
            .or_default()
            .extend(names.map(str::to_owned));
    }
    Ok(packages)
}
