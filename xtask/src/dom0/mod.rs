//! The Linux domain 0 that starts guests in full mode.

mod kernel;
pub(crate) mod modules;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use self::modules::Module;
use crate::boot::{GuestSpec, Input};
use crate::cache::{self, Key};
use crate::initramfs::Archive;
use crate::network::Network;
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
    "losetup",
    "mke2fs",
    "xenstore-chmod",
    "xenstore-control",
    "xenstore-exists",
    "xenstore-list",
    "xenstore-ls",
    "xenstore-read",
    "xenstore-rm",
    "xenstore-watch",
    "xenstore-write",
];

/// By these the packages are known to be there, one of each package: those of domain 0, and what unpacks Linux.
pub const NEEDED_PROGRAMS: &[&str] = &[
    "busybox",
    "xl",
    "xenstored",
    "xenconsoled",
    "xen-init-dom0",
    "libxl-save-helper",
    "losetup",
    "mke2fs",
    "xenstore-list",
    "xz",
];

/// The modules that init loads, besides those that they depend on; each may have options.
const MODULES: &[&str] = &[
    "virtio-pci",
    "virtio-console",
    "xen-privcmd",
    "xenfs",
    "xen-evtchn",
    "xen-gntdev",
    "xen-gntalloc",
    "xen-blkback",
    // Otherwise as many as domain 0 has processors, which is one.
    "xen-netback max_queues=4",
    "bridge",
    "loop",
    // In KiB; a page is taken when it is written.
    "brd rd_nr=4 rd_size=65536",
];

/// The modules that are loaded when they are wanted, each with those that it depends on.
const SPARE_MODULES: &[&str] = &["virtio_net", "pktgen", "veth"];

/// The parts of busybox that init and scenarios use.
const APPLETS: &[&str] = &[
    "arping",
    "awk",
    "basename",
    "blockdev",
    "cat",
    "chmod",
    "cmp",
    "cp",
    "cut",
    "date",
    "dd",
    "dirname",
    "dmesg",
    "du",
    "env",
    "expr",
    "false",
    "find",
    "grep",
    "head",
    "hexdump",
    "insmod",
    "ip",
    "kill",
    "ln",
    "ls",
    "mkdir",
    "mkfifo",
    "mount",
    "mv",
    "nc",
    "od",
    "ping",
    "printf",
    "ps",
    "rm",
    "rmmod",
    "sed",
    "seq",
    "setsid",
    "sh",
    "sha256sum",
    "sleep",
    "sort",
    "stat",
    "sync",
    "tail",
    "tee",
    "timeout",
    "touch",
    "tr",
    "true",
    "truncate",
    "umount",
    "uname",
    "uniq",
    "usleep",
    "wc",
    "xargs",
];

/// What init is made of, by its path in domain 0.
const SCRIPTS: &[(&str, &str)] = &[
    ("init", include_str!("init.sh")),
    ("domu/events.sh", include_str!("events.sh")),
    ("domu/modules.sh", include_str!("modules.sh")),
    ("domu/scenario.sh", include_str!("scenario.sh")),
    ("domu/library.sh", include_str!("library.sh")),
    ("domu/disks.sh", include_str!("disks.sh")),
    ("domu/networks.sh", include_str!("networks.sh")),
    ("etc/xen/scripts/block", include_str!("block.sh")),
    ("etc/xen/scripts/vif-bridge", include_str!("vif.sh")),
    // xl complains without this file; `vif=[""]` is then an interface on our bridge.
    ("etc/xen/xl.conf", "vif.default.bridge=\"br0\"\n"),
];
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
    let files = files(&tree)?;
    let kernel = kernel::unpack(&tree, &image, progress)?;
    let base = cache::file("dom0.cpio", &base_key(&image, &files), |target| {
        let _step = progress.step("dom0", "making its initial RAM file system");
        write_base(&tree, &files, target)
    })?;
    Ok(Dom0 { kernel, base })
}

