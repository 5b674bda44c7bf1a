#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod bench;
pub mod boot;
pub mod cache;
pub mod channel;
pub mod check;
pub mod cli;
pub mod coverage;
pub mod crash;
mod descendants;
pub mod diagnose;
pub mod doc;
pub mod doctor;
pub mod dom0;
pub mod elf;
pub mod fetch;
pub mod fuzz;
pub mod guests;
pub mod initramfs;
pub mod interrupt;
pub mod linux;
pub mod loom;
pub mod miri;
pub mod mutants;
pub mod network;
pub mod new;
pub mod packages;
pub mod paths;
mod picture;
pub mod process;
mod program;
pub mod progress;
pub mod qemu;
pub mod results;
pub mod run;
pub mod showcase;
pub mod soak;
pub mod source;
pub mod spelling;
pub mod status;
pub mod storm;
pub mod strip;
pub mod timeline;
pub mod workspace;
pub mod xen_log;

pub use packages::{aarch64_compiler, valgrind, xen_headers};
