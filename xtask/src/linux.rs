//! Linux as a guest: domain 0's kernel and modules, with an initial RAM disk of ours.
//!
//! It is what our drivers are compared with, and what tests of the runner use while there is no guest of ours that can do the same.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::boot::GuestSpec;
use crate::cache::{self, Key};
use crate::dom0::modules::{self, Module};
use crate::initramfs::Archive;
use crate::packages::{self, DOM0, Tree};
use crate::progress::Progress;
use crate::{paths, process, workspace};

/// What a static program is built for.
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// A kernel that says nothing and does nothing of its own accord.
const ARGUMENTS: &str = "console=hvc0 quiet loglevel=0 audit=0 cryptomgr.notests nowatchdog";
/// In mebibytes.
const MEMORY: u32 = 128;
/// What comes before a script: all of busybox's programs, the file systems that they look into, the modules.
const PRELUDE: &str = "#!/busybox sh
/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
while read -r module options; do insmod \"/$module.ko\" $options; done </modules
";

/// The first process of a guest.
#[derive(Debug, Clone, Copy)]
pub enum Init<'a> {
    /// A static program. It mounts and loads what it needs: a module `x` is `/x.ko`.
    Program(&'a Path),
    /// A script for busybox, that runs when the modules are loaded.
    Script(&'a str),
}

/// Describes a guest with these modules, which may have options behind their names, and those that they depend on.
///
/// # Errors
///
/// When the packages are not there and cannot be fetched, or lack something.
pub fn guest(name: &str, init: Init<'_>, modules: &[&str], progress: &Progress) -> Result<GuestSpec> {
    let tree = packages::ensure(&DOM0, progress)?;
    let kernel = tree.find("boot", |name| name.starts_with("vmlinuz-"))?;
    Ok(GuestSpec {
        ramdisk: Some(ramdisk(&tree, &kernel, init, modules)?),
        arguments: ARGUMENTS.to_owned(),
        memory: MEMORY,
        ..GuestSpec::new(name, crate::dom0::prepare(progress)?.kernel)
    })
}

/// Returns what a guest's kernel calls itself, such as `Linux 6.1`.
///
/// # Errors
///
/// When the packages are not there and cannot be fetched, or hold no kernel.
pub fn version(progress: &Progress) -> Result<String> {
    let kernel = packages::ensure(&DOM0, progress)?.find("boot", |name| name.starts_with("vmlinuz-"))?;
    Ok(named(&kernel.file_name().unwrap_or_default().to_string_lossy()))
}

/// Builds a program of the workspace that needs no library: as a guest's init, and for domain 0.
///
/// # Errors
///
/// When it does not build.
pub fn program(package: &str, progress: &Progress) -> Result<PathBuf> {
    let step = progress.step("build", format!("building {package}"));
    let mut command = workspace::cargo()?;
    command.args(["build", "--release", "--quiet", "--target", TARGET, "--package", package]);
    command.env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS", "-Ctarget-feature=+crt-static");
    workspace::build_quickly(&mut command).env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
    // Other flags than everything else has.
    let folder = paths::target()?.join("static");
    paths::make(&folder)?;
    command.env("CARGO_TARGET_DIR", &folder);
    process::output(command)?;
    let file = folder.join(TARGET).join("release").join(package);
    step.done(format!("{package} built, {}", process::size(fs::metadata(&file)?.len())));
    Ok(file)
}

fn named(file: &str) -> String {
    let digits: Vec<&str> = file.trim_start_matches("vmlinuz-").split('.').take(2).collect();
    format!("Linux {}", digits.join("."))
}

fn ramdisk(tree: &Tree, kernel: &Path, init: Init<'_>, modules: &[&str]) -> Result<PathBuf> {
    let key = Key::default().with_file(kernel).with((PRELUDE, modules));
    let key = match init {
        Init::Program(program) => key.with_file(program),
        Init::Script(script) => key.with(script).with_file(&tree.elf("busybox")?),
    };
    cache::file("linux.cpio", &key, |target| {
        let mut archive = Archive::new(BufWriter::new(File::create(target)?));
        ["bin", "dev", "proc", "sys", "tmp"].into_iter().try_for_each(|folder| archive.folder(folder))?;
        match init {
            Init::Program(program) => archive.copy("init", program)?,
            Init::Script(script) => {
                archive.copy("busybox", &tree.elf("busybox")?)?;
                archive.file("init", format!("{PRELUDE}{script}").as_bytes())?;
            }
        }
        write_modules(&mut archive, &modules::load(tree, modules)?)?;
        archive.finish()?.flush()?;
        Ok(())
    })
}

/// Writes the modules, and a list of them in the order in which they are to be loaded.
fn write_modules(archive: &mut Archive<BufWriter<File>>, modules: &[Module]) -> Result<()> {
    let line = |module: &Module| format!("{} {}\n", module.name, module.options);
    archive.file("modules", modules.iter().map(line).collect::<String>().as_bytes())?;
    modules.iter().try_for_each(|module| archive.file(&format!("{}.ko", module.name), &module.content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_named_by_its_version() {
        assert_eq!(named("vmlinuz-6.1.0-57-amd64"), "Linux 6.1");
    }
}
