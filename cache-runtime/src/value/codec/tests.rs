//! What is stored comes back; what is not is an error, never a panic.

mod nulls;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use serde::ser::SerializeSeq as _;
use serde::{Deserialize, Serialize};

use super::*;
use crate::value::header::{STORED_AT, Stamp, encode_none, header, payload_of};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct User {
    id: u64,
    name: String,
    tags: Vec<String>,
    score: f64,
    boss: Option<Box<Self>>,
}

fn user() -> User {
    let boss = User {
        id: 1,
        name: "\u{0}\"é".to_owned(),
        tags: vec![],
        score: -2.5,
        boss: None,
    };
    User {
        id: u64::MAX,
        name: "Zoë".to_owned(),
        tags: vec!["a".to_owned()],
        score: 5e-324,
        boss: Some(Box::new(boss)),
    }
}

/// What a function that returns `Option<V>` reads.
fn read<V: Cacheable>(bytes: &[u8]) -> Result<Option<V>, CodecError> {
    Codec::json().decode_optional(&Stored::parse(bytes)?)
}

fn plain(payload: &[u8]) -> Stored<'_> {
    Stored {
        payload,
        none: false,
        stamp: None,
    }
}

fn none() -> Stored<'static> {
    Stored {
        none: true,
        ..plain(b"null")
    }
}

#[test]
fn a_value_is_stored_as_serde_json_writes_it() {
    let codec = Codec::<User>::json();
    let bytes = codec.encode(&user(), usize::MAX).unwrap();
    assert_eq!(bytes, serde_json::to_vec(&user()).unwrap());
    assert_eq!(Stored::parse(&bytes).unwrap(), plain(&bytes));
    assert_eq!(codec.decode(&bytes).unwrap(), user());
    // Another program may lay it out otherwise.
    let pretty = serde_json::to_vec_pretty(&user()).unwrap();
    assert_eq!(codec.decode(&pretty).unwrap(), user());
}

#[test]
fn a_stored_none_is_no_json_and_comes_back() {
    let bytes = encode_none(None);
    assert_eq!(Stored::parse(&bytes).unwrap(), none());
    assert!(serde_json::from_slice::<serde_json::Value>(&bytes).is_err());
    assert_eq!(read::<User>(&bytes).unwrap(), None);
    // Also where `V` would take `null` for a value.
    assert_eq!(read::<Option<u8>>(&bytes).unwrap(), None);
}

#[test]
fn a_plain_null_is_a_value_where_the_type_has_one() {
    assert_eq!(read::<User>(b" null\n").unwrap(), None);
    assert_eq!(read::<Option<u8>>(b"null").unwrap(), Some(None));
    assert_eq!(read::<()>(b"null").unwrap(), Some(()));
    assert!(Codec::<User>::json().decode(b"null").is_err());
    assert!(read::<User>(b"nul").is_err());
}

#[test]
fn p10_a_later_release_may_add_fields_but_not_meaning() {
    // A field that this release does not know is skipped,
    assert_eq!(
        Stored::parse(b"\xc1\x01\x01\x03\x00abcnull").unwrap(),
        none()
    );
    // a version, a flag or a payload that it does not know is not.
    for newer in [
        b"\xc1\x02\x01\x00\x00null".as_slice(),
        b"\xc1\x01\x04\x00\x00null",
        b"\xc1\x01\x02\x13\x00nineteen bytes long1",
        b"\xc1\x01\x00\x00\x00null",
        b"\xc1\x01\x01\x00\x00{}",
        b"\xc1\x01\x01\xff\xffnull",
        b"\xc1\x01\x01",
        b"\xc1",
    ] {
        assert!(Stored::parse(newer).is_err(), "{}", newer.escape_ascii());
    }
}

