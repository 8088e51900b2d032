//! Keys and stored bytes that the next release must still write: a change here empties every cache on upgrade.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::*;
use crate::value::{codec::Codec, header::encode_none};

/// Compares with the golden file, or writes it where `GOLDEN=write` is set.
#[track_caller]
fn golden(name: &str, lines: &[String]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/golden")
        .join(name);
    let now = lines.join("\n") + "\n";
    if std::env::var("GOLDEN").is_ok_and(|value| value == "write") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, now).unwrap();
        return;
    }
    let pinned = std::fs::read_to_string(&path).unwrap_or_default();
    for (n, (pinned, now)) in pinned.lines().zip(now.lines()).enumerate() {
        assert_eq!(
            now,
            pinned,
            "line {} of {name}: what caches hold would be lost on upgrade; if that is meant, run with `GOLDEN=write` and say so in CHANGELOG.md",
            n + 1
        );
    }
    assert_eq!(
        now.lines().count(),
        pinned.lines().count(),
        "lines in {name}; run with `GOLDEN=write` to add some"
    );
}

#[test]
fn p10_keys_are_those_of_the_golden_file() {
    let mut lines = Vec::new();
    let mut pin = |what: &str, key: String| lines.push(format!("{what}\t{key}"));

    pin("bool", arg(true));
    pin("u64", arg(42_u64));
    pin("i8", arg(-42_i8));
    pin("i128", arg(i128::MIN));
    pin("f64", arg(0.1));
    pin("f64 whole", arg(-2.0));
    pin("f64 -0", arg(-0.0));
    pin("f64 large", arg(1e300));
    pin("f64 small", arg(f64::MIN_POSITIVE));
    pin("f64 nan", arg(f64::NAN));
    pin("f64 inf", arg(f64::NEG_INFINITY));
    pin("f32", arg(0.1_f32));
    pin("f32 exact", arg(0.5_f32));
    pin("f32 -0", arg(-0.0_f32));
    pin("f32 nan", arg(-f32::NAN));
    pin("char", arg('f'));
    pin("str", arg("fr"));
    pin("str escaped", arg("a:b %{x}\t\u{a0}\u{2028}é"));
    pin("str as number", arg("42"));
    pin("str as float", arg("1e5"));
    pin("str as inf", arg("infinity"));
    pin("str as null", arg("null"));
    pin("str as variant", arg(".Dot"));
    pin("str marked", arg("~x"));
    pin("str empty", arg(""));
    pin("bytes", arg(Bytes(&[0, 10, 255])));
    pin("none", arg(None::<u8>));
    pin("some", arg(Some(1)));
    pin("some none", arg(Some(None::<u8>)));
    pin("unit", arg(()));
    pin("unit struct", arg(Unit));
    pin("newtype", arg(Id(7)));
    pin("struct", arg(Point { x: 1, y: -2 }));
    pin("struct empty", arg(Empty {}));
    pin("unit variant", arg(Shape::Dot));
    pin("newtype variant", arg(Shape::Circle(1.5)));
    pin("tuple variant", arg(Shape::Rect(1, 2)));
    pin("tuple variant empty", arg(Shape::Nothing()));
    pin("struct variant", arg(Shape::At { x: 1 }));
    pin("struct variant empty", arg(Shape::Blank {}));
    pin("tuple", arg((1, "a,b", "42")));
    pin("tuple of one", arg((1,)));
    pin("array empty", arg([0_u8; 0]));
    pin("seq", arg(vec!["a", "", "(b)", "c=d"]));
    pin("seq empty", arg(Vec::<u8>::new()));
    pin("map", arg(BTreeMap::from([("b", 1), ("a", 2), ("10", 3)])));
    pin("map empty", arg(BTreeMap::<u8, u8>::new()));
    pin("many", args(&[&1, &"a", &None::<u8>, &vec![(1, 2)]]));
    pin("none at all", args(&[]));
    pin("long", arg("x".repeat(201)));
    pin("template str", piece("42"));
    pin("template empty", piece(""));
    pin("template none", piece(None::<u8>));
    pin("template -0", piece(-0.0));
    pin("template variant", piece(Shape::Dot));
    pin("template seq", piece(vec!["a", "42"]));
    pin("template bytes", piece(Bytes(&[1])));
    let mut out = String::new();
    template(&["", "-", ""], &[&"a-b", &"c-d"], &mut out).unwrap();
    pin("template border", out);
    for (path, types) in [
        ("app::users::get::here", &[][..]),
        (
            "app::Repo<_>::get::here",
            &["app::Repo<(u8, alloc::string::String)>"],
        ),
        (
            "<app::Repo as app::Get<u8>>::get::here",
            &["app::Repo", "[u8; 3]"],
        ),
        ("app::get::here", &["fn(&'_ str) -> u8"]),
    ] {
        let mut out = String::new();
        Namespace::of_path(path, "get")
            .write(types, &mut out)
            .unwrap();
        pin(path, out);
    }
    pin("token", lease_key("shop", "shop:app.f:1"));
    pin("token, tagged", lease_key("{shop}", "{shop}:app.f:1"));
    pin("token, odd", lease_key("shop", "shop:a}b"));

    golden("keys.txt", &lines);
}

#[test]
fn p10_stored_bytes_are_those_of_the_golden_file() {
    #[derive(Serialize, serde::Deserialize)]
    struct User {
        id: u64,
        name: String,
        score: f64,
        mail: Option<String>,
    }
    let user = User {
        id: 42,
        name: "Zoë \"Z\"".to_owned(),
        score: 0.1,
        mail: None,
    };
    let mut lines = Vec::new();
    let mut pin =
        |what: &str, bytes: Vec<u8>| lines.push(format!("{what}\t{}", bytes.escape_ascii()));
    pin(
        "struct",
        Codec::<User>::json().encode(&user, usize::MAX).unwrap(),
    );
    pin(
        "number",
        Codec::<f64>::json().encode(&-2.5, usize::MAX).unwrap(),
    );
    pin(
        "string",
        Codec::<String>::json()
            .encode(&"a\n".to_owned(), usize::MAX)
            .unwrap(),
    );
    pin("unit", Codec::<()>::json().encode(&(), usize::MAX).unwrap());
    pin("none", encode_none(None));
    golden("stored.txt", &lines);
}
