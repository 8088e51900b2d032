//! The same function with each option, and the ages at which its value is asked for.

use std::pin::Pin;
use std::time::Duration;

use cache_runtime::{Cache, CacheBuilder, Entry, ManualClock, redis_cached};
use cache_tests::body::Failed;
use cache_tests::wait::SOON;
use cache_tests::{Body, eventually};
use serde::{Deserialize, Serialize};

pub(crate) const TTL: Duration = Duration::from_secs(1000);
pub(crate) const WINDOW: Duration = Duration::from_secs(1000);
/// So short that a body that is held up is left behind.
const SOFT: Duration = Duration::from_millis(20);

/// A value with all that JSON knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Wide {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) tags: Vec<Option<f64>>,
}

/// The source: every fourth is not there.
pub(crate) fn wide(id: u64) -> Option<Wide> {
    (!id.is_multiple_of(4)).then(|| Wide {
        id,
        name: format!("Zoë \"{id}\"\n"),
        tags: vec![Some(0.5), None, Some(1e-7)],
    })
}

type Boxed<T> = Pin<Box<dyn Future<Output = Result<T, Failed>> + Send>>;

/// A function with its options.
pub(crate) struct Function {
    pub(crate) name: &'static str,
    /// The number of the body's run.
    pub(crate) call: fn(Cache, Body, u64) -> Boxed<u64>,
    pub(crate) entry: fn(&Cache, u64) -> Entry<u64>,
    pub(crate) wide: fn(Cache, Body, u64) -> Boxed<Option<Wide>>,
}

macro_rules! functions {
    ($($name:ident($($options:tt)*);)*) => {
        $(mod $name {
            use super::*;

            #[redis_cached(ttl = TTL, skip(cache, body), cache = cache, $($options)*)]
            pub(super) async fn number(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
                let _ = id;
                body.run().await
            }

            #[redis_cached(ttl = TTL, none_ttl = TTL, skip(cache, body), cache = cache, $($options)*)]
            pub(super) async fn wide(
                cache: &Cache,
                body: &Body,
                id: u64,
            ) -> Result<Option<Wide>, Failed> {
                body.run().await.map(|_| super::wide(id))
            }
        })*

        pub(crate) const FUNCTIONS: &[Function] = &[$(Function {
            name: stringify!($name),
            call: |cache, body, id| Box::pin(async move { $name::number(&cache, &body, id).await }),
            entry: |cache, id| $name::number_entry(cache, id),
            wide: |cache, body, id| Box::pin(async move { $name::wide(&cache, &body, id).await }),
        }),*];
    };
}

functions! {
    stale_while_revalidate(stale_while_revalidate = WINDOW);
    stale_if_error(stale_if_error = WINDOW);
    refresh_ahead(refresh_ahead = 0.5);
    xfetch(refresh_ahead = "xfetch");
    soft_timeout(stale_if_error = WINDOW, soft_timeout = SOFT);
    jitter(jitter = 0.1);
    cluster(coalesce = "cluster");
    together(
        stale_while_revalidate = WINDOW / 2, stale_if_error = WINDOW, refresh_ahead = 0.5,
        soft_timeout = SOFT, jitter = 0.1, coalesce = "cluster"
    );
}

/// How old a value is when it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Age {
    /// There is none.
    Cold,
    Young,
    /// The ttl, whatever its jitter, is nearly over.
    Old,
    /// Within every window, and past every ttl.
    Stale,
    /// Within the longer window alone.
    Staler,
    /// Past every window.
    Gone,
}

pub(crate) const AGES: [Age; 6] = [
    Age::Cold,
    Age::Young,
    Age::Old,
    Age::Stale,
    Age::Staler,
    Age::Gone,
];

/// One function's value on one cache with a clock of its own, at an age.
pub(crate) struct Scene {
    pub(crate) function: &'static Function,
    pub(crate) age: Age,
    pub(crate) cache: Cache,
    pub(crate) body: Body,
    pub(crate) id: u64,
}

impl Scene {
    /// Run 1 of the body gave the value, if there is one.
    pub(crate) async fn set(
        function: &'static Function,
        age: Age,
        builder: CacheBuilder,
        body: Body,
    ) -> Self {
        let clock = ManualClock::new();
        let cache = builder.clock(&clock).build().expect("a valid setting");
        let scene = Self {
            function,
            age,
            cache,
            body,
            id: fastrand::u64(..),
        };
        // The connection is there, and is not what a test measures.
        scene.cache.ping().await.expect("a server that answers");
        if age != Age::Cold {
            scene.body.let_through(1);
            assert_eq!(scene.call().await, Ok(1), "{}", scene.name());
        }
        clock.advance(match age {
            Age::Cold | Age::Young => Duration::ZERO,
            Age::Old => TTL.mul_f64(0.89),
            Age::Stale => TTL + WINDOW / 5,
            Age::Staler => TTL + WINDOW * 4 / 5,
            Age::Gone => TTL + WINDOW * 2,
        });
        scene
    }

    /// Every function at every age, each on a cache of its own.
    pub(crate) async fn all(builder: impl Fn() -> CacheBuilder, body: fn() -> Body) -> Vec<Self> {
        let mut scenes = vec![];
        for function in FUNCTIONS {
            for age in AGES {
                scenes.push(Self::set(function, age, builder(), body()).await);
            }
        }
        scenes
    }

    pub(crate) fn name(&self) -> String {
        format!("{}, {:?}", self.function.name, self.age)
    }

    pub(crate) fn call(&self) -> Boxed<u64> {
        (self.function.call)(self.cache.clone(), self.body.clone(), self.id)
    }

    pub(crate) fn entry(&self) -> Entry<u64> {
        (self.function.entry)(&self.cache, self.id)
    }

    /// Waits until nothing is computed, here or behind a call.
    pub(crate) async fn settle(&self) {
        eventually(&format!("{} to settle", self.name()), SOON, async || {
            let stats = self.cache.stats();
            (stats.flights, stats.waiting, stats.reads) == (0, 0, 0) && self.body.running() == 0
        })
        .await;
    }
}
