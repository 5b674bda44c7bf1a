//! Puts the linker script where a guest's `-Txen-rt.x` finds it.

use std::{env, fs, path::PathBuf};

fn main() {
    let directory = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::copy("xen-rt.x", directory.join("xen-rt.x")).expect("the linker script can be copied");
    println!("cargo:rustc-link-search={}", directory.display());
    println!("cargo:rerun-if-changed=xen-rt.x");
}
