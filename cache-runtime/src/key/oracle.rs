//! A second opinion on keys, for tests and the fuzzer: any value that serde can describe, and a reader that gets it back
//! from a key. What a reader gets back from the text alone cannot share that text with anything else.

mod read;

use serde::ser::{
    Serialize, SerializeMap as _, SerializeSeq as _, SerializeStruct as _,
    SerializeStructVariant as _, SerializeTuple as _, SerializeTupleStruct as _,
    SerializeTupleVariant as _, Serializer,
};

use super::{CacheKey, KeyPart, joined, template};
use read::{read_argument, read_piece};

/// A value in serde's data model. Names of types are left out, for no key holds them.
#[derive(Debug, Clone)]
pub(crate) enum Data {
    Bool(bool),
    Signed(i128),
    Unsigned(u128),
    Narrow(i8),
    F32(f32),
    F64(f64),
    Char(char),
    Str(String),
    Bytes(Vec<u8>),
    None,
    Some(Box<Self>),
    Unit,
    UnitStruct,
    UnitVariant(&'static str),
    Newtype(Box<Self>),
    NewtypeVariant(&'static str, Box<Self>),
    Seq(Vec<Self>),
    Tuple(Vec<Self>),
    TupleStruct(Vec<Self>),
    TupleVariant(&'static str, Vec<Self>),
    Map(Vec<(Self, Self)>),
    Struct(Vec<(&'static str, Self)>),
    StructVariant(&'static str, Vec<(&'static str, Self)>),
}

impl Serialize for Data {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bool(v) => s.serialize_bool(*v),
            Self::Signed(v) => s.serialize_i128(*v),
            Self::Unsigned(v) => s.serialize_u128(*v),
            Self::Narrow(v) => s.serialize_i8(*v),
            Self::F32(v) => s.serialize_f32(*v),
            Self::F64(v) => s.serialize_f64(*v),
            Self::Char(v) => s.serialize_char(*v),
            Self::Str(v) => s.serialize_str(v),
            Self::Bytes(v) => s.serialize_bytes(v),
            Self::None => s.serialize_none(),
            Self::Some(v) => s.serialize_some(v),
            Self::Unit => s.serialize_unit(),
            Self::UnitStruct => s.serialize_unit_struct("S"),
            Self::UnitVariant(name) => s.serialize_unit_variant("E", 0, name),
            Self::Newtype(v) => s.serialize_newtype_struct("N", v),
            Self::NewtypeVariant(name, v) => s.serialize_newtype_variant("E", 0, name, v),
            Self::Seq(all) => {
                let mut seq = s.serialize_seq(None)?;
                all.iter().try_for_each(|v| seq.serialize_element(v))?;
                seq.end()
            }
            Self::Tuple(all) => {
                let mut tuple = s.serialize_tuple(all.len())?;
                all.iter().try_for_each(|v| tuple.serialize_element(v))?;
                tuple.end()
            }
            Self::TupleStruct(all) => {
                let mut tuple = s.serialize_tuple_struct("T", all.len())?;
                all.iter().try_for_each(|v| tuple.serialize_field(v))?;
                tuple.end()
            }
            Self::TupleVariant(name, all) => {
                let mut tuple = s.serialize_tuple_variant("E", 0, name, all.len())?;
                all.iter().try_for_each(|v| tuple.serialize_field(v))?;
                tuple.end()
            }
            Self::Map(all) => {
                let mut map = s.serialize_map(None)?;
                all.iter()
                    .try_for_each(|(k, v)| map.serialize_entry(k, v))?;
                map.end()
            }
            Self::Struct(all) => {
                let mut fields = s.serialize_struct("S", all.len())?;
                all.iter()
                    .try_for_each(|(k, v)| fields.serialize_field(k, v))?;
                fields.end()
            }
            Self::StructVariant(name, all) => {
                let mut fields = s.serialize_struct_variant("E", 0, name, all.len())?;
                all.iter()
                    .try_for_each(|(k, v)| fields.serialize_field(k, v))?;
                fields.end()
            }
        }
    }
}

/// What of a value a key must tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Canon {
    /// A number, a bool or `null`, as text.
    Plain(String),
    Str(String),
    Bytes(Vec<u8>),
    Some(Box<Self>),
    Unit,
    Variant(String, Option<Box<Self>>),
    /// What a newtype variant holds, apart from a tuple variant's one member.
    Content(Box<Self>),
    Seq(Vec<Self>),
    Tuple(Vec<Self>),
    Map(Vec<(Self, Self)>),
    Struct(Vec<(String, Self)>),
}

fn plain(value: impl std::fmt::Debug) -> Canon {
    Canon::Plain(format!("{value:?}"))
}

impl Data {
    pub(crate) fn canon(&self) -> Canon {
        let all = |all: &[Self]| all.iter().map(Self::canon).collect();
        let fields = |all: &[(&str, Self)]| {
            Canon::Struct(
                all.iter()
                    .map(|(k, v)| ((*k).to_owned(), v.canon()))
                    .collect(),
            )
        };
        let variant =
            |name: &str, content| Canon::Variant(name.to_owned(), Some(Box::new(content)));
        match self {
            Self::Bool(v) => plain(v),
            Self::Signed(v) => plain(v),
            Self::Unsigned(v) => plain(v),
            Self::Narrow(v) => plain(v),
            // As text the two zeros differ, and all NaN are one.
            Self::F64(v) => plain(v),
            Self::F32(v) if v.is_nan() => plain(f64::NAN),
            Self::F32(v) => match v.to_string().parse() == Ok(f64::from(*v)) {
                true => plain(v),
                false => Canon::Plain(format!("{v:?}f32")),
            },
            Self::Char(v) => Canon::Str(v.to_string()),
            Self::Str(v) => Canon::Str(v.clone()),
            Self::Bytes(v) => Canon::Bytes(v.clone()),
            Self::None => Canon::Plain("null".to_owned()),
            Self::Some(v) => match v.canon() {
                none if none == Canon::Plain("null".to_owned()) => Canon::Some(Box::new(none)),
                some @ Canon::Some(_) => Canon::Some(Box::new(some)),
                other => other,
            },
            Self::Unit | Self::UnitStruct => Canon::Unit,
            Self::UnitVariant(name) => Canon::Variant((*name).to_owned(), None),
            Self::Newtype(v) => v.canon(),
            Self::NewtypeVariant(name, v) => variant(name, Canon::Content(Box::new(v.canon()))),
            Self::Seq(v) => Canon::Seq(all(v)),
            Self::Tuple(v) | Self::TupleStruct(v) => Canon::Tuple(all(v)),
            Self::TupleVariant(name, v) => variant(name, Canon::Tuple(all(v))),
            Self::Map(entries) => Canon::Map(sorted(
                entries
                    .iter()
                    .map(|(k, v)| (k.canon(), v.canon()))
                    .collect(),
            )),
            Self::Struct(v) => fields(v),
            Self::StructVariant(name, v) => variant(name, fields(v)),
        }
    }

