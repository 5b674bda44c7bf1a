//! What the front receives.

use std::collections::VecDeque;
use std::time::Duration;

use rand::RngExt;
use xen_grant_table::CopyError;
use xen_hypercall::abi::frame::PAGE_SIZE;
use xen_hypercall::abi::io::netif::{ExtraFlags, ExtraInfo, MAX_TX_SIZE, RxFlags, RxRequest, RxResponse, Status};
use xen_hypercall::grant_table::Error;
use xen_shared_ring::Protocol;

use super::control::{Fault, Which};
use super::engine::Engine;
use super::line::Line;
use super::packet::{Hash, Packet};
use super::{Listen, XDP, hostile};
use crate::backend::Mapped;

/// The ring's protocol.
pub(super) enum Rx {}

impl Protocol for Rx {
    type Request = RxRequest;
    type Response = RxResponse;
}

/// The receive ring of one queue.
pub(super) struct Receiver {
    pub(super) line: Line<Rx>,
    /// Packets that wait for buffers.
    backlog: VecDeque<Held>,
    /// Buffers that were taken out of the ring, and used by no packet yet: answers have the places of their buffers.
    buffers: VecDeque<RxRequest>,
    /// Whether a packet has come since the ring was looked at.
    news: bool,
    /// Pages that stay mapped though nobody agreed to it.
    pub(super) hoard: Vec<Mapped>,
}

/// A packet that waits.
#[derive(Debug)]
struct Held {
    packet: Packet,
    /// How it is put into the ring, once that was thought of; or slots that are no packet.
    slots: Option<Vec<RxSlot>>,
    fault: Option<Fault>,
    /// When it may come, and when it is given up.
    from: Duration,
    until: Duration,
}

/// What stands in a slot of the receive ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RxSlot {
    /// An answer.
    Answer(RxAnswer),
    /// Any eight bytes: what says more of a packet, or junk.
    Raw([u8; 8]),
}

/// An answer to a buffer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RxAnswer {
    /// The id, where it is another than the buffer's.
    pub id: Option<u16>,
    /// Where the packet begins, as it says.
    pub offset: u16,
    /// What is so of it.
    pub flags: RxFlags,
    /// Bytes, as it says, or why there are none.
    pub status: i16,
    /// What is written from the offset on, as far as the page goes.
    pub data: Vec<u8>,
}

impl RxSlot {
    /// An answer to a buffer that these bytes are in, at its start.
    #[must_use]
    pub fn data(data: impl Into<Vec<u8>>, flags: RxFlags) -> Self {
        let data = data.into();
        Self::Answer(RxAnswer { flags, status: data.len() as i16, data, ..RxAnswer::default() })
    }

    /// What says more of a packet.
    #[must_use]
    pub const fn extra(extra: ExtraInfo) -> Self {
        Self::Raw(zerocopy::transmute!(extra))
    }
}

impl Receiver {
    pub(super) const fn new(line: Line<Rx>) -> Self {
        Self { line, backlog: VecDeque::new(), buffers: VecDeque::new(), news: false, hoard: Vec::new() }
    }

    /// Takes a packet for the front.
    pub(super) fn hold(&mut self, packet: Packet, hash: Option<Hash>, engine: &mut Engine) {
        let fault = engine.fault(Which::Receive);
        if self.backlog.len() >= engine.options.backlog || fault == Some(Fault::Lose) {
            engine.statistics.dropped += 1;
            return;
        }
        let from = match fault {
            Some(Fault::Late(time)) => engine.now + time,
            _ => engine.now,
        };
        let until = from + engine.options.patience;
        self.backlog.push_back(Held { packet: Packet { hash, ..packet }, slots: None, fault, from, until });
        self.news = true;
    }

    /// Takes slots that are put into the ring as they are.
    pub(super) fn hold_slots(&mut self, slots: Vec<RxSlot>, engine: &Engine) {
        let (packet, slots, from) = (Packet::default(), Some(slots), engine.now);
        self.backlog.push_back(Held { packet, slots, fault: None, from, until: from + engine.options.patience });
        self.news = true;
    }

    /// Does what can be done now; says whether there was anything.
    pub(super) fn work(&mut self, engine: &mut Engine) -> bool {
        let heard = self.line.ear.heard();
        let due = self.backlog.front().is_some_and(|held| held.from <= engine.now);
        let polls = engine.options.listen == Listen::Always || !engine.agreed.rx_notify;
        let before = self.backlog.len();
        if heard || (due && (self.news || polls)) {
            self.deliver(engine);
        }
        if heard {
            self.line.ear.settle(engine.now);
        }
        self.give_up(engine) || self.backlog.len() < before
    }

