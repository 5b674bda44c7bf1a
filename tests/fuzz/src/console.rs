//! What a console daemon does to the page that it shares with its guest.

use std::collections::VecDeque;
use std::rc::Rc;

use xen_console::{Console, ConsoleError};

use self::world::{CONNECTION, IN_CONS, IN_PROD, Link, OUT_CONS, World};
use crate::script::{Script, with_bytes};
use crate::{Seed, Tally, Target};

#[path = "../../../console/tests/common/mod.rs"]
mod world;

/// The page of the PV console.
pub const TARGET: Target = Target {
    name: "console",
    play,
    seeds,
    outcomes: &["read", "drained", "written", "dropped", "timeouts", "violations"],
    weight: 1,
};

/// How often a call may wait.
const PATIENCE: u32 = 3;

/// Bytes of the ring of input, and of that of output.
const INPUT: usize = 1024;
const OUTPUT: usize = 2048;

/// The steps of a script, whose first four bytes are where all indices begin.
mod step {
    /// The daemon writes a word of the page: which one, as two bytes, and what.
    pub(super) const POKE: u8 = 0;
    /// The daemon moves an index: which of those that follow each other, and by how much, as two bytes with a sign.
    pub(super) const MOVE: u8 = 1;
    /// The daemon types: how many bytes, and those. One that breaks the rules does not.
    pub(super) const TYPE: u8 = 2;
    /// The daemon reads so many times 16 bytes of output. One that breaks the rules does not.
    pub(super) const EAT: u8 = 3;
    /// The guest reads up to so many times 8 bytes.
    pub(super) const READ: u8 = 4;
    /// The guest takes up to so many times 8 bytes, without waiting.
    pub(super) const DRAIN: u8 = 5;
    /// The guest writes so many times 16 bytes.
    pub(super) const WRITE: u8 = 6;
    /// The guest waits until all is read.
    pub(super) const FLUSH: u8 = 7;
}

/// Plays a script to its end.
///
/// # Panics
///
/// When the console does what it must not, or waits for longer than it may.
#[must_use]
pub fn play(script: &[u8]) -> Tally {
    let mut rest = Script(script);
    let world = World::new(rest.u32());
    let console = world.console(PATIENCE);
    let mut player = Player { world, console, typed: VecDeque::new(), honest: true, tally: Tally::default() };
    while let Some(step) = rest.next() {
        player.world.relaxed.set(0);
        let before = (player.console.input.violation(), player.console.output.violation());
        player.step(step % 8, &mut rest);
        let after = (player.console.input.violation(), player.console.output.violation());
        assert!(player.world.relaxed.get() <= PATIENCE as usize, "it waited for too long");
        assert!(before.0.is_none() || before.0 == after.0, "a violation is for good");
        assert!(before.1.is_none() || before.1 == after.1, "a violation is for good");
        if before != after {
            assert!(!player.honest, "an honest daemon is accused: {after:?}");
            player.tally.count("violations");
        }
    }
    player.tally
}

struct Player {
    world: Rc<World>,
    console: Console<Link>,
    /// What an honest daemon has typed, and nobody has read.
    typed: VecDeque<u8>,
    honest: bool,
    tally: Tally,
}

impl Player {
    fn step(&mut self, step: u8, rest: &mut Script<'_>) {
        match step {
            step::POKE => {
                let word = usize::from(rest.u16()) % (4096 / 4);
                self.poke(word * 4, rest.u32());
            }
            step::MOVE => {
                let offset = IN_CONS + usize::from(rest.byte() % 5) * 4;
                let by = i32::from(rest.u16().cast_signed());
                self.poke(offset, self.world.peek(offset).wrapping_add_signed(by));
            }
            step::TYPE => {
                let bytes = rest.bytes();
                if self.honest {
                    let count = self.world.type_in(bytes);
                    self.typed.extend(&bytes[..count]);
                }
            }
            step::EAT => {
                let count = usize::from(rest.byte()) * 16;
                if self.honest {
                    self.world.read(count);
                }
            }
            step::READ => self.read(usize::from(rest.byte()) * 8),
            step::DRAIN => self.drain(usize::from(rest.byte()) * 8),
            step::WRITE => self.write(usize::from(rest.byte()) * 16),
            _ => self.flush(),
        }
    }

    /// Where the connection stands says nothing about the rings.
    fn poke(&mut self, offset: usize, value: u32) {
        self.honest &= offset >= CONNECTION || self.world.peek(offset) == value;
        self.world.poke(offset, value);
    }

