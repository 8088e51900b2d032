//! Counts heap allocations of hits, in Redis at the URL that it is given, and in memory; `benches` runs it.
//!
//! **One thread does everything**, clients' drivers included, so that counts are steady.
#![allow(clippy::print_stdout)] // what the other program reads
#![allow(dead_code)] // what the other program has

mod contenders;
mod values;

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use crate::contenders::{
    Amalgam, CachedByKey, CachedRedis, CachedSharded, Contender, Floor, Hitbox, Moka, RedisCached,
    RedisCachedInMemory, multiplexed, with_manager,
};
use crate::values::{Size, times_asked};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How many keys each contender has.
const KEYS: u64 = 100;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = &arguments.next().ok_or("no URL")?;
    let calls = arguments.next().ok_or("no number of calls")?.parse()?;

    count("Redis", "by hand", multiplexed(url).await?, calls).await;
    count("Redis", "by hand, manager", with_manager(url).await?, calls).await;
    count("Redis", "redis_cached", RedisCached::on(url)?, calls).await;
    count("Redis", "cached", CachedRedis::on(url), calls).await;
    count("Redis", "hitbox", Hitbox::on(url)?, calls).await;
    count("Redis", "amalgam", Amalgam::on(url).await?, calls).await;

    count("memory", "clone alone", Floor::of(KEYS), calls).await;
    count("memory", "redis_cached", RedisCachedInMemory, calls).await;
    count("memory", "cached, sharded", CachedSharded, calls).await;
    count("memory", "cached, by_key", CachedByKey, calls).await;
    count("memory", "moka", Moka::new(), calls).await;
    count("memory", "hitbox-moka", Hitbox::in_memory(), calls).await;
    count("memory", "amalgam", Amalgam::in_memory()?, calls).await;
    Ok(())
}

/// Prints what one contender allocates in a hit.
async fn count<C: Contender>(store: &str, name: &str, contender: C, calls: u64) {
    let ids = || (0..KEYS).map(|n| Size::B330.first_id() + n).cycle();
    // The second time, so that what is made once is made before.
    for id in ids().take(3 * KEYS as usize) {
        contender.user(id).await;
    }
    let asked = times_asked();
    let region = Region::new(ALLOCATOR);
    for id in ids().take(calls as usize) {
        contender.user(id).await;
    }
    let stats = region.change();
    assert_eq!(times_asked(), asked, "{name}: all were hits");
    let each = |count: usize| count as f64 / calls as f64;
    println!(
        "{store}\t{name}\t{:.1}\t{:.0}",
        each(stats.allocations + stats.reallocations),
        each(stats.bytes_allocated),
    );
}
