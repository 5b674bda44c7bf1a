//! The Linux guest of a benchmark: domain 0's kernel, with one static program of the workspace as its init.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::boot::GuestSpec;
use crate::cache::{self, Key};
use crate::initramfs::Archive;
use crate::packages::{self, DOM0, Tree};
use crate::process;
use crate::progress::Progress;
use crate::workspace;

/// The package, and its program.
const PROGRAM: &str = "linux-bench";
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// What the guest's init loads.
const MODULES: [&str; 2] = ["xen-privcmd.ko", "xen-blkfront.ko"];
/// A kernel that says nothing and does nothing of its own accord.
const ARGUMENTS: &str = "console=hvc0 quiet loglevel=0 audit=0 cryptomgr.notests nowatchdog";
/// In mebibytes.
const MEMORY: u32 = 128;

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

/// Describes the guest; `more` is added to the kernel's command line.
pub(super) fn guest(program: &Path, more: &str, progress: &Progress) -> Result<GuestSpec> {
    let tree = packages::ensure(&DOM0, progress)?;
    let kernel = tree.find("boot", |name| name.starts_with("vmlinuz-"))?;
    Ok(GuestSpec {
        ramdisk: Some(ramdisk(&tree, &kernel, program)?),
        arguments: format!("{ARGUMENTS} {more}").trim_end().to_owned(),
        memory: MEMORY,
        ..GuestSpec::new("linux", kernel)
    })
}

/// Returns what the kernel calls itself, such as `Linux 6.1`.
pub(super) fn name(guest: &GuestSpec) -> String {
    let file = guest.elf.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let release = file.trim_start_matches("vmlinuz-");
    let digits: Vec<&str> = release.split('.').take(2).collect();
    format!("Linux {}", digits.join("."))
}

fn ramdisk(tree: &Tree, kernel: &Path, program: &Path) -> Result<PathBuf> {
    let key = Key::default().with_file(kernel).with_file(program).with(MODULES);
    cache::file("linux-bench.cpio", &key, |target| {
        let mut archive = Archive::new(BufWriter::new(File::create(target)?));
        archive.folder("dev")?;
        archive.folder("sys")?;
        archive.copy("init", program)?;
        for name in MODULES {
            let module = tree.files(name).pop().with_context(|| format!("the kernel's package holds no {name}"))?;
            archive.copy(name, &module)?;
        }
        archive.finish()?.flush()?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_named_by_its_version() {
        let guest = GuestSpec::new("linux", "/packages/boot/vmlinuz-6.1.0-57-amd64");
        assert_eq!(name(&guest), "Linux 6.1");
    }
}
