//! See `fuzz_tests::responses`.

#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| {
    let _ = (fuzz_tests::responses::TARGET.play)(script);
});
