//! An invalidation that Redis did not confirm: an error, after which this process reads no old value all the same.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use cache_runtime::{Cache, ErrorKind, redis_cached};
use cache_tests::body::Failed;
use cache_tests::proxy::{Held, about};
use cache_tests::{Proxy, eventually};
use tokio::task::JoinSet;

use crate::scene::{
    Elsewhere, Scene, Source, breathe, call, caller, impatient, key, look_entry, put, server,
    settle, token,
};

const SOON: Duration = Duration::from_secs(20);

fn unfinished(cache: &Cache) -> usize {
    cache.stats().unfinished_invalidations
}

async fn until_made_up_for(cache: &Cache) {
    eventually("what was left over is deleted", SOON, async || {
        unfinished(cache) == 0
    })
    .await;
}

/// A short `timeout` of its own says nothing about Redis, so the breaker stays closed.
#[redis_cached(ttl = 300, key = "look:{id}", skip(cache, source), cache = cache, timeout = "150ms")]
async fn hasty_look(cache: &Cache, source: &Source, id: u64) -> Result<u64, Failed> {
    source.read().await
}

#[redis_cached(ttl = "200ms", key = "brief:{id}", skip(cache, source), cache = cache)]
async fn brief(cache: &Cache, source: &Source, id: u64) -> Result<u64, Failed> {
    source.read().await
}

/// Takes Redis out of reach; nothing that is sent later comes through an old connection.
async fn cut_off(proxy: &Proxy) {
    proxy.refuse();
    proxy.reset();
    eventually("every connection to be gone", SOON, async || {
        proxy.open_connections() == 0
    })
    .await;
}

#[tokio::test]
async fn p4_an_invalidation_that_redis_does_not_hear_is_made_up_for() {
    let (scene, source) = (Scene::new().await, Source::new());
    let here = impatient(scene.proxy.url(), Duration::from_millis(250));
    assert_eq!(call(&here, &source, 1).await, Ok(1));
    cut_off(&scene.proxy).await;
    source.change();
    let error = look_entry(&here, 1).invalidate().await.unwrap_err();
    assert!(error.is_unavailable() || error.is_timeout(), "{error}");
    assert_eq!(unfinished(&here), 1);
    // Nobody may have the old value, be Redis away …
    for _ in 0..5 {
        assert_eq!(call(&here, &source, 1).await, Ok(2));
    }
    assert!(look_entry(&here, 1).get().await.is_err());
    assert_eq!(scene.stored(&key(1)).await.as_deref(), Some("1"));
    // … or be it back: the first calls come before the background has done its work.
    scene.proxy.accept();
    for _ in 0..20 {
        assert_eq!(call(&here, &source, 1).await, Ok(2));
    }
    until_made_up_for(&here).await;
    assert_ne!(scene.stored(&key(1)).await.as_deref(), Some("1"));
}

#[tokio::test]
async fn p4_an_unconfirmed_invalidation_is_made_up_for_without_a_call() {
    let (scene, source) = (Scene::new().await, Source::new());
    let here = impatient(scene.proxy.url(), Duration::from_millis(250));
    assert_eq!(call(&here, &source, 1).await, Ok(1));
    cut_off(&scene.proxy).await;
    look_entry(&here, 1).invalidate().await.unwrap_err();
    scene.proxy.accept();
    until_made_up_for(&here).await;
    assert_eq!(scene.stored(&key(1)).await, None);
}

/// The token is deleted, the value's DEL is lost, and the connection with it.
#[tokio::test]
async fn p4_half_an_invalidation_counts_as_none() {
    let (scene, source) = (Scene::new().await, Source::new());
    let here = impatient(scene.proxy.url(), Duration::from_millis(250));
    assert_eq!(call(&here, &source, 1).await, Ok(1));
    let lost = scene.proxy.hold(about("DEL", &key(1)));
    source.change();
    let error = look_entry(&here, 1).invalidate().await.unwrap_err();
    assert!(error.is_timeout(), "{error}");
    lost.drop_it();
    eventually("somebody makes up for it", SOON, async || {
        assert_eq!(call(&here, &source, 1).await, Ok(2));
        unfinished(&here) == 0
    })
    .await;
    assert_eq!(call(&here, &source, 1).await, Ok(2));
    assert_ne!(scene.stored(&key(1)).await.as_deref(), Some("1"));
}

/// It was executed, but nobody here knows.
#[tokio::test]
async fn p4_an_invalidation_whose_reply_is_lost_is_an_error() {
    let (scene, source) = (Scene::new().await, Source::new());
    let here = impatient(scene.proxy.url(), Duration::from_millis(250));
    assert_eq!(call(&here, &source, 1).await, Ok(1));
    let lost = scene.proxy.hold_reply(about("DEL", &key(1)));
    source.change();
    let error = look_entry(&here, 1).invalidate().await.unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert_eq!(unfinished(&here), 1);
    lost.drop_it();
    assert_eq!(call(&here, &source, 1).await, Ok(2));
    until_made_up_for(&here).await;
}

