//! Rule 9 for `put_with`: the right to store is taken before the source is written, so that neither a reader of the
//! old source, nor a late command, nor another write can make an old value stay.

use std::time::Duration;

use cache_runtime::{Cache, ErrorKind};
use cache_tests::body::Failed;
use cache_tests::proxy::about;
use cache_tests::{Body, eventually, within};
use tokio::task::JoinHandle;

use crate::scene::{
    Elsewhere, Scene, Source, breathe, call, caller, impatient, in_memory, key, look_entry, put,
    settle, token,
};

const SOON: Duration = Duration::from_secs(20);
const HASTY: Duration = Duration::from_millis(200);

type Written = (Result<u64, Failed>, Result<(), cache_runtime::Error>);

/// A write to the source that commits when the first gate opens, and returns when the second one does.
#[derive(Clone)]
struct Write {
    source: Source,
    before: Body,
    after: Body,
}

impl Write {
    fn of(source: &Source) -> Self {
        Self {
            source: source.clone(),
            before: Body::gated(),
            after: Body::gated(),
        }
    }

    fn begin(&self, cache: &Cache, id: u64) -> JoinHandle<Written> {
        let (write, entry) = (self.clone(), look_entry(cache, id));
        tokio::spawn(async move {
            let written = entry.put_with(async {
                write.before.run().await?;
                let version = write.source.change();
                write.after.returning(version).await
            });
            written.await
        })
    }

    /// Begins, and waits until the write runs.
    async fn begun(&self, cache: &Cache, id: u64) -> JoinHandle<Written> {
        let begun = self.begin(cache, id);
        self.before.wait_until_running(1).await;
        begun
    }

    async fn commit(&self) {
        self.before.open_gate();
        self.after.wait_until_running(1).await;
    }

    fn finish(&self) {
        self.after.open_gate();
    }
}

/// What was written; the cache knows of it.
async fn both(written: JoinHandle<Written>) -> u64 {
    let (outcome, told) = written.await.unwrap();
    told.unwrap();
    outcome.unwrap()
}

#[tokio::test]
async fn p4_rule9_put_with_takes_the_right_to_store_before_the_write() {
    let (scene, source) = (Scene::new().await, Source::new());
    let seized = scene.proxy.hold(about("SET", &token(1)));
    let write = Write::of(&source);
    let written = write.begin(&scene.here, 1);
    seized.arrived().await;
    breathe().await;
    assert_eq!(write.before.runs(), 0, "the right is not there yet");
    seized.release();
    write.before.wait_until_running(1).await;
    assert!(scene.stored(&token(1)).await.is_some());
    write.commit().await;
    assert_eq!(scene.stored(&key(1)).await, None);
    write.finish();
    assert_eq!(both(written).await, 2);
    assert_eq!(scene.stored(&key(1)).await.as_deref(), Some("2"));
    assert_eq!(scene.stored(&token(1)).await, None);
    assert_eq!(call(&scene.there, &source, 1).await, Ok(2));
    assert_eq!(source.body.runs(), 0);
}

/// Who computes while the source is written, from whichever side of the commit, and ends whenever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    BegunBefore,
    BegunDuring,
}

/// Readers of the old source store nothing that stays, and answer nobody who came after the write.
#[tokio::test]
async fn p4_rule9_a_reader_of_the_old_source_stores_nothing_past_put_with() {
    let scene = Scene::new().await;
    let memory = in_memory();
    let mut id = 0;
    for (reads, writes) in [
        (&scene.here, &scene.here),
        (&scene.here, &scene.there),
        (&memory, &memory),
    ] {
        for reader in [Reader::BegunBefore, Reader::BegunDuring] {
            for ends_first in [false, true] {
                id += 1;
                let source = Source::gated();
                let write = Write::of(&source);
                let old;
                let written;
                if reader == Reader::BegunBefore {
                    old = caller(reads, &source, id);
                    source.body.wait_until_running(1).await;
                    written = write.begun(writes, id).await;
                } else {
                    written = write.begun(writes, id).await;
                    old = caller(reads, &source, id);
                    source.body.wait_until_running(1).await;
                }
                write.commit().await;
                let case = (reader, ends_first);
                if ends_first {
                    source.body.let_through(1);
                    assert_eq!(old.await.unwrap(), Ok(1), "{case:?}");
                    write.finish();
                    assert_eq!(both(written).await, 2, "{case:?}");
                } else {
                    write.finish();
                    assert_eq!(both(written).await, 2, "{case:?}");
                    let newcomer =
                        within("no old body is waited for", SOON, call(reads, &source, id));
                    assert_eq!(newcomer.await, Ok(2), "{case:?}");
                    source.body.let_through(1);
                    assert_eq!(old.await.unwrap(), Ok(1), "{case:?}");
                }
                source.body.open_gate();
                for cache in [reads, writes] {
                    assert_eq!(call(cache, &source, id).await, Ok(2), "{case:?}");
                }
            }
        }
    }
}

