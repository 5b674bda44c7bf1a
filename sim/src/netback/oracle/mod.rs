//! What packets must be when they arrive, and what a backend may read.

mod content;
#[cfg(test)]
mod tests;

use std::fmt;

use xen_hypercall::abi::grant_table::GrantRef;

use super::packet::{Checksum, Mac, Packet};
use crate::{Domain, Machine, Readable};
use content::{CELL, Cell, Recipe};

/// Knows which packets were sent, each way, and judges what arrives and what can be read.
///
/// A packet is made of cells, each of which holds a canary, the packet's sequence number and length, its own place and a check. A test
/// has packets [made](Self::packet) and sends them, and shows the oracle whatever arrives at the other end.
///
/// # The rules
///
/// * What arrives was sent, this way, as it is: not changed, not cut, no parts of two. Only a checksum may have been made meanwhile.
/// * It arrives once, in any order. What does not arrive is counted.
/// * What the backend's domain can read in pages that are no rings is bytes of packets that were sent, or zeros. What was
///   [withdrawn](Self::withdraw) was never sent.
#[derive(Debug)]
pub struct NetOracle {
    guest: Mac,
    peer: Mac,
    ways: [Flow; 2],
    /// Bytes that may be read besides packets.
    allowed: Vec<Vec<u8>>,
}

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Way {
    /// From the guest to the backend.
    Out = 1,
    /// From the backend to the guest.
    In = 2,
}

/// What a packet looks like from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A frame of an experimental type.
    Plain,
    /// TCP over IPv4 from this port, with a blank checksum.
    Ipv4(u16),
    /// TCP over IPv6 from this port, with a blank checksum.
    Ipv6(u16),
}

/// What was sent one way, by sequence numbers.
#[derive(Debug, Default)]
struct Flow {
    packets: Vec<Sent>,
    arrived: u64,
    withdrawn: u64,
    reordered: u64,
    last: u32,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    form: Form,
    len: u16,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Sent,
    Arrived,
    Withdrawn,
}

/// How many packets went one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Were sent.
    pub sent: u64,
    /// Have arrived.
    pub arrived: u64,
    /// Were sent and have not arrived.
    pub missing: u64,
    /// Have arrived after one that was sent later.
    pub reordered: u64,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wrong {
    /// What has arrived is no packet that was ever made: it has no cell.
    Garbage,
    /// It was never sent.
    NeverSent(u32),
    /// It was sent the other way.
    WrongWay(u32),
    /// It has another length.
    Length {
        /// Its sequence number.
        sequence: u32,
        /// Bytes that were sent.
        sent: usize,
        /// Bytes that have arrived.
        arrived: usize,
    },
    /// Part of it is of another packet.
    Mixed {
        /// Its sequence number.
        sequence: u32,
        /// The other one's.
        other: u32,
    },
    /// A byte of it is another.
    Changed {
        /// Its sequence number.
        sequence: u32,
        /// Where.
        at: usize,
    },
    /// It has arrived before.
    Twice(u32),
    /// The backend can read bytes that were not sent.
    Exposed {
        /// By which entry.
        gref: GrantRef,
        /// Where in the page.
        at: usize,
        /// How many bytes in a row.
        len: usize,
    },
}

impl NetOracle {
    /// An oracle for packets between these stations.
    #[must_use]
    pub fn new(guest: Mac, peer: Mac) -> Self {
        Self { guest, peer, ways: Default::default(), allowed: Vec::new() }
    }

    /// Makes a packet that is sent. With less than a cell after its headers nobody will know it again.
    ///
    /// # Panics
    ///
    /// If it would be that short, or longer than a packet can be.
    pub fn packet(&mut self, way: Way, form: Form, len: usize) -> Packet {
        let fits = len >= form.header() + content::CELL && len <= usize::from(u16::MAX);
        assert!(fits, "a packet of {len} bytes has no cell, or is too long");
        let flow = self.flow(way);
        let sequence = flow.packets.len() as u32;
        flow.packets.push(Sent { form, len: len as u16, state: State::Sent });
        let data = self.recipe(way, sequence).map_or_else(Vec::new, |recipe| recipe.make());
        let checksum = if form == Form::Plain { Checksum::Unknown } else { Checksum::Blank };
        Packet { data, checksum, ..Packet::default() }
    }

    /// A packet that was made was not sent after all: it must not arrive, nor be readable.
    pub fn withdraw(&mut self, packet: &Packet) {
        let Some((_, Cell { way, sequence, .. })) = Cell::find(&packet.data).next() else { return };
        let flow = self.flow(way);
        if let Some(sent) = flow.packets.get_mut(sequence as usize).filter(|sent| sent.state == State::Sent) {
            sent.state = State::Withdrawn;
            flow.withdrawn += 1;
        }
    }

