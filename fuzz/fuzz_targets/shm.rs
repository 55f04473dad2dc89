#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smolsmc_tests::fuzzing::shm(data));
