//! See `fuzz_tests::console`.

#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| {
    let _ = (fuzz_tests::console::TARGET.play)(script);
});
