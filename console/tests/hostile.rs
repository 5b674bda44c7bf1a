//! A console daemon that breaks the protocol, or floods the guest.

mod common;

use common::{IN_CONS, IN_PROD, OUT_CONS, OUT_PROD, World};
use proptest::prelude::*;
use xen_console::{ConsoleError, Drained};
use xen_shared_ring::PeerError;

const STARTS: [u32; 4] = [0, 0x7fff_ffff, u32::MAX - 3, u32::MAX];

#[test]
fn hc_152_bad_input_index_disables_the_input_for_good() {
    for start in STARTS {
        let world = World::new(start);
        let mut console = world.console(5);
        let now = start.wrapping_add(1025);
        world.poke(IN_PROD, now);
        let error = PeerError::Produced { before: start, now, room: 1024 };
        assert_eq!(console.input.try_read(&mut [0; 9]), Err(error));
        world.poke(IN_PROD, start.wrapping_add(3));
        assert_eq!(console.input.try_read(&mut [0; 9]), Err(error), "repaired too late");
        assert_eq!(console.input.read(&mut [0; 9]), Err(ConsoleError::Peer(error)));
        assert_eq!(console.input.drain(9, |_| panic!("bytes of a broken input")), Err(error));
        assert_eq!(console.input.violation(), Some(error));
        assert_eq!(world.peek(IN_CONS), start, "our index was not touched");
        assert_eq!(world.relaxed.get(), 0, "nor was there anything to wait for");

        assert_eq!(console.output.write_or_drop(b"the output goes on"), 18);
        world.read(100);
        assert_eq!(world.text(), "the output goes on");
    }
}

#[test]
fn hc_152_bad_output_index_disables_the_output_for_good() {
    for start in STARTS {
        for step in [1_u32, 2049, 1 << 31, u32::MAX] {
            let world = World::new(start);
            let mut console = world.console(5);
            let now = start.wrapping_add(step);
            world.poke(OUT_CONS, now);
            let error = PeerError::Consumed { before: start, now, unread: 0 };
            assert_eq!(console.output.write_or_drop(b"lost"), 0);
            assert_eq!(console.output.violation(), Some(error));
            world.poke(OUT_CONS, start);
            assert_eq!(console.output.try_write(b"x"), Err(error), "repaired too late");
            assert_eq!(console.output.flush(), Err(ConsoleError::Peer(error)));
            assert_eq!(console.output.dropped(), 4, "what is not written is counted");
            assert_eq!((world.peek(OUT_PROD), world.relaxed.get()), (start, 0));

            assert_eq!(world.type_in(b"the input goes on"), 17);
            assert_eq!(console.input.try_read(&mut [0; 32]), Ok(17));
        }
    }
}

/// The index is what disables the input: the same reads with the index at its limit go through.
#[test]
fn hc_152_control_indices_at_the_limit_are_accepted() {
    let world = World::new(9);
    let mut console = world.console(0);
    world.poke(IN_PROD, 9 + 1024);
    assert_eq!(console.input.try_read(&mut [0; 2000]), Ok(1024));
    assert_eq!(console.output.try_write(&[0; 2048]), Ok(2048));
    world.poke(OUT_CONS, 9 + 2048);
    assert_eq!(console.output.unread(), Ok(0));
}

#[test]
fn hc_152_impossible_indices_at_the_start_break_one_direction() {
    let world = World::new(0);
    world.poke(OUT_PROD, 2049);
    let mut console = world.console(0);
    let error = PeerError::Start { consumed: 0, produced: 2049, size: 2048 };
    assert_eq!(console.output.try_write(b"x"), Err(error));
    assert_eq!(console.input.available(), Ok(0));
}

#[test]
fn hc_154_an_input_flood_gets_its_budget_and_no_more() {
    let world = World::new(u32::MAX - 9);
    let input = &mut world.console(0).input;
    world.type_in(&[b'x'; 1024]);
    for budget in [0, 1, 63, 64, 65, 700] {
        let mut seen = 0;
        let drained = input.drain(budget, |bytes| {
            seen += bytes.len();
            world.type_in(&[b'x'; 1024]);
        });
        assert_eq!(drained, Ok(Drained { bytes: budget, more: true }));
        assert_eq!(seen, budget);
    }
}

