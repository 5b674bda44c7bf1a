//! `embedded_io`'s view of the console.
#![cfg(feature = "embedded-io")]

mod common;

use common::{OUT_CONS, World};
use embedded_io::{Error, ErrorKind, Read, ReadReady, Write, WriteReady};

#[test]
fn bytes_go_both_ways() {
    let world = World::new(0);
    let mut console = world.console(5);
    world.appetite.set(1000);
    assert_eq!(console.output.write_all(&[b'x'; 5000]), Ok(()));
    assert_eq!(Write::flush(&mut console.output), Ok(()));
    assert_eq!(world.log.borrow().len(), 5000);

    assert_eq!(console.input.read_ready(), Ok(false));
    world.type_in(b"hello");
    assert_eq!(console.input.read_ready(), Ok(true));
    let mut text = [0; 5];
    assert_eq!((console.input.read_exact(&mut text), &text), (Ok(()), b"hello"));
}

#[test]
fn hc_151_a_dead_daemon_is_a_time_out_and_not_a_panic() {
    let world = World::new(0);
    let mut console = world.console(5);
    let error = console.output.write_all(&[b'x'; 5000]).unwrap_err();
    assert_eq!((error.kind(), world.relaxed.get()), (ErrorKind::TimedOut, 5));
    assert_eq!(console.output.write_ready(), Ok(false));
    assert_eq!(Read::read(&mut console.input, &mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
}

#[test]
fn hc_152_a_violation_is_a_broken_pipe() {
    let world = World::new(0);
    let mut console = world.console(5);
    world.poke(OUT_CONS, 1);
    assert_eq!(console.output.write_all(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert_eq!(console.output.write_ready().unwrap_err().kind(), ErrorKind::BrokenPipe);
}
