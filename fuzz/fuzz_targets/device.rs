//! See `fuzz_tests::device`.

#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| {
    let _ = (fuzz_tests::device::TARGET.play)(script);
});
