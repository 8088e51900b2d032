use cache_runtime::redis_cached;

trait Reads<'a>: Clone + Send + Sync + 'static {
    fn read(&self, text: &'a str) -> u64;
}

#[redis_cached(ttl = 300, stale_while_revalidate = 60, skip(reads))]
async fn of_a_parameter<'a, R: Reads<'a>>(reads: &R, text: &'a str) -> u64 {
    reads.read(text)
}

#[redis_cached(ttl = 300, stale_while_revalidate = 60, skip(reads))]
async fn in_the_clause<'a, R>(reads: &R, text: &'a str) -> u64
where
    R: Reads<'a>,
{
    reads.read(text)
}

fn main() {}
