//! Any value can be read back from its key, so no other has the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cache_runtime::fuzzing::key(bytes));
