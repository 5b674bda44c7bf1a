//! What the front transmits, with the checks of Linux's backend.

use std::time::Duration;

use xen_hypercall::abi::frame::PAGE_SIZE;
use xen_hypercall::abi::io::netif::{
    ExtraFlags, ExtraInfo, ExtraType, GsoType, Status, TxFlags, TxRequest, TxResponse,
};
use xen_shared_ring::Protocol;
use zerocopy::{FromBytes, IntoBytes};

use super::control::{Fault, Which};
use super::engine::{Engine, Piece};
use super::line::Line;
use super::offload::Headers;
use super::packet::{Checksum, ETH_HLEN, Gso, Hash, Mac, Packet};
use super::{Listen, Order, XDP, hostile};
use crate::backend::{self, Due, Mapped};
use crate::oracle::Access;

/// The ring's protocol.
pub(super) enum Tx {}

impl Protocol for Tx {
    type Request = TxRequest;
    type Response = TxResponse;
}

/// The transmit ring of one queue.
pub(super) struct Transmitter {
    pub(super) line: Line<Tx>,
    more: bool,
    /// Slots that are answered at their time.
    waiting: Vec<Answer>,
    /// Those that are not answered.
    stuck: Vec<Answer>,
    /// Pages that stay mapped though nobody agreed to it.
    pub(super) hoard: Vec<Mapped>,
}

/// The answer to a slot, and to those that say more of it.
#[derive(Debug, Default)]
struct Answer {
    id: u16,
    /// What stands in the extras' slots in place of an id, which they have none of.
    extras: Vec<u16>,
    status: Status,
    due: Duration,
    /// What goes out when it is answered.
    packet: Option<Packet>,
    mapped: Vec<Mapped>,
}

impl Due for Answer {
    fn due(&self) -> Duration {
        self.due
    }
}

/// What only a hostile front does.
struct Fatal(String);

/// What the extras of a packet say.
#[derive(Default)]
struct Extras {
    slots: Vec<u16>,
    gso: Option<Gso>,
    hash: Option<Hash>,
    join: Option<Mac>,
    leave: Option<Mac>,
}

/// The slots of a packet, with the size of each.
struct Slots {
    slots: Vec<TxRequest>,
    /// Whether it is refused.
    refused: bool,
}

impl Transmitter {
    pub(super) const fn new(line: Line<Tx>) -> Self {
        Self { line, more: true, waiting: Vec::new(), stuck: Vec::new(), hoard: Vec::new() }
    }

    /// Does what can be done now; says whether there was anything.
    pub(super) fn work(&mut self, engine: &mut Engine) -> bool {
        let taken = self.take(engine);
        let done = self.complete(engine, taken);
        self.line.show(engine);
        taken || done
    }

    pub(super) fn due(&self) -> Option<Duration> {
        self.waiting.iter().map(Due::due).min()
    }

    /// Slots that are not answered yet.
    pub(super) const fn unanswered(&self) -> usize {
        self.waiting.len() + self.stuck.len()
    }

    pub(super) fn go_on(&mut self) {
        self.waiting.append(&mut self.stuck);
    }

    /// Ends the connection. What waited is not answered.
    pub(super) fn close(self, engine: &mut Engine) {
        let Self { line, waiting, stuck, mut hoard, .. } = self;
        hoard.extend(waiting.into_iter().chain(stuck).flat_map(|answer| answer.mapped));
        line.close(&mut hoard, engine);
    }
}

/// Packets.
impl Transmitter {
    /// Takes packets, no more than a ring holds.
    fn take(&mut self, engine: &mut Engine) -> bool {
        let heard = self.line.ear.heard();
        if !(heard || self.more || engine.options.listen == Listen::Always) {
            return false;
        }
        let mut left = self.line.ring.size();
        let before = left;
        while left > 0 && engine.is_enabled() {
            let taken = self.pop().and_then(|first| first.map(|first| self.packet(first, engine)).transpose());
            match taken {
                Ok(Some(())) => left -= 1,
                Ok(None) => break,
                Err(Fatal(why)) => engine.disable(why),
            }
        }
        self.more = left == 0;
        if heard {
            self.line.ear.settle(engine.now);
        }
        left < before
    }

    fn pop(&mut self) -> Result<Option<TxRequest>, Fatal> {
        let request = self.line.ring.pop_or_arm().map_err(|error| Fatal(error.to_string()))?;
        Ok(request.map(xen_shared_ring::Untrusted::into_unverified))
    }

