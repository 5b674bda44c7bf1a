//! Each rule, with what it allows and what it finds.

use super::*;
use crate::blkback::{Discard, Honesty, Loss};

const BLOCK: usize = 512;

struct Scene {
    disk: SimDisk,
    oracle: BlockOracle,
}

fn scene() -> Scene {
    let disk = SimDisk::new(1 << 20);
    Scene { oracle: BlockOracle::new(&disk, BLOCK), disk }
}

impl Scene {
    /// Submits a write, which the disk does or not.
    fn submit(&mut self, block: u64) -> (Write, Vec<u8>) {
        let mut bytes = vec![0; BLOCK];
        (self.oracle.write(block, &mut bytes), bytes)
    }

    fn write(&mut self, block: u64) -> Vec<u8> {
        let (write, bytes) = self.submit(block);
        self.disk.write(block, &bytes);
        self.oracle.ended(write, Outcome::Done);
        bytes
    }

    fn flush(&mut self, how: Flushed) {
        let flush = self.oracle.flush();
        self.disk.flush();
        self.oracle.flushed(flush, how);
    }

    /// A flush that does nothing.
    fn feign(&mut self, how: Flushed) {
        let flush = self.oracle.flush();
        self.oracle.flushed(flush, how);
    }

    fn found(&mut self) -> Option<Wrong> {
        self.oracle.check().err().map(|findings| findings[0].what.clone())
    }
}

#[test]
fn what_was_acknowledged_must_be_there() {
    let mut scene = scene();
    let old = scene.write(5);
    scene.write(5);
    scene.oracle.assert_disk();
    scene.disk.corrupt(5, &old);
    assert_eq!(scene.found(), Some(Wrong::Lost { found: 1, acknowledged: 2 }));
    scene.disk.corrupt(5, &[0; BLOCK]);
    assert_eq!(scene.found(), Some(Wrong::Lost { found: 0, acknowledged: 2 }));
}

#[test]
fn a_write_that_never_reached_the_disk_is_found() {
    let mut scene = scene();
    scene.disk.set_honesty(Honesty::DropsWrites);
    scene.write(5);
    assert_eq!(scene.found(), Some(Wrong::Lost { found: 0, acknowledged: 1 }));
}

#[test]
fn what_is_no_block_or_another_one_is_found() {
    let mut scene = scene();
    let bytes = scene.write(5);
    scene.write(6);
    scene.disk.corrupt(6, &bytes);
    assert_eq!(scene.found(), Some(Wrong::OfBlock(5)));
    scene.disk.corrupt(5, &[1; BLOCK]);
    assert_eq!(scene.found(), Some(Wrong::Garbage));
    let mut future = [0; BLOCK];
    block::fill(&mut future, 5, 99);
    scene.disk.corrupt(5, &future);
    assert_eq!(scene.found(), Some(Wrong::NeverWritten(99)));
}

#[test]
fn a_flushed_write_never_goes_back_whatever_is_said() {
    let mut scene = scene();
    let old = scene.write(5);
    scene.write(5);
    scene.flush(Flushed::Durable);
    scene.disk.crash(Loss::All);
    scene.oracle.assert_disk();
    scene.oracle.cache_lost();
    scene.disk.corrupt(5, &old);
    assert_eq!(scene.found(), Some(Wrong::DurableLost { found: 1, durable: 2 }));
    scene.disk.corrupt(5, &[0; BLOCK]);
    assert_eq!(scene.found(), Some(Wrong::DurableLost { found: 0, durable: 2 }));
}

#[test]
fn a_disk_that_ignores_flushes_is_found() {
    let mut scene = scene();
    scene.disk.set_honesty(Honesty::IgnoresFlushes);
    scene.write(5);
    scene.flush(Flushed::Durable);
    scene.oracle.assert_disk();
    scene.disk.crash(Loss::All);
    assert_eq!(scene.found(), Some(Wrong::DurableLost { found: 0, durable: 1 }));
}

#[test]
fn a_lost_cache_is_excused_where_it_is_told_and_only_then() {
    for told in [Flushed::CacheLost, Flushed::NotDurable, Flushed::Unknown] {
        let mut scene = scene();
        scene.write(5);
        scene.disk.crash(Loss::All);
        assert_eq!(scene.found(), Some(Wrong::Lost { found: 0, acknowledged: 1 }));
        scene.feign(told);
        scene.oracle.assert_disk();
        // What is written afterwards must be there again.
        scene.write(5);
        scene.disk.corrupt(5, &[0; BLOCK]);
        assert_eq!(scene.found(), Some(Wrong::Lost { found: 0, acknowledged: 2 }));
    }
}

#[test]
fn a_flush_that_is_durable_after_a_crash_must_not_have_lost() {
    let mut scene = scene();
    scene.write(5);
    scene.disk.crash(Loss::All);
    scene.flush(Flushed::Durable);
    assert_eq!(scene.found(), Some(Wrong::DurableLost { found: 0, durable: 1 }));
}

#[test]
fn what_is_not_durable_may_be_lost_in_a_crash_and_not_before() {
    let mut scene = scene();
    scene.write(5);
    scene.feign(Flushed::NotDurable);
    scene.disk.corrupt(5, &[0; BLOCK]);
    assert_eq!(scene.found(), Some(Wrong::Lost { found: 0, acknowledged: 1 }));
    scene.disk.crash(Loss::All);
    scene.oracle.assert_disk();
}

