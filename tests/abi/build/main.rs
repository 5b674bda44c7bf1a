//! Lists every public item of the ABI, from its source, as Rust code that evaluates its layout or value.

#![allow(unreachable_pub, reason = "the parser is shared with the library")]

mod generate;
mod source;

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join("../../hypercall/src/abi");
    println!("cargo::rerun-if-changed={}", root.display());
    println!("cargo::rerun-if-changed=build");
    let parsed = source::read(&root)?;
    let out = Path::new(&std::env::var("OUT_DIR")?).join("items.rs");
    std::fs::write(out, generate::items(&parsed))?;
    Ok(())
}
