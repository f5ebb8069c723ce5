//! `decode_differential` of `host/src/fuzz.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hotcall::fuzz::run("decode_differential", bytes));
