//! The Linux guest of a benchmark, whose init is a static program of the workspace.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::boot::GuestSpec;
use crate::linux::{self, Init};
use crate::progress::Progress;

/// The package, and its program.
const PROGRAM: &str = "linux-bench";

/// What Linux calls itself.
pub(super) fn version(progress: &Progress) -> Result<String> {
    linux::version(progress)
}

/// Builds the program, which is the guest's init and also what runs in domain 0.
pub(super) fn program(progress: &Progress) -> Result<PathBuf> {
    linux::program(PROGRAM, progress)
}

/// Describes the guest, with the modules that the program loads; `more` is added to the kernel's command line.
pub(super) fn guest(program: &Path, modules: &[&str], more: &str, progress: &Progress) -> Result<GuestSpec> {
    let guest = linux::guest("linux", Init::Program(program), modules, progress)?;
    Ok(GuestSpec { arguments: format!("{} {more}", guest.arguments).trim_end().to_owned(), ..guest })
}