#[test]
fn a_flush_excuses_what_was_acknowledged_before_it_and_no_more() {
    let mut scene = scene();
    let flush = scene.oracle.flush();
    scene.write(5);
    scene.disk.crash(Loss::All);
    scene.oracle.flushed(flush, Flushed::CacheLost);
    assert_eq!(scene.found(), Some(Wrong::Lost { found: 0, acknowledged: 1 }));
}

#[test]
fn a_flush_covers_what_was_acknowledged_before_it_and_no_more() {
    let mut scene = scene();
    let (write, bytes) = scene.submit(5);
    let flush = scene.oracle.flush();
    scene.disk.write(5, &bytes);
    scene.oracle.ended(write, Outcome::Done);
    scene.oracle.flushed(flush, Flushed::Durable);
    scene.disk.crash(Loss::All);
    scene.feign(Flushed::CacheLost);
    scene.oracle.assert_disk();
}

#[test]
fn a_barrier_covers_itself_and_what_was_before() {
    let mut scene = scene();
    scene.write(5);
    let mut bytes = [0; BLOCK];
    let barrier = scene.oracle.write_barrier(6, &mut bytes);
    scene.disk.write(6, &bytes);
    scene.oracle.ended(barrier, Outcome::Done);
    scene.disk.crash(Loss::All);
    scene.oracle.cache_lost();
    let lost = Wrong::DurableLost { found: 0, durable: 1 };
    let findings = scene.oracle.check().unwrap_err();
    assert_eq!((findings.len(), &findings[0].what), (2, &lost));
}

#[test]
fn writes_that_overlap_may_end_in_any_order() {
    let mut scene = scene();
    let (first, bytes) = scene.submit(5);
    let (second, others) = scene.submit(5);
    scene.oracle.ended(second, Outcome::Done);
    scene.oracle.ended(first, Outcome::Done);
    for content in [bytes, others] {
        scene.disk.corrupt(5, &content);
        scene.oracle.assert_disk();
    }
    scene.disk.corrupt(5, &[0; BLOCK]);
    assert!(scene.found().is_some());
}

#[test]
fn a_failed_write_is_there_or_not() {
    let mut scene = scene();
    let old = scene.write(5);
    let (failed, bytes) = scene.submit(5);
    scene.oracle.ended(failed, Outcome::Failed);
    for content in [&old, &bytes] {
        scene.disk.corrupt(5, content);
        scene.oracle.assert_disk();
    }
    // It does not come after a later one.
    scene.write(5);
    scene.disk.corrupt(5, &bytes);
    assert_eq!(scene.found(), Some(Wrong::Lost { found: 2, acknowledged: 3 }));
}

#[test]
fn a_write_of_unknown_outcome_comes_until_it_cannot() {
    let mut scene = scene();
    let (unknown, bytes) = scene.submit(5);
    scene.oracle.ended(unknown, Outcome::Unknown);
    scene.write(5);
    scene.flush(Flushed::Durable);
    scene.disk.corrupt(5, &bytes);
    scene.oracle.assert_disk();
    scene.oracle.settle();
    scene.write(5);
    scene.disk.corrupt(5, &bytes);
    assert_eq!(scene.found(), Some(Wrong::Lost { found: 1, acknowledged: 3 }));
}

#[test]
fn a_read_returns_what_was_there_while_it_went_on() {
    let mut scene = scene();
    let old = scene.write(5);
    let read = scene.oracle.read(5);
    let new = scene.write(5);
    scene.flush(Flushed::Durable);
    let late = scene.oracle.read(5);
    assert_eq!(scene.oracle.did_read(read, &old), Ok(()));
    let what = Wrong::DurableLost { found: 1, durable: 2 };
    assert_eq!(scene.oracle.did_read(late, &old), Err(Finding { block: 5, what }));
    let late = scene.oracle.read(5);
    assert_eq!(scene.oracle.did_read(late, &new), Ok(()));
    let never = scene.oracle.read(77);
    assert!(scene.oracle.did_read(never, &new).is_err());
}

#[test]
fn a_discarded_block_is_zero_or_old() {
    let mut scene = scene();
    let old = scene.write(5);
    let discard = scene.oracle.discard(5, 1);
    scene.disk.discard(5, 1, Discard::Plain);
    scene.oracle.ended(discard, Outcome::Done);
    scene.oracle.assert_disk();
    scene.disk.corrupt(5, &old);
    scene.oracle.assert_disk();
    scene.write(5);
    scene.disk.corrupt(5, &[0; BLOCK]);
    assert_eq!(scene.found(), Some(Wrong::Lost { found: 0, acknowledged: 3 }));
}

#[test]
fn histories_do_not_grow_for_ever() {
    let mut scene = scene();
    for _ in 0..100 {
        scene.write(5);
        scene.flush(Flushed::Durable);
    }
    assert_eq!(scene.oracle.histories[&5].len(), 1);
    assert!(scene.oracle.dirty.is_empty());
}

#[test]
fn what_is_lost_after_a_discard_is_not_what_was_durable_before() {
    let mut scene = scene();
    scene.write(5);
    scene.flush(Flushed::Durable);
    let discard = scene.oracle.discard(5, 1);
    scene.disk.discard(5, 1, Discard::Plain);
    scene.oracle.ended(discard, Outcome::Done);
    scene.write(5);
    scene.disk.corrupt(5, &[0; BLOCK]);
    assert_eq!(scene.found(), Some(Wrong::Lost { found: 0, acknowledged: 3 }));
}
