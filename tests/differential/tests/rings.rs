//! Our rings against the macros of `xen/io/ring.h`, call by call and byte by byte, in both roles.

mod common;

use differential_tests::c::{CEnd, Role, Sizes};
use differential_tests::ours::OurEnd;
use differential_tests::pair::{Pair, Tally, compare};
use differential_tests::planted::{FAULTS, Fault, Planted};
use differential_tests::protocol::{Blkif, NetifRx, NetifTx, Small};
use differential_tests::script::{self, Script};
use differential_tests::{Difference, End, Protocol, Start};
use std::path::PathBuf;
use std::sync::OnceLock;

const PAGE: usize = 4096;

#[test]
fn storm_of_a_network_transmit_ring() {
    storm::<NetifTx>(PAGE);
}

#[test]
fn storm_of_a_network_receive_ring() {
    storm::<NetifRx>(PAGE);
}

#[test]
fn storm_of_a_block_ring() {
    storm::<Blkif>(PAGE);
}

#[test]
fn storm_of_a_block_ring_of_four_pages() {
    storm::<Blkif>(4 * PAGE);
}

#[test]
fn storm_of_a_transmit_ring_of_two_pages() {
    storm::<NetifTx>(2 * PAGE);
}

#[test]
fn storm_of_a_ring_whose_responses_are_larger_than_its_requests() {
    storm::<Small>(PAGE);
}

/// The negative control: a comparison that misses a planted fault would miss it in our rings as well.
#[test]
fn every_planted_fault_is_found() {
    for fault in FAULTS {
        for role in [Role::Front, Role::Back] {
            let difference = planted(fault, role).expect_err(&format!("{fault:?} in the {role:?} end"));
            let shown = difference.what.contains(sign(fault, role));
            assert!(shown, "{fault:?} in the {role:?} end shows as something else: {difference}");
        }
    }
}

/// The macros of two C ends that were compiled once agree with themselves, so that a difference is one of the end that differs.
#[test]
fn c_agrees_with_itself() {
    let mut pairs = [pair::<NetifTx>(PAGE, Side::C, Side::C, 1), pair::<NetifTx>(PAGE, Side::C, Side::C, 1)];
    compare(&mut pairs, Start::Init, Script::<NetifTx>::new(1).take(500)).unwrap();
}

/// What the comparison says about a fault.
const fn sign(fault: Fault, role: Role) -> &'static str {
    match (fault, role) {
        (Fault::EventLate | Fault::EventUnasked, Role::Front) => "(rsp_event)",
        (Fault::EventLate | Fault::EventUnasked, Role::Back) => "(req_event)",
        (Fault::NotifyAlways, _) => "answered Some(Publish(true))",
        (Fault::IndexEarly, Role::Front) => "(req_prod)",
        (Fault::IndexEarly, Role::Back) => "(rsp_prod)",
        (Fault::SlotByte, _) => "(a slot)",
        (Fault::MessageByte, _) => "answered Some(Take(Some(",
    }
}

fn planted(fault: Fault, role: Role) -> Result<Tally, Box<Difference>> {
    let seed = script::seed(7);
    println!("seed {seed}");
    let mut faulty = pair::<NetifTx>(PAGE, Side::C, Side::C, seed);
    let end = if role == Role::Front { &mut faulty.front } else { &mut faulty.back };
    let inner = std::mem::replace(end, Side::C.end::<NetifTx>(PAGE, role));
    *end = Box::new(Planted { inner, role, fault });
    let mut pairs = [pair::<NetifTx>(PAGE, Side::C, Side::C, seed), faulty];
    compare(&mut pairs, Start::Init, Script::<NetifTx>::new(seed).take(20_000))
}

/// Who implements an end.
#[derive(Clone, Copy, Debug)]
enum Side {
    C,
    Ours,
}

impl Side {
    fn end<P: Protocol>(self, memory: usize, role: Role) -> Box<dyn End> {
        let sizes = Sizes { request: size_of::<P::Request>(), response: size_of::<P::Response>() };
        match self {
            Self::C => Box::new(CEnd::spawn(program(), P::NAME, sizes, memory, role).unwrap()),
            Self::Ours => Box::new(OurEnd::<P>::new(memory, role)),
        }
    }
}

fn program() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| common::compile("end.c", &["-O1"]).unwrap())
}

fn pair<P: Protocol>(memory: usize, front: Side, back: Side, seed: u64) -> Pair {
    Pair {
        name: format!("{front:?} front with {back:?} back"),
        front: front.end::<P>(memory, Role::Front),
        back: back.end::<P>(memory, Role::Back),
        memory: script::memory(memory, seed),
    }
}

/// Runs random scripts on all four combinations of ends, from all starts.
fn storm<P: Protocol>(memory: usize) {
    let seed = script::seed(20_261_122);
    let steps = script::steps(6_000) / 4;
    println!("{}, {memory} bytes: seed {seed}, 4 times {steps} steps", P::NAME);
    for start in [Start::Init, Start::Attach(0), Start::Attach(0x7fff_fff8), Start::Attach(u32::MAX - 8)] {
        let sides = [(Side::C, Side::C), (Side::Ours, Side::C), (Side::C, Side::Ours), (Side::Ours, Side::Ours)];
        let mut pairs = sides.map(|(front, back)| pair::<P>(memory, front, back, seed));
        let script = Script::<P>::new(seed).take(usize::try_from(steps).unwrap());
        let tally = compare(&mut pairs, start, script)
            .unwrap_or_else(|found| panic!("{}, {memory} bytes, seed {seed}, {start:?}: {found}", P::NAME));
        println!("  {start:?}: {tally:?}");
        assert!(tally.least() >= steps / 1000, "the script is one-sided: {tally:?}");
    }
}