/// A connection that breaks in mid-reply is no reason to give up: deletes are sent again.
#[tokio::test]
async fn p4_an_invalidation_survives_a_connection_that_breaks() {
    let (scene, source) = (Scene::new().await, Source::new());
    assert_eq!(call(&scene.here, &source, 1).await, Ok(1));
    let cut = scene.proxy.cut_in_reply_to(about("DEL", &key(1)), 1);
    source.change();
    look_entry(&scene.here, 1).invalidate().await.unwrap();
    cut.happened().await;
    assert_eq!(call(&scene.here, &source, 1).await, Ok(2));
    assert_eq!(unfinished(&scene.here), 0);
}

/// A future that is dropped after its first poll counts as an invalidation that failed.
#[tokio::test]
async fn p4_an_invalidation_dropped_at_any_poll_is_made_up_for() {
    let (scene, source) = (Scene::new().await, Source::new());
    let (polls, done) = cache_tests::at_every_poll(async |n| {
        let old = call(&scene.here, &source, 1).await.unwrap();
        let version = source.change();
        assert_ne!(old, version);
        let entry = look_entry(&scene.here, 1);
        let done = cache_tests::poll_n_then_drop(entry.invalidate(), n).await;
        if done.is_none() {
            assert_eq!(unfinished(&scene.here), 1);
        }
        assert_eq!(call(&scene.here, &source, 1).await, Ok(version));
        until_made_up_for(&scene.here).await;
        assert_eq!(call(&scene.here, &source, 1).await, Ok(version));
        done
    })
    .await;
    done.unwrap();
    assert!(polls > 1, "it waits for Redis");
}

/// The same where what it had sent never arrives.
#[tokio::test]
async fn p4_a_dropped_invalidation_whose_commands_are_lost_is_made_up_for() {
    let (scene, source) = (Scene::new().await, Source::new());
    assert_eq!(call(&scene.here, &source, 1).await, Ok(1));
    let lost = scene.proxy.hold(about("DEL", &key(1)));
    source.change();
    let entry = look_entry(&scene.here, 1);
    let dropped = tokio::spawn(async move { entry.invalidate().await });
    lost.arrived().await;
    dropped.abort();
    assert!(dropped.await.unwrap_err().is_cancelled());
    assert_eq!(unfinished(&scene.here), 1);
    assert_eq!(scene.stored(&key(1)).await.as_deref(), Some("1"));
    lost.reset();
    assert_eq!(call(&scene.here, &source, 1).await, Ok(2));
    until_made_up_for(&scene.here).await;
}

/// A key that no attribute knows, so that nobody can say how long its value lives.
#[tokio::test]
async fn p4_an_unconfirmed_delete_by_key_is_made_up_for() {
    let scene = Scene::new().await;
    let here = impatient(scene.proxy.url(), Duration::from_millis(250));
    let ttl = Duration::from_secs(300);
    here.set_ex("plain", &1, ttl).await.unwrap();
    cut_off(&scene.proxy).await;
    here.delete("plain").await.unwrap_err();
    assert_eq!(unfinished(&here), 1);
    scene.proxy.accept();
    eventually("a read that Redis answers", SOON, async || {
        match here.get::<u64>("plain").await {
            Ok(value) => {
                assert_eq!(value, None);
                true
            }
            Err(_) => false,
        }
    })
    .await;
    until_made_up_for(&here).await;
    assert_eq!(scene.stored("plain").await, None);
}

/// It is remembered for as long as what was stored can live, whoever said how long that is.
#[tokio::test]
async fn p4_an_unconfirmed_invalidation_outlives_what_was_put_with_a_longer_ttl() {
    let (scene, source) = (Scene::new().await, Source::new());
    let here = impatient(scene.proxy.url(), Duration::from_millis(250));
    let entry = || brief_entry(&here, 1);
    let ttl = Duration::from_secs(300);
    entry().with_ttl(ttl).put(&1).await.unwrap();
    assert_eq!(brief(&here, &source, 1).await, Ok(1));
    cut_off(&scene.proxy).await;
    source.change();
    entry().invalidate().await.unwrap_err();
    let failed = Instant::now();
    eventually("the attribute's ttl has passed", SOON, async || {
        failed.elapsed() > Duration::from_millis(400)
    })
    .await;
    assert_eq!(unfinished(&here), 1);
    scene.proxy.accept();
    for _ in 0..20 {
        assert_eq!(brief(&here, &source, 1).await, Ok(2));
    }
    until_made_up_for(&here).await;
    assert_ne!(scene.stored("brief:1").await.as_deref(), Some("1"));
}