#[test]
fn hc_154_without_a_limit_a_flood_ends_with_what_was_there() {
    let world = World::new(0);
    let input = &mut world.console(0).input;
    assert_eq!(input.drain(usize::MAX, |_| ()), Ok(Drained { bytes: 0, more: false }));
    world.type_in(&[b'x'; 1024]);
    let drained = input.drain(usize::MAX, |_| {
        world.type_in(&[b'x'; 1024]);
    });
    assert_eq!(drained, Ok(Drained { bytes: 1024, more: false }));
    assert!(input.available().unwrap() > 900, "the flood went on during the call");
}

/// The flood is one: a loop that reads until there is nothing left does not end.
#[test]
fn hc_154_control_a_loop_until_empty_does_not_end() {
    let world = World::new(0);
    let input = &mut world.console(0).input;
    world.type_in(&[b'x'; 1024]);
    let mut fuel = 10_000;
    while fuel > 0 && input.try_read(&mut [0; 64]) != Ok(0) {
        world.type_in(&[b'x'; 1024]);
        fuel -= 1;
    }
    assert_eq!(fuel, 0);
}

#[test]
fn reading_waits_for_its_patience_and_gives_room_back() {
    let world = World::new(0);
    let input = &mut world.console(4).input;
    assert_eq!(input.read(&mut [0; 4]), Err(ConsoleError::TimedOut));
    assert_eq!((input.read(&mut []), world.relaxed.get()), (Ok(0), 4));
    world.type_in(b"hello");
    let mut text = [0; 4];
    assert_eq!((input.read(&mut text), &text), (Ok(4), b"hell"));
    assert_eq!((world.notified.get(), world.peek(IN_CONS)), (1, 4));
}

#[derive(Clone, Debug)]
enum Step {
    Poke(usize, u32),
    Write(usize),
    Read(usize),
    Drain(usize),
    Flush,
}

fn step(start: u32) -> impl Strategy<Value = Step> {
    let near = (-3000..3000_i32).prop_map(move |step| start.wrapping_add_signed(step));
    let value = prop_oneof![any::<u32>(), near, Just(start)];
    prop_oneof![
        ((0..1024_usize), value).prop_map(|(word, value)| {
            // Every other poke is at an index or at the connection byte.
            let offset = if word % 2 == 0 { word * 4 } else { 3072 + word % 5 * 4 };
            Step::Poke(offset, value)
        }),
        (0..3000_usize).prop_map(Step::Write),
        (0..2000_usize).prop_map(Step::Read),
        (0..2000_usize).prop_map(Step::Drain),
        Just(Step::Flush),
    ]
}

fn script() -> impl Strategy<Value = (u32, Vec<Step>)> {
    prop_oneof![any::<u32>(), u32::MAX - 40..=u32::MAX]
        .prop_flat_map(|start| (Just(start), proptest::collection::vec(step(start), 0..40)))
}

proptest! {
    /// Any word of the page changes to anything between any two calls: no panic, no wait beyond the patience.
    #[test]
    fn hc_012_any_page_at_any_instant((start, steps) in script()) {
        let world = World::new(start);
        let mut console = world.console(3);
        for step in steps {
            let before = world.relaxed.replace(0);
            prop_assert!(before <= 3);
            match step {
                Step::Poke(offset, value) => world.poke(offset, value),
                Step::Write(len) => prop_assert!(console.output.write_or_drop(&vec![b'x'; len]) <= 2048),
                Step::Read(len) => prop_assert!(console.input.read(&mut vec![0; len]).unwrap_or(0) <= 1024),
                Step::Drain(budget) => {
                    let mut seen = 0;
                    let drained = console.input.drain(budget, |bytes| seen += bytes.len());
                    prop_assert!(seen <= budget.min(1024));
                    prop_assert!(drained.is_err() || drained.unwrap().bytes == seen);
                }
                Step::Flush => drop(console.output.flush()),
            }
        }
    }
}