/// Nobody knows what the source holds after a write that failed.
#[tokio::test]
async fn p4_a_write_that_fails_takes_the_value_away() {
    let scene = Scene::new().await;
    let memory = in_memory();
    for cache in [&scene.here, &memory] {
        let source = Source::new();
        assert_eq!(call(cache, &source, 1).await, Ok(1));
        let write = Write::of(&source);
        write.after.fail_next(1);
        let written = write.begun(cache, 1).await;
        assert_eq!(call(cache, &source, 1).await, Ok(1), "not yet written");
        // A reader of the old source is under way as well.
        scene.server.empty().await;
        write.commit().await;
        write.finish();
        let (outcome, told) = written.await.unwrap();
        assert!(outcome.is_err());
        told.unwrap();
        assert_eq!(look_entry(cache, 1).get().await.unwrap(), None);
        assert_eq!(call(cache, &source, 1).await, Ok(2));
    }
}

/// Nor after one that was dropped: this process takes the value away before it next reads it.
#[tokio::test]
async fn p4_a_write_dropped_midway_takes_the_value_away() {
    let scene = Scene::new().await;
    let memory = in_memory();
    for cache in [&scene.here, &memory] {
        let source = Source::new();
        assert_eq!(call(cache, &source, 1).await, Ok(1));
        let write = Write::of(&source);
        let written = write.begun(cache, 1).await;
        write.commit().await;
        written.abort();
        assert!(written.await.unwrap_err().is_cancelled());
        assert_eq!(call(cache, &source, 1).await, Ok(2));
        eventually("it is made up for", SOON, async || {
            cache.stats().unfinished_invalidations == 0
        })
        .await;
        assert_eq!(call(cache, &source, 1).await, Ok(2));
    }
}

/// The same at every poll of it, in whichever step.
#[tokio::test]
async fn p4_a_put_with_dropped_at_any_poll_leaves_nothing_old() {
    let scene = Scene::new().await;
    let memory = in_memory();
    for cache in [&scene.here, &memory] {
        let source = Source::new();
        let (polls, done) = cache_tests::at_every_poll(async |n| {
            call(cache, &source, 1).await.unwrap();
            let entry = look_entry(cache, 1);
            let before = source.version();
            let write = entry.put_with(async {
                tokio::task::yield_now().await;
                let version = source.change();
                tokio::task::yield_now().await;
                Ok::<_, Failed>(version)
            });
            let done = cache_tests::poll_n_then_drop(write, n).await;
            assert_eq!(call(cache, &source, 1).await, Ok(source.version()));
            settle(cache).await;
            assert_eq!(call(cache, &source, 1).await, Ok(source.version()));
            assert!(done.is_none() || source.version() > before);
            done
        })
        .await;
        assert!(done.0.is_ok() && done.1.is_ok());
        assert!(polls > 2, "{polls}");
    }
}

/// A body that waits for a dropped write's source does not serve who came after it.
#[tokio::test]
async fn p4_a_flight_from_within_a_failed_put_with_serves_no_newcomer() {
    let (scene, elsewhere) = (Scene::new().await, Elsewhere::new());
    let source = Source::gated();
    let here = impatient(scene.proxy.url(), HASTY);
    here.ping().await.unwrap();
    let write = Write::of(&source);
    let (begun, entry) = (write.clone(), look_entry(&here, 1));
    let written = elsewhere.spawn(async move {
        let write = async {
            begun.before.run().await?;
            let version = begun.source.change();
            begun.after.returning(version).await
        };
        entry.put_with(write).await
    });
    write.before.wait_until_running(1).await;
    let old = caller(&here, &source, 1);
    source.body.wait_until_running(1).await;
    write.commit().await;
    // The connection of the other runtime loses the second step, and whatever is to make up for it.
    let lost = scene.proxy.hold(put(1));
    write.finish();
    let (outcome, told) = written.await.unwrap();
    assert_eq!(outcome, Ok(2));
    assert!(told.unwrap_err().is_timeout());
    lost.drop_it();
    let newcomer = elsewhere.spawn(call(&here, &source, 1));
    source.body.wait_until_begun(2).await;
    source.body.let_through(1);
    assert_eq!(old.await.unwrap(), Ok(1));
    source.body.open_gate();
    assert_eq!(newcomer.await.unwrap(), Ok(2));
}

