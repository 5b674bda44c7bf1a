fn main() {
    // Where Xen expects a guest; the script comes with xen-rt.
    println!("cargo:rustc-link-arg-bins=-Txen-rt.x");
    // It has no place for a relocation at run time.
    println!("cargo:rustc-link-arg-bins=--no-pie");
}