    /// When the next packet may come, or is given up.
    pub(super) fn due(&self) -> Option<Duration> {
        let first = self.backlog.front().filter(|held| held.fault != Some(Fault::Hang))?;
        Some(if self.news { first.from } else { first.until })
    }

    /// Has what hung go on, as if it came now.
    pub(super) fn go_on(&mut self, engine: &Engine) {
        for held in self.backlog.iter_mut().filter(|held| held.fault == Some(Fault::Hang)) {
            (held.fault, held.until) = (None, engine.now + engine.options.patience);
        }
        self.news = true;
    }

    /// Packets that wait.
    pub(super) fn waiting(&self) -> usize {
        self.backlog.len()
    }

    /// Ends the connection.
    pub(super) fn close(self, engine: &mut Engine) {
        engine.statistics.dropped += self.backlog.len() as u64;
        let Self { line, mut hoard, .. } = self;
        line.close(&mut hoard, engine);
    }

    /// Packets for which no buffers came.
    fn give_up(&mut self, engine: &mut Engine) -> bool {
        let before = self.backlog.len();
        while self.backlog.front().is_some_and(|held| held.until <= engine.now && held.fault != Some(Fault::Hang)) {
            self.backlog.pop_front();
            engine.statistics.expired += 1;
        }
        self.backlog.len() < before
    }

    /// Delivers packets for as long as there are buffers.
    fn deliver(&mut self, engine: &mut Engine) {
        self.news = false;
        while engine.is_enabled()
            && let Some(mut held) = self.backlog.pop_front()
        {
            let waits = held.fault == Some(Fault::Hang) || held.from > engine.now;
            if waits || !self.has_buffers(held.slots(engine).len(), engine) {
                self.news = waits;
                self.backlog.push_front(held);
                break;
            }
            self.put(held, engine);
        }
        self.line.show(engine);
    }

    /// Takes buffers out of the ring until there are so many. Where there are not, the front is asked for an event.
    fn has_buffers(&mut self, count: usize, engine: &mut Engine) -> bool {
        while self.buffers.len() < count {
            match self.line.ring.pop_or_arm() {
                Ok(Some(buffer)) => self.buffers.push_back(buffer.into_unverified()),
                Ok(None) => return false,
                Err(error) => {
                    engine.disable(error.to_string());
                    return false;
                }
            }
        }
        true
    }

    /// Puts a packet into buffers, of which there are enough.
    fn put(&mut self, mut held: Held, engine: &mut Engine) {
        engine.statistics.received += u64::from(!held.packet.data.is_empty());
        engine.statistics.received_bytes += held.packet.data.len() as u64;
        let slots = held.slots.take().unwrap_or_default();
        match held.fault {
            Some(Fault::Misdeed(misdeed)) => hostile::receive(self, slots, &misdeed, engine),
            _ => self.place(slots, engine),
        }
    }

    /// The buffers that come next.
    pub(super) fn take_buffers(&mut self, count: usize) -> Vec<RxRequest> {
        self.buffers.drain(..count.min(self.buffers.len())).collect()
    }

    /// Puts slots into the ring, with what belongs into their buffers.
    fn place(&mut self, slots: Vec<RxSlot>, engine: &mut Engine) {
        let buffers = self.take_buffers(slots.len());
        self.fill(&slots, &buffers, engine);
    }

