//! LLVM's tools, of the version that the pinned toolchain counts for.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::progress::Progress;
use crate::{process, workspace};

/// The tools that the counters are read with.
#[derive(Debug)]
pub(crate) struct Tools {
    folder: PathBuf,
}

impl Tools {
    /// Finds the tools, adding them to the toolchain where rustup can; otherwise says why they are not there, and what to do.
    ///
    /// # Errors
    ///
    /// When the toolchain does not say where it is, or the user interrupts.
    pub(crate) fn ensure(progress: &Progress) -> Result<Result<Self, String>> {
        if Self::are_here()? || (process::find("rustup").is_some() && add(progress)? && Self::are_here()?) {
            return Ok(Ok(Self { folder: folder()? }));
        }
        Ok(Err("LLVM's tools are not here and could not be fetched; with a network: `rustup component add llvm-tools`"
            .into()))
    }

    /// Returns which lines of all files ran, by what a program left in `profile` with the ending `profraw`.
    ///
    /// # Errors
    ///
    /// When the tools fail, as they do on what another version has left.
    pub(crate) fn export(&self, program: &Path, profile: &Path) -> Result<String> {
        let (raw, merged) = (profile.with_extension("profraw"), profile.with_extension("profdata"));
        let mut merge = Command::new(self.folder.join("llvm-profdata"));
        merge.args(["merge", "-sparse"]).arg(raw).arg("-o").arg(&merged);
        process::output(merge)?;
        let mut export = Command::new(self.folder.join("llvm-cov"));
        export.args(["export", "-format=lcov", "-instr-profile"]).arg(merged).arg(program);
        process::output(export)
    }

    /// Returns whether nothing has to be fetched.
    ///
    /// # Errors
    ///
    /// When the toolchain does not say where it is.
    pub(crate) fn are_here() -> Result<bool> {
        let folder = folder()?;
        Ok(["llvm-cov", "llvm-profdata"].iter().all(|tool| folder.join(tool).is_file()))
    }
}

fn folder() -> Result<PathBuf> {
    let rustc = |words: &[&str]| {
        let mut command = Command::new("rustc");
        command.args(words).current_dir(crate::paths::workspace()?);
        process::output(command)
    };
    let root = rustc(&["--print", "sysroot"])?;
    let about = rustc(&["--version", "--verbose"])?;
    let host = about.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc does not name its host")?;
    Ok(Path::new(root.trim()).join("lib/rustlib").join(host).join("bin"))
}

fn add(progress: &Progress) -> Result<bool> {
    let mut command = Command::new("rustup");
    command.args(["component", "add", "llvm-tools"]);
    workspace::cargo()?.get_current_dir().map(|folder| command.current_dir(folder));
    progress.note("coverage", process::describe(&command));
    let listener = progress.clone();
    Ok(process::stream(command, None, move |line| listener.print(line))?.success())
}
