//! Token and lock lie in the value's own cluster slot, for every shape of key: each operation is run on a real
//! Redis in cluster mode, which refuses a script whose keys lie in two slots, and says where keys lie.
#![allow(missing_docs)]

use std::collections::BTreeSet;
use std::time::Duration;

use cache_runtime::{Cache, Entry, key, redis_cached};
use cache_tests::body::Failed;
use cache_tests::wait::SOON;
use cache_tests::{Body, Proxy, RedisServer, eventually};

/// One node that has every slot.
async fn cluster() -> RedisServer {
    let server = RedisServer::builder()
        .option("cluster-enabled", &["yes"])
        .start()
        .await;
    assert_eq!(
        server.cli(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]),
        "OK"
    );
    eventually("the cluster is up", SOON, async || {
        server
            .cli(&["CLUSTER", "INFO"])
            .contains("cluster_state:ok")
    })
    .await;
    server
}

#[redis_cached(ttl = 60, skip(cache, body), cache = cache, coalesce = "cluster")]
async fn named(cache: &Cache, body: &Body, name: &str) -> Result<u64, Failed> {
    let _ = name;
    body.run().await
}

#[redis_cached(
    ttl = 60, skip(cache, body), cache = cache, namespace = "shop", version = 3, coalesce = "cluster"
)]
async fn pinned(cache: &Cache, body: &Body, name: &str) -> Result<u64, Failed> {
    let _ = name;
    body.run().await
}

#[redis_cached(ttl = 60, key = "of:{name}", skip(cache, body), cache = cache, coalesce = "cluster")]
async fn template(cache: &Cache, body: &Body, name: &str) -> Result<u64, Failed> {
    body.run().await
}

#[redis_cached(
    ttl = 60, key = "{{{name}}}:tagged", skip(cache, body), cache = cache, coalesce = "cluster"
)]
async fn tagged(cache: &Cache, body: &Body, name: &str) -> Result<u64, Failed> {
    body.run().await
}

#[redis_cached(
    ttl = 60, key = "{{users}}:{name}", skip(cache, body), cache = cache, coalesce = "cluster"
)]
async fn together(cache: &Cache, body: &Body, name: &str) -> Result<u64, Failed> {
    body.run().await
}

const NAMES: [&str; 12] = [
    "Ada", "a b", "{", "}", "{}", "a{b}c", "}{", "{{x}}", "%", "%t", "é", "a:b",
];

/// Runs every operation on the entry: a miss, an error, a hit, and each way to change it.
async fn every_operation<F, G>(call: F, body: &Body, entry: Entry<u64>)
where
    F: Fn() -> G,
    G: Future<Output = Result<u64, Failed>>,
{
    body.fail_next(1);
    call().await.unwrap_err();
    let first = call().await.unwrap();
    assert_eq!(call().await, Ok(first), "it is stored");
    entry.refresh(body.run()).await.unwrap();
    entry.put(&0).await.unwrap();
    assert_eq!(call().await, Ok(0));
    let (written, told) = entry.put_with(async { 1 }).await;
    told.unwrap();
    assert_eq!(call().await, Ok(written));
    entry.invalidate().await.unwrap();
    assert_eq!(entry.get().await.unwrap(), None);
}

#[tokio::test]
async fn keys_beside_a_key_lie_in_its_slot_for_every_shape_of_key() {
    let server = cluster().await;
    let proxy = Proxy::before(&server);
    for prefix in ["", "shop", "{shop}", "a{shop}b"] {
        let builder = Cache::builder().url(proxy.url()).timeout(SOON);
        let cache = builder.prefix(prefix).build().unwrap();
        let body = Body::new();
        for name in NAMES {
            let (cache, body) = (&cache, &body);
            let entry = named_entry(cache, name);
            every_operation(|| named(cache, body, name), body, entry).await;
            let entry = pinned_entry(cache, name);
            every_operation(|| pinned(cache, body, name), body, entry).await;
            let entry = template_entry(cache, name);
            every_operation(|| template(cache, body, name), body, entry).await;
            // A second hash tag than the prefix's own would be none.
            let entry = tagged_entry(cache, name);
            every_operation(|| tagged(cache, body, name), body, entry).await;
            let entry = together_entry(cache, name);
            every_operation(|| together(cache, body, name), body, entry).await;
            // Written outside of a function, with a hash tag and without.
            for key in [key!("by-hand:{name}"), key!("by-hand:{{{name}}}")] {
                let entry = || cache.entry::<u64>(&key).with_ttl(Duration::from_secs(60));
                let call = || async { entry().get_or_compute(|| body.run()).await };
                every_operation(call, body, entry()).await;
            }
        }
        let errors = cache_runtime::sites()
            .iter()
            .map(|site| site.stats.errors.total())
            .sum::<u64>();
        assert_eq!(errors, 0, "with prefix `{prefix}`: {:?}", proxy.failures());
    }
    assert_eq!(proxy.failures(), []);
    every_script_has_keys_in_one_slot(&server, &proxy).await;
}

async fn every_script_has_keys_in_one_slot(server: &RedisServer, proxy: &Proxy) {
    let scripts: BTreeSet<_> = proxy
        .commands()
        .into_iter()
        .filter(|command| command[0].starts_with("EVAL"))
        .map(|command| {
            let keys: usize = command[2].parse().unwrap();
            command[3..3 + keys].to_vec()
        })
        .collect();
    let locks = scripts.iter().flatten().filter(|key| key.contains("%l"));
    assert!(scripts.len() > 500 && locks.count() > 500);
    let mut connection = server.connection().await;
    for keys in scripts {
        let mut ask = redis::pipe();
        for key in &keys {
            ask.cmd("CLUSTER").arg("KEYSLOT").arg(key);
        }
        let slots: Vec<u16> = ask.query_async(&mut connection).await.unwrap();
        assert!(
            slots.iter().all(|slot| *slot == slots[0]),
            "{keys:?}: {slots:?}"
        );
    }
}
