//! Compares `xen_hypercall::abi` with Xen's own headers, on both architectures.
//!
//! The list of what is compared comes from the ABI's own source ([`source`], run by the build script), so nothing
//! can be forgotten. Sizes, offsets and values on our side are those of the compiled crate ([`item`]); on Xen's side
//! a C compiler of each architecture works them out from the headers ([`compiler`], [`probe`]). [`coverage`] goes the
//! other way: everything the headers define is in our list or in `excluded.txt`, with the reason.
//!
//! `XEN_HEADERS` (a folder with `xen/xen.h`), `CC`, `AARCH64_CC` and `X86_64_CC` override where headers and compilers come
//! from.

pub mod compare;
pub mod compiler;
pub mod coverage;
pub mod excluded;
pub mod headers;
pub mod item;
pub mod probe;
pub mod scan;
#[path = "../build/source/mod.rs"]
pub mod source;

pub use compare::{Mismatch, compare};
pub use compiler::Compiler;
pub use item::{Field, Item, Shape, items};
pub use source::{Architecture, History, View};