    /// Other bytes that the backend may read: what a network stack has sent by itself.
    pub fn allow(&mut self, bytes: &[u8]) {
        self.allowed.push(bytes.to_vec());
    }

    /// A packet has arrived.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn arrived(&mut self, way: Way, bytes: &[u8]) -> Result<(), Finding> {
        let wrong = |what| Err(Finding { way, what });
        let Some((_, Cell { way: own, sequence, .. })) = Cell::find(bytes).next() else { return wrong(Wrong::Garbage) };
        if own != way {
            return wrong(Wrong::WrongWay(sequence));
        }
        let Some(recipe) = self.recipe(way, sequence) else { return wrong(Wrong::NeverSent(sequence)) };
        if let Some((_, other)) = Cell::find(bytes).find(|(_, cell)| (cell.way, cell.sequence) != (way, sequence)) {
            return wrong(Wrong::Mixed { sequence, other: other.sequence });
        }
        let (sent, arrived) = (usize::from(recipe.len), bytes.len());
        if sent != arrived {
            return wrong(Wrong::Length { sequence, sent, arrived });
        }
        if let Some(at) = recipe.difference(bytes) {
            return wrong(Wrong::Changed { sequence, at });
        }
        if self.flow(way).take(sequence) { Ok(()) } else { wrong(Wrong::Twice(sequence)) }
    }

    /// As [`arrived`](Self::arrived), for a test.
    ///
    /// # Panics
    ///
    /// If anything is wrong.
    #[track_caller]
    pub fn assert_arrived(&mut self, way: Way, bytes: &[u8]) {
        if let Err(finding) = self.arrived(way, bytes) {
            panic!("{finding}");
        }
    }

    /// How many went one way.
    #[must_use]
    pub const fn counts(&self, way: Way) -> Counts {
        let flow = &self.ways[way as usize - 1];
        let (sent, arrived) = (flow.packets.len() as u64 - flow.withdrawn, flow.arrived);
        Counts { sent, arrived, missing: sent - arrived, reordered: flow.reordered }
    }

    /// Looks at pages that can be read: each byte is of a packet that was sent, or zero. Of a page, the first run of other bytes is
    /// told.
    ///
    /// # Errors
    ///
    /// All that is wrong.
    pub fn check_pages<'a>(&self, pages: impl IntoIterator<Item = &'a Readable>) -> Result<u64, Vec<Finding>> {
        let (mut count, mut findings) = (0, Vec::new());
        for page in pages {
            count += 1;
            if let Some((at, len)) = self.exposed(page.bytes.as_slice()) {
                findings.push(Finding { way: Way::Out, what: Wrong::Exposed { gref: page.gref, at, len } });
            }
        }
        if findings.is_empty() { Ok(count) } else { Err(findings) }
    }

    /// Looks at every page that a backend's domain can read, but for rings.
    ///
    /// # Panics
    ///
    /// If there is a byte that was not sent, and is not zero.
    #[track_caller]
    pub fn assert_nothing_exposed(&self, machine: &Machine, back: &Domain, rings: &[GrantRef]) {
        let pages = machine.readable_by(back);
        let checked = self.check_pages(pages.iter().filter(|page| !rings.contains(&page.gref)));
        if let Err(findings) = checked {
            let first: Vec<String> = findings.iter().take(8).map(ToString::to_string).collect();
            panic!("{} pages show what was not sent: {}", findings.len(), first.join("; "));
        }
    }
}

impl NetOracle {
    const fn flow(&mut self, way: Way) -> &mut Flow {
        &mut self.ways[way as usize - 1]
    }

    /// How a packet was made that was sent.
    fn recipe(&self, way: Way, sequence: u32) -> Option<Recipe> {
        let sent = self.ways[way as usize - 1].packets.get(sequence as usize)?;
        let (to, from) = match way {
            Way::Out => (self.peer, self.guest),
            Way::In => (self.guest, self.peer),
        };
        let Sent { form, len, state } = *sent;
        (state != State::Withdrawn).then_some(Recipe { way, sequence, form, len, to, from })
    }

    /// The first run of bytes that were not sent, and are not zero.
    fn exposed(&self, page: &[u8]) -> Option<(usize, usize)> {
        let mut known: Vec<bool> = page.iter().map(|byte| *byte == 0).collect();
        for at in Cell::starts(page) {
            // One cell tells of the whole piece.
            let cell = if known[at] { None } else { Cell::read(&page[at..]) };
            let recipe = cell.and_then(|cell| Some((cell, self.recipe(cell.way, cell.sequence)?)));
            if let Some((cell, recipe)) = recipe.filter(|(cell, recipe)| recipe.len == cell.len) {
                cover(page, &mut known, &recipe.make(), at, recipe.place(cell.index));
            }
        }
        while let Some((first, len)) = run(page, &known) {
            let is_piece = self.is_piece(page, &page[first..first + len]);
            let covered = if is_piece { Some(len) } else { self.remainder(page, first) };
            let Some(covered) = covered else { return Some((first, len)) };
            known[first..first + covered].fill(true);
        }
        None
    }