    /// Takes one packet, whose first slot this is.
    fn packet(&mut self, first: TxRequest, engine: &mut Engine) -> Result<(), Fatal> {
        let extras = self.extras(&first)?;
        engine.statistics.extras += extras.slots.len() as u64;
        if let Some(done) = extras.groups(engine) {
            engine.statistics.filters += 1;
            let status = if done { Status::OKAY } else { Status::ERROR };
            self.begin(Answer { id: first.id, extras: extras.slots, status, ..Answer::default() }, engine);
            return Ok(());
        }
        let Slots { slots, refused } = self.slots(first, engine)?;
        let head = slots[0];
        let refused = refused || usize::from(head.size) < ETH_HLEN;
        if !refused {
            check_page(&head)?;
            extras.check()?;
        }
        engine.statistics.slots += slots.len() as u64;
        let packet = if refused || !extras.is_agreed(&slots, engine) {
            engine.statistics.refused += 1;
            Err(vec![Status::ERROR; slots.len()])
        } else {
            copy(&slots, &extras, engine)
        };
        self.finish(&slots, extras.slots, packet, engine);
        Ok(())
    }

    /// Takes the extras that follow a first slot. Of two of the same type the last one counts.
    fn extras(&mut self, first: &TxRequest) -> Result<Extras, Fatal> {
        let mut extras = Extras::default();
        let mut more = first.flags.contains(TxFlags::EXTRA_INFO);
        while more {
            let slot = self.pop()?.ok_or_else(|| Fatal("Missing extra info".to_owned()))?;
            let extra =
                ExtraInfo::read_from_prefix(slot.as_bytes()).map_or_else(|_| ExtraInfo::default(), |read| read.0);
            extras.slots.push(u16::from_le_bytes([extra.kind.0, extra.flags.bits()]));
            match extra.kind {
                ExtraType::GSO => extras.gso = Some(Gso::from_extra(extra)),
                ExtraType::MCAST_ADD => extras.join = Some(extra.data),
                ExtraType::MCAST_DEL => extras.leave = Some(extra.data),
                ExtraType::HASH => extras.hash = Some(Hash::from_extra(extra)),
                XDP => {}
                other => return Err(Fatal(format!("Invalid extra type: {}", other.0))),
            }
            more = extra.flags.contains(ExtraFlags::MORE);
        }
        Ok(extras)
    }

    /// Takes the slots of a packet, and finds the size of the first one.
    fn slots(&mut self, first: TxRequest, engine: &Engine) -> Result<Slots, Fatal> {
        let (mut slots, mut refused) = (vec![first], false);
        let mut more = first.flags.contains(TxFlags::MORE_DATA);
        while more {
            if slots.len() > engine.options.fatal_slots {
                return Err(Fatal(format!("Malicious frontend using {} slots", slots.len())));
            }
            let slot = self.pop()?.ok_or_else(|| Fatal(format!("Asked for more than the {} slots", slots.len())))?;
            refused |= slots.len() >= engine.options.slots || slot.size > slots[0].size;
            slots[0].size = slots[0].size.wrapping_sub(slot.size);
            check_page(&slot)?;
            more = slot.flags.contains(TxFlags::MORE_DATA);
            slots.push(slot);
        }
        Ok(Slots { slots, refused })
    }

    /// Has slots answered, and the packet go out, as the script wants it.
    fn finish(
        &mut self,
        slots: &[TxRequest],
        extras: Vec<u16>,
        packet: Result<Packet, Vec<Status>>,
        engine: &mut Engine,
    ) {
        let fault = engine.fault(Which::Transmit);
        let (mut packet, mut statuses) = match packet {
            Ok(packet) => (Some(packet), vec![Status::OKAY; slots.len()]),
            Err(statuses) => (None, statuses),
        };
        match fault {
            Some(Fault::Refuse(status)) => {
                packet = None;
                statuses.fill(status);
            }
            Some(Fault::Lose) => packet = None,
            _ => {}
        }
        if packet.as_ref().is_some_and(|packet| !is_whole(packet)) {
            packet = None;
            engine.statistics.malformed += 1;
        }
        if let Some(Fault::Misdeed(misdeed)) = fault {
            packet.into_iter().for_each(|packet| engine.emit(packet));
            return hostile::transmit(self, slots, &extras, &statuses, &misdeed, engine);
        }
        let mut extras = Some(extras);
        for (slot, status) in slots.iter().zip(statuses) {
            let extras = extras.take().unwrap_or_default();
            let (id, due) = (slot.id, engine.now + engine.latency());
            let mut answer = Answer { id, extras, status, due, packet: packet.take(), mapped: Vec::new() };
            match fault {
                Some(Fault::Hang) => {
                    // A page that cannot be mapped is as good as one that is.
                    let _ = engine.window.map(&[slot.gref], Access::ReadOnly, &mut answer.mapped);
                    self.stuck.push(answer);
                    continue;
                }
                Some(Fault::Late(time)) => answer.due = engine.now + time,
                _ => answer.packet.take().into_iter().for_each(|packet| engine.emit(packet)),
            }
            self.begin(answer, engine);
        }
    }
}

