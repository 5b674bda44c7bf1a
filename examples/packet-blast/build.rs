//! Links guests at the address that xen-rt boots from.

fn main() {
    println!("cargo:rustc-link-arg-bins=-Txen-rt.x");
    println!("cargo:rustc-link-arg-bins=--no-pie");
}