    /// Whether bytes are a piece that is too short to have a cell, or something else that may be read.
    fn is_piece(&self, page: &[u8], run: &[u8]) -> bool {
        let has_it = |bytes: &[u8]| bytes.windows(run.len()).any(|window| window == run);
        if self.allowed.iter().any(|bytes| has_it(bytes)) {
            return true;
        }
        if run.len() >= SHORT {
            return self.recent().any(|bytes| has_it(&bytes));
        }
        // So few bytes are in many packets: they count if they are all that is in the page, and an end of one.
        let is_alone = page.iter().filter(|byte| **byte != 0).count() == run.iter().filter(|byte| **byte != 0).count();
        let ends = |bytes: &[u8]| [bytes[..SHORT].to_vec(), bytes[bytes.len() - SHORT..].to_vec()];
        is_alone && self.recent().any(|bytes| ends(&bytes).iter().any(|end| has_it(end)))
    }

    /// How much is left here of a packet, its very end in its place, behind a shorter one that was written over it: less than has a
    /// whole cell in it.
    fn remainder(&self, page: &[u8], first: usize) -> Option<usize> {
        let is_there = |end: &[u8]| (1..2 * CELL).contains(&end.len()) && page[first..].starts_with(end);
        self.recent().find_map(|bytes| bytes.get(first..).filter(|end| is_there(end)).map(<[u8]>::len))
    }

    /// The packets that were sent last.
    fn recent(&self) -> impl Iterator<Item = Vec<u8>> {
        /// As many as a driver can have on its way, and then some.
        const MOST: u32 = 600;
        [Way::Out, Way::In].into_iter().flat_map(move |way| {
            let count = self.ways[way as usize - 1].packets.len() as u32;
            let sequences = (count.saturating_sub(MOST)..count).rev();
            sequences.filter_map(move |sequence| Some(self.recipe(way, sequence)?.make()))
        })
    }
}

impl Flow {
    /// One has arrived; says whether that is the first time.
    fn take(&mut self, sequence: u32) -> bool {
        let Some(sent) = self.packets.get_mut(sequence as usize).filter(|sent| sent.state == State::Sent) else {
            return false;
        };
        sent.state = State::Arrived;
        self.arrived += 1;
        self.reordered += u64::from(sequence < self.last);
        self.last = self.last.max(sequence);
        true
    }
}

/// Bytes that could be of any packet.
const SHORT: usize = 14;

/// The first run of bytes that are not known, few zeros between them included: where it begins, and its length.
fn run(page: &[u8], known: &[bool]) -> Option<(usize, usize)> {
    let first = known.iter().position(|known| !known)?;
    let mut last = first;
    while let Some(gap) = page[last + 1..].iter().take(content::CELL).position(|byte| *byte != 0)
        && !known[last + 1 + gap]
    {
        last += gap + 1;
    }
    Some((first, last + 1 - first))
}

/// Marks as known what is of a packet, of which the byte `from` stands at `at`: in both directions, for as long as it is the same.
fn cover(page: &[u8], known: &mut [bool], packet: &[u8], at: usize, from: usize) {
    let is_same = |page_at: usize, packet_at: usize| page.get(page_at) == packet.get(packet_at);
    let before = (1..=at.min(from)).take_while(|back| is_same(at - back, from - back)).count();
    let most = (page.len() - at).min(packet.len().saturating_sub(from));
    let after = (0..most).take_while(|further| is_same(at + further, from + further)).count();
    known[at - before..at + after].fill(true);
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which way.
    pub way: Way,
    /// What.
    pub what: Wrong,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: ", self.way)?;
        match self.what {
            Wrong::Garbage => f.write_str("no packet that was ever made"),
            Wrong::NeverSent(sequence) => write!(f, "packet {sequence} was never sent"),
            Wrong::WrongWay(sequence) => write!(f, "packet {sequence} was sent the other way"),
            Wrong::Length { sequence, sent, arrived } => {
                write!(f, "packet {sequence} of {sent} bytes has arrived with {arrived}")
            }
            Wrong::Mixed { sequence, other } => write!(f, "packet {sequence} has arrived with a part of {other}"),
            Wrong::Changed { sequence, at } => write!(f, "packet {sequence} has changed at byte {at}"),
            Wrong::Twice(sequence) => write!(f, "packet {sequence} has arrived twice"),
            Wrong::Exposed { gref, at, len } => {
                write!(f, "entry {} shows {len} bytes at {at:#x} that were not sent", gref.0)
            }
        }
    }
}

impl std::error::Error for Finding {}
