//! What the fuzz targets call; built with `--cfg fuzzing` only.

use serde::{Deserialize, Serialize};

use crate::key::oracle::{self, Data};
use crate::value::{codec::Codec, header::Stored};

/// Reads any bytes as stored ones. Panics where that would not be a clean answer.
pub fn decode(bytes: &[u8]) {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct User {
        id: u64,
        name: String,
        tags: Vec<Option<String>>,
        score: Option<f64>,
    }
    let Ok(stored) = Stored::parse(bytes) else {
        return;
    };
    if !stored.none && stored.stamp.is_none() {
        assert_eq!(
            stored.payload, bytes,
            "plain JSON is the whole of what is stored"
        );
    }
    let codec = Codec::<User>::json();
    if let Ok(Some(user)) = codec.decode_optional(&stored) {
        let again = codec
            .encode(&user, usize::MAX)
            .expect("what was read can be stored");
        assert_eq!(codec.decode(&again).expect("and read again"), user);
    }
    let _ = Codec::<serde_json::Value>::json().decode_optional(&stored);
}

/// Writes up to four values as a default key and as a template, and reads them back.
pub fn key(mut bytes: &[u8]) {
    let len = bytes.first().map_or(0, |byte| byte % 5);
    let values: Vec<Data> = (0..len).map(|_| Data::from_bytes(&mut bytes, 4)).collect();
    oracle::check(&values);
}