/// Redis is away from the beginning, or goes away in the middle: the source is written in any case.
#[tokio::test]
async fn p4_put_with_writes_though_redis_is_down() {
    for goes_away_midway in [false, true] {
        let (scene, source) = (Scene::new().await, Source::new());
        let here = impatient(scene.proxy.url(), Duration::from_millis(250));
        assert_eq!(call(&here, &source, 1).await, Ok(1));
        let cut_off = async || {
            scene.proxy.refuse();
            scene.proxy.reset();
            eventually("every connection to be gone", SOON, async || {
                scene.proxy.open_connections() == 0
            })
            .await;
        };
        if !goes_away_midway {
            cut_off().await;
        }
        let write = Write::of(&source);
        let written = write.begun(&here, 1).await;
        if goes_away_midway {
            cut_off().await;
        }
        write.commit().await;
        write.finish();
        let (outcome, told) = written.await.unwrap();
        assert_eq!(outcome, Ok(2));
        let error = told.unwrap_err();
        assert!(error.is_unavailable() || error.is_timeout(), "{error}");
        assert_eq!(here.stats().unfinished_invalidations, 1);
        for _ in 0..5 {
            assert_eq!(call(&here, &source, 1).await, Ok(2));
        }
        assert_eq!(
            scene.stored(&key(1)).await.as_deref(),
            (!goes_away_midway || scene.stored(&key(1)).await.is_some()).then_some("1")
        );
        scene.proxy.accept();
        for _ in 0..20 {
            assert_eq!(call(&here, &source, 1).await, Ok(2));
        }
        eventually("it is made up for", SOON, async || {
            here.stats().unfinished_invalidations == 0
        })
        .await;
        assert_ne!(scene.stored(&key(1)).await.as_deref(), Some("1"));
    }
}

/// A right that has expired, or was revoked, stores nothing, and leaves nothing.
#[tokio::test]
async fn p4_put_with_without_its_token_takes_the_value_away() {
    let (scene, source) = (Scene::new().await, Source::new());
    let write = Write::of(&source);
    let written = write.begun(&scene.here, 1).await;
    assert_eq!(scene.server.cli(&["DEL", &token(1)]), "1");
    // Somebody stores the old value meanwhile, under a right of its own.
    assert_eq!(call(&scene.there, &source, 1).await, Ok(1));
    write.commit().await;
    write.finish();
    assert_eq!(both(written).await, 2);
    assert_eq!(scene.stored(&key(1)).await, None);
    assert_eq!(call(&scene.there, &source, 1).await, Ok(2));
}

/// A write that takes long keeps its right. The renewal comes after ten seconds.
#[tokio::test]
async fn p4_put_with_renews_its_token_while_the_write_runs() {
    let (scene, source) = (Scene::new().await, Source::new());
    let write = Write::of(&source);
    let written = write.begun(&scene.here, 1).await;
    assert_eq!(scene.server.cli(&["PEXPIRE", &token(1), "25000"]), "1");
    let renewed = scene.proxy.hold_reply(about("PEXPIRE", &token(1)));
    renewed.arrived().await;
    let left: u64 = scene.server.cli(&["PTTL", &token(1)]).parse().unwrap();
    assert!(left > 25_000, "{left} ms are left");
    renewed.release();
    write.commit().await;
    write.finish();
    assert_eq!(both(written).await, 2);
    assert_eq!(scene.stored(&key(1)).await.as_deref(), Some("2"));
}

