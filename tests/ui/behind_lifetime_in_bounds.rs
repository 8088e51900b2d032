use cache_runtime::redis_cached;

trait Reads<'a>: Clone + Send + Sync + 'static {
    fn read(&self, text: &'a str) -> u64;
}

#[redis_cached(ttl = 300, stale_while_revalidate = 60, skip(reads, other))]
async fn get<'a, R: Reads<'a>, S>(reads: &R, other: S, text: &'a str) -> u64
where
    S: for<'b> Reads<'b> + Reads<'a>,
{
    reads.read(text) + other.read(text)
}

fn main() {}
