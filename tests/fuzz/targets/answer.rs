#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| petit_engine::fuzzing::answer(bytes));
