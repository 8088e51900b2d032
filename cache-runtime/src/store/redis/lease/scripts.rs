//! The scripts that compare a lease or a lock with what is in Redis.
//!
//! The one rule: **a script compares and changes in one step**, so that nothing happens between the two.

use super::super::{gate::Urgency, request::Script, retry::Repeat};
use crate::{
    error::{Error, ErrorKind},
    value::header::STORED_AT,
};

// `stamped.lua` says these numbers.
const _: () = assert!(STORED_AT.start == 5 && STORED_AT.end == 13);

// The scripts begin with what their KEYS and ARGV are. All of them may be sent again, because they compare or come to the
// same; and only a put is worth asking a server that the breaker has given up.

pub(super) static ACQUIRE: Script = Script::new(
    0,
    include_str!("acquire.lua"),
    Repeat::Safe,
    Urgency::Ordinary,
);

pub(super) static STORE: Script = Script::new(
    1,
    concat!(include_str!("stamped.lua"), include_str!("store.lua")),
    Repeat::Safe,
    Urgency::Ordinary,
);

pub(super) static RELEASE: Script = Script::new(
    2,
    include_str!("release.lua"),
    Repeat::Safe,
    Urgency::Ordinary,
);

pub(super) static PUT: Script = Script::new(
    3,
    concat!(include_str!("stamped.lua"), include_str!("put.lua")),
    Repeat::Safe,
    Urgency::Urgent,
);

pub(super) static RENEW: Script = Script::new(
    4,
    include_str!("renew.lua"),
    Repeat::Safe,
    Urgency::Ordinary,
);

pub(super) fn unexpected() -> Error {
    Error::new(
        ErrorKind::Server,
        "redis answered a script with a reply of another kind",
    )
}
