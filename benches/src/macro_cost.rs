//! What an attribute costs when it is compiled: time, lines, code, and the futures' sizes.
//!
//! **All contenders are compiled by the same commands**, in packages that this benchmark writes beside its own
//! build, with the versions of its own lock file.

mod build;
mod crates;
mod expansion;
mod futures;
mod program;

pub(crate) use self::build::compile_time;
pub(crate) use self::expansion::expansion;
pub(crate) use self::futures::futures;
pub(crate) use self::program::program_size;
