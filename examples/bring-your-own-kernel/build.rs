//! Links the kernel at its own address. It has no linker script: where the builder loads it follows from the notes in `src/entry.rs`.

fn main() {
    println!("cargo:rustc-link-arg-bins=--image-base=0xffffffff80000000");
    // There is nobody who would relocate it.
    println!("cargo:rustc-link-arg-bins=--no-pie");
    println!("cargo:rerun-if-changed=build.rs");
}
