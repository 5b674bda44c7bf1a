//! See `fuzz_tests::connection`.

#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| {
    let _ = (fuzz_tests::connection::TARGET.play)(script);
});