    /// Any value, told by any bytes: the fuzzer's way to one.
    pub(crate) fn from_bytes(bytes: &mut &[u8], depth: u32) -> Self {
        const NAMES: [&str; 8] = ["a", "Fr", "", "null", "a=b", "x,y", "(", "some"];
        let name = |bytes: &mut &[u8]| NAMES[usize::from(next(bytes)) % NAMES.len()];
        let boxed = |bytes: &mut &[u8]| Box::new(Self::from_bytes(bytes, depth - 1));
        let many = |bytes: &mut &[u8]| {
            let len = next(bytes) % 4;
            (0..len)
                .map(|_| Self::from_bytes(bytes, depth - 1))
                .collect::<Vec<_>>()
        };
        let fields = |bytes: &mut &[u8]| {
            let len = next(bytes) % 4;
            (0..len)
                .map(|_| (name(bytes), Self::from_bytes(bytes, depth - 1)))
                .collect::<Vec<_>>()
        };
        match next(bytes) % if depth == 0 { 13 } else { 24 } {
            0 => Self::Bool(next(bytes) < 128),
            1 => Self::Signed(i128::from_le_bytes(array(bytes))),
            2 => Self::Unsigned(u128::from_le_bytes(array(bytes))),
            3 => Self::Narrow(next(bytes).cast_signed()),
            // One in sixteen is a zero, which hardly any four or eight bytes are.
            4 | 5 if bytes.first().is_some_and(|byte| byte % 16 == 0) => match next(bytes) / 16 {
                0..4 => Self::F64(0.0),
                4..8 => Self::F64(-0.0),
                8..12 => Self::F32(0.0),
                _ => Self::F32(-0.0),
            },
            4 => Self::F32(f32::from_le_bytes(array(bytes))),
            5 => Self::F64(f64::from_le_bytes(array(bytes))),
            6 => Self::Char(char::from(next(bytes))),
            7 | 8 => {
                let len = usize::from(next(bytes) % 16).min(bytes.len());
                let (text, rest) = bytes.split_at(len);
                *bytes = rest;
                Self::Str(String::from_utf8_lossy(text).into_owned())
            }
            9 => Self::Bytes(array::<3>(bytes).into()),
            10 => Self::None,
            11 => Self::UnitStruct,
            12 => Self::UnitVariant(name(bytes)),
            13 => Self::Some(boxed(bytes)),
            14 => Self::Unit,
            15 => Self::Newtype(boxed(bytes)),
            16 => Self::NewtypeVariant(name(bytes), boxed(bytes)),
            17 => Self::Seq(many(bytes)),
            18 => Self::Tuple(many(bytes)),
            19 => Self::TupleVariant(name(bytes), many(bytes)),
            20 => Self::Map(many(bytes).into_iter().zip(many(bytes)).collect()),
            21 => Self::Struct(fields(bytes)),
            22 => Self::TupleStruct(many(bytes)),
            _ => Self::StructVariant(name(bytes), fields(bytes)),
        }
    }
}

fn next(bytes: &mut &[u8]) -> u8 {
    bytes.split_off_first().copied().unwrap_or_default()
}

fn array<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    std::array::from_fn(|_| next(bytes))
}

