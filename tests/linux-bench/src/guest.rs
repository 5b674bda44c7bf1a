//! The init of a Linux guest: does what it is told at the console, with its disk or its network interface.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{Write as _, stdin, stdout};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bench_load::{END, FAILED, Figures, MARK, READY, Work};
use rustix::mount::{MountFlags, mount};
use rustix::system::{RebootCommand, finit_module, reboot};
use rustix::time::{ClockId, clock_gettime};

use crate::engine::{Disk, Engine};
use crate::network;
use crate::privcmd::Privcmd;

const DISK: &str = "/dev/xvda";
/// How often, and how long after each time, the disk is looked for.
const LOOKS: (u32, Duration) = (1000, Duration::from_millis(10));
/// What a disk's queue does for the user, or for disks that turn, and costs instructions.
const QUEUE: [(&str, &str); 4] = [("scheduler", "none"), ("iostats", "0"), ("add_random", "0"), ("nomerges", "2")];

/// Does what the console says until its end, and switches the machine off, whatever happens: nobody else would.
pub(crate) fn run() -> Result<()> {
    let status = match serve() {
        Ok(()) => 0,
        Err(error) => {
            say(&format!("{FAILED} {error:#}"));
            1
        }
    };
    println!("domu: exit status {status}");
    // Nothing may be lost of what the console has yet to take.
    sleep(Duration::from_millis(50));
    reboot(RebootCommand::PowerOff).context("cannot switch off")
}

fn serve() -> Result<()> {
    prepare()?;
    match variable("bench", "block").as_str() {
        "net" => network::guest::serve(),
        "web" => network::guest::serve_pages(),
        _ => serve_disk(),
    }
}

fn serve_disk() -> Result<()> {
    load("xen-blkfront", &variable("blkfront", "").replace(',', " "))?;
    let (disk, xen) = (disk()?, Privcmd::open()?);
    say(&format!("{READY} {}", disk.size));
    answer(|line| measure(&disk, &xen, &line.parse()?))
}

/// Does what each line of the console's says, up to the last, and tells what it took.
pub(crate) fn answer(mut what: impl FnMut(&str) -> Result<Figures>) -> Result<()> {
    loop {
        // Not an iterator: that would keep standard input from whoever reads a line within.
        let line = next_line()?;
        if line == END {
            return Ok(());
        }
        say(&what(&line)?.to_string());
    }
}

/// The next line that is typed at the console.
pub(crate) fn next_line() -> Result<String> {
    let mut line = String::new();
    if stdin().read_line(&mut line)? == 0 {
        bail!("the console has ended");
    }
    Ok(line.trim().to_owned())
}

pub(crate) fn say(text: &str) {
    println!("{MARK} {text}");
    // Without a console, nobody waits either.
    let _ = stdout().flush();
}

fn measure(disk: &Disk, xen: &Privcmd, work: &Work) -> Result<Figures> {
    let engine = Engine::named(&variable("engine", "best"), work)?;
    let mut prepared = engine.prepare(disk, work)?;
    let (clock, ran) = (now(), xen.running()?);
    prepared.run()?;
    let (running, elapsed) = (xen.running()? - ran, now() - clock);
    Ok(Figures { requests: work.requests, elapsed, running, hypercalls: None })
}

pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn prepare() -> Result<()> {
    mount("dev", "/dev", "devtmpfs", MountFlags::empty(), None).context("cannot mount /dev")?;
    mount("sys", "/sys", "sysfs", MountFlags::empty(), None).context("cannot mount /sys")?;
    // In a guest, Linux lets nobody ask Xen, unless told so.
    load("xen-privcmd", "unrestricted=1")
}

/// What the kernel's command line says: Linux gives its init the words that it does not know itself as variables.
pub(crate) fn variable(name: &str, otherwise: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| otherwise.to_owned())
}

pub(crate) fn load(module: &str, options: &str) -> Result<()> {
    let file = File::open(format!("/{module}.ko")).with_context(|| format!("there is no module {module}"))?;
    finit_module(file, &CString::new(options)?, 0).with_context(|| format!("cannot load {module}"))
}

fn disk() -> Result<Disk> {
    let (looks, pause) = LOOKS;
    let there = (0..looks).any(|_| {
        sleep(pause);
        Path::new(DISK).exists()
    });
    if !there {
        bail!("there is no disk {DISK}");
    }
    for (name, value) in QUEUE {
        let path = format!("/sys/block/xvda/queue/{name}");
        fs::write(&path, value).with_context(|| format!("cannot write {path}"))?;
    }
    Disk::open(Path::new(DISK))
}
