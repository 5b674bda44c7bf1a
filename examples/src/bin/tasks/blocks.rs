//! What is done with the disk: several tasks, each with blocks of its own.

use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;

use xen_rt::blkfront::{AsyncDisk, Flushed, IoError, Sector512};
use xen_rt::{Xen, println};

/// Bytes of a block, and how many blocks each task has.
const BLOCK: usize = 4096;
const BLOCKS: u64 = 16;

/// What the tasks have done.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// They are to end.
    pub(crate) is_over: Cell<bool>,
    /// How many are at work.
    pub(crate) running: Cell<u32>,
    pub(crate) written: Cell<u64>,
    /// Flushes that say so.
    pub(crate) durable: Cell<u64>,
    pub(crate) mismatches: Cell<u64>,
    pub(crate) errors: Cell<u64>,
}

/// How many tasks there may be on a disk of so many sectors.
pub(crate) const fn most_tasks(sectors: u64) -> u64 {
    sectors / (BLOCKS * (BLOCK / 512) as u64)
}

/// Writes blocks, has them made durable and reads them back, round after round.
pub(crate) async fn work(disk: AsyncDisk<Xen>, number: u64, tally: Rc<Tally>) {
    tally.running.set(tally.running.get() + 1);
    if let Err(error) = rounds(&disk, number, &tally).await {
        println!("disk: {error}");
        bump(&tally.errors);
    }
    tally.running.set(tally.running.get() - 1);
}

async fn rounds(disk: &AsyncDisk<Xen>, number: u64, tally: &Tally) -> Result<(), IoError> {
    for round in 1.. {
        for block in blocks(number) {
            disk.write(at(block), &content(block, round)).await?;
            bump(&tally.written);
        }
        match disk.flush().await? {
            Flushed::NotDurable(why) => {
                println!("disk: {why}");
                bump(&tally.errors);
            }
            Flushed::Durable => bump(&tally.durable),
            // A RAM disk has nothing to flush.
            Flushed::Unknown(_) => {}
        }
        check(disk, number, round, tally).await?;
        if tally.is_over.get() {
            break;
        }
    }
    Ok(())
}

async fn check(disk: &AsyncDisk<Xen>, number: u64, round: u64, tally: &Tally) -> Result<(), IoError> {
    let mut read = vec![0; BLOCK];
    for block in blocks(number) {
        disk.read(at(block), &mut read).await?;
        if read != content(block, round) {
            println!("disk: block {block} is not as it was written in round {round}");
            bump(&tally.mismatches);
        }
    }
    Ok(())
}

fn blocks(number: u64) -> impl Iterator<Item = u64> {
    number * BLOCKS..(number + 1) * BLOCKS
}

const fn at(block: u64) -> Sector512 {
    Sector512(block * (BLOCK / 512) as u64)
}

/// Bytes that no other block has, and this one in no other round: xorshift64.
fn content(block: u64, round: u64) -> Vec<u8> {
    let mut state = (block << 32 | round).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let words = core::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(BLOCK / 8).flatten().collect()
}

fn bump(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}