/// However many fail, the set is bounded; and it empties.
#[tokio::test]
async fn p4_unconfirmed_invalidations_are_bounded_and_all_made_up_for() {
    let server = server().await;
    let proxy = Proxy::before(&server);
    let here = impatient(proxy.url(), Duration::from_millis(500));
    here.ping().await.unwrap();
    cut_off(&proxy).await;
    let mut failing = JoinSet::new();
    for id in 0..10_500 {
        let entry = look_entry(&here, id);
        failing.spawn(async move { entry.invalidate().await.unwrap_err() });
    }
    failing.join_all().await;
    assert_eq!(unfinished(&here), 10_000);
    proxy.accept();
    // Ten thousand round trips, one after the other.
    eventually("all is deleted", 6 * SOON, async || unfinished(&here) == 0).await;
}

/// One key that Redis refuses to delete does not keep the others from being deleted.
#[tokio::test]
async fn p4_a_refused_deletion_does_not_hold_up_the_others() {
    let server = cache_tests::RedisServer::builder()
        .user("app", "secret", &["~*", "&*", "+@all"])
        .start()
        .await;
    let here = impatient(server.url_as("app", "secret"), Duration::from_millis(250));
    here.ping().await.unwrap();
    let allow = |rules: &[&str]| {
        let words = [&["ACL", "SETUSER", "app"], rules].concat();
        assert_eq!(server.cli(&words), "OK");
    };
    allow(&["-del"]);
    let entries: Vec<_> = (0..20).map(|id| look_entry(&here, id)).collect();
    for entry in &entries {
        let error = entry.invalidate().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Auth);
    }
    assert_eq!(unfinished(&here), 20);
    // Now all but the first one may go.
    allow(&["resetkeys", "~look:[1-9]*", "~%[tl]:{look:[1-9]*", "+del"]);
    eventually("the others are deleted", SOON, async || {
        unfinished(&here) == 1
    })
    .await;
}

/// The runtime on which it failed has ended, and with it what kept trying.
#[test]
fn p4_an_unconfirmed_invalidation_outlives_its_runtime() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let (scene, here) = runtime().block_on(async {
        let (scene, source) = (Scene::new().await, Source::new());
        let here = impatient(scene.proxy.url(), Duration::from_millis(250));
        assert_eq!(call(&here, &source, 1).await, Ok(1));
        cut_off(&scene.proxy).await;
        look_entry(&here, 1).invalidate().await.unwrap_err();
        (scene, here)
    });
    scene.proxy.accept();
    runtime().block_on(async {
        // A call of any key; nobody reads the one that is left over.
        call(&here, &Source::new(), 2).await.unwrap();
        until_made_up_for(&here).await;
        assert_eq!(scene.stored(&key(1)).await, None);
    });
}

/// An earlier invalidation that succeeds late does not make up for a later one that failed.
#[tokio::test]
async fn p4_an_earlier_success_does_not_hide_a_later_failure() {
    let (scene, elsewhere) = (Scene::new().await, Elsewhere::new());
    let source = Source::new();
    // Executed, but its reply is under way.
    let reply = scene.proxy.hold_reply(about("DEL", &key(1)));
    let entry = look_entry(&scene.here, 1);
    let earlier = tokio::spawn(async move { entry.invalidate().await });
    reply.arrived().await;
    assert_eq!(call(&scene.there, &source, 1).await, Ok(1));

    source.change();
    let lost = scene.proxy.hold(about("DEL", &key(1)));
    let entry = hasty_look_entry(&scene.here, 1);
    let later = elsewhere.spawn(async move { entry.invalidate().await });
    assert!(later.await.unwrap().unwrap_err().is_timeout());
    assert!(lost.has_arrived());

    reply.release();
    earlier.await.unwrap().unwrap();
    assert_eq!(call(&scene.here, &source, 1).await, Ok(2));
    lost.release();
    until_made_up_for(&scene.here).await;
}

