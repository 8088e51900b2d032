//! Rule 9 for `put_with`: the right to store is taken before the source is written, so that neither a reader of the
//! old source, nor a late command, nor another write can make an old value stay.

use std::time::Duration;

use cache_runtime::Cache;
use cache_tests::body::Failed;
use cache_tests::proxy::about;
use cache_tests::{Body, eventually, within};
use tokio::task::JoinHandle;

use crate::scene::{
    Scene, Source, breathe, call, caller, impatient, in_memory, key, look_entry, put, settle, token,
};

pub(crate) const SOON: Duration = Duration::from_secs(20);
pub(crate) const HASTY: Duration = Duration::from_millis(200);

pub(crate) type Written = (Result<u64, Failed>, Result<(), cache_runtime::Error>);

/// A write to the source that commits when the first gate opens, and returns when the second one does.
#[derive(Clone)]
pub(crate) struct Write {
    pub(crate) source: Source,
    pub(crate) before: Body,
    pub(crate) after: Body,
}

impl Write {
    pub(crate) fn of(source: &Source) -> Self {
        Self {
            source: source.clone(),
            before: Body::gated(),
            after: Body::gated(),
        }
    }

    pub(crate) fn begin(&self, cache: &Cache, id: u64) -> JoinHandle<Written> {
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
    pub(crate) async fn begun(&self, cache: &Cache, id: u64) -> JoinHandle<Written> {
        let begun = self.begin(cache, id);
        self.before.wait_until_running(1).await;
        begun
    }

    pub(crate) async fn commit(&self) {
        self.before.open_gate();
        self.after.wait_until_running(1).await;
    }

    pub(crate) fn finish(&self) {
        self.after.open_gate();
    }
}

/// What was written; the cache knows of it.
pub(crate) async fn both(written: JoinHandle<Written>) -> u64 {
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
                    // One that lost its right to the other leaves nothing, also before that ends.
                    if !other_ends_first {
                        let stored = look_entry(one, id).get().await.unwrap();
                        assert_eq!(stored, None, "{id}");
                    }
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