#[test]
fn a_stamp_comes_back_and_a_longer_one_is_read() {
    let stamp = Stamp {
        stored_at: 1_800_000_000_123,
        fresh_for: Duration::from_millis(60_500),
        took: Duration::from_millis(7),
    };
    let codec = Codec::<User>::json();
    let bytes = codec.encode_after(header(false, Some(&stamp)), &user(), usize::MAX);
    let bytes = Bytes::from(bytes.unwrap());
    let stored = Stored::parse(&bytes).unwrap();
    assert_eq!((stored.stamp, stored.none), (Some(stamp), false));
    assert_eq!(bytes[STORED_AT], stamp.stored_at.to_le_bytes());
    assert_eq!(codec.decode(stored.payload).unwrap(), user());
    assert_eq!(payload_of(&bytes), serde_json::to_vec(&user()).unwrap());
    assert!(serde_json::from_slice::<serde_json::Value>(&bytes).is_err());

    let bytes = encode_none(Some(&stamp));
    let stored = Stored::parse(&bytes).unwrap();
    assert_eq!((stored.stamp, stored.none), (Some(stamp), true));
    assert_eq!(read::<User>(&bytes).unwrap(), None);

    // A later release's field, after those of this one.
    let mut longer = header(true, Some(&stamp));
    longer[3] += 2;
    longer.extend(b"xynull");
    assert_eq!(Stored::parse(&longer).unwrap().stamp, Some(stamp));
}

#[test]
fn p10_stamps_that_no_release_wrote_overflow_nothing() {
    let mut bytes = vec![0xc1, 1, 2, 20, 0];
    bytes.extend([0xff; 20]);
    bytes.extend(b"1");
    let stamp = Stored::parse(&bytes).unwrap().stamp.unwrap();
    let longest = Duration::from_millis(u64::MAX);
    // Of a clock that is far ahead: how old it is nobody knows, so it is as if its ttl had just ended.
    let aged = stamp.aged(0);
    assert_eq!((aged.age, aged.fresh_for), (longest, longest));
    assert_eq!(stamp.aged(u64::MAX).age, Duration::ZERO);
}

#[test]
fn p10_truncated_or_flipped_bytes_are_never_another_none() {
    let bytes = encode_none(None);
    for len in 0..bytes.len() {
        assert_ne!(
            Stored::parse(&bytes[..len]).ok(),
            Some(none()),
            "{len} bytes"
        );
    }
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let read = read::<serde_json::Value>(&flipped);
        assert!(read.is_err(), "bit {bit}: {read:?}");
    }
    assert!(read::<User>(&[bytes.as_slice(), b" "].concat()).is_err());
}

#[test]
fn p10_a_truncated_value_is_an_error() {
    let codec = Codec::<User>::json();
    let bytes = codec.encode(&user(), usize::MAX).unwrap();
    for len in 0..bytes.len() {
        assert!(read::<User>(&bytes[..len]).is_err(), "{len} bytes");
    }
    assert!(codec.decode(&[bytes.as_slice(), b"x"].concat()).is_err());
}

#[test]
fn p10_a_flipped_value_is_read_as_json_or_not_at_all() {
    let codec = Codec::<User>::json();
    let bytes = codec.encode(&user(), usize::MAX).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let json = serde_json::from_slice::<User>(&flipped).ok();
        assert_eq!(read::<User>(&flipped).ok(), json.map(Some), "bit {bit}");
    }
}

#[test]
fn p10_other_types_json_is_an_error() {
    let codec = Codec::<User>::json();
    for json in [
        "1",
        "\"a\"",
        "[]",
        "{}",
        "true",
        "[1,\"a\"]",
        "{\"id\":\"1\"}",
        "1e999",
        "{\"id\":1,\"id\":1}",
    ] {
        assert!(
            matches!(codec.decode(json.as_bytes()), Err(CodecError::Json(_))),
            "{json}"
        );
    }
    assert!(Codec::<u8>::json().decode(b"256").is_err());
    assert!(Codec::<String>::json().decode(b"\"\xff\"").is_err());
}

#[test]
fn p10_nesting_is_bounded() {
    #[derive(Debug, Deserialize, Serialize)]
    struct Tree(Vec<Self>);
    let deep = "[".repeat(1_000_000);
    assert!(Codec::<Tree>::json().decode(deep.as_bytes()).is_err());
    assert!(
        Codec::<serde_json::Value>::json()
            .decode(deep.as_bytes())
            .is_err()
    );
}

