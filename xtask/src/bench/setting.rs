//! What was measured on.

use std::fs;
use std::process::Command;

use anyhow::Result;

use super::linux;
use crate::packages::{self, HYPERVISOR};
use crate::progress::Progress;
use crate::qemu::Program;
use crate::{paths, process};

/// What may make a difference: the versions of everything, and the machine.
pub(super) fn of(progress: &Progress) -> Result<Vec<(&'static str, String)>> {
    let mut git = Command::new("git");
    git.args(["describe", "--always", "--dirty"]).current_dir(paths::workspace()?);
    let commit = process::output(git).unwrap_or_else(|_| "unknown".to_owned());
    let mut rustc = Command::new("rustc");
    rustc.arg("--version");
    Ok(vec![
        ("domu", commit.trim().to_owned()),
        ("Xen", xen(progress)?),
        ("QEMU", format!("{}, counting instructions (TCG)", Program::find(progress)?.version()?)),
        ("domain 0 and the Linux guest", linux::version(progress)?),
        ("compiler", process::output(rustc).unwrap_or_default().trim().to_owned()),
        ("machine", machine()),
    ])
}

/// The hypervisor's file, which is named after its version.
fn xen(progress: &Progress) -> Result<String> {
    let file = packages::ensure(&HYPERVISOR, progress)?.find("boot", |name| name.starts_with("xen-"))?;
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(name.trim_start_matches("xen-").split('-').next().unwrap_or_default().to_owned())
}

/// The processor, and how many of them.
fn machine() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let names: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("model name")?.split_once(':')).collect();
    let name = names.first().map_or("an unknown processor", |(_, name)| name.trim());
    format!("{name}, {} processors", names.len().max(1))
}
