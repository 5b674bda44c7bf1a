//! The Linux guest of a benchmark, whose init is a static program of the workspace.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::boot::GuestSpec;
use crate::linux::{self, Init};
use crate::process;
use crate::progress::Progress;
use crate::workspace;

/// The package, and its program.
const PROGRAM: &str = "linux-bench";
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// What Linux calls itself.
pub(super) fn version(progress: &Progress) -> Result<String> {
    linux::version(progress)
}

/// Builds the program, which is the guest's init and also what runs in domain 0.
///
/// It is linked statically, as neither place has libraries for it.
pub(super) fn program(progress: &Progress) -> Result<PathBuf> {
    let step = progress.step("build", format!("building {PROGRAM}"));
    let mut command = workspace::cargo()?;
    command.args(["build", "--release", "--quiet", "--target", TARGET, "--package", PROGRAM]);
    command.env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS", "-Ctarget-feature=+crt-static");
    workspace::build_quickly(&mut command).env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
    let folder = super::folder("build")?;
    command.env("CARGO_TARGET_DIR", &folder);
    process::output(command)?;
    let file = folder.join(TARGET).join("release").join(PROGRAM);
    step.done(format!("{PROGRAM} built, {}", process::size(fs::metadata(&file)?.len())));
    Ok(file)
}

/// Describes the guest, with the modules that the program loads; `more` is added to the kernel's command line.
pub(super) fn guest(program: &Path, modules: &[&str], more: &str, progress: &Progress) -> Result<GuestSpec> {
    let guest = linux::guest("linux", Init::Program(program), modules, progress)?;
    Ok(GuestSpec { arguments: format!("{} {more}", guest.arguments).trim_end().to_owned(), ..guest })
}
