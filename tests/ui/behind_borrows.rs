use cache_runtime::redis_cached;
use std::borrow::Cow;

struct Context<'a>(&'a str);

#[redis_cached(ttl = 300, stale_while_revalidate = 60, skip(one, two, six, seven))]
async fn get<'a>(
    one: &Context<'_>,
    two: Context<'a>,
    three: &[&str],
    four: Option<&str>,
    five: Cow<'_, str>,
    six: &(dyn Fn(&str) -> bool + Sync),
    seven: impl Fn(&str) -> bool + 'a,
    eight: &&str,
) -> u64 {
    1
}

fn main() {}