/// Answers.
impl Transmitter {
    /// Answers at once, or when it is time.
    fn begin(&mut self, answer: Answer, engine: &mut Engine) {
        if answer.due <= engine.now && engine.options.order == Order::Kept && self.waiting.is_empty() {
            self.respond(answer, engine);
        } else {
            self.waiting.push(answer);
        }
    }

    /// Answers what is due, in the order that the options ask for.
    fn complete(&mut self, engine: &mut Engine, taken: bool) -> bool {
        let due = backend::due(&mut self.waiting, engine.now, engine.options.order, taken, &mut engine.rng);
        let done = !due.is_empty();
        due.into_iter().for_each(|answer| self.respond(answer, engine));
        done
    }

    fn respond(&mut self, mut answer: Answer, engine: &mut Engine) {
        engine.window.unmap(&mut answer.mapped);
        answer.packet.take().into_iter().for_each(|packet| engine.emit(packet));
        let own = TxResponse { id: answer.id, status: answer.status };
        let nulls = answer.extras.into_iter().map(null);
        [own].into_iter().chain(nulls).for_each(|response| self.line.push(response, engine));
        self.line.answered(engine);
    }
}

impl Extras {
    /// Does what they say of groups; says whether it is done, if they say anything. There is no packet then.
    fn groups(&self, engine: &mut Engine) -> Option<bool> {
        if let Some(group) = self.join {
            return Some(engine.join(group));
        }
        self.leave.map(|group| {
            engine.leave(group);
            true
        })
    }

    fn check(&self) -> Result<(), Fatal> {
        match self.gso {
            Some(Gso { size: 0, .. }) => Err(Fatal("GSO size must not be zero.".to_owned())),
            None | Some(Gso { kind: GsoType::TCPV4 | GsoType::TCPV6, .. }) => Ok(()),
            Some(Gso { kind, .. }) => Err(Fatal(format!("Bad GSO type {}.", kind.0))),
        }
    }

    /// Whether the packet is one that was offered to be taken.
    fn is_agreed(&self, slots: &[TxRequest], engine: &mut Engine) -> bool {
        let options = &engine.options;
        let gso =
            self.gso.is_none_or(|gso| if gso.kind == GsoType::TCPV4 { options.gso_tcpv4 } else { options.gso_tcpv6 });
        let agreed = gso && (options.sg || slots.len() == 1);
        engine.statistics.unagreed += u64::from(!agreed);
        agreed
    }
}

/// The answer to a slot that was no request.
pub(super) const fn null(id: u16) -> TxResponse {
    TxResponse { id, status: Status::NULL }
}

/// No slot goes on in another page.
fn check_page(slot: &TxRequest) -> Result<(), Fatal> {
    if usize::from(slot.offset) + usize::from(slot.size) <= PAGE_SIZE {
        return Ok(());
    }
    Err(Fatal(format!("Cross page boundary, offset: {}, size: {}", slot.offset, slot.size)))
}

/// Copies a packet; where that fails, answers how each slot is answered.
fn copy(slots: &[TxRequest], extras: &Extras, engine: &mut Engine) -> Result<Packet, Vec<Status>> {
    let pieces: Vec<Piece> = slots.iter().map(|slot| (slot.gref, slot.offset, usize::from(slot.size))).collect();
    let (data, results) = engine.fetch(&pieces);
    if results.iter().any(Result::is_err) {
        engine.statistics.refused += 1;
        return Err(results.iter().map(|result| result.map_or(Status::ERROR, |()| Status::OKAY)).collect());
    }
    let Extras { gso, hash, .. } = *extras;
    // As in Linux, what is to be cut into segments has no checksum, whatever is said of it.
    let checksum = if gso.is_some() { Checksum::Blank } else { Checksum::of_transmitted(slots[0].flags) };
    Ok(Packet { data, checksum, gso, hash })
}

/// Whether what was left to others can be done: where a checksum is to be made, there must be a place for it.
fn is_whole(packet: &Packet) -> bool {
    packet.checksum != Checksum::Blank || Headers::of(&packet.data).is_some()
}
