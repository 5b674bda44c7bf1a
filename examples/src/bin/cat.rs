//! Prints a file from a disk with an ext4 file system, or its size and SHA-256 (needs a disk).
//!
//! ```text
//! cargo xtask run cat --scenario examples/src/bin/cat.sh -- /folder/file
//! cargo xtask run cat --scenario examples/src/bin/cat.sh -- /folder/file sha256
//! ```
//!
//! The scenario makes the file system, in domain 0, and gives the guest the disk.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use alloc::format;
use core::error::Error;
use core::time::Duration;

use ext4_view::{Ext4, Ext4Read};
use sha2::{Digest as _, Sha256};
use xen_rt::blkfront::{Blkfront, FindError, Options, Which};
use xen_rt::xenbus::Store;
use xen_rt::{CommandLine, Guest, Xen, entry, print, println};

/// How long a disk may take to come.
const PATIENCE: Duration = Duration::from_secs(30);

#[entry]
fn main(guest: Guest) -> Result<(), Box<dyn Error>> {
    let line = guest.boot().command_line;
    let path = line.words().find(|word| word.starts_with('/'));
    let path = path.ok_or("which file? Its path is the guest's command line: `-- /folder/file`")?;
    let store = guest.store().ok_or("there is no xenstore here: start the guest as a domU, without --direct")?;
    let files = Ext4::load(Box::new(Bytes(find(&store, line)?)))?;
    let file = files.read(path).map_err(|error| format!("{path}: {error}"))?;
    if line.words().any(|word| word == "sha256") {
        print!("{path}: {} bytes, sha256 ", file.len());
        Sha256::digest(&file).iter().for_each(|byte| print!("{byte:02x}"));
        println!();
    } else {
        file.utf8_chunks().for_each(|chunk| print!("{}{}", chunk.valid(), chunk.invalid().escape_ascii()));
    }
    Ok(())
}

/// The disk that `disk=` names; without it any disk will do.
fn find(store: &Store<Xen>, line: CommandLine) -> Result<Blkfront<Xen>, Box<dyn Error>> {
    let which = line.value("disk").map_or(Which::First, Which::Named);
    println!("waiting up to {} s for a disk", PATIENCE.as_secs());
    let disk = Blkfront::find(store, which, Options::DEFAULT, PATIENCE).map_err(|error| match error {
        FindError::Missing { .. } => format!("{error} This scenario gives one: --scenario examples/src/bin/cat.sh"),
        error => format!("{error}"),
    })?;
    match disk.disk() {
        Some(there) if there.bytes() == 0 => Err("the disk is empty: is there nothing in domain 0's device?".into()),
        _ => Ok(disk),
    }
}

/// A disk, seen as bytes: file systems look at places that are no sectors.
struct Bytes(Blkfront<Xen>);

impl Ext4Read for Bytes {
    fn read(&mut self, start: u64, into: &mut [u8]) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(self.0.read_bytes(start, into)?)
    }
}
