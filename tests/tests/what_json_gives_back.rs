//! A first run without Redis shows what Redis would give back: a debug build keeps in process what a value's JSON becomes,
//! and names the function in the log where that is another value.
//!
//! By `==`, where the type has it and a value is equal to itself; else by the JSON that the second value has.
#![cfg(debug_assertions)]
#![allow(missing_docs)]

use std::collections::HashMap;

use cache_runtime::{Cache, Cacheable, redis_cached};
use cache_tests::{Logs, in_memory};
use serde::{Deserialize, Serialize};

const SAID: &str = "values do not survive their own JSON";
const BY_EQ: &str = "by `==`";
const BY_JSON: &str = "other JSON";

/// Loses `secret`, which its JSON does not show.
macro_rules! skipping {
    ($($name:ident($($derived:ident),*);)*) => {$(
        #[derive(Debug, Serialize, Deserialize, $($derived),*)]
        struct $name {
            id: u64,
            #[serde(skip)]
            secret: u64,
        }
    )*};
}

skipping! {
    Shared(Clone, Default, PartialEq);
    Alone(PartialEq);
    Incomparable(Clone);
}

/// Not equal to itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Irreflexive(u64);

impl PartialEq for Irreflexive {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Panicking(u64);

impl PartialEq for Panicking {
    fn eq(&self, other: &Self) -> bool {
        panic!("no == for {} and {}", self.0, other.0)
    }
}

/// Counts on with each way through JSON, and has no `==`.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Counting(#[serde(serialize_with = "plus_one")] u64);

fn plus_one<S: serde::Serializer>(count: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(count + 1)
}

macro_rules! functions {
    ($($name:ident -> $type:ty { $id:ident => $value:expr })*) => {$(
        #[redis_cached(ttl = 60, skip(cache), cache = cache)]
        async fn $name(cache: &Cache, $id: u64) -> $type {
            $value
        }
    )*};
}

functions! {
    shared -> Shared { id => Shared { id, secret: 7 } }
    alone -> Option<Alone> { id => Some(Alone { id, secret: 7 }) }
    in_a_list -> Vec<Alone> { id => vec![Alone { id, secret: 7 }] }
    with_nothing_to_lose -> Shared { id => Shared { id, secret: 0 } }
    incomparable -> Incomparable { id => Incomparable { id, secret: 7 } }
    irreflexive -> Irreflexive { id => Irreflexive(id) }
    panicking -> Result<Panicking, String> { id => Ok(Panicking(id)) }
    counting -> Counting { id => Counting(id) }
    by_name -> HashMap<String, u64> { id => (0..50).map(|n| (n.to_string(), id)).collect() }
    nothing -> Option<Shared> { _id => None }
}

/// Without `PartialEq` among its bounds.
#[redis_cached(ttl = 60, skip(cache), cache = cache)]
async fn unbounded<T: Cacheable + Default + Secret>(cache: &Cache) -> T {
    T::default().with_secret()
}

#[redis_cached(ttl = 60, skip(cache), cache = cache)]
async fn bounded<T: Cacheable + Default + Secret + PartialEq>(cache: &Cache) -> T {
    T::default().with_secret()
}

trait Secret {
    fn with_secret(self) -> Self;
}

impl Secret for Shared {
    fn with_secret(mut self) -> Self {
        self.secret = 7;
        self
    }
}

/// Calls a function twice, and asserts that the log named it once, with this cause, or not at all.
macro_rules! assert_named {
    ($call:ident($($argument:expr),*), $cause:expr) => {{
        let (logs, _guard) = Logs::of_this_thread();
        for _ in 0..2 {
            let _ = $call($($argument),*).await;
        }
        assert_lines(&logs, stringify!($call), $cause);
    }};
    ($call:ident::<$type:ty>($($argument:expr),*), $cause:expr) => {{
        let (logs, _guard) = Logs::of_this_thread();
        let _: $type = $call($($argument),*).await;
        assert_lines(&logs, stringify!($call), $cause);
    }};
}

#[track_caller]
fn assert_lines(logs: &Logs, function: &str, cause: Option<&str>) {
    let lines = logs.lines_with(SAID);
    assert_eq!(lines.len(), usize::from(cause.is_some()), "{lines:#?}");
    for (line, cause) in lines.iter().zip(cause) {
        let named = format!("function={function} (");
        assert!(line.contains(&named) && line.contains(cause), "{line}");
    }
}

#[tokio::test]
async fn a_value_that_is_not_equal_to_what_its_json_becomes_is_named() {
    let cache = in_memory();
    assert_named!(shared(&cache, 1), Some(BY_EQ));
    assert_named!(alone(&cache, 1), Some(BY_EQ));
    assert_named!(in_a_list(&cache, 1), Some(BY_EQ));
    assert_eq!(shared(&cache, 1).await, Shared { id: 1, secret: 0 });
}

#[tokio::test]
async fn a_value_that_comes_back_is_not_named() {
    let cache = in_memory();
    assert_named!(with_nothing_to_lose(&cache, 1), None);
    assert_named!(nothing(&cache, 1), None);
    // Whose entries are written in another order each time.
    assert_named!(by_name(&cache, 1), None);
}

#[tokio::test]
async fn where_eq_says_nothing_the_json_does() {
    let cache = in_memory();
    assert_named!(irreflexive(&cache, 1), None);
    assert_named!(panicking(&cache, 1), None);
    assert_eq!(panicking(&cache, 1).await.map(|value| value.0), Ok(1));
    assert_named!(incomparable(&cache, 1), None);
    let lost = incomparable(&cache, 1).await.secret;
    assert_eq!(lost, 0, "though it is lost");
    assert_named!(counting(&cache, 1), Some(BY_JSON));
}

#[tokio::test]
async fn in_a_generic_function_only_the_written_bounds_count() {
    let cache = in_memory();
    assert_named!(unbounded::<Shared>(&cache), None);
    assert_named!(bounded::<Shared>(&cache), Some(BY_EQ));
}
