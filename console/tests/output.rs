//! A console daemon that does not read, or not enough.

mod common;

use std::fmt::Write;

use common::{CONNECTION, OUT_PROD, World};
use proptest::prelude::*;
use xen_console::ConsoleError;

#[test]
fn hc_151_a_dead_daemon_holds_a_writer_for_its_patience_and_no_longer() {
    for patience in [0, 1, 50] {
        let world = World::new(0);
        let output = &mut world.console(patience).output;
        assert_eq!(output.write_or_drop(&[b'x'; 3000]), 2048);
        assert_eq!(world.relaxed.get(), patience as usize);
        assert_eq!(output.dropped(), 952);
    }
}

/// What ends the wait is the patience, not something else: a daemon that reads slowly gets everything.
#[test]
fn hc_151_control_a_slow_daemon_is_waited_for() {
    let world = World::new(u32::MAX - 100);
    world.appetite.set(20);
    let output = &mut world.console(50).output;
    assert_eq!(output.write_or_drop(&[b'x'; 3000]), 3000);
    assert_eq!((world.relaxed.get(), output.dropped()), (48, 0), "952 bytes of room, 20 at a time");
    assert_eq!(world.console(1).output.write_or_drop(&[b'x'; 100]), 28, "8 of room, and 20 for one turn");
}

#[test]
fn hc_151_a_dead_daemon_costs_one_patience_and_not_one_per_write() {
    let world = World::new(0);
    let output = &mut world.console(50).output;
    for _ in 0..1000 {
        writeln!(output, "{:100}", "a kernel that talks").unwrap();
    }
    assert_eq!(world.relaxed.get(), 50);
    assert_eq!(output.dropped(), 101_000 - 2048);
    world.read(2048);
    world.appetite.set(2048);
    assert_eq!(output.write_or_drop(&[b'x'; 4000]), 4000, "patient again once the daemon lives");
}

#[test]
fn hc_151_a_daemon_that_is_not_connected_is_not_waited_for() {
    let world = World::new(0);
    world.poke(CONNECTION, 1);
    let output = &mut world.console(50).output;
    assert_eq!(output.write_or_drop(&[b'x'; 3000]), 2048, "kept for when it connects");
    assert_eq!(world.relaxed.get(), 0);
    for unknown in [0, 2, 255, 0x100] {
        let world = World::new(0);
        world.poke(CONNECTION, unknown);
        world.console(50).output.write_or_drop(&[b'x'; 3000]);
        assert_eq!(world.relaxed.get(), 50, "{unknown} does not mean disconnected");
    }
}

#[test]
fn hc_151_waiting_calls_time_out_and_can_be_tried_again() {
    let world = World::new(0);
    let output = &mut world.console(9).output;
    assert_eq!(output.write(&[b'x'; 3000]), Ok(2048));
    assert_eq!(output.write(b"y"), Err(ConsoleError::TimedOut));
    assert_eq!(output.flush(), Err(ConsoleError::TimedOut));
    assert_eq!((world.relaxed.get(), output.dropped()), (18, 0), "nothing is dropped by these");
    assert_eq!(output.write(b""), Ok(0));
    world.appetite.set(300);
    assert_eq!(output.write(b"y"), Ok(1));
    assert_eq!(output.flush(), Ok(()));
    assert_eq!(world.log.borrow().len(), 2049);
}

#[test]
fn hc_153_our_index_in_the_page_is_not_read_back() {
    let world = World::new(7);
    let output = &mut world.console(0).output;
    assert_eq!(output.try_write(b"one "), Ok(4));
    world.poke(OUT_PROD, 0xdead_beef);
    assert_eq!(output.try_write(b"two"), Ok(3));
    assert_eq!(world.peek(OUT_PROD), 14, "written anew from the private copy");
    world.read(100);
    assert_eq!(world.text(), "one two");
}

