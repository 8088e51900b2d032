use cache_runtime::{CacheKey, key};

fn empty() -> CacheKey {
    key!("")
}

fn percent(id: u64) -> CacheKey {
    key!("100%:{id}")
}

fn without_separator(a: u64, b: u64) -> CacheKey {
    key!("{a}{b}")
}

fn two_hash_tags(a: u64) -> CacheKey {
    key!("{{{a}}}{{b}}")
}

fn many_mistakes(id: u64) -> CacheKey {
    key!("{}:{0}:{id:?}:{id")
}

fn main() {}
