//! Any bytes under a key are a value, a `None` or an error.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cache_runtime::fuzzing::decode(bytes));