    /// As [`place`](Self::place), for buffers that were taken already.
    pub(super) fn fill(&mut self, slots: &[RxSlot], buffers: &[RxRequest], engine: &mut Engine) {
        let mut answers: Vec<RxResponse> = Vec::new();
        let (mut pieces, mut owners, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
        for (slot, buffer) in slots.iter().zip(buffers) {
            if let RxSlot::Answer(RxAnswer { offset, data, .. }) = slot {
                let len = data.len().min(PAGE_SIZE.saturating_sub(usize::from(*offset)));
                pieces.extend((len > 0).then_some((buffer.gref, *offset, len)));
                owners.extend((len > 0).then_some(answers.len()));
                bytes.extend_from_slice(&data[..len]);
            }
            answers.push(slot.response(buffer));
        }
        for (owner, result) in owners.into_iter().zip(engine.store(&pieces, &bytes)) {
            if let Err(error) = result {
                answers[owner].status = failed(error);
            }
        }
        for answer in answers {
            self.line.push(answer, engine);
            self.line.answered(engine);
        }
    }
}

impl RxSlot {
    fn response(&self, buffer: &RxRequest) -> RxResponse {
        match self {
            Self::Answer(RxAnswer { id, offset, flags, status, .. }) => {
                RxResponse { id: id.unwrap_or(buffer.id), offset: *offset, flags: *flags, status: Status(*status) }
            }
            Self::Raw(bytes) => zerocopy::transmute!(*bytes),
        }
    }
}

impl Held {
    /// How it is put into the ring.
    fn slots(&mut self, engine: &mut Engine) -> &[RxSlot] {
        let Self { packet, fault, .. } = self;
        self.slots.get_or_insert_with(|| match fault {
            Some(Fault::Refuse(status)) => {
                vec![RxSlot::Answer(RxAnswer { status: status.0, ..RxAnswer::default() })]
            }
            Some(Fault::Misdeed(misdeed)) => hostile::distort(slots(packet, engine), misdeed),
            _ => slots(packet, engine),
        })
    }
}

/// The slots of a packet: the first of its pieces, what is to be said of it, the other pieces.
fn slots(packet: &Packet, engine: &mut Engine) -> Vec<RxSlot> {
    let (headroom, place) = (engine.agreed.headroom, engine.options.offset.clone());
    let own = if place.is_empty() { place.start } else { engine.rng.random_range(place) };
    let extras = extras(packet, headroom);
    let (len, most) = (packet.data.len(), most_pieces(engine).saturating_sub(extras.len()).max(1));
    let fits = |own: u16| (PAGE_SIZE.saturating_sub(usize::from(own.saturating_add(headroom)))) * most >= len;
    // A packet that needs all the room has no other place.
    let offset = if fits(own) { own } else { 0 };
    // Pieces as small as the options want them, unless that makes too many.
    let least = len.div_ceil(most).max(1);
    let room = PAGE_SIZE.saturating_sub(usize::from(offset) + usize::from(headroom)).max(least);
    let piece = engine.options.piece.clamp(least, room);
    let count = len.div_ceil(piece).max(1);
    let answer = |number: usize| {
        let mut flags = if number == 0 { packet.checksum.received() } else { RxFlags::empty() };
        flags.set(RxFlags::MORE_DATA, number + 1 < count);
        flags.set(RxFlags::EXTRA_INFO, number == 0 && !extras.is_empty());
        // As Linux's backend does, what stands before the packet is counted with it where the front wants room there.
        let mut data = vec![0; usize::from(headroom)];
        data.extend_from_slice(&packet.data[number * piece..len.min((number + 1) * piece)]);
        RxSlot::Answer(RxAnswer { offset, flags, status: data.len() as i16, data, id: None })
    };
    let mut slots: Vec<RxSlot> = (0..count).map(answer).collect();
    slots.splice(1..1, extras.iter().copied().map(RxSlot::extra));
    slots
}

fn extras(packet: &Packet, headroom: u16) -> Vec<ExtraInfo> {
    let mut extras: Vec<ExtraInfo> = packet.gso.map(super::packet::Gso::extra).into_iter().collect();
    extras.extend(packet.hash.map(Hash::extra));
    if headroom > 0 {
        let data = [headroom.to_le_bytes(), [0; 2], [0; 2]].concat().try_into().unwrap_or_default();
        extras.push(ExtraInfo { kind: XDP, data, ..ExtraInfo::default() });
    }
    if let Some((_, before)) = extras.split_last_mut() {
        before.iter_mut().for_each(|extra| extra.flags = ExtraFlags::MORE);
    }
    extras
}

/// How long a packet can be.
pub(super) fn room(engine: &Engine) -> usize {
    let page = PAGE_SIZE.saturating_sub(usize::from(engine.agreed.headroom));
    (most_pieces(engine) * page).min(MAX_TX_SIZE as usize)
}

/// How many slots a packet may have.
const fn most_pieces(engine: &Engine) -> usize {
    if engine.agreed.sg { engine.options.slots } else { 1 }
}

/// The status of a buffer that could not be written: Xen's, as from Linux's backend.
const fn failed(error: CopyError) -> Status {
    match error {
        CopyError::Xen(Error::Status(status)) => Status(status.0),
        _ => Status::ERROR,
    }
}
