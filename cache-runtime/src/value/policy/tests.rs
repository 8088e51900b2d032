//! How long values live by their attribute.

use super::*;
use crate::{
    error::ErrorKind,
    value::{codec::Codec, share::ValueShare},
};

const TTL: Duration = Duration::from_secs(100);
const SHORT: Duration = Duration::from_secs(30);
const LONG: Duration = Duration::from_secs(300);

const REVALIDATE: Freshness = Freshness {
    stale_while_revalidate: SHORT,
    stale_if_error: Duration::ZERO,
    refresh_ahead: None,
    soft_timeout: None,
    jitter: 0.0,
    cluster: false,
};

fn policy(freshness: Freshness) -> Policy<u64, Option<u64>> {
    let kind = const { &Kind::new(Codec::<u64>::json(), ValueShare::alone()) };
    let values = Values::of(kind).optional();
    let lifetimes = Lifetimes {
        ttl: Ttl::For(TTL),
        freshness,
        ..Lifetimes::new()
    };
    Policy { values, lifetimes }
}

fn fresh_for(lifetime: Result<Option<Lifespan>, Error>) -> Option<Duration> {
    lifetime.unwrap().map(|lifetime| lifetime.fresh_for)
}

#[test]
fn each_kind_of_value_has_its_own_ttl_shortened_alike() {
    let jittered = Freshness {
        jitter: 0.5,
        ..REVALIDATE
    };
    let mut policy = policy(jittered);
    policy.lifetimes.cache_if = Some(|value| *value < 10);
    let lifetime = |policy: &Policy<u64, Option<u64>>, value: Option<u64>, ttl| {
        fresh_for(policy.lifetime(&value, ttl, 1.0))
    };
    assert_eq!(lifetime(&policy, Some(1), None), Some(TTL / 2));
    assert_eq!(
        lifetime(&policy, Some(10), None),
        None,
        "what `cache_if` refuses"
    );
    assert_eq!(lifetime(&policy, None, None), None, "without `none_ttl`");
    assert_eq!(
        lifetime(&policy, Some(1), Some(LONG)),
        Some(LONG),
        "what an entry says is not shortened"
    );
    policy.lifetimes.none_ttl = Some(SHORT);
    assert_eq!(lifetime(&policy, None, None), Some(SHORT / 2));
    let of_none = policy.lifetime(&None, None, 1.0).unwrap().unwrap();
    assert_eq!(of_none.kept_for, SHORT / 2 + SHORT, "with the window");
    policy.lifetimes.ttl = Ttl::By(|value| Duration::from_secs(*value));
    assert_eq!(
        lifetime(&policy, Some(8), None),
        Some(Duration::from_secs(4))
    );
    assert_eq!(lifetime(&policy, Some(0), None), None, "a ttl of nothing");
    policy.lifetimes.cache_if = Some(|_| panic!("a closure of the attribute"));
    let panicked = policy.lifetime(&Some(1), None, 1.0);
    assert_eq!(panicked.unwrap_err().kind(), ErrorKind::Encode);
}

#[test]
fn what_is_put_lives_as_long_whatever_cache_if_says() {
    let mut policy = policy(REVALIDATE);
    policy.lifetimes.cache_if = Some(|_| false);
    let lifetime = |policy: &Policy<u64, Option<u64>>, value: Option<u64>| {
        policy.lifetime_of_put(&value, None, 1.0).unwrap()
    };
    let whole = Lifespan {
        fresh_for: TTL,
        kept_for: TTL + SHORT,
    };
    assert_eq!(lifetime(&policy, Some(1)), Some(whole));
    assert_eq!(lifetime(&policy, None), Some(whole));
    policy.lifetimes.none_ttl = Some(SHORT);
    assert_eq!(lifetime(&policy, None).unwrap().fresh_for, SHORT);
}
