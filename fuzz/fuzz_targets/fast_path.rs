#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| instantly_proxy::proving::targets::fast_path(bytes));