#[test]
fn a_panic_in_a_values_code_is_an_error() {
    #[derive(Debug)]
    struct Panics;
    impl Serialize for Panics {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            panic!("on command")
        }
    }
    impl<'de> Deserialize<'de> for Panics {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            panic!("on command")
        }
    }
    let codec = Codec::<Panics>::json();
    assert!(matches!(
        codec.encode(&Panics, usize::MAX),
        Err(CodecError::Panicked)
    ));
    assert!(matches!(codec.decode(b"1"), Err(CodecError::Panicked)));
    assert!(matches!(
        codec.decode_optional(&plain(b"null")),
        Err(CodecError::Panicked)
    ));
    // JSON's own limits are errors as well.
    let map = BTreeMap::from([((1, 2), 3)]);
    assert!(matches!(
        Codec::<BTreeMap<(u8, u8), u8>>::json().encode(&map, usize::MAX),
        Err(CodecError::Json(_))
    ));
}

#[test]
fn a_codec_is_shared_whatever_it_encodes() {
    fn shared<T: Copy + Send + Sync>(_: T) {}
    shared(Codec::<Cell<u8>>::json());
}

#[test]
fn a_value_is_written_up_to_its_bound_and_no_further() {
    let codec = Codec::<Vec<u8>>::json();
    let header = header(true, None);
    for value in [vec![], vec![1], vec![200; 100]] {
        let json = serde_json::to_vec(&value).unwrap();
        let most = json.len();
        assert_eq!(codec.encode(&value, most).unwrap(), json);
        // What stands before the JSON does not count.
        let bytes = codec.encode_after(header.clone(), &value, most).unwrap();
        assert_eq!(bytes, [header.as_slice(), &json].concat());
        for most in 0..most {
            let refused = codec.encode(&value, most);
            assert!(
                matches!(refused, Err(CodecError::TooLarge { most: told }) if told == most),
                "{refused:?}"
            );
        }
    }
}

/// Counts how many of its elements were asked for.
#[derive(Debug)]
struct Watched(Cell<usize>);

impl Serialize for Watched {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((0..1_000_000).inspect(|_| self.0.set(self.0.get() + 1)))
    }
}

impl<'de> Deserialize<'de> for Watched {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        unreachable!("it is never read")
    }
}

#[test]
fn a_value_that_is_too_large_is_not_asked_for_the_rest() {
    let value = Watched(Cell::new(0));
    let refused = Codec::json().encode(&value, 100);
    assert!(matches!(refused, Err(CodecError::TooLarge { most: 100 })));
    assert!(value.0.get() < 100, "{} elements", value.0.get());
}

/// Swallows the error that ends it.
#[derive(Debug, Deserialize)]
struct Stubborn;

impl Serialize for Stubborn {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        let _ = list.serialize_element("too long");
        list.end()
    }
}

#[test]
fn a_value_that_ignores_its_bound_is_not_written_in_part() {
    let refused = Codec::json().encode(&Stubborn, 5);
    assert!(matches!(refused, Err(CodecError::TooLarge { most: 5 })));
}

/// Memory that decoding takes beyond the input, by the largest capacity that serde could be talked into.
#[test]
fn p10_a_length_in_the_input_reserves_nothing() {
    let codec = Codec::<Vec<[u64; 32]>>::json();
    let row = format!("[{}]", vec!["0"; 32].join(","));
    let json = format!("[{row},{row}]");
    assert!(codec.decode(json.as_bytes()).unwrap().capacity() * 256 < 64 * json.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn p10_random_bytes_never_panic(mut bytes in vec(any::<u8>(), 0..200), header in 0..4_u8) {
        // Three quarters look like ours at first.
        let ours = [0xc1, 1, header];
        let len = ours.len().min(bytes.len());
        if header > 0 {
            bytes[..len].copy_from_slice(&ours[..len]);
        }
        if let Ok(Stored { payload, none: false, stamp: None }) = Stored::parse(&bytes) {
            prop_assert_eq!(payload, &bytes);
        }
        let _ = read::<User>(&bytes);
        let _ = read::<serde_json::Value>(&bytes);
    }

    #[test]
    fn a_float_comes_back_as_it_was(bits in any::<u64>()) {
        let value = f64::from_bits(bits);
        prop_assume!(value.is_finite());
        let codec = Codec::<f64>::json();
        prop_assert_eq!(codec.decode(&codec.encode(&value, usize::MAX).unwrap()).unwrap().to_bits(), bits);
    }
}
