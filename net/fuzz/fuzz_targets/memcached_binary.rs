//! Memcached's frames in pieces are what they are as a whole.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| net::fuzzing::memcached_binary(data));
