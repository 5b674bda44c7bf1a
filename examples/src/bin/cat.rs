//! Prints a file from a disk with an ext4 file system, or its size and SHA-256.
//!
//! ```text
//! cargo xtask run cat --config 'disk=["phy:/dev/loop0,xvda,r"]' -- /folder/file sha256
//! ```

#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use core::error::Error;
use core::time::Duration;

use ext4_view::{Ext4, Ext4Read};
use sha2::{Digest as _, Sha256};
use xen_rt::blkfront::{Blkfront, Options, Which};
use xen_rt::{Guest, Xen, entry, print, println};

/// How long a disk may take to come.
const PATIENCE: Duration = Duration::from_secs(30);

#[entry]
fn main(guest: Guest) -> Result<(), Box<dyn Error>> {
    let line = guest.boot().command_line;
    let path =
        line.words().find(|word| word.starts_with('/')).ok_or("which file? Its path goes on the command line")?;
    let store = guest.store().ok_or("there is no xenstore here: start the guest as a domU, without --direct")?;
    let which = line.value("disk").map_or(Which::First, Which::Named);
    let disk = Blkfront::find(&store, which, Options::DEFAULT, PATIENCE)?;
    let files = Ext4::load(Box::new(Bytes(disk)))?;
    let file = files.read(path)?;
    if line.words().any(|word| word == "sha256") {
        print!("{path}: {} bytes, sha256 ", file.len());
        Sha256::digest(&file).iter().for_each(|byte| print!("{byte:02x}"));
        println!();
    } else {
        file.utf8_chunks().for_each(|chunk| print!("{}{}", chunk.valid(), chunk.invalid().escape_ascii()));
    }
    Ok(())
}

/// A disk, seen as bytes: file systems look at places that are no sectors.
struct Bytes(Blkfront<Xen>);

impl Ext4Read for Bytes {
    fn read(&mut self, start: u64, into: &mut [u8]) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(self.0.read_bytes(start, into)?)
    }
}