/// Writes the complete initial RAM file system for some guests: the base, followed by what is theirs, and words for init in
/// files of `/domu`.
///
/// # Errors
///
/// When a file cannot be read or written.
pub fn write_initramfs(base: &Path, guests: &[GuestSpec], words: &[(&str, &str)], target: &Path) -> Result<()> {
    std::fs::copy(base, target).with_context(|| format!("cannot write {}", target.display()))?;
    let file = File::options().append(true).open(target)?;
    let mut archive = Archive::new(BufWriter::new(file));
    words.iter().try_for_each(|(name, word)| archive.file(&format!("domu/{name}"), word.as_bytes()))?;
    let files: BTreeMap<_, _> = guests.iter().flat_map(|guest| &guest.files).map(|(path, file)| (path, file)).collect();
    files.into_iter().try_for_each(|(path, file)| archive.copy(path, file))?;
    // Each kernel once, as they take domain 0's memory.
    let mut kernels: Vec<&Path> = Vec::new();
    for (index, guest) in guests.iter().enumerate() {
        let folder = format!("domu/guests/{index:03}");
        let known = kernels.iter().position(|elf| *elf == guest.elf);
        let kernel = format!("domu/kernels/{:03}", known.unwrap_or(kernels.len()));
        if known.is_none() {
            archive.copy(&kernel, &guest.elf)?;
            kernels.push(&guest.elf);
        }
        archive.file(&format!("{folder}/name"), guest.name.as_bytes())?;
        archive.file(&format!("{folder}/config"), config(guest, &kernel, &folder).as_bytes())?;
        if let Some(ramdisk) = &guest.ramdisk {
            archive.copy(&format!("{folder}/ramdisk"), ramdisk)?;
        }
        if let Some(typed) = typed(&guest.input) {
            archive.file(&format!("{folder}/input"), &typed)?;
        }
        if let Some(scenario) = &guest.scenario {
            archive.file(&format!("{folder}/scenario"), scenario.as_bytes())?;
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

/// Programs and libraries by their path in domain 0; in order, so that the key made from them is always the same.
type Files = BTreeMap<String, PathBuf>;

fn files(tree: &Tree) -> Result<Files> {
    let mut files = Files::new();
    for name in PROGRAMS {
        files.insert(format!("bin/{name}"), tree.elf(name)?);
    }
    let mut libraries = tree.closure(PROGRAMS)?.found;
    for (library, _) in DOM0.libraries {
        libraries.insert((*library).to_owned(), tree.elf(library)?);
    }
    files.extend(libraries.into_iter().map(|(name, file)| {
        let folder = if name.starts_with("ld-linux") { "lib64" } else { LIBRARIES };
        (format!("{folder}/{name}"), file)
    }));
    Ok(files)
}

/// Describes what the base is made from; the modules are those of the kernel's package.
fn base_key(image: &Path, files: &Files) -> Key {
    let key = Key::default().with_file(image).with((SCRIPTS, MODULES, SPARE_MODULES, APPLETS));
    files.iter().fold(key, |key, (inside, file)| key.with(inside).with_file(file))
}

fn write_base(tree: &Tree, files: &Files, target: &Path) -> Result<()> {
    let mut archive = Archive::new(BufWriter::new(File::create(target)?));
    for folder in
        ["proc", "sys", "dev", "tmp", "run/xen", "run/lock", "var/lib/xen", "var/lib/xenstored", "var/log/xen"]
    {
        archive.folder(folder)?;
    }
    archive.link("var/run", "../run")?;
    archive.link("var/lock", "../run/lock")?;
    SCRIPTS.iter().try_for_each(|(inside, text)| archive.file(inside, text.as_bytes()))?;
    write_programs(files, &mut archive)?;
    write_modules(tree, &mut archive)?;
    archive.finish()?.flush()?;
    Ok(())
}

fn write_programs(files: &Files, archive: &mut Archive<BufWriter<File>>) -> Result<()> {
    files.iter().try_for_each(|(inside, file)| archive.copy(inside, file))?;
    APPLETS.iter().try_for_each(|applet| archive.link(&format!("bin/{applet}"), "busybox"))
}

fn write_modules(tree: &Tree, archive: &mut Archive<BufWriter<File>>) -> Result<()> {
    let loaded = modules::load(tree, MODULES)?;
    write_folder(archive, "domu/modules", &loaded)?;
    for spare in SPARE_MODULES {
        // Without those that are there already.
        let modules = modules::load(tree, &[MODULES, &[spare]].concat())?;
        write_folder(archive, &format!("domu/spare/{spare}"), &modules[loaded.len()..])?;
    }
    Ok(())
}

/// Writes modules so that they are loaded in this order.
fn write_folder(archive: &mut Archive<BufWriter<File>>, folder: &str, modules: &[Module]) -> Result<()> {
    for (index, module) in modules.iter().enumerate() {
        let path = format!("{folder}/{index:02}-{}.ko", module.name);
        archive.file(&path, &module.content)?;
        if !module.options.is_empty() {
            archive.file(&format!("{path}.options"), module.options.as_bytes())?;
        }
    }
    Ok(())
}

/// Returns the guest's xl configuration; a domain that ended is kept until its console has been read.
fn config(guest: &GuestSpec, kernel: &str, folder: &str) -> String {
    let network = guest.network.as_ref();
    let told = network.map(|network| network.arguments(&guest.arguments)).unwrap_or_default();
    let arguments = format!("{told} {}", guest.arguments);
    let mut lines = vec![
        format!("name = {}", quote(&guest.name)),
        format!("type = \"pv\"\nkernel = \"/{kernel}\""),
        format!("extra = {}", quote(arguments.trim())),
        format!("memory = {}\nvcpus = {}", guest.memory, guest.vcpus),
    ];
    if guest.ramdisk.is_some() {
        lines.push(format!("ramdisk = \"/{folder}/ramdisk\""));
    }
    if network.is_some() {
        lines.push(Network::config());
    }
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
    fn the_key_does_not_depend_on_the_order_of_finding() {
        let names: Vec<String> = (0..64).map(|number| format!("lib/lib{number}.so")).collect();
        let file = |name: &String| (name.clone(), PathBuf::from("/packages").join(name));
        let key = |files: Files| base_key(Path::new("/vmlinuz"), &files).value();
        let forward = key(names.iter().map(file).collect());
        assert_eq!(forward, key(names.iter().rev().map(file).collect()));
        assert_ne!(forward, key(names.iter().skip(1).map(file).collect()));
    }

    #[test]
    fn arguments_are_quoted_for_xl() {
        let mut guest = GuestSpec::new("a", "/elf");
        guest.arguments = r#"say="x\y""#.into();
        guest.config.push("disk = []".into());
        guest.network = Some(Network::default());
        let text = config(&guest, "domu/kernels/000", "domu/guests/000");
        assert!(text.contains(r#"extra = "ip=10.0.0.15/24 gw=10.0.0.1 say=\"x\\y\"""#), "{text}");
        assert!(text.contains("\nvif = [\"mac=00:16:3e:00:00:0f,bridge=br0\"]\n"), "{text}");
        assert!(text.ends_with("disk = []\n"), "{text}");
    }
}
