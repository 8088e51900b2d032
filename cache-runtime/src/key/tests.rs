//! Keys by example; `pairs` has them by the million, `names` what stands before and beside them.

mod cache_key;
mod golden;
mod names;
mod pairs;

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::oracle::Data;
use super::*;

fn args(parts: &[&dyn KeyPart]) -> String {
    let mut out = String::new();
    arguments(parts, &mut out).unwrap();
    out
}

fn arg(value: impl Serialize) -> String {
    args(&[&value])
}

fn piece(value: impl Serialize) -> String {
    let mut out = String::new();
    template(&["", ""], &[&value], &mut out).unwrap();
    out
}

#[derive(Serialize)]
struct Id(u64);

#[derive(Serialize)]
struct Unit;

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct Point {
    x: i32,
    y: i32,
}

#[derive(Serialize)]
enum Shape {
    Dot,
    Circle(f64),
    Rect(u8, u8),
    At { x: i32 },
    Nothing(),
    Blank {},
    One(#[serde(skip)] (), u8),
}

#[derive(Serialize)]
#[serde(untagged)]
enum Any<'a> {
    Str(&'a str),
    Int(i64),
    Float(f64),
    Narrow(f32),
    Bool(bool),
    Char(char),
    Opt(Option<Option<u8>>),
    Unit(()),
    List(Vec<&'a str>),
    Two(&'a str, &'a str),
    Three([&'a str; 3]),
    Shape(Shape),
    Map(BTreeMap<&'a str, u8>),
    Point(Point),
    Bytes(Bytes<'a>),
}

struct Bytes<'a>(&'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(self.0)
    }
}

#[test]
fn scalars_read_as_redis_cli_users_expect() {
    assert_eq!(args(&[&42, &"fr", &true]), "42:fr:true");
    assert_eq!(arg(-7_i128), "-7");
    assert_eq!(arg(u128::MAX), "340282366920938463463374607431768211455");
    assert_eq!(arg("O'Brien & (a=b, c)"), "O'Brien%20&%20(a=b,%20c)");
    assert_eq!(arg("größe"), "größe");
    assert_eq!(
        arg("550e8400-e29b-41d4-a716-446655440000"),
        "550e8400-e29b-41d4-a716-446655440000"
    );
    assert_eq!(arg("2026-11-22"), "2026-11-22");
    assert_eq!(arg(Id(42)), "42");
    assert_eq!(arg(Some("fr")), "fr");
    assert_eq!(arg(1.0), "1.0");
    assert_eq!(arg(1e300), "1e300");
    assert_eq!(arg(Shape::Dot), ".Dot");
    assert_eq!(arg("f"), arg('f'));
    assert_eq!(args(&[]), "");
}

#[test]
fn p1_lookalikes_never_share_a_key() {
    let shape = |shape| Any::Shape(shape);
    let all = [
        Any::Str(""),
        Any::Str("%_"),
        Any::Str("~"),
        Any::Str("42"),
        Any::Str("~42"),
        Any::Str("1.0"),
        Any::Str("true"),
        Any::Str("null"),
        Any::Str("NaN"),
        Any::Str("inf"),
        Any::Str("()"),
        Any::Str("[]"),
        Any::Str("[a,b]"),
        Any::Str("(a,b)"),
        Any::Str("some(null)"),
        Any::Str(".Dot"),
        Any::Str("Dot"),
        Any::Str(".Circle(1.0)"),
        Any::Str("%x61"),
        Any::Str("a:b"),
        Any::Str("a%3Ab"),
        Any::Str("a b"),
        Any::Str("0.1"),
        Any::Str("0.1f32"),
        Any::Str("a"),
        Any::Str("~a"),
        Any::Str("%h00"),
        Any::Int(42),
        Any::Int(1),
        Any::Float(1.0),
        Any::Float(0.1),
        Any::Float(f64::NAN),
        Any::Float(f64::INFINITY),
        Any::Float(f64::NEG_INFINITY),
        Any::Narrow(0.1),
        Any::Bool(true),
        Any::Char('5'),
        Any::Char('~').into_char('!'),
        Any::Opt(None),
        Any::Opt(Some(None)),
        Any::Unit(()),
        Any::List(vec![]),
        Any::List(vec![""]),
        Any::List(vec!["", ""]),
        Any::List(vec!["a", "b"]),
        Any::List(vec!["a,b"]),
        Any::List(vec!["a=b"]),
        Any::List(vec!["a"]),
        Any::List(vec!["]"]),
        Any::List(vec!["null"]),
        Any::List(vec!["~null"]),
        Any::Two("a", "b"),
        Any::Two("a,b", ""),
        Any::Two("", "a,b"),
        Any::Three(["a", "b", ""]),
        Any::Three(["a", "", "b"]),
        shape(Shape::Dot),
        shape(Shape::Circle(1.0)),
        shape(Shape::Rect(1, 2)),
        shape(Shape::At { x: 1 }),
        shape(Shape::Nothing()),
        shape(Shape::Blank {}),
        shape(Shape::One((), 1)),
        Any::Map(BTreeMap::new()),
        Any::Map([("x", 1)].into()),
        Any::Map([("x", 1), ("y", 2)].into()),
        Any::Point(Point { x: 1, y: 2 }),
        Any::Bytes(Bytes(b"")),
        Any::Bytes(Bytes(b"a")),
        Any::Bytes(Bytes(b"\x00")),
    ];
    let keys: Vec<String> = all.iter().map(arg).collect();
    for (n, key) in keys.iter().enumerate() {
        assert!(!keys[..n].contains(key), "{key} twice");
        assert!(!key.is_empty());
    }
    // Inside brackets, too.
    let keys: Vec<String> = all.iter().map(|value| arg((value, 0))).collect();
    for (n, key) in keys.iter().enumerate() {
        assert!(!keys[..n].contains(key), "{key} twice");
    }
    assert_ne!(args(&[&"a", &"b"]), args(&[&"a:b"]));
    assert_ne!(args(&[&"a:", &"b"]), args(&[&"a", &":b"]));
    assert_ne!(arg(Some(Unit)), arg(None::<Unit>));
    assert_ne!(arg(Some(Some(None::<u8>))), arg(Some(None::<Option<u8>>)));
    assert_ne!(arg(Empty {}), arg(()));
}

impl Any<'_> {
    /// Another lookalike in the same line of the table.
    fn into_char(self, c: char) -> Self {
        match self {
            Self::Char(_) => Self::Char(c),
            other => other,
        }
    }
}

#[test]
fn p1_equal_values_share_a_key() {
    assert_eq!(arg(f64::NAN), arg(-f64::NAN));
    assert_eq!(arg(f32::NAN), arg(-f32::NAN));
    assert_eq!(piece(f64::NAN), piece(-f64::NAN));
    assert_eq!(arg(f64::NAN), arg(f64::from_bits(f64::NAN.to_bits() | 1)));
    assert_eq!(arg(f32::NAN), arg(f64::NAN));
    assert_eq!(arg(0.5_f32), arg(0.5_f64));
    assert_eq!(arg(7_u8), arg(7_i128));
    // Two maps with the same content have different orders in memory.
    let names: Vec<String> = (0..50).map(|n| format!("k{n}")).collect();
    let forth: HashMap<_, _> = names.iter().zip(0..).collect();
    let back: HashMap<_, _> = names
        .iter()
        .zip(0..)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .collect();
    assert_eq!(arg(&forth), arg(&back));
    assert_eq!(arg(&forth), arg(forth.iter().collect::<BTreeMap<_, _>>()));
}

/// They are `==`, but a body tells them apart: `1.0 / x` is one infinity or the other.
#[test]
fn p1_the_two_zeros_have_two_keys_wherever_they_stand() {
    fn told_apart<T: Serialize>(zero: impl Fn(f64) -> T) {
        assert_ne!(arg(zero(0.0)), arg(zero(-0.0)));
        assert_ne!(piece(zero(0.0)), piece(zero(-0.0)));
        // Behind so many others that the whole becomes a digest.
        let many = |last| args(&[&vec![1; 100], &zero(last)]);
        assert!(many(0.0).starts_with("%h"));
        assert_ne!(many(0.0), many(-0.0));
    }
    #[derive(Serialize)]
    struct Degrees(f64);
    #[derive(Serialize)]
    struct Point {
        x: f64,
    }
    #[derive(Serialize)]
    enum Length {
        Metres(f64),
        Range(f64, f64),
        At { x: f64 },
    }
    told_apart(|zero| zero);
    told_apart(|zero| {
        if zero.is_sign_negative() {
            -0.0_f32
        } else {
            0.0
        }
    });
    told_apart(Some);
    told_apart(|zero| (1, zero));
    told_apart(|zero| [zero]);
    told_apart(|zero| vec![zero]);
    told_apart(Degrees);
    told_apart(|x| Point { x });
    told_apart(Length::Metres);
    told_apart(|zero| Length::Range(zero, 1.0));
    told_apart(|x| Length::At { x });
    told_apart(|zero| BTreeMap::from([("x", zero)]));
    told_apart(|zero| Data::Map(vec![(Data::F64(zero), Data::Unit)]));
    told_apart(|zero| serde_json::json!({ "x": [zero] }));
    assert_eq!(args(&[&0.0, &-0.0, &-0.0_f32]), "0.0:-0.0:-0.0");
    assert_eq!(piece(-0.0), "-0.0");
    assert_eq!(arg("-0.0"), "~-0.0");
}

#[test]
fn flattened_and_tagged_types_are_written_whole() {
    #[derive(Serialize)]
    struct Page {
        n: u8,
        #[serde(flatten)]
        rest: HashMap<String, Shape>,
    }
    #[derive(Serialize)]
    #[serde(tag = "t")]
    enum Inside {
        A { x: u8 },
    }
    #[derive(Serialize)]
    #[serde(tag = "t", content = "c")]
    enum Beside {
        A(u8),
    }
    let rest = [
        ("b".to_owned(), Shape::Dot),
        ("a".to_owned(), Shape::Rect(1, 2)),
    ];
    assert_eq!(
        arg(Page {
            n: 1,
            rest: rest.into()
        }),
        "[a=.Rect(1,2),b=.Dot,n=1]"
    );
    assert_eq!(arg(Inside::A { x: 1 }), "(t=A,x=1)");
    assert_eq!(arg(Beside::A(1)), "(t=.A,c=1)");
}

#[test]
fn a_string_holds_nothing_that_separates() {
    let always: Vec<char> = ('\0'..=char::MAX).filter(|c| escape::always(*c)).collect();
    let mut pinned: Vec<char> = "%:{}".chars().collect();
    pinned.extend('\0'..=' ');
    pinned.extend('\u{7f}'..='\u{a0}');
    pinned.push('\u{1680}');
    pinned.extend('\u{2000}'..='\u{200a}');
    pinned.extend(['\u{2028}', '\u{2029}', '\u{202f}', '\u{205f}', '\u{3000}']);
    pinned.sort_unstable();
    assert_eq!(always, pinned);
    for c in always {
        let key = arg(c);
        assert!(!key.contains(c) || c == '%' && key == "%25", "{key}");
        assert_eq!(piece(c), key);
    }
    assert_eq!(arg("\u{a0}"), "%C2%A0");
}

#[test]
fn every_character_of_a_string_is_looked_at_that_may_be_escaped() {
    for c in '\0'..=char::MAX {
        let is_escaped = escape::always(c) || escape::in_brackets(c);
        let first = c.encode_utf8(&mut [0; 4]).as_bytes()[0];
        let is_looked_at = escape::MAY_BE_ESCAPED[usize::from(first)];
        assert!(is_looked_at || !is_escaped, "{c:?}");
        assert!(is_looked_at || c.is_ascii_graphic(), "{c:?}");
    }
    // Character by character, as strings are written otherwise.
    let one_by_one = |text: &str, special: fn(char) -> bool| {
        let mut out = String::new();
        for c in text.chars() {
            match special(c) {
                true => {
                    let bytes = c.to_string().into_bytes();
                    out.extend(bytes.iter().map(|byte| format!("%{byte:02X}")));
                }
                false => out.push(c),
            }
        }
        out
    };
    let ends = [
        "",
        ":",
        "(",
        "é",
        "\u{a0}",
        "é\u{a0}é",
        "é(é:",
        "((",
        "::x",
        "x é x",
        "日本語",
        "a\u{2003}(:",
    ];
    for special in [escape::always as fn(char) -> bool, escape::in_brackets] {
        // On both sides of where eight bytes end.
        for length in 0..18 {
            for (one, two) in ends.iter().flat_map(|one| ends.map(|two| (one, two))) {
                let text = format!("{}{one}{}{two}y", "x".repeat(length), "z".repeat(length));
                let mut out = String::new();
                escape::push(&text, special, &mut out);
                assert_eq!(out, one_by_one(&text, special), "{text:?}");
            }
        }
    }
}

#[test]
fn a_long_key_becomes_a_digest() {
    let long = "x".repeat(200);
    assert_eq!(arg(&long), long);
    let longer = arg("x".repeat(201));
    assert_eq!(longer.len(), 34);
    assert!(longer.starts_with("%h"), "{longer}");
    assert_ne!(longer, arg("x".repeat(202)));
    assert_ne!(args(&[&long, &1]), args(&[&long, &2]));
    // The text itself, given as an argument, is another key.
    assert_ne!(arg(&longer), longer);
    // What stands before is neither counted nor replaced.
    let mut out = "p".repeat(300);
    arguments(&[&1], &mut out).unwrap();
    assert!(out.ends_with("p1"));
}

#[test]
fn templates_leave_scalars_alone() {
    let filled = |name: &str, id: u64| {
        let mut out = String::new();
        template(&["user:", ":", ""], &[&name, &id], &mut out).unwrap();
        out
    };
    assert_eq!(filled("42", 42), "user:42:42");
    assert_eq!(filled("a b:c", 1), "user:a%20b%3Ac:1");
    assert_eq!(filled("", 1), "user:%_:1");
    assert_eq!(piece(Shape::Dot), "Dot");
    assert_eq!(piece(0.1_f32), "0.1");
    assert_eq!(piece(Some("null")), "null");
    assert_eq!(piece(None::<&str>), "%null");
    assert_eq!(piece(Some(None::<u8>)), "%some(null)");
    assert_eq!(piece(Shape::Circle(1.0)), "%.Circle(1.0)");
    assert_eq!(piece(("a", "42")), "%(a,~42)");
    assert_eq!(piece(vec!["a"]), "%[a]");
    assert_eq!(piece("%[a]"), "%25[a]");
    assert_eq!(piece(Bytes(b"a")), "%x61");
    // However long, for others must be able to write it.
    assert_eq!(piece("x".repeat(5000)).len(), 5000);
}

#[test]
fn p1_template_pieces_do_not_run_together() {
    let joined = |a: &dyn KeyPart, text: &'static str, b: &dyn KeyPart| {
        let mut out = String::new();
        template(&["", text, ""], &[a, b], &mut out).unwrap();
        out
    };
    assert_eq!(joined(&"x", "-", &"y"), "x-y");
    assert_ne!(joined(&"x-y", "-", &"z"), joined(&"x", "-", &"y-z"));
    assert_ne!(joined(&1, "0", &101), joined(&101, "0", &1));
    assert_ne!(
        joined(&["a", "b,c"], ",", &"d"),
        joined(&["a", "b"], ",", &"c,d")
    );
    // Nothing needs escaping where a `:` separates, or where nothing follows.
    assert_eq!(joined(&"x-y", ":", &"z"), "x-y:z");
    assert_eq!(joined(&"x-y", "-:", &"z"), "x-y-:z");
    let mut out = String::new();
    template(&["", "-end"], &[&"x-y"], &mut out).unwrap();
    assert_eq!(out, "x-y-end");
}

#[test]
fn a_value_that_cannot_be_written_is_an_error() {
    struct Refuses;
    impl Serialize for Refuses {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no"))
        }
    }
    struct Panics;
    impl Serialize for Panics {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            panic!("on command")
        }
    }
    #[derive(Serialize)]
    struct Deep(Option<Box<Self>>);
    let deep = |levels| (0..levels).fold(Deep(None), |inner, _| Deep(Some(Box::new(inner))));

    let failed = |value: &dyn KeyPart| {
        let error = arguments(&[value], &mut String::new()).unwrap_err();
        assert_eq!(
            template(&["", ""], &[value], &mut String::new()),
            Err(error.clone())
        );
        error.to_string()
    };
    assert_eq!(failed(&Refuses), "an argument cannot be serialized: no");
    assert_eq!(failed(&vec![Panics]), "an argument's `Serialize` panicked");
    assert_eq!(
        failed(&deep(200)),
        "an argument is nested deeper than 64 levels"
    );
    assert!(arg(deep(30)).starts_with("some(some("));
    // A list of lists does not get through either, on a stack as small as a thread's may be.
    let lists = |levels| (0..levels).fold(Data::None, |inner, _| Data::Seq(vec![inner]));
    let small = std::thread::Builder::new().stack_size(512 << 10);
    let run = move || {
        assert_eq!(arg(lists(64)).len(), 64 + 4 + 64);
        arguments(&[&lists(65)], &mut String::new()).unwrap_err()
    };
    assert_eq!(
        small.spawn(run).unwrap().join().unwrap().to_string(),
        "an argument is nested deeper than 64 levels"
    );
}