    fn read(&mut self, most: usize) {
        let mut into = vec![0; most];
        match self.console.input.read(&mut into) {
            Ok(count) => {
                assert!(count <= most.min(INPUT) && (count > 0 || most == 0));
                self.expect(&into[..count]);
                self.tally.count("read");
            }
            Err(ConsoleError::TimedOut) => {
                assert!(!self.honest || self.typed.is_empty(), "what was typed is there");
                self.tally.count("timeouts");
            }
            Err(error) => assert_eq!(Some(error), self.console.input.violation().map(ConsoleError::Peer)),
        }
    }

    fn drain(&mut self, budget: usize) {
        let mut seen = Vec::new();
        match self.console.input.drain(budget, |bytes| seen.extend_from_slice(bytes)) {
            Ok(drained) => {
                assert_eq!(drained.bytes, seen.len());
                assert!(drained.bytes <= budget.min(INPUT));
                self.expect(&seen);
                assert!(!self.honest || drained.more != self.typed.is_empty());
                self.tally.count("drained");
            }
            Err(error) => assert_eq!(Some(error), self.console.input.violation()),
        }
    }

    /// What was read is what was typed.
    fn expect(&mut self, bytes: &[u8]) {
        if self.honest {
            let typed: Vec<u8> = self.typed.drain(..bytes.len().min(self.typed.len())).collect();
            assert_eq!(typed, bytes);
        }
    }

    fn write(&mut self, count: usize) {
        let dropped = self.console.output.dropped();
        let written = self.console.output.write_or_drop(&vec![b'x'; count]);
        assert!(written <= count.min(OUTPUT));
        assert_eq!(self.console.output.dropped() - dropped, (count - written) as u64, "what is dropped is counted");
        self.tally.count(if written == count { "written" } else { "dropped" });
    }

    fn flush(&mut self) {
        match self.console.output.flush() {
            Ok(()) => assert_eq!(self.console.output.unread(), Ok(0)),
            Err(ConsoleError::TimedOut) => self.tally.count("timeouts"),
            Err(error) => assert_eq!(Some(error), self.console.output.violation().map(ConsoleError::Peer)),
        }
    }
}

fn poke(offset: usize, value: u32) -> Vec<u8> {
    [&[step::POKE][..], &(offset as u16 / 4).to_le_bytes(), &value.to_le_bytes()].concat()
}

fn move_index(offset: usize, by: i16) -> Vec<u8> {
    [&[step::MOVE, ((offset - IN_CONS) / 4) as u8][..], &by.to_le_bytes()].concat()
}

fn seeds() -> Vec<Seed> {
    let start = |index: u32| index.to_le_bytes().to_vec();
    let typed = || with_bytes(&[step::TYPE], b"hello, kernel\n");
    let (last, middle) = (u32::MAX - 3, 0x7fff_ffff);
    vec![
        Seed::new("read", [start(0), typed(), vec![step::READ, 1, step::READ, 9]].concat(), &[("read", 2)]),
        Seed::new("read-wrapping", [start(last), typed(), vec![step::READ, 9]].concat(), &[("read", 1)]),
        Seed::new("drain", [start(middle), typed(), vec![step::DRAIN, 1, step::DRAIN, 9]].concat(), &[("drained", 2)]),
        Seed::new("silence", [start(0), vec![step::READ, 4]].concat(), &[("timeouts", 1)]),
        Seed::new(
            "input-beyond",
            [start(0), typed(), move_index(IN_PROD, 1025), vec![step::READ, 4, step::DRAIN, 4]].concat(),
            &[("violations", 1)],
        ),
        Seed::new("input-full", [start(9), poke(IN_PROD, 9 + 1024), vec![step::READ, 255]].concat(), &[("read", 1)]),
        Seed::new(
            "input-back",
            [start(middle), typed(), vec![step::READ, 1], move_index(IN_PROD, -9), vec![step::READ, 1]].concat(),
            &[("read", 1), ("violations", 1)],
        ),
        Seed::new(
            "output",
            [start(last), vec![step::WRITE, 4, step::EAT, 9, step::FLUSH, step::WRITE, 1]].concat(),
            &[("written", 2)],
        ),
        Seed::new(
            "output-gap",
            [start(0), vec![step::WRITE, 255, step::WRITE, 9, step::EAT, 99, step::WRITE, 1]].concat(),
            &[("dropped", 2), ("written", 1)],
        ),
        Seed::new(
            "output-beyond",
            [start(0), move_index(OUT_CONS, 1), vec![step::WRITE, 4, step::FLUSH]].concat(),
            &[("dropped", 1), ("violations", 1)],
        ),
        Seed::new("not-served", [start(0), poke(CONNECTION, 1), vec![step::WRITE, 255]].concat(), &[("dropped", 1)]),
    ]
}
