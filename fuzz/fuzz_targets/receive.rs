//! See `fuzz_tests::receive`.

#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| {
    let _ = (fuzz_tests::receive::TARGET.play)(script);
});