#[test]
fn fault_20_a_full_console_drops_counts_and_marks_the_gap() {
    let world = World::new(0);
    let output = &mut world.console(3).output;
    output.write_or_drop(&[b'x'; 2040]);
    output.write_str("12345678 lost").unwrap();
    output.write_str(" and this").unwrap();
    assert_eq!(output.dropped(), 14);
    world.read(511);
    assert!(!output.is_ready().unwrap(), "too little room to end the gap");
    output.write_str(", and this").unwrap();
    world.read(1);
    output.write_str("back").unwrap();
    world.read(4096);
    assert!(world.text().ends_with("x12345678\n[24 bytes dropped]\nback"), "{}", world.text());
    assert_eq!(output.dropped(), 24);
}

#[test]
fn fault_20_flush_delivers_the_mark() {
    let world = World::new(0);
    let output = &mut world.console(2).output;
    output.write_or_drop(&[b'x'; 2050]);
    world.appetite.set(2048);
    assert_eq!(output.flush(), Ok(()));
    assert!(world.text().ends_with("x\n[2 bytes dropped]\n"));
}

#[test]
fn each_published_write_is_notified() {
    let world = World::new(0);
    let output = &mut world.console(0).output;
    assert_eq!((output.try_write(b""), world.notified.get()), (Ok(0), 0));
    assert_eq!((output.try_write(b"a"), world.notified.get()), (Ok(1), 1));
    output.write_or_drop(&[b'x'; 5000]);
    assert_eq!((output.try_write(b"a"), world.notified.get()), (Ok(0), 2), "no room, no event");
}

#[test]
fn unread_output_of_an_earlier_kernel_stays() {
    let world = World::new(u32::MAX);
    assert_eq!(world.console(0).output.try_write(b"boot loader, "), Ok(13));
    assert_eq!(world.console(0).output.try_write(b"kernel"), Ok(6));
    world.read(100);
    assert_eq!(world.text(), "boot loader, kernel");
}

/// The byte that belongs at this place of the output.
const fn pattern(at: usize) -> u8 {
    b'a' + (at % 23) as u8
}

/// Follows the daemon's log from mark to mark: every byte is there, or in the number of a mark.
fn account(log: &[u8]) -> (usize, u64) {
    let (mut at, mut lost, mut rest) = (0, 0, log);
    while let Some(&byte) = rest.first() {
        if byte == b'\n' {
            let end = 1 + rest[1..].iter().position(|byte| *byte == b'\n').expect("a mark is a line");
            let mark = std::str::from_utf8(&rest[1..end]).unwrap();
            let count = mark.strip_prefix('[').and_then(|mark| mark.strip_suffix(" bytes dropped]"));
            let count: usize = count.expect(mark).parse().unwrap();
            (at, lost, rest) = (at + count, lost + count as u64, &rest[end + 1..]);
        } else {
            assert_eq!(byte, pattern(at));
            (at, rest) = (at + 1, &rest[1..]);
        }
    }
    (at, lost)
}

proptest! {
    /// Whatever the daemon's rhythm: order is kept, and every lost byte is in a mark.
    #[test]
    fn fault_20_no_byte_is_lost_in_silence(
        start: u32,
        rounds in proptest::collection::vec((0..1500_usize, 0..1500_usize, 0..3_u32), 1..40),
    ) {
        let world = World::new(start);
        let (mut sent, mut dropped) = (0, 0);
        let mut console = world.console(0);
        for (count, read, patience) in rounds {
            console.output.set_patience(xen_console::Patience(patience));
            world.appetite.set(read / 4);
            let bytes: Vec<u8> = (sent..sent + count).map(pattern).collect();
            let before = console.output.dropped();
            let written = console.output.write_or_drop(&bytes);
            prop_assert_eq!(console.output.dropped() - before, (count - written) as u64);
            sent += count;
            dropped += count - written;
            world.read(read);
        }
        world.appetite.set(4096);
        console.output.set_patience(xen_console::Patience(3));
        prop_assert_eq!(console.output.flush(), Ok(()));
        prop_assert_eq!(account(&world.log.borrow()), (sent, dropped as u64));
    }
}