/// By key, entries of one key in the order in which they came.
fn sorted(mut entries: Vec<(Canon, Canon)>) -> Vec<(Canon, Canon)> {
    entries.sort_by_cached_key(|(k, _)| format!("{k:?}"));
    entries
}

/// Panics unless the values can be read back from their key, alone and in a template.
pub(crate) fn check(values: &[Data]) {
    let canon: Vec<Canon> = values.iter().map(Data::canon).collect();

    let parts: Vec<&dyn KeyPart> = values.iter().map(|value| value as &dyn KeyPart).collect();
    let mut key = String::new();
    joined(&parts, &mut key).expect("nothing here fails");
    assert_is_a_key(&format!("app.f:{key}"));
    let read: Option<Vec<Canon>> = key.split(':').map(read_argument).collect();
    if !values.is_empty() {
        assert_eq!(read.as_ref(), Some(&canon), "read back from {key:?}");
    }

    let literals = ["-", ":", ".x", "0", "A", "_", "=(", "n", "[", "–"];
    let mut key = String::new();
    let between = |n| literals[(n + values.len()) % literals.len()];
    let mut around: Vec<&str> = (0..values.len()).map(between).collect();
    around.push("");
    around[0] = "";
    template(&around, &parts, &mut key).expect("nothing here fails");
    if !key.is_empty() {
        assert_is_a_key(&key);
    }
    let mut rest = key.as_str();
    for (n, value) in canon.iter().enumerate() {
        let literal =
            (n + 1 < canon.len()).then(|| literals[(n + 1 + values.len()) % literals.len()]);
        let read = read_piece(
            &mut rest,
            literal.and_then(|literal| literal.chars().next()),
        );
        assert_eq!(read, bare(value), "piece {n} read back from {key:?}");
        assert!(!read.is_empty(), "piece {n} of {key:?} is nothing");
        rest = rest
            .strip_prefix(literal.unwrap_or_default())
            .unwrap_or_else(|| panic!("after piece {n} of {key:?} follows {rest:?}"));
    }
    for mark in ["%t", "%l", "{", "}"] {
        assert!(!key.contains(mark), "{mark} in {key:?}");
    }
}

/// What was written as a key is one where it is given as text.
fn assert_is_a_key(key: &str) {
    let text = CacheKey::from(key).into_text();
    assert!(text.is_ok_and(|text| *text == key), "{key:?} is no key");
}

/// What a template tells of a value: a scalar's characters, or all of it.
fn bare(value: &Canon) -> String {
    match value {
        Canon::Plain(text) if text != "null" => text.trim_end_matches("f32").to_owned(),
        Canon::Str(text) | Canon::Variant(text, None) if !text.is_empty() => text.clone(),
        Canon::Variant(_, None) => bare(&Canon::Str(String::new())),
        other => format!("%{other:?}"),
    }
}
