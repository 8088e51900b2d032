use cache_runtime::redis_cached;

trait Reads<'a>: Clone + Send + Sync + 'static {
    fn read(&self, text: &'a str) -> u64;
}

#[redis_cached(ttl = 300, stale_while_revalidate = 60, skip(reads))]
async fn get<'a, R: Reads<'a>>(reads: &R, text: &'a str) -> u64 {
    reads.read(text)
}

fn main() {}
