#![deny(unused_variables)]

use cache_runtime::redis_cached;

#[redis_cached(tll = 300, skip(lang))]
async fn get(id: u64, lang: &str) -> u64 {
    lang.len() as u64
}

fn main() {}
