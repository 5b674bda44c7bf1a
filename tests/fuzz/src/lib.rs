//! Scripts of what peers write, one kind for each place where a peer's bytes come in, and what must hold whatever a script says.
//!
//! A script is bytes. A [`Target`] plays it to its end and panics where a promise is broken; the programs in `fuzz/` have coverage
//! lead scripts to new places, and the tests of this package play the scripts of `fuzz/corpus`, and seeded changes of them, in each
//! check.
//!
//! What each target demands, besides that nothing panics: an error is one that a type describes, work is bounded by what the script
//! holds, and
//!
//! * [`connection`]: an answer is that of who asked, as it came; a message that is nobody's is counted and dropped, and one that is too long
//!   ends the connection.
//! * [`device`]: a driver is told of each connection in order, nothing is written outside the device's own directory or after the device is
//!   gone, and a device that is closed ends in time.
//! * [`receive`]: a packet is no longer than agreed, its bytes are those of slots that were shown, each of them once, and no more
//!   buffers are given than the ring has room for.
//! * [`responses`]: each request ends once, and none is done that was not answered so.
//! * [`console`]: what is typed is read as it was typed, no call waits longer than it may, and a violation is for good.

#![expect(clippy::cast_possible_truncation, reason = "numbers of scripts are cut to size")]

extern crate alloc;

pub mod connection;
pub mod console;
pub mod device;
mod raw;
pub mod receive;
pub mod responses;
mod script;
mod tally;

pub use tally::Tally;

/// A place where a peer's bytes come in.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: that of its program in `fuzz/`, and of its folder in `fuzz/corpus`.
    pub name: &'static str,
    /// Plays a script to its end, and says what came of it. Panics where a promise is broken.
    pub play: fn(&[u8]) -> Tally,
    /// Scripts to begin with.
    pub seeds: fn() -> Vec<Seed>,
    /// What must have come of two hundred changed scripts, or they test nothing.
    pub outcomes: &'static [&'static str],
    /// One of its scripts takes as long as so many of the quickest target's.
    pub weight: u64,
}

/// A script to begin with.
#[derive(Clone, Debug)]
pub struct Seed {
    /// The name of its file.
    pub name: &'static str,
    /// Its bytes.
    pub script: Vec<u8>,
    /// What comes of it.
    pub expected: Tally,
}

impl Seed {
    /// A script, and how often what comes of it.
    fn new(name: &'static str, script: Vec<u8>, expected: &[(&'static str, u32)]) -> Self {
        Self { name, script, expected: expected.iter().copied().collect() }
    }
}

/// All targets.
pub const TARGETS: [Target; 5] =
    [connection::TARGET, console::TARGET, device::TARGET, receive::TARGET, responses::TARGET];
