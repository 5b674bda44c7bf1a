//! Where the tests get the C side from.

use anyhow::{Context, Result};
use std::path::PathBuf;

/// Compiles a program of the folder `c`, and returns where it is.
pub(crate) fn compile(source: &str, options: &[&str]) -> Result<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let program = folder.join(source.trim_end_matches(".c"));
    // Under a name of its own first: tests that run side by side may be running the program.
    let fresh = folder.join(format!("{source}.{}-{:?}", std::process::id(), std::thread::current().id()));
    differential_tests::c::compile(source, &headers()?, options, &fresh)?;
    std::fs::rename(&fresh, &program)?;
    Ok(program)
}

/// The folder that holds `xen/xen.h`: the distribution's, fetched where it is not there.
fn headers() -> Result<PathBuf> {
    match std::env::var_os("XEN_HEADERS") {
        Some(folder) => Ok(folder.into()),
        None => xtask::xen_headers().context("Xen's headers are missing; XEN_HEADERS can name a folder with xen/xen.h"),
    }
}
