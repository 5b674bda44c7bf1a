//! `cargo xtask doctor`: what this machine lacks.

use std::path::Path;

use anyhow::Result;

use crate::coverage::Tools;
use crate::packages::{self, DOM0, HYPERVISOR, QEMU, Set, VALGRIND};
use crate::progress::Progress;
use crate::qemu::{self, Accelerator, Program};
use crate::workspace::GUEST_TARGET;
use crate::{boot, miri, paths, process};

/// What unpacked packages, images and builds take, in bytes: to run a guest, and to run all tests.
const SPACE: u64 = 2_000_000_000;
const SPACE_OF_TESTS: u64 = 10_000_000_000;

/// Examines the machine, prints what it found, and returns 0 if nothing needed is missing.
///
/// # Errors
///
/// When the workspace is not found or the user interrupts.
pub fn run() -> Result<u8> {
    let findings = [
        rust_target(GUEST_TARGET, true),
        rust_target("aarch64-unknown-none", false),
        compiler(),
        apt(),
        set(&HYPERVISOR),
        set(&DOM0),
        qemu(),
        kvm()?,
        valgrind(),
        nightly()?,
        llvm_tools()?,
        space()?,
    ];
    findings.iter().for_each(print);
    let missing = findings.iter().filter(|finding| finding.state == State::Missing).count();
    println!();
    match missing {
        0 => println!("Everything needed is here: try `cargo xtask run`."),
        _ => println!("Missing: {missing}. Each line above marked ✗ says what to do."),
    }
    Ok(u8::from(missing > 0))
}

struct Finding {
    state: State,
    what: String,
    text: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Good,
    /// Something is not there that one can do without.
    Without,
    Missing,
}

impl Finding {
    fn new(state: State, what: &str, text: impl Into<String>) -> Self {
        Self { state, what: what.to_owned(), text: text.into() }
    }
}

fn print(finding: &Finding) {
    let mark = match finding.state {
        State::Good => '✓',
        State::Without => '–',
        State::Missing => '✗',
    };
    println!("  {mark} {:<22} {}", finding.what, finding.text);
}

fn rust_target(target: &str, needed: bool) -> Finding {
    let mut command = std::process::Command::new("rustc");
    command.args(["--print", "sysroot"]);
    let root = process::output(command).unwrap_or_default();
    if Path::new(root.trim()).join("lib/rustlib").join(target).join("lib").is_dir() {
        return Finding::new(State::Good, target, "Rust target installed");
    }
    let state = if needed { State::Missing } else { State::Without };
    Finding::new(state, target, format!("`rustup target add {target}` installs this Rust target"))
}

fn compiler() -> Finding {
    match process::find("cc") {
        Some(path) => Finding::new(State::Good, "C compiler", path.display().to_string()),
        None => Finding::new(State::Missing, "C compiler", "Rust links with it: `apt-get install gcc libc6-dev`"),
    }
}

fn apt() -> Finding {
    let missing: Vec<&str> =
        ["apt-get", "apt-cache", "dpkg-deb"].into_iter().filter(|program| process::find(program).is_none()).collect();
    let cached = packages::is_ready(&HYPERVISOR) && packages::is_ready(&DOM0);
    match (missing.is_empty(), cached) {
        (true, _) => Finding::new(State::Good, "apt", "apt-get, apt-cache, dpkg-deb"),
        (false, true) => Finding::new(State::Without, "apt", "not here, and not needed: all packages are unpacked"),
        (false, false) => Finding::new(
            State::Missing,
            "apt",
            format!(
                "{} not found: Xen and Linux come from Debian's packages; use Debian or a container of it",
                missing.join(", ")
            ),
        ),
    }
}

fn set(set: &Set) -> Finding {
    let what = format!("packages: {}", set.name);
    if packages::is_ready(set) {
        return Finding::new(State::Good, &what, "unpacked");
    }
    Finding::new(State::Without, &what, "not yet here; the first run downloads them (needs a network)")
}

fn qemu() -> Finding {
    if !has_qemu() {
        return Finding::new(State::Without, "QEMU", "not installed; the first run unpacks it from packages");
    }
    let whence = if process::find(qemu::PROGRAM).is_some() { "installed" } else { "unpacked" };
    match Program::find(&Progress::quiet()).and_then(|program| program.version()) {
        Ok(version) => Finding::new(State::Good, "QEMU", format!("{whence}, version {version}")),
        Err(error) => Finding::new(State::Missing, "QEMU", format!("{error:#}")),
    }
}

/// Whether there is one without a download.
fn has_qemu() -> bool {
    process::find(qemu::PROGRAM).is_some() || packages::is_ready(&QEMU)
}

fn valgrind() -> Finding {
    match process::find("valgrind") {
        Some(path) => Finding::new(State::Good, "valgrind", path.display().to_string()),
        None => set(&VALGRIND),
    }
}

fn nightly() -> Result<Finding> {
    Ok(match miri::missing()? {
        None => Finding::new(State::Good, "Miri", "installed, with its nightly toolchain"),
        Some(hint) => Finding::new(State::Without, "Miri", format!("not here; the tests fetch it: {hint}")),
    })
}

/// Tries KVM only if that downloads nothing.
fn kvm() -> Result<Finding> {
    let what = "/dev/kvm";
    if !Path::new(what).exists() {
        return Ok(Finding::new(State::Without, what, "not here: QEMU translates instead (slower, works)"));
    }
    if !packages::is_ready(&HYPERVISOR) || !has_qemu() {
        return Ok(Finding::new(State::Without, what, "here; the first run tries whether Xen boots with it"));
    }
    let quiet = Progress::quiet();
    let accelerator = boot::accelerator(&Program::find(&quiet)?, &boot::xen(&quiet)?)?;
    Ok(match accelerator {
        Accelerator::Kvm => Finding::new(State::Good, what, "Xen boots with it"),
        Accelerator::Tcg => {
            Finding::new(State::Without, what, "not usable for Xen: QEMU translates instead (slower, works)")
        }
    })
}

fn llvm_tools() -> Result<Finding> {
    Ok(match Tools::are_here()? {
        true => Finding::new(State::Good, "LLVM's tools", "installed, for `cargo xtask coverage`"),
        false => Finding::new(State::Without, "LLVM's tools", "not yet here; `cargo xtask coverage` fetches them"),
    })
}

fn space() -> Result<Finding> {
    let folder = paths::domu()?;
    let stat = rustix::fs::statvfs(&folder)?;
    let free = stat.f_bavail * stat.f_frsize;
    let text = format!("{} free in {}", process::size(free), folder.display());
    let enough = free > SPACE || packages::is_ready(&DOM0);
    let state = if enough { State::Good } else { State::Missing };
    let hint = match enough {
        false => format!("; {} are needed", process::size(SPACE)),
        true if free < SPACE_OF_TESTS => format!("; all tests together take {}", process::size(SPACE_OF_TESTS)),
        true => String::new(),
    };
    Ok(Finding::new(state, "disk", text + &hint))
}
