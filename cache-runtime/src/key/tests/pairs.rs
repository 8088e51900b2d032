//! Different arguments never share a key, equal ones always do: by pairs, and by reading the key back.

use std::collections::{BTreeMap, HashMap};

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde::Serialize;

use super::super::oracle::{self, Data};
use super::{arg, args, joined};

const HOSTILE: [&str; 34] = [
    "",
    "a",
    "b",
    "ab",
    ":",
    "a:b",
    "%",
    "%3A",
    "%_",
    "~",
    "~a",
    "42",
    "4",
    "-1",
    "1.0",
    "1e5",
    "null",
    "true",
    ".Plain",
    "Plain",
    "some(",
    "some(null)",
    ")",
    "(",
    "[",
    "]",
    ",",
    "=",
    "a=b",
    " ",
    "\u{a0}",
    "{",
    "}",
    "é",
];

fn text() -> impl Strategy<Value = String> {
    vec(select(&HOSTILE), 0..3).prop_map(|parts| parts.concat())
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Nested {
    name: String,
    flags: Vec<Option<bool>>,
    kind: Kind,
    inner: Option<Box<Self>>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
enum Kind {
    Plain,
    Named(String),
    Pair(String, i8),
    Full { a: String, b: Option<String> },
    Counted(BTreeMap<String, u8>),
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
enum Loose {
    Text(String),
    Int(i64),
    Float(f64),
    Flag(bool),
    Nothing,
    Many(Vec<Self>),
    Kind(Kind),
}

type Arguments = (
    String,
    i64,
    Option<Option<String>>,
    Vec<String>,
    Loose,
    Nested,
);

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Plain),
        text().prop_map(Kind::Named),
        (text(), -2..3_i8).prop_map(|(a, b)| Kind::Pair(a, b)),
        (text(), proptest::option::of(text())).prop_map(|(a, b)| Kind::Full { a, b }),
        btree_map(text(), 0..3_u8, 0..3).prop_map(Kind::Counted),
    ]
}

fn loose() -> impl Strategy<Value = Loose> {
    let leaf = prop_oneof![
        text().prop_map(Loose::Text),
        (-3..50_i64).prop_map(Loose::Int),
        // Quarters, and the zero that is less: all of them have a `Debug` of their own.
        (-3..50_i32).prop_map(|n| Loose::Float(f64::from(n) / 4.0)),
        Just(Loose::Float(-0.0)),
        any::<bool>().prop_map(Loose::Flag),
        Just(Loose::Nothing),
        kind().prop_map(Loose::Kind),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| vec(inner, 0..3).prop_map(Loose::Many))
}

fn nested() -> impl Strategy<Value = Nested> {
    let flags = || vec(proptest::option::of(any::<bool>()), 0..3);
    let leaf = (text(), flags(), kind()).prop_map(|(name, flags, kind)| Nested {
        name,
        flags,
        kind,
        inner: None,
    });
    leaf.prop_recursive(2, 4, 1, move |inner| {
        (text(), flags(), kind(), proptest::option::of(inner)).prop_map(
            |(name, flags, kind, inner)| Nested {
                name,
                flags,
                kind,
                inner: inner.map(Box::new),
            },
        )
    })
}

fn tuple() -> impl Strategy<Value = Arguments> {
    let option = proptest::option::of(proptest::option::of(text()));
    (
        text(),
        -3..50_i64,
        option,
        vec(text(), 0..3),
        loose(),
        nested(),
    )
}

/// Neighbours of `from`: one member comes from `other`, or two texts swap a border.
fn mutated(from: &Arguments, other: &Arguments, n: usize) -> Arguments {
    let mut new = from.clone();
    match n % 9 {
        0 => new.0.clone_from(&other.0),
        1 => new.1 = other.1,
        2 => new.2.clone_from(&other.2),
        3 => new.3.clone_from(&other.3),
        4 => new.4 = other.4.clone(),
        5 => new.5.name.clone_from(&other.5.name),
        6 => new.5.kind = other.5.kind.clone(),
        7 => new.3 = vec![new.3.join(",")],
        _ => new.4 = Loose::Text(arg(&new.4)),
    }
    new
}

/// Every pair of `all` is compared: two equal keys meet in the first map, two equal values in the second.
fn compare_all(all: &[Arguments], write: impl Fn(&Arguments) -> String) {
    let mut values = HashMap::new();
    let mut keys = HashMap::new();
    for value in all {
        let key = write(value);
        let value = format!("{value:?}");
        let other = values.entry(key.clone()).or_insert_with(|| value.clone());
        assert_eq!(*other, value, "share {key}");
        let other = keys.entry(value).or_insert_with(|| key.clone());
        assert_eq!(*other, key);
    }
}

#[test]
fn p1_different_arguments_never_share_a_key_in_a_million_pairs() {
    const VALUES: usize = 1_500;
    let mut runner = TestRunner::deterministic();
    let mut pairs = 0;
    for _ in 0..2 {
        let mut all: Vec<Arguments> = Vec::new();
        while all.len() < VALUES {
            let fresh = tuple().new_tree(&mut runner).unwrap().current();
            // A few values and many neighbours: it is those that nearly meet.
            for n in 0..18 {
                let near = all
                    .get(all.len().wrapping_sub(40 + 7 * n))
                    .unwrap_or(&fresh);
                let one = mutated(&fresh, near, n);
                let two = mutated(&one, near, n / 2 + 3);
                all.extend([one, two]);
            }
            all.push(fresh);
        }
        pairs += all.len() * (all.len() - 1) / 2;
        compare_all(&all, |(a, b, c, d, e, f)| args(&[a, b, c, d, e, f]));
        // Undigested, so that short texts meet as well, and in other company.
        compare_all(&all, |all| {
            let mut out = String::new();
            joined(&[all], &mut out).unwrap();
            out
        });
    }
    assert!(pairs > 2_000_000, "{pairs}");
}

#[test]
fn p1_short_lists_of_loose_values_never_share_a_key() {
    let mut runner = TestRunner::deterministic();
    let mut seen = HashMap::new();
    for _ in 0..20_000 {
        let value = (loose(), loose()).new_tree(&mut runner).unwrap().current();
        let key = args(&[&value.0, &value.1]);
        let value = format!("{value:?}");
        assert_eq!(
            *seen.entry(key.clone()).or_insert_with(|| value.clone()),
            value,
            "share {key}"
        );
    }
    assert!(seen.len() > 5_000, "{}", seen.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn p1_any_value_can_be_read_back_from_its_key(bytes in vec(any::<u8>(), 0..120), len in 1..4_usize) {
        let bytes = &mut bytes.as_slice();
        let values: Vec<Data> = (0..len).map(|_| Data::from_bytes(bytes, 4)).collect();
        oracle::check(&values);
    }

    #[test]
    fn p1_any_text_can_be_read_back_from_its_key(texts in vec(text(), 1..4), odd in "\\PC*") {
        let texts = texts.into_iter().chain([odd]);
        oracle::check(&texts.map(Data::Str).collect::<Vec<_>>());
    }
}