/// Who takes a flight over asks Redis anew, and may find what this process should have deleted. Who came after
/// the failure waits for that answer, and must not get it.
#[tokio::test]
async fn p4_a_takeover_does_not_read_what_should_have_been_deleted() {
    let (scene, elsewhere) = (Scene::new().await, Elsewhere::new());
    let source = Source::gated();
    let leader = caller(&scene.here, &source, 1);
    source.body.wait_until_running(1).await;
    let heir = elsewhere.spawn(call(&scene.here, &source, 1));
    elsewhere.settle(&scene.here).await;
    source.body.let_through(2);
    assert_eq!(call(&scene.there, &source, 1).await, Ok(1));

    source.change();
    let lost = scene.proxy.hold(about("DEL", &key(1)));
    let failed = hasty_look_entry(&scene.here, 1).invalidate().await;
    assert!(failed.unwrap_err().is_timeout());
    // The heir has the lead, but no thread to run on.
    let (thread, blocked) = mpsc::channel::<()>();
    let (is_blocked, wait) = mpsc::channel();
    let blocker = elsewhere.spawn(async move {
        is_blocked.send(()).unwrap();
        let _ = blocked.recv();
    });
    wait.recv().unwrap();
    leader.abort();
    assert!(leader.await.unwrap_err().is_cancelled());

    let timeouts = || {
        let stats = scene.here.stats();
        let site = stats
            .sites
            .iter()
            .find(|site| site.function == "hasty_look")
            .unwrap();
        site.stats.errors.of(ErrorKind::Timeout)
    };
    let newcomer = {
        let (here, source) = (scene.here.clone(), source.clone());
        tokio::spawn(async move { hasty_look(&here, &source, 1).await })
    };
    eventually("the newcomer cannot delete it either", SOON, async || {
        timeouts() > 0
    })
    .await;
    breathe().await;
    drop(thread);
    blocker.await.unwrap();
    source.body.open_gate();
    assert_eq!(newcomer.await.unwrap(), Ok(2));
    heir.await.unwrap().unwrap();
    lost.release();
    until_made_up_for(&scene.here).await;
    settle(&scene.here).await;
    assert_eq!(call(&scene.here, &source, 1).await, Ok(2));
}

/// A scene in which the deletion of a key was lost, and the retries with it: they are behind it on the connection of
/// another runtime. This runtime's connection is well.
async fn lost() -> (Scene, Elsewhere, Source, Held) {
    let (scene, elsewhere) = (Scene::new().await, Elsewhere::new());
    let source = Source::new();
    assert_eq!(call(&scene.here, &source, 1).await, Ok(1));
    elsewhere.settle(&scene.here).await;
    source.change();
    let lost = scene.proxy.hold(about("DEL", &token(1)));
    let entry = hasty_look_entry(&scene.here, 1);
    let failed = elsewhere.spawn(async move { entry.invalidate().await });
    assert!(failed.await.unwrap().unwrap_err().is_timeout());
    lost.arrived().await;
    assert_eq!(unfinished(&scene.here), 1);
    (scene, elsewhere, source, lost)
}

/// A put that began after the failure makes up for it, and what it stored is not deleted for that.
#[tokio::test]
async fn p4_a_later_put_makes_up_for_what_failed() {
    for with_write in [false, true] {
        let (scene, _elsewhere, source, lost) = lost().await;
        let entry = look_entry(&scene.here, 1);
        if with_write {
            entry.put_with(async { 2 }).await.1.unwrap();
        } else {
            entry.put(&2).await.unwrap();
        }
        assert_eq!(unfinished(&scene.here), 0);
        let before = source.body.runs();
        assert_eq!(call(&scene.here, &source, 1).await, Ok(2));
        assert_eq!(source.body.runs(), before, "the value that was put");
        lost.drop_it();
    }
}

/// One that began before it does not: the failed invalidation is about a later value.
#[tokio::test]
async fn p4_an_earlier_put_does_not_make_up_for_what_failed_within() {
    let (scene, elsewhere) = (Scene::new().await, Elsewhere::new());
    let source = Source::new();
    elsewhere.settle(&scene.here).await;
    let step = scene.proxy.hold(put(1));
    let entry = look_entry(&scene.here, 1);
    let version = source.change();
    let earlier = tokio::spawn(async move { entry.put(&version).await });
    step.arrived().await;
    source.change();
    let lost = scene.proxy.hold(about("DEL", &token(1)));
    let entry = hasty_look_entry(&scene.here, 1);
    let failed = elsewhere.spawn(async move { entry.invalidate().await });
    assert!(failed.await.unwrap().unwrap_err().is_timeout());
    lost.arrived().await;
    step.release();
    earlier.await.unwrap().unwrap();
    assert_eq!(scene.stored(&key(1)).await.as_deref(), Some("2"));
    assert_eq!(call(&scene.here, &source, 1).await, Ok(3));
    lost.drop_it();
}

/// What is left over is tried once more by `shutdown`, which says whether anything still is.
#[tokio::test]
async fn p4_shutdown_tries_once_more_what_failed() {
    for reachable in [true, false] {
        let (scene, _elsewhere, _source, lost) = lost().await;
        if !reachable {
            cut_off(&scene.proxy).await;
        }
        let told = scene.here.shutdown().await;
        let stored = scene.stored(&key(1)).await;
        if reachable {
            told.unwrap();
            assert_eq!(stored, None);
        } else {
            assert!(told.unwrap_err().is_unavailable());
            assert_eq!(stored.as_deref(), Some("1"));
        }
        assert_eq!(unfinished(&scene.here), usize::from(!reachable));
        lost.drop_it();
    }
}
