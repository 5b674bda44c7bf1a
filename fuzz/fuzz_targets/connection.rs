//! Scripts of what a daemon and its guest do to a connection, as far as coverage leads: `cargo +nightly fuzz run connection`, in
//! the folder above. What a script means, and what must hold, `tests/it/wire/mod.rs` says, which the ordinary tests run as well.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/it/wire/mod.rs"]
mod wire;

fuzz_target!(|script: &[u8]| {
    let _ = wire::play(script);
});
