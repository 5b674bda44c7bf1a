//! Which headers are compared, and where they are.

use crate::Architecture;
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::sync::OnceLock;

/// A public header that the ABI covers.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// Its path below `xen/`.
    pub path: &'static str,
    /// The one architecture that has it; nothing for both.
    pub architecture: Option<Architecture>,
}

/// The headers that the ABI covers; all others are in `excluded.txt`.
pub const COVERED: &[Header] = &[
    both("xen.h"),
    only("arch-x86/xen.h", Architecture::X86),
    only("arch-x86/xen-x86_64.h", Architecture::X86),
    only("arch-x86/cpuid.h", Architecture::X86),
    only("arch-x86/hvm/start_info.h", Architecture::X86),
    only("arch-arm.h", Architecture::Arm),
    both("callback.h"),
    both("elfnote.h"),
    both("errno.h"),
    both("event_channel.h"),
    both("features.h"),
    both("grant_table.h"),
    both("hvm/hvm_op.h"),
    only("hvm/hvm_vcpu.h", Architecture::X86),
    both("hvm/params.h"),
    both("io/blkif.h"),
    both("io/console.h"),
    both("io/netif.h"),
    both("io/xenbus.h"),
    both("io/xs_wire.h"),
    both("memory.h"),
    both("nmi.h"),
    both("physdev.h"),
    both("sched.h"),
    both("vcpu.h"),
    both("version.h"),
];

/// The covered headers of an architecture, in an order in which C accepts them.
pub fn covered(architecture: Architecture) -> impl Iterator<Item = &'static str> {
    COVERED
        .iter()
        .filter(move |header| header.architecture.is_none_or(|only| only == architecture))
        .map(|header| header.path)
}

/// The folder that holds `xen/xen.h`.
///
/// # Errors
///
/// When the distribution's package cannot be fetched.
pub fn folder() -> Result<PathBuf> {
    static FOUND: Found = Found::new();
    once(&FOUND, find)
}

/// A path that was looked for, or why it was not found.
pub(crate) type Found = OnceLock<Result<PathBuf, String>>;

/// Looks for a path once per process: the tests of one run should not unpack the same package side by side.
pub(crate) fn once(found: &Found, find: impl FnOnce() -> Result<PathBuf>) -> Result<PathBuf> {
    let found = found.get_or_init(|| find().map_err(|error| format!("{error:#}")));
    found.clone().map_err(anyhow::Error::msg)
}

fn find() -> Result<PathBuf> {
    match std::env::var_os("XEN_HEADERS") {
        Some(folder) => Ok(folder.into()),
        None => xtask::xen_headers().context("Xen's headers are missing; XEN_HEADERS can name a folder with xen/xen.h"),
    }
}

const fn both(path: &'static str) -> Header {
    Header { path, architecture: None }
}

const fn only(path: &'static str, architecture: Architecture) -> Header {
    Header { path, architecture: Some(architecture) }
}
