//! Xen, Linux, QEMU and the compilers from the distribution's packages, unpacked in the build folder.
//!
//! A package is unpacked beside its place and then renamed, so a folder that is there is complete. What a set
//! of packages needs is found once and written to a file last; later runs only look at that file.

mod apt;
mod libraries;
mod tree;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

pub use self::apt::Apt;
pub(crate) use self::libraries::library_path;
pub use self::tree::{Closure, Tree};
use crate::cache::Key;
use crate::progress::{Progress, Step};
use crate::{paths, process};

/// A set of packages that serve one purpose.
#[derive(Debug)]
pub struct Set {
    /// A word for the user and the name of the cache file.
    pub name: &'static str,
    /// Packages to start from.
    pub roots: &'static [Root],
    /// Programs whose shared libraries are needed as well.
    pub programs: &'static [&'static str],
    /// Libraries that no program names but that are loaded at run time.
    pub libraries: &'static [(&'static str, &'static str)],
}

/// How a package is named.
#[derive(Debug)]
pub enum Root {
    /// By its own name.
    Named(&'static str),
    /// From a package that never changes its name along dependencies that match patterns with one `*` each.
    Via(&'static str, &'static [&'static str]),
}

use Root::{Named, Via};

/// Xen itself.
pub const HYPERVISOR: Set = Set {
    name: "hypervisor",
    roots: &[Via("xen-system-amd64", &["xen-hypervisor-*-amd64"])],
    programs: &[],
    libraries: &[],
};

/// Linux and the toolstack for domain 0.
pub const DOM0: Set = Set {
    name: "dom0",
    roots: &[
        Via("linux-image-amd64", &["linux-image-*-amd64"]),
        Via("xen-system-amd64", &["xen-utils-*"]),
        Named("xenstore-utils"),
        Named("busybox-static"),
        Named("xz-utils"),
        // mke2fs, for scenarios; losetup as Debian has it, since busybox's sets neither sector size nor capacity.
        Named("e2fsprogs"),
        Named("mount"),
    ],
    programs: crate::dom0::NEEDED_PROGRAMS,
    // xl aborts in pthread_cancel without it.
    libraries: &[("libgcc_s.so.1", "libgcc-s1")],
};

/// QEMU, for machines where it is not installed.
pub const QEMU: Set = Set {
    name: "qemu",
    roots: &[Named("qemu-system-x86"), Named("qemu-system-common"), Named("qemu-system-data"), Named("seabios")],
    programs: &["qemu-system-x86_64"],
    libraries: &[],
};

/// Xen's public headers.
pub const HEADERS: Set = Set { name: "headers", roots: &[Named("libxen-dev")], programs: &[], libraries: &[] };

/// A C compiler for ARM64 that compiles to assembly (no assembler, no linker).
pub const AARCH64_COMPILER: Set = Set {
    name: "aarch64-compiler",
    roots: &[
        Via("gcc-aarch64-linux-gnu", &["gcc-*-aarch64-linux-gnu"]),
        Via("gcc-aarch64-linux-gnu", &["gcc-*-aarch64-linux-gnu", "cpp-*-aarch64-linux-gnu"]),
        // The compiler's own headers: stddef.h, stdint.h.
        Via("gcc-aarch64-linux-gnu", &["gcc-*-aarch64-linux-gnu", "libgcc-*-dev-arm64-cross"]),
    ],
    programs: &["cc1"],
    libraries: &[],
};

/// The tool that counts instructions, for machines where it is not installed.
pub const VALGRIND: Set = Set { name: "valgrind", roots: &[Named("valgrind")], programs: &[], libraries: &[] };

/// A browser, for machines where it is not installed, with letters.
pub const BROWSER: Set = Set {
    name: "browser",
    roots: &[Named("chromium"), Named("chromium-common"), Named("fonts-dejavu-core")],
    programs: &["chromium"],
    // It looks for certificates' store by name.
    libraries: &[("libsoftokn3.so", "libnss3")],
};

/// Returns a folder that contains Xen's public headers (`xen/xen.h`), from the distribution's libxen-dev.
///
/// # Errors
///
/// When the package is not there and cannot be fetched.
pub fn xen_headers() -> Result<PathBuf> {
    let tree = ensure(&HEADERS, &Progress::new())?;
    tree.path("usr/include/xen/xen.h")
        .and_then(|file| file.ancestors().nth(2).map(Path::to_owned))
        .context("libxen-dev holds no usr/include/xen/xen.h")
}

/// Returns a program that compiles C for ARM64 Linux to assembly: call it with `-S -ffreestanding`, as it has no assembler and no libc.
///
/// # Errors
///
/// When the packages are not there and cannot be fetched.
pub fn aarch64_compiler() -> Result<PathBuf> {
    let tree = ensure(&AARCH64_COMPILER, &Progress::new())?;
    let driver = tree.find("usr/bin", |name| matches("aarch64-linux-gnu-gcc-*", name))?;
    let cc1 = tree.elf("cc1")?;
    let include = tree.files("stdint-gcc.h").pop().context("the compiler's packages hold no stdint-gcc.h")?;
    let options = format!("-B'{}' -isystem '{}'", parent(&cc1).display(), parent(&include).display());
    let wrapper = paths::domu()?.join("aarch64-gcc");
    libraries::write_wrapper(&wrapper, &tree, &driver, "cc1", &options)?;
    Ok(wrapper)
}

/// Returns a command that runs valgrind: the installed one, else the distribution's.
///
/// Only tools that replace no function of the C library work with the unpacked one (callgrind does, memcheck does not):
/// the library's symbols are not fetched.
///
/// # Errors
///
/// When it is not installed, and its package is not there and cannot be fetched.
pub fn valgrind() -> Result<Command> {
    if let Some(program) = process::find("valgrind") {
        return Ok(Command::new(program));
    }
    let tree = ensure(&VALGRIND, &Progress::new()).context("valgrind is not installed")?;
    // `valgrind` itself is a script with fixed paths.
    let mut command = Command::new(tree.elf("valgrind.bin")?);
    let tools = tree.files("callgrind-amd64-linux").pop().context("the package valgrind holds no callgrind")?;
    command.env("VALGRIND_LIB", parent(&tools));
    Ok(command)
}

/// Returns a command that starts Chromium: the installed one, else the distribution's. `folder` is for what it writes.
///
/// # Errors
///
/// When it is not installed, and its packages are not there and cannot be fetched.
pub fn browser(folder: &Path) -> Result<Command> {
    if let Some(program) = process::find("chromium") {
        return Ok(Command::new(program));
    }
    let tree = ensure(&BROWSER, &Progress::new()).context("chromium is not installed")?;
    // It wants what several packages have of it in one folder, which it finds by its own path: a link would not do.
    let home = paths::domu()?.join("browser");
    for part in tree.paths("usr/lib/chromium") {
        link_all(&part, &home)?;
    }
    let mut command = Command::new(home.join("chromium"));
    command.env("LD_LIBRARY_PATH", library_path(&tree, "chromium")?);
    let letters = tree.path("usr/share/fonts").context("there are no letters")?;
    let settings = folder.join("fonts.conf");
    let text =
        format!("<fontconfig><dir>{}</dir><cachedir>{}</cachedir></fontconfig>", letters.display(), folder.display());
    fs::write(&settings, text)?;
    command.env("FONTCONFIG_FILE", settings);
    Ok(command)
}

/// Makes sure that a set of packages is unpacked, and returns it.
///
/// # Errors
///
/// When a package cannot be fetched or unpacked, or when the user interrupts.
pub fn ensure(set: &Set, progress: &Progress) -> Result<Tree> {
    if let Some(tree) = Store::open()?.ready(set) {
        return tree;
    }
    let store = Store::open()?;
    let _lock = store.lock(progress)?;
    // Another process may have done the work while this one waited.
    store.ready(set).unwrap_or_else(|| store.prepare(set, progress))
}

/// Returns whether a set is unpacked already.
#[must_use]
pub fn is_ready(set: &Set) -> bool {
    Store::open().is_ok_and(|store| store.ready(set).is_some())
}

/// The folder with all packages.
struct Store {
    folder: PathBuf,
}

impl Store {
    fn open() -> Result<Self> {
        let folder = paths::domu()?.join("packages");
        paths::make(&folder)?;
        Ok(Self { folder })
    }

    /// Returns the set if an earlier run completed it.
    fn ready(&self, set: &Set) -> Option<Result<Tree>> {
        let names = fs::read_to_string(self.list(set)).ok()?;
        let complete = names.lines().all(|name| self.folder.join(name).is_dir());
        complete.then(|| {
            let mut tree = Tree::default();
            names.lines().try_for_each(|name| tree.add(name, &self.folder.join(name)))?;
            Ok(tree)
        })
    }

    fn prepare(&self, set: &Set, progress: &Progress) -> Result<Tree> {
        let step = progress.step("packages", format!("{}: looking them up", set.name));
        let apt = Apt::open(&self.folder.join(".apt"))?;
        apt.need_lists()?;
        let roots = set.roots.iter().map(|root| root.package(&apt)).collect::<Result<Vec<_>>>()?;
        let mut tree = Tree::default();
        self.fetch(&apt, &roots, &mut tree, &step)?;
        libraries::complete(set, &apt, &mut tree, |names, tree| self.fetch(&apt, names, tree, &step))?;
        fs::write(self.list(set), tree.names().join("\n"))?;
        step.done(format!("{} unpacked for {}", count(tree.names().len(), "package"), set.name));
        Ok(tree)
    }

    /// Downloads and unpacks what is not there, and adds all of it to the tree.
    fn fetch(&self, apt: &Apt, names: &[String], tree: &mut Tree, step: &Step) -> Result<()> {
        let absent: Vec<String> = names.iter().filter(|name| !self.folder.join(name).is_dir()).cloned().collect();
        if !absent.is_empty() {
            step.announce(format!("downloading {}", absent.join(", ")));
            let partial = self.folder.join(".partial");
            remove(&partial)?;
            paths::make(&partial)?;
            apt.download(&absent, &partial)?;
            self.unpack_all(&partial, step)?;
            remove(&partial)?;
        }
        names.iter().try_for_each(|name| tree.add(name, &self.folder.join(name)))
    }

    fn unpack_all(&self, partial: &Path, step: &Step) -> Result<()> {
        for entry in fs::read_dir(partial)? {
            let deb = entry?.path();
            // The archive's file names are NAME_VERSION_ARCHITECTURE.deb.
            let file = deb.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Some((name, _)) = file.split_once('_') else {
                continue;
            };
            step.update(format!("unpacking {name}"));
            let root = partial.join(name);
            let mut command = Command::new("dpkg-deb");
            command.arg("--extract").arg(&deb).arg(&root);
            process::output(command)?;
            fs::rename(&root, self.folder.join(name)).with_context(|| format!("cannot place {name}"))?;
            fs::remove_file(&deb)?;
        }
        Ok(())
    }

    /// The list of a set that asks for something else, as one of an older version does, is another file.
    fn list(&self, set: &Set) -> PathBuf {
        let key = Key::default().with(format!("{set:?}")).value();
        self.folder.join(format!(".{}-{key:016x}.list", set.name))
    }

    fn lock(&self, progress: &Progress) -> Result<File> {
        let file = File::create(self.folder.join(".lock"))?;
        if file.try_lock().is_err() {
            let _step = progress.step("packages", "waiting for another run to prepare them");
            file.lock()?;
        }
        Ok(file)
    }
}

impl Root {
    fn package(&self, apt: &Apt) -> Result<String> {
        match self {
            Named(name) => Ok((*name).to_owned()),
            Via(start, patterns) => patterns.iter().try_fold((*start).to_owned(), |package, pattern| {
                let mut depends = apt.depends(&package)?.into_iter();
                let found = depends.find(|name| matches(pattern, name));
                found.with_context(|| format!("package {package} depends on no {pattern}"))
            }),
        }
    }
}

/// Returns whether a name matches a pattern with one `*`, which stands for a version.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((prefix, suffix)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let version = name.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(suffix));
    version.is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit()))
}

/// Has all files below a folder below another one, too, where they are not there.
fn link_all(from: &Path, to: &Path) -> Result<()> {
    paths::make(to)?;
    for entry in fs::read_dir(from)? {
        let file = entry?.path();
        let place = to.join(file.file_name().unwrap_or_default());
        match place.symlink_metadata() {
            _ if file.is_dir() => link_all(&file, &place)?,
            Ok(_) => {}
            Err(_) => fs::hard_link(&file, &place).with_context(|| format!("cannot link {}", file.display()))?,
        }
    }
    Ok(())
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

/// Returns `1 package`, `2 packages`.
fn count(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_versions_only() {
        assert!(matches("xen-hypervisor-*-amd64", "xen-hypervisor-4.17-amd64"));
        assert!(!matches("xen-utils-*", "xen-utils-common"));
        assert!(!matches("linux-image-*-amd64", "linux-image-cloud-amd64"));
    }
}
