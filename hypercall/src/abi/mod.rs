//! Xen's public interface as a guest sees it, one module per public header.
//!
//! Names are Xen's own without the prefix, in Rust case. Each item's doc ends with its origin, the C name
//! and the header, which `tests/abi` reads to compare sizes, offsets and values with Xen's own headers.
//!
//! Rules: `repr(C)` or `repr(transparent)`, explicit padding, integer newtypes instead of enums, `bitflags`
//! for flag words, raw pointers for guest handles (so that a simulator can follow them), everything `pub`.
//! Where x86-64 and ARM64 differ, each has its own type in `x86` or `arm`, always compiled, and
//! `arch` is the one of the target.

pub mod errno;
mod number;

pub use number::Number;