/// Two writes that overlap, in every order of their steps: what stays, if anything, is what the source holds.
#[tokio::test]
async fn p4_rule9_two_put_withs_that_overlap_leave_nothing_old() {
    let scene = Scene::new().await;
    let memory = in_memory();
    let mut id = 0;
    for (one, other) in [
        (&scene.here, &scene.here),
        (&scene.here, &scene.there),
        (&memory, &memory),
    ] {
        for other_commits_first in [false, true] {
            for other_ends_first in [false, true] {
                id += 1;
                let source = Source::new();
                let writes = [Write::of(&source), Write::of(&source)];
                let written = [
                    writes[0].begun(one, id).await,
                    writes[1].begun(other, id).await,
                ];
                for write in in_order(&writes, other_commits_first) {
                    write.commit().await;
                }
                let ends = in_order(&writes, other_ends_first);
                for (write, written) in ends.zip(in_order(&written, other_ends_first)) {
                    write.finish();
                    eventually("it is over", SOON, async || written.is_finished()).await;
                }
                for cache in [one, other] {
                    let stored = look_entry(cache, id).get().await.unwrap();
                    let case = (id, other_commits_first, other_ends_first);
                    assert!(
                        stored.is_none_or(|stored| stored == 3),
                        "{case:?}: {stored:?}"
                    );
                    assert_eq!(call(cache, &source, id).await, Ok(3), "{case:?}");
                }
            }
        }
    }
}

fn in_order<T>([one, other]: &[T; 2], other_first: bool) -> impl Iterator<Item = &T> {
    let order = if other_first {
        [other, one]
    } else {
        [one, other]
    };
    order.into_iter()
}

/// A change in between, of any kind, is never overwritten by a write that began before it.
#[tokio::test]
async fn p4_rule9_a_change_within_a_put_with_is_not_undone() {
    let scene = Scene::new().await;
    let memory = in_memory();
    let mut id = 0;
    for (writes, changes) in [
        (&scene.here, &scene.here),
        (&scene.here, &scene.there),
        (&memory, &memory),
    ] {
        for change in ["invalidate", "put", "put_with", "refresh"] {
            id += 1;
            let source = Source::new();
            let write = Write::of(&source);
            let written = write.begun(writes, id).await;
            write.commit().await;
            let version = source.change();
            let entry = look_entry(changes, id);
            match change {
                "invalidate" => entry.invalidate().await.unwrap(),
                "put" => entry.put(&version).await.unwrap(),
                "put_with" => {
                    let (_, told) = entry.put_with(async { Ok::<_, Failed>(version) }).await;
                    told.unwrap();
                }
                // Says nothing of a change, so that the write may have the last word.
                _ => {
                    entry.invalidate().await.unwrap();
                    entry.refresh(async { version }).await;
                }
            }
            write.finish();
            assert_eq!(both(written).await, 2);
            for cache in [writes, changes] {
                assert_eq!(call(cache, &source, id).await, Ok(3), "{change}");
            }
        }
    }
}

/// The first step of a `put_with` that was given up lands after a later invalidation, or the second one does.
#[tokio::test]
async fn p4_rule9_a_step_of_put_with_that_lands_late_brings_no_value_back() {
    for second in [false, true] {
        let (scene, source) = (Scene::new().await, Source::new());
        let hasty = impatient(scene.proxy.url(), HASTY);
        hasty.ping().await.unwrap();
        let step = if second {
            scene.proxy.hold(put(1))
        } else {
            scene.proxy.hold(about("SET", &token(1)))
        };
        let entry = look_entry(&hasty, 1);
        let (written, told) = entry.put_with(async { source.change() }).await;
        assert_eq!(written, 2);
        assert!(told.unwrap_err().is_timeout());
        assert!(step.has_arrived());

        source.change();
        look_entry(&scene.there, 1).invalidate().await.unwrap();
        step.release();
        settle(&hasty).await;
        assert_eq!(scene.stored(&key(1)).await, None);
        assert_eq!(call(&scene.there, &source, 1).await, Ok(3));
        assert_eq!(call(&hasty, &source, 1).await, Ok(3));
    }
}

/// An invalidation that fails while the source is written is about a later change than that write's.
#[tokio::test]
async fn p4_a_put_with_does_not_make_up_for_an_invalidation_that_failed_within() {
    let (scene, elsewhere) = (Scene::new().await, Elsewhere::new());
    let source = Source::new();
    let here = impatient(scene.proxy.url(), HASTY);
    here.ping().await.unwrap();
    let write = Write::of(&source);
    let written = write.begun(&here, 1).await;
    write.commit().await;
    source.change();
    let lost = scene.proxy.hold(about("DEL", &token(1)));
    let entry = look_entry(&here, 1);
    let failed = elsewhere.spawn(async move { entry.invalidate().await });
    let error = failed.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    write.finish();
    assert_eq!(both(written).await, 2);
    assert_eq!(call(&here, &source, 1).await, Ok(3));
    lost.drop_it();
}
