//! What the front receives.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use xen_event_channel::Channel;
use xen_grant_table::{CopyError, Mapping};
use xen_hypercall::abi::frame::PAGE_SIZE;
use xen_hypercall::abi::io::netif::{ExtraFlags, ExtraInfo, MAX_TX_SIZE, RxFlags, RxRequest, RxResponse, Status};
use xen_hypercall::grant_table::Error;
use xen_shared_ring::{BackRing, Protocol};

use super::control::{Fault, Which};
use super::engine::{Engine, Piece};
use super::packet::{Hash, Packet};
use super::{Listen, XDP};
use crate::Domain;
use crate::backend::{Bell, Ear};

/// The ring's protocol.
pub(super) enum Rx {}

impl Protocol for Rx {
    type Request = RxRequest;
    type Response = RxResponse;
}

pub(super) type RxRing = BackRing<Rx, Mapping<Domain>>;

/// The receive ring of one queue.
pub(super) struct Receiver {
    pub(super) ring: RxRing,
    pub(super) ear: Ear,
    bell: Bell,
    /// Packets that wait for buffers.
    backlog: VecDeque<Held>,
    /// Buffers that were taken out of the ring, and used by no packet yet: answers have the places of their buffers.
    buffers: VecDeque<RxRequest>,
    /// Whether a packet has come since the ring was looked at.
    news: bool,
}

/// A packet that waits.
#[derive(Debug)]
struct Held {
    packet: Packet,
    fault: Option<Fault>,
    /// When it may come, and when it is given up.
    from: Duration,
    until: Duration,
}

/// Where a packet goes: pieces of buffers, and what is said between.
struct Layout {
    pieces: Vec<(u16, usize)>,
    extras: Vec<ExtraInfo>,
}

impl Receiver {
    pub(super) fn new(ring: RxRing, channel: Arc<Channel<Domain>>) -> Self {
        let (ear, bell, backlog, buffers) = (Ear::new(channel), Bell::default(), VecDeque::new(), VecDeque::new());
        Self { ring, ear, bell, backlog, buffers, news: false }
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
        self.backlog.push_back(Held { packet: Packet { hash, ..packet }, fault, from, until });
        self.news = true;
    }

    /// Does what can be done now; says whether there was anything.
    pub(super) fn work(&mut self, engine: &mut Engine) -> bool {
        let heard = self.ear.heard();
        let due = self.backlog.front().is_some_and(|held| held.from <= engine.now);
        let polls = engine.options.listen == Listen::Always || !engine.agreed.rx_notify;
        let before = self.backlog.len();
        if heard || (due && (self.news || polls)) {
            self.deliver(engine);
        }
        if heard {
            self.ear.settle(engine.now);
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
        let Self { ring, ear, .. } = self;
        drop(ear);
        engine.part(&mut Vec::new(), Some(ring.into_region()));
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
            && let Some(held) = self.backlog.front()
            && held.fault != Some(Fault::Hang)
        {
            if held.from > engine.now {
                self.news = true;
                break;
            }
            let layout = Layout::of(&held.packet, engine);
            if !self.has_buffers(layout.slots(), engine) {
                break;
            }
            let Some(held) = self.backlog.pop_front() else { break };
            match held.fault {
                Some(Fault::Refuse(status)) => self.refuse(status, engine),
                _ => self.put(&held.packet, &layout, engine),
            }
        }
        self.answer(engine);
    }

    /// Takes buffers out of the ring until there are so many. Where there are not, the front is asked for an event.
    fn has_buffers(&mut self, count: usize, engine: &mut Engine) -> bool {
        while self.buffers.len() < count {
            match self.ring.pop_or_arm() {
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
    fn put(&mut self, packet: &Packet, layout: &Layout, engine: &mut Engine) {
        let mut buffers: Vec<RxRequest> = self.buffers.drain(..layout.slots()).collect();
        // The buffers of extras are not used.
        buffers.drain(1..=layout.extras.len());
        let place = |(buffer, (offset, len)): (&RxRequest, &(u16, usize))| -> Piece { (buffer.gref, *offset, *len) };
        let pieces: Vec<Piece> = buffers.iter().zip(&layout.pieces).map(place).collect();
        let results = engine.store(&pieces, &packet.data);
        // As Linux's backend does, what stands before the packet is counted with it where the front wants room there.
        let (headroom, last) = (engine.agreed.headroom, pieces.len() - 1);
        for (number, result) in results.into_iter().enumerate() {
            let (_, offset, len) = pieces[number];
            let mut flags = if number == 0 { packet.checksum.received() } else { RxFlags::empty() };
            flags.set(RxFlags::MORE_DATA, number < last);
            flags.set(RxFlags::EXTRA_INFO, number == 0 && !layout.extras.is_empty());
            let status = result.map_or_else(failed, |()| Status(len as i16 + headroom as i16));
            self.respond(RxResponse { id: buffers[number].id, offset: offset - headroom, flags, status }, engine);
            if number == 0 {
                layout.extras.iter().for_each(|extra| self.respond(zerocopy::transmute!(*extra), engine));
            }
        }
        engine.statistics.received += 1;
        engine.statistics.received_bytes += packet.data.len() as u64;
    }

    /// Answers a buffer with a status that says that nothing is in it.
    fn refuse(&mut self, status: Status, engine: &mut Engine) {
        if let Some(buffer) = self.buffers.pop_front() {
            self.respond(RxResponse { id: buffer.id, status, ..RxResponse::default() }, engine);
        }
    }

    fn respond(&mut self, response: RxResponse, engine: &mut Engine) {
        // There is room for each buffer that was taken.
        if self.ring.push(response).is_ok() {
            engine.statistics.responses += 1;
        }
        if engine.options.notify == super::Notify::EachAnswer {
            self.answer(engine);
        }
    }

    /// Shows the front the answers.
    fn answer(&mut self, engine: &mut Engine) {
        if self.ring.unpublished() == 0 {
            return;
        }
        let wanted = self.ring.publish();
        if self.bell.published(wanted, engine.options.notify, self.ear.channel()) {
            engine.statistics.notifications += 1;
        }
    }
}

impl Layout {
    /// What a packet needs.
    fn of(packet: &Packet, engine: &mut Engine) -> Self {
        let (headroom, place) = (engine.agreed.headroom, engine.options.offset.clone());
        let own = if place.is_empty() { place.start } else { engine.rng.random_range(place) };
        let extras = Self::extras(packet, headroom);
        let (len, most) = (packet.data.len(), most_pieces(engine).saturating_sub(extras.len()).max(1));
        let fits = |offset: u16| usize::from(offset) < PAGE_SIZE && (PAGE_SIZE - usize::from(offset)) * most >= len;
        // A packet that needs all the room has no other place.
        let offset = headroom.checked_add(own).filter(|offset| fits(*offset)).unwrap_or(headroom);
        // Pieces as small as the options want them, unless that makes too many.
        let least = len.div_ceil(most).max(1);
        let piece = engine.options.piece.clamp(least, (PAGE_SIZE - usize::from(offset)).max(least));
        let lens = (0..len.div_ceil(piece).max(1)).map(|number| piece.min(len - number * piece));
        Self { pieces: lens.map(|len| (offset, len)).collect(), extras }
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

    const fn slots(&self) -> usize {
        self.pieces.len() + self.extras.len()
    }
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
