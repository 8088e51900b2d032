//! Each promise with each option, and with all of them together: what holds for `ttl` alone holds for every value,
//! whatever its age and whatever the attribute says of it.
#![allow(missing_docs)]

mod answers;
mod faults;
mod functions;
mod garbage;
mod storms;
