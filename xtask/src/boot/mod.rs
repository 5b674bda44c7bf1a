//! Boots guests on real Xen, in QEMU, and says how they ended.
//!
//! [`direct()`] gives Xen the guest as its domain 0: a second or two, no toolstack, no xenstore. [`full()`] boots Linux as
//! domain 0 and starts each guest with xl, as on a real host.

mod accelerator;
mod direct;
mod full;
mod line_ends;
mod logs;
mod outcome;
mod recorder;
mod splitter;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

pub use self::accelerator::accelerator;
pub use self::outcome::{Ending, Outcome, Reason, Scenario};
use crate::network::Network;
use crate::packages::{self, HYPERVISOR};
use crate::progress::Progress;
use crate::timeline::Timeline;
use crate::{cache, elf};

/// What Xen logs when it leaves the processor to domain 0.
const DOM0_BEGINS: &str = "*** Serial input to DOM0";
/// Steps and moments of the timeline.
const QEMU: &str = "QEMU";
const XEN: &str = "Xen";
const GUEST: &str = "the guest";
const FIRST_OUTPUT: &str = "first output";
/// How long Xen and domain 0 may take until the guest starts; translation on a busy machine is slow.
const BOOT_LIMIT: Duration = Duration::from_secs(180);
/// What stands for no limit, as no time is infinitely far away: some years.
const FOREVER: Duration = Duration::from_secs(1 << 30);

/// A guest to run.
#[derive(Debug, Clone)]
pub struct GuestSpec {
    /// A name for xl, logs and messages: letters, digits, `-`, `_`.
    pub name: String,
    /// The kernel: a PV ELF file, or Linux's own image.
    pub elf: PathBuf,
    /// An initial RAM disk, as Linux wants one (full mode).
    pub ramdisk: Option<PathBuf>,
    /// The kernel's command line.
    pub arguments: String,
    /// Memory in mebibytes.
    pub memory: u32,
    /// The number of virtual processors (full mode).
    pub vcpus: u32,
    /// The limit for the run, counted from the start of the guest; `Duration::MAX` is for none.
    pub timeout: Duration,
    /// What is typed at the guest's console.
    pub input: Input,
    /// An interface on domain 0's bridge, and an address that is told on the command line (full mode).
    pub network: Option<Network>,
    /// More lines for the guest's xl configuration, such as `disk = [...]` (full mode).
    pub config: Vec<String>,
    /// More files for domain 0, by their paths there; the same path may be named by several guests (full mode).
    pub files: Vec<(String, PathBuf)>,
    /// A shell script that runs in domain 0 while the guest runs (full mode); `library.sh`, `disks.sh` and `networks.sh`
    /// in `dom0` have what it can use.
    ///
    /// The guest is waited for when the script has succeeded, and destroyed when it has failed.
    pub scenario: Option<String>,
}

/// What is typed at a guest's console; its end is sent as Ctrl-D.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Input {
    /// Nothing, not even Ctrl-D.
    #[default]
    None,
    /// The standard input of this process.
    Stdin,
    /// These bytes.
    Bytes(Vec<u8>),
}

impl GuestSpec {
    /// Describes a guest with 16 MiB, one virtual processor, no arguments, no input and a limit of 60 s.
    #[must_use]
    pub fn new(name: impl Into<String>, elf: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            elf: elf.into(),
            ramdisk: None,
            arguments: String::new(),
            memory: 16,
            vcpus: 1,
            timeout: Duration::from_secs(60),
            input: Input::None,
            network: None,
            config: Vec::new(),
            files: Vec::new(),
            scenario: None,
        }
    }
}

/// A receiver of console bytes.
pub type Output<'a> = Box<dyn FnMut(&[u8]) + 'a>;

/// Looks at a guest again and again while it runs; what it answers is done.
pub type Watcher<'a> = Box<dyn FnMut(&mut Timeline, &Path) -> Option<Order> + 'a>;

/// What domain 0 is to do with the guest that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// To ask it to end, by `xl shutdown`.
    ShutDown,
}

/// How a boot is done and who watches it.
pub struct Session<'a> {
    /// Where steps are shown.
    pub progress: Progress,
    /// Receives the guest's console bytes as they come, without the final status line.
    pub output: Output<'a>,
    /// Shows Xen's and domain 0's log on standard error as it comes.
    pub verbose: bool,
    /// Makes virtual time count instructions: slower, one thread, and figures repeat exactly.
    pub icount: bool,
    /// Has domain 0 ping a guest that has a network until it answers, for [`Outcome::timeline`] (full mode).
    pub timeline: bool,
    /// Looks at the times of the boot, and at the folder of its logs, while a guest runs (full mode).
    pub watcher: Watcher<'a>,
    /// More options for Xen's command line.
    pub xen_options: String,
}

impl Default for Session<'_> {
    fn default() -> Self {
        Self {
            progress: Progress::quiet(),
            output: Box::new(|_| ()),
            verbose: false,
            icount: false,
            timeline: false,
            watcher: Box::new(|_, _| None),
            xen_options: String::new(),
        }
    }
}

/// Boots Xen with the guest as domain 0 and waits for its end.
///
/// # Errors
///
/// When the boot cannot be tried (no packages, no QEMU, a file that is no guest) or the user interrupts. A guest that
/// fails is an [`Outcome`].
pub fn direct(guest: &GuestSpec) -> Result<Outcome> {
    direct_with(guest, &mut Session::default())
}

/// As [`direct()`], with a session of one's own.
///
/// # Errors
///
/// As [`direct()`].
pub fn direct_with(guest: &GuestSpec, session: &mut Session<'_>) -> Result<Outcome> {
    elf::check_guest(&guest.elf)?;
    direct::run(guest, session)
}

/// Boots Xen with Linux as domain 0, runs the guests one after the other, and returns an outcome for each.
///
/// # Errors
///
/// When the boot cannot be tried, domain 0 does not come up, or the user interrupts.
pub fn full(guests: &[GuestSpec]) -> Result<Vec<Outcome>> {
    full_with(guests, &mut Session::default())
}

/// As [`full()`], with a session of one's own.
///
/// # Errors
///
/// As [`full()`].
pub fn full_with(guests: &[GuestSpec], session: &mut Session<'_>) -> Result<Vec<Outcome>> {
    guests.iter().try_for_each(|guest| elf::check_guest(&guest.elf))?;
    full::run(guests, session)
}

/// Returns Xen as QEMU's multiboot loader wants it: an uncompressed ELF file.
///
/// # Errors
///
/// When the package cannot be fetched or holds no Xen.
pub fn xen(progress: &Progress) -> Result<PathBuf> {
    let tree = packages::ensure(&HYPERVISOR, progress)?;
    let compressed = tree.find("boot", |name| name.starts_with("xen-") && name.ends_with(".gz"))?;
    cache::file("xen", &cache::Key::default().with_file(&compressed), |target| {
        let mut reader = flate2::read::GzDecoder::new(std::fs::File::open(&compressed)?);
        let mut writer = std::fs::File::create(target)?;
        std::io::copy(&mut reader, &mut writer).with_context(|| format!("cannot unpack {}", compressed.display()))?;
        Ok(())
    })
}

/// Returns when a limit that begins now is over.
fn deadline(limit: Duration) -> Instant {
    Instant::now() + limit.min(FOREVER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_limit_is_far_away() {
        assert!(deadline(Duration::MAX) > Instant::now() + FOREVER / 2);
        assert!(deadline(Duration::ZERO) <= Instant::now());
    }
}
