//! What the command line asks for.

use alloc::format;
use alloc::string::String;
use core::str::FromStr;
use core::time::Duration;

use xen_rt::CommandLine;
use xen_rt::blkfront::{Disk, Options, Persistent, number as number_of};

use crate::content::SECTOR;

/// All that stands before an equals sign.
const KEYS: [&str; 15] = [
    "disk",
    "depth",
    "block",
    "blocks",
    "from",
    "seed",
    "count",
    "seconds",
    "writes",
    "flush",
    "queues",
    "ring",
    "segments",
    "persistent",
    "journal",
];

/// How many requests there are where nothing is said of it.
const COUNT: u64 = 5000;

/// The words of the command line, each with what stands for it if it is not there.
#[derive(Clone, Debug)]
pub(crate) struct Arguments {
    /// `disk=xvda`: the number of this disk; without it any disk will do.
    pub(crate) disk: Option<u32>,
    /// `depth=32`: how many requests are under way.
    pub(crate) depth: usize,
    /// `block=4096`: bytes of a request.
    pub(crate) block: usize,
    /// `blocks=1024`: how many blocks of the disk are used.
    pub(crate) blocks: u64,
    /// `from=0`: the sector that the first one begins at.
    pub(crate) from: u64,
    /// `seed=1`: another one gives other requests, and other bytes.
    pub(crate) seed: u64,
    /// `count=5000`: how many requests, where 0 is for a load that goes on until the guest is asked to end; or `seconds=10`.
    pub(crate) limit: Limit,
    /// `writes=50`: how many of a hundred requests write.
    pub(crate) writes: u64,
    /// `flush=100`: a flush after as many requests; 0 is for none.
    pub(crate) flush: u64,
    /// `queues=`, `ring=` (an order of pages), `segments=`, `persistent=yes`, `journal=` (bytes): the driver's.
    pub(crate) options: Options,
}

/// When the load ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    Count(u64),
    Time(Duration),
    /// With the guest.
    Asked,
}

impl Arguments {
    /// Reads the command line, and says which word it does not understand.
    pub(crate) fn read(line: CommandLine) -> Result<Self, String> {
        let is_known = |word: &&str| word.split_once('=').is_some_and(|(key, _)| KEYS.contains(&key));
        if let Some(word) = line.words().find(|word| !is_known(word)) {
            return Err(format!("what is {word:?}? There are {}=", KEYS.join("=, ")));
        }
        let number = |key, otherwise| value(line, key).map(|value| value.unwrap_or(otherwise));
        let limit = match (value(line, "count")?, value(line, "seconds")?) {
            (Some(0), _) => Limit::Asked,
            (Some(count), _) => Limit::Count(count),
            (None, Some(seconds)) => Limit::Time(Duration::from_secs(seconds)),
            (None, None) => Limit::Count(COUNT),
        };
        Ok(Self {
            disk: line
                .value("disk")
                .map(|name| number_of(name).ok_or("disk= wants a name such as xvda"))
                .transpose()?,
            depth: depth(line)?,
            block: value(line, "block")?.unwrap_or(4096),
            blocks: number("blocks", 1024)?,
            from: number("from", 0)?,
            seed: number("seed", 1)?,
            limit,
            writes: number("writes", 50)?,
            flush: number("flush", 100)?,
            options: options(line)?,
        })
    }

    /// Whether this disk will do.
    pub(crate) fn check(&self, disk: &Disk) -> Result<(), String> {
        let unit = disk.sector_size() as usize;
        if self.block == 0 || !self.block.is_multiple_of(unit) || self.depth == 0 || self.blocks == 0 {
            return Err(format!(
                "a block is to have a multiple of {unit} bytes; depth and blocks are to be more than 0"
            ));
        }
        let end =
            self.blocks.checked_mul((self.block / SECTOR) as u64).and_then(|sectors| sectors.checked_add(self.from));
        match end {
            Some(end) if end <= disk.sectors() => Ok(()),
            _ => Err(format!("the disk has {} sectors only: use fewer blocks", disk.sectors())),
        }
    }
}

fn options(line: CommandLine) -> Result<Options, String> {
    let default = Options::DEFAULT;
    let persistent = match line.value("persistent") {
        None | Some("no") => Persistent::Never,
        Some("yes") => Persistent::IfOffered,
        Some(other) => return Err(format!("persistent={other} is neither yes nor no")),
    };
    Ok(Options {
        queues: value(line, "queues")?.unwrap_or(default.queues),
        ring_order: value(line, "ring")?.unwrap_or(default.ring_order),
        segments: value(line, "segments")?.unwrap_or(default.segments),
        journal: value(line, "journal")?.unwrap_or(default.journal),
        depth: depth(line)?,
        persistent,
        ..default
    })
}

fn depth(line: CommandLine) -> Result<usize, String> {
    Ok(value(line, "depth")?.unwrap_or(32))
}

fn value<T: FromStr>(line: CommandLine, key: &str) -> Result<Option<T>, String> {
    match line.value(key).map(str::parse) {
        None => Ok(None),
        Some(Ok(value)) => Ok(Some(value)),
        Some(Err(_)) => Err(format!("{key}= wants a number")),
    }
}
