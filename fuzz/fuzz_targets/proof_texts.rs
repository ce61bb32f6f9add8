#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| taonet_fuzz::proof_texts::check(input));
