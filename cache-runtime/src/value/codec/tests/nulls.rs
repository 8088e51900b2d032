//! A `null` that reads back as something else: such a value is refused, and no other one is.

use std::collections::HashMap;
use std::fmt::Debug;

use serde::{Deserializer, Serializer};
use serde_json::{Value, json};

use super::*;

const NOT_FINITE: [f64; 4] = [f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY];

fn is_lost<V: Cacheable>(value: V) -> bool {
    let codec = Codec::json();
    match codec.encode(&value, usize::MAX) {
        Err(CodecError::Lost) => true,
        encoded => {
            encoded.expect("JSON");
            false
        }
    }
}

#[track_caller]
fn comes_back<V: Cacheable + Debug + PartialEq>(value: V) {
    let codec = Codec::json();
    let json = codec.encode(&value, usize::MAX).expect("JSON");
    assert_eq!(codec.decode(&json).expect("the same"), value);
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Unit;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Newtype<T>(T);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Pair<T>(T, T);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Shape<T> {
    Point,
    Circle(T),
    Line(T, T),
    Rect { width: T, height: T },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged<T> {
    Point { x: T },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Flat<T> {
    id: u8,
    #[serde(flatten)]
    rest: BTreeMap<String, T>,
}

/// Wherever a value of this type can stand in another.
fn is_lost_everywhere<T: Cacheable>(value: impl Fn() -> T) {
    assert!(is_lost(vec![value()]));
    assert!(is_lost((1, value())));
    assert!(is_lost([value()]));
    assert!(is_lost(Newtype(value())));
    assert!(is_lost(Pair(value(), value())));
    assert!(is_lost(BTreeMap::from(
        [("a", value())].map(|(name, value)| (name.to_owned(), value))
    )));
    assert!(is_lost(HashMap::from([(1, vec![value()])])));
    assert!(is_lost(Shape::Circle(value())));
    assert!(is_lost(Shape::Line(value(), value())));
    assert!(is_lost(Shape::Rect {
        width: value(),
        height: value()
    }));
    assert!(is_lost(Tagged::Point { x: value() }));
    let rest = BTreeMap::from([("a".to_owned(), value())]);
    assert!(is_lost(Flat { id: 1, rest }));
    assert!(is_lost(Some(Box::new(Shape::Circle(value())))));
}

#[test]
fn a_number_that_is_not_finite_is_lost_wherever_it_stands() {
    for number in NOT_FINITE {
        assert!(is_lost(number));
        assert!(is_lost(number as f32));
        assert!(is_lost(Some(number)));
        assert!(is_lost(vec![Some(1.5), None, Some(number)]));
        is_lost_everywhere(|| number);
        is_lost_everywhere(|| number as f32);
        is_lost_everywhere(|| Some(number));
    }
}

#[test]
fn a_some_of_nothing_is_lost_wherever_it_stands() {
    assert!(is_lost(Some(None::<u8>)));
    assert!(is_lost(Some(())));
    assert!(is_lost(Some(Unit)));
    assert!(is_lost(Some(Newtype(()))));
    assert!(is_lost(Some(Value::Null)));
    assert!(is_lost(Some(Some(Some(None::<u8>)))));
    is_lost_everywhere(|| Some(None::<u8>));
    is_lost_everywhere(|| Some(Value::Null));
}

#[test]
fn every_other_null_comes_back() {
    comes_back(None::<u8>);
    comes_back(None::<Option<u8>>);
    comes_back(Some(Some(1)));
    comes_back(());
    comes_back(Unit);
    comes_back(Newtype(()));
    comes_back(Value::Null);
    comes_back(json!({"a": [null, 1.5, "null", {}], "null": null}));
    comes_back(vec![
        None,
        Some(f64::MAX),
        Some(f64::MIN_POSITIVE),
        Some(-0.0),
    ]);
    comes_back(vec![None, Some(f32::MAX), Some(-f32::MIN_POSITIVE)]);
    comes_back(Some("null".to_owned()));
    comes_back(Shape::Rect {
        width: Some(1),
        height: None,
    });
    comes_back(vec![Shape::Point, Shape::Circle(None::<u8>)]);
    let rest = BTreeMap::from([("a".to_owned(), None), ("b".to_owned(), Some(1))]);
    comes_back(Flat { id: 1, rest });
    comes_back((i128::MIN, u128::MAX, None::<char>, 'a', true));
}

/// How a user mends it: the type says what a `null` stands for.
#[derive(Debug, Serialize, Deserialize)]
struct Measured {
    #[serde(deserialize_with = "nan_of_null")]
    value: f64,
    /// What is missing is `None`, what is `null` is `Some(None)`.
    #[serde(
        default,
        deserialize_with = "some_of_null",
        skip_serializing_if = "Option::is_none"
    )]
    unit: Option<Option<String>>,
    comment: Option<String>,
}

fn nan_of_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let number = Option::deserialize(deserializer)?;
    Ok(number.unwrap_or(f64::NAN))
}

fn some_of_null<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

#[test]
fn what_a_type_reads_back_by_itself_is_not_lost() {
    let measured = |value, unit| Measured {
        value,
        unit,
        comment: None,
    };
    assert!(!is_lost(measured(f64::NAN, None)));
    assert!(!is_lost(measured(1.0, Some(None))));
    assert!(!is_lost(vec![measured(f64::NAN, Some(None))]));
    let many = (0..100).map(|id| (id, measured(f64::NAN, Some(None))));
    assert!(!is_lost(many.collect::<HashMap<u8, _>>()), "in any order");
    // An infinity comes back as NaN.
    assert!(is_lost(measured(f64::INFINITY, None)));
    assert!(is_lost(vec![
        measured(f64::NAN, None),
        measured(f64::INFINITY, None)
    ]));
}

/// Its `Serialize` says `null`, which its `Deserialize` does not take.
#[derive(Debug)]
struct OneWay;

impl Serialize for OneWay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_none()
    }
}

impl<'de> Deserialize<'de> for OneWay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|_| Self)
    }
}

/// Else a function that returns `Option<OneWay>` would find its `None` there.
#[test]
fn a_null_that_its_type_does_not_read_is_lost() {
    assert!(is_lost(OneWay));
    assert!(is_lost(Some(OneWay)));
}

#[test]
fn a_value_that_is_forgotten_the_type_of_is_looked_at_as_well() {
    let encode = Codec::<Option<f64>>::json().encode_kept();
    assert_eq!(encode(&Some(1.5)).as_deref(), Some(b"1.5".as_slice()));
    assert_eq!(encode(&Some(f64::NAN)), None);
    assert_eq!(encode(&None::<f64>).as_deref(), Some(b"null".as_slice()));
}

proptest! {
    #[test]
    fn a_value_is_lost_or_comes_back(bits in vec(prop::option::of(any::<u64>()), 0..5)) {
        let values: Vec<_> = bits.iter().map(|bits| bits.map(f64::from_bits)).collect();
        let lost = values.iter().flatten().any(|value| !value.is_finite());
        prop_assert_eq!(is_lost(values.clone()), lost);
        if !lost {
            comes_back(values);
        }
    }
}
