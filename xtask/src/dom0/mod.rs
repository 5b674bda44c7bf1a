//! The Linux domain 0 that starts guests in full mode.

mod kernel;
mod modules;

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::boot::{GuestSpec, Input};
use crate::cache::{self, Key};
use crate::initramfs::Archive;
use crate::packages::{self, DOM0, Tree};
use crate::progress::Progress;
use crate::qemu;

/// The programs that domain 0 holds; each finds its libraries in the same image.
pub const PROGRAMS: &[&str] = &[
    "busybox",
    "xl",
    "xenstored",
    "xenconsoled",
    "xen-init-dom0",
    "libxl-save-helper",
    "xenstore-list",
    "xenstore-read",
];

/// The programs that the packages must hold: those of domain 0, and what unpacks Linux.
pub const NEEDED_PROGRAMS: &[&str] =
    &["busybox", "xl", "xenstored", "xenconsoled", "xen-init-dom0", "libxl-save-helper", "xenstore-list", "xz"];

/// The modules that init loads, besides those that they depend on.
const MODULES: &[&str] =
    &["virtio-pci", "virtio-console", "xen-privcmd", "xenfs", "xen-evtchn", "xen-gntdev", "xen-gntalloc"];

/// The parts of busybox that init uses.
const APPLETS: &[&str] =
    &["sh", "cat", "insmod", "kill", "mkdir", "mount", "sed", "sleep", "tail", "uname", "usleep", "ls", "wc"];

const INIT: &str = include_str!("init.sh");
const LIBRARIES: &str = "lib/x86_64-linux-gnu";

/// Domain 0's kernel and initial RAM file system.
#[derive(Debug)]
pub struct Dom0 {
    /// Linux.
    pub kernel: PathBuf,
    /// The part of the initial RAM file system that does not depend on the guests.
    pub base: PathBuf,
}

/// Makes domain 0 from the distribution's packages.
///
/// # Errors
///
/// When packages cannot be fetched or lack something.
pub fn prepare(progress: &Progress) -> Result<Dom0> {
    let tree = packages::ensure(&DOM0, progress)?;
    let image = tree.find("boot", |name| name.starts_with("vmlinuz-"))?;
    let closure = tree.closure(PROGRAMS)?;
    let mut key =
        Key::default().with_file(&image).with(INIT).with("etc/xen/xl.conf").with((PROGRAMS, MODULES, APPLETS));
    for file in closure.found.values() {
        key = key.with_file(file);
    }
    let step = progress.step("dom0", "unpacking Linux, making its initial RAM file system");
    let kernel = kernel::unpack(&tree, &image)?;
    let base = cache::file("dom0.cpio", &key, |target| write_base(&tree, target))?;
    drop(step);
    Ok(Dom0 { kernel, base })
}

/// Writes the complete initial RAM file system for some guests: the base, followed by what is theirs.
///
/// # Errors
///
/// When a file cannot be read or written.
pub fn write_initramfs(base: &Path, guests: &[GuestSpec], token: &str, target: &Path) -> Result<()> {
    std::fs::copy(base, target).with_context(|| format!("cannot write {}", target.display()))?;
    let file = File::options().append(true).open(target)?;
    let mut archive = Archive::new(BufWriter::new(file));
    archive.file("domu/token", token.as_bytes())?;
    for (index, guest) in guests.iter().enumerate() {
        let folder = format!("domu/guests/{index:03}");
        archive.copy(&format!("{folder}/kernel"), &guest.elf)?;
        archive.file(&format!("{folder}/name"), guest.name.as_bytes())?;
        archive.file(&format!("{folder}/config"), config(guest, &folder).as_bytes())?;
        if let Some(typed) = typed(&guest.input) {
            archive.file(&format!("{folder}/input"), &typed)?;
        }
    }
    archive.finish()?.flush()?;
    Ok(())
}

/// Returns what init types at the guest's console; nothing stands for what comes from the port.
fn typed(input: &Input) -> Option<Vec<u8>> {
    match input {
        Input::None => None,
        Input::Stdin => Some(Vec::new()),
        Input::Bytes(bytes) => Some([bytes, qemu::END_OF_INPUT].concat()),
    }
}

fn write_base(tree: &Tree, target: &Path) -> Result<()> {
    let mut archive = Archive::new(BufWriter::new(File::create(target)?));
    for folder in
        ["proc", "sys", "dev", "tmp", "run/xen", "run/lock", "var/lib/xen", "var/lib/xenstored", "var/log/xen"]
    {
        archive.folder(folder)?;
    }
    archive.link("var/run", "../run")?;
    archive.link("var/lock", "../run/lock")?;
    archive.file("init", INIT.as_bytes())?;
    // xl complains without it.
    archive.file("etc/xen/xl.conf", b"")?;
    write_programs(tree, &mut archive)?;
    write_modules(tree, &mut archive)?;
    archive.finish()?.flush()?;
    Ok(())
}

fn write_programs(tree: &Tree, archive: &mut Archive<BufWriter<File>>) -> Result<()> {
    for name in PROGRAMS {
        archive.copy(&format!("bin/{name}"), &tree.elf(name)?)?;
    }
    for applet in APPLETS {
        archive.link(&format!("bin/{applet}"), "busybox")?;
    }
    let mut libraries: Vec<_> = tree.closure(PROGRAMS)?.found.into_iter().collect();
    for (library, _) in DOM0.libraries {
        libraries.push(((*library).to_owned(), tree.elf(library)?));
    }
    libraries.sort();
    for (name, file) in libraries {
        let folder = if name.starts_with("ld-linux") { "lib64" } else { LIBRARIES };
        archive.copy(&format!("{folder}/{name}"), &file)?;
    }
    Ok(())
}

fn write_modules(tree: &Tree, archive: &mut Archive<BufWriter<File>>) -> Result<()> {
    let modules = modules::load(tree, MODULES)?;
    for (index, module) in modules.iter().enumerate() {
        archive.file(&format!("domu/modules/{index:02}-{}.ko", module.name), &module.content)?;
    }
    Ok(())
}

/// Returns the guest's xl configuration; a domain that ended is kept until its console has been read.
fn config(guest: &GuestSpec, folder: &str) -> String {
    let mut lines = vec![
        format!("name = {}", quote(&guest.name)),
        format!("type = \"pv\"\nkernel = \"/{folder}/kernel\""),
        format!("extra = {}", quote(&guest.arguments)),
        format!("memory = {}\nvcpus = {}", guest.memory, guest.vcpus),
    ];
    let events = ["poweroff", "reboot", "watchdog", "crash", "soft_reset"];
    lines.extend(events.map(|event| format!("on_{event} = \"preserve\"")));
    lines.extend(guest.config.iter().cloned());
    lines.push(String::new());
    lines.join("\n")
}

/// Quotes a string for xl's configuration language.
fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_quoted_for_xl() {
        let mut guest = GuestSpec::new("a", "/elf");
        guest.arguments = r#"say="x\y""#.into();
        guest.config.push("disk = []".into());
        let text = config(&guest, "domu/guests/000");
        assert!(text.contains(r#"extra = "say=\"x\\y\"""#), "{text}");
        assert!(text.ends_with("disk = []\n"), "{text}");
    }
}
