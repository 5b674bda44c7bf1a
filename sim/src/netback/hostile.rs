//! What no honest backend does, done.

use xen_hypercall::abi::grant_table::GrantRef;
use xen_hypercall::abi::io::netif::{
    CtrlResponse, CtrlStatus, CtrlType, ExtraFlags, ExtraInfo, ExtraType, GsoType, RxFlags, Status, TxRequest,
    TxResponse,
};
use xen_shared_ring::Protocol;
use zerocopy::IntoBytes;

use super::XDP;
use super::ctrl::Ctrl;
use super::engine::Engine;
use super::line::Line;
use super::misdeed::Misdeed;
use super::packet::Gso;
use super::receive::{Receiver, RxAnswer, RxSlot};
use super::transmit::{Transmitter, null};
use crate::oracle::Access;

impl<P: Protocol> Line<P> {
    /// What comes before the answer.
    fn before(&self, misdeed: &Misdeed, engine: &mut Engine) {
        match *misdeed {
            Misdeed::RewritesRequests => engine.forge().scribble_slots(&[self.gref]),
            Misdeed::RewritesIndices => engine.forge().rewrite_indices(&[self.gref]),
            _ => {}
        }
    }

    /// What comes after the answer, of which this is the first.
    fn after(&mut self, answer: &[u8], misdeed: &Misdeed, engine: &mut Engine) {
        match *misdeed {
            Misdeed::Twice => self.force(answer, 0, engine),
            Misdeed::Unpublished => self.force(answer, 1, engine),
            Misdeed::Producer(by) => {
                self.show(engine);
                engine.forge().move_producer(&[self.gref], by as u32);
                self.ear.storm(1);
            }
            Misdeed::Junk => {
                self.show(engine);
                engine.forge().scribble(self.gref);
            }
            Misdeed::Storm(events) => {
                self.show(engine);
                self.ear.storm(events.into());
            }
            _ => {}
        }
    }

    /// Puts an answer into the ring past all rules, with an id that is so much further.
    fn force(&mut self, answer: &[u8], further: u16, engine: &mut Engine) {
        self.show(engine);
        let mut answer = answer.to_vec();
        if let Some(id) = answer.first_chunk_mut() {
            *id = u16::from_le_bytes(*id).wrapping_add(further).to_le_bytes();
        }
        let slot = size_of::<P::Request>().max(size_of::<P::Response>());
        engine.forge().force(&[self.gref], slot, &answer);
        self.ear.storm(1);
    }
}

/// Answers a packet that the front has transmitted.
pub(super) fn transmit(
    transmitter: &mut Transmitter,
    slots: &[TxRequest],
    extras: &[u16],
    statuses: &[Status],
    misdeed: &Misdeed,
    engine: &mut Engine,
) {
    transmitter.line.before(misdeed, engine);
    if *misdeed == Misdeed::KeepsMapped {
        let grefs: Vec<GrantRef> = slots.iter().map(|slot| slot.gref).collect();
        // A page that cannot be mapped is as good as one that is.
        let _ = engine.window.map(&grefs, Access::ReadOnly, &mut transmitter.hoard);
    }
    let answers = slots.iter().zip(statuses).map(|(slot, status)| TxResponse { id: slot.id, status: *status });
    let mut answers: Vec<TxResponse> = answers.collect();
    let mut nulls: Vec<TxResponse> = extras.iter().copied().map(null).collect();
    let mut too_many = 0;
    match *misdeed {
        Misdeed::Id(id) => answers[0].id = id,
        Misdeed::IdBits(bits) => answers[0].id ^= bits,
        Misdeed::Status(status) => answers[0].status = Status(status),
        Misdeed::Silent => return,
        Misdeed::Headless => drop(answers.remove(0)),
        Misdeed::Nulls(by) => {
            nulls.truncate(nulls.len().saturating_sub(usize::from(by.min(0).unsigned_abs())));
            too_many = by.max(0);
        }
        _ => {}
    }
    let first = answers.first().copied().unwrap_or_default();
    let head = usize::from(*misdeed != Misdeed::Headless);
    answers.splice(head..head, nulls);
    answers.into_iter().for_each(|answer| transmitter.line.push(answer, engine));
    (0..too_many).for_each(|_| transmitter.line.force(null(0).as_bytes(), 0, engine));
    transmitter.line.after(first.as_bytes(), misdeed, engine);
}

/// Puts a packet into the receive ring, whose slots were distorted already.
pub(super) fn receive(receiver: &mut Receiver, slots: Vec<RxSlot>, misdeed: &Misdeed, engine: &mut Engine) {
    receiver.line.before(misdeed, engine);
    let mut buffers = receiver.take_buffers(slots.len());
    let grefs: Vec<GrantRef> = buffers.iter().map(|buffer| buffer.gref).collect();
    let first = receiver.hoard.len();
    match misdeed {
        Misdeed::Silent => return,
        Misdeed::Skips => drop(buffers.remove(0)),
        Misdeed::Overruns => grefs.iter().for_each(|gref| engine.forge().scribble(*gref)),
        Misdeed::KeepsMapped | Misdeed::ChangesLater => {
            // A page that cannot be mapped is as good as one that is.
            let _ = engine.window.map(&grefs, Access::ReadWrite, &mut receiver.hoard);
        }
        _ => {}
    }
    receiver.fill(&slots, &buffers, engine);
    if *misdeed == Misdeed::ChangesLater {
        receiver.line.show(engine);
        receiver.hoard[first..].iter().for_each(|mapped| engine.forge().fill(mapped.page));
    }
    let id = buffers.first().map_or(0, |buffer| buffer.id);
    let answer = [id.to_le_bytes(), [0; 2], [0; 2], 60_u16.to_le_bytes()].concat();
    receiver.line.after(&answer, misdeed, engine);
}

/// Answers a request on the control ring.
pub(super) fn control(line: &mut Line<Ctrl>, honest: CtrlResponse, misdeed: &Misdeed, engine: &mut Engine) {
    line.before(misdeed, engine);
    let answer = match *misdeed {
        Misdeed::Id(id) => CtrlResponse { id, ..honest },
        Misdeed::Status(status) => CtrlResponse { status: CtrlStatus(status as u32), ..honest },
        Misdeed::Kind(kind) => CtrlResponse { kind: CtrlType(kind), ..honest },
        Misdeed::Silent => return,
        _ => honest,
    };
    line.push(answer, engine);
    line.after(honest.as_bytes(), misdeed, engine);
}

/// Changes the slots of a packet that the front receives.
pub(super) fn distort(mut slots: Vec<RxSlot>, misdeed: &Misdeed) -> Vec<RxSlot> {
    match *misdeed {
        Misdeed::Slots(count, len) => return chain(count, len.into(), RxFlags::empty()),
        Misdeed::Endless(count) => return chain(count, 60, RxFlags::MORE_DATA),
        Misdeed::Runt(len) => return vec![cut(&slots, len, RxFlags::empty())],
        Misdeed::Blank(len) => return vec![cut(&slots, len, RxFlags::CSUM_BLANK)],
        Misdeed::ExtraMissing => return vec![cut(&slots, 60, RxFlags::EXTRA_INFO)],
        Misdeed::Extra(kind) => insert(&mut slots, &[extra(kind)]),
        Misdeed::Extras(count) => {
            insert(&mut slots, &(0..count).map(|number| extra(1 + number % 4)).collect::<Vec<_>>())
        }
        Misdeed::ExtraTwice(kind) => insert(&mut slots, &[extra(kind), ExtraInfo { data: [2; 6], ..extra(kind) }]),
        Misdeed::ExtraOpen => insert(&mut slots, &[ExtraInfo { flags: ExtraFlags::MORE, ..gso(GsoType::TCPV4, 1448) }]),
        Misdeed::Gso(kind, size) => {
            insert(&mut slots, &[gso(GsoType(kind), size)]);
            change(&mut slots, |answer| answer.flags |= RxFlags::CSUM_BLANK);
        }
        Misdeed::GsoUnblank => insert(&mut slots, &[gso(GsoType::TCPV4, 1448)]),
        Misdeed::Headroom(room) => {
            let data = [room.to_le_bytes(), [0; 2], [0; 2]].concat().try_into().unwrap_or_default();
            insert(&mut slots, &[ExtraInfo { kind: XDP, data, ..ExtraInfo::default() }]);
        }
        Misdeed::ExtraLate => late(&mut slots),
        Misdeed::Skips => slots.push(RxSlot::Raw([0; 8])),
        _ => change(&mut slots, |answer| distort_first(answer, misdeed)),
    }
    slots
}

/// Changes the first answer of a packet.
fn distort_first(answer: &mut RxAnswer, misdeed: &Misdeed) {
    match *misdeed {
        Misdeed::Id(id) => answer.id = Some(id),
        Misdeed::Status(status) => answer.status = status,
        Misdeed::Offset(offset) => answer.offset = offset,
        Misdeed::Prefix => answer.flags |= RxFlags::GSO_PREFIX,
        Misdeed::Corrupts => {
            answer.flags |= RxFlags::DATA_VALIDATED;
            answer.data.last_mut().into_iter().for_each(|byte| *byte ^= 0x55);
        }
        _ => {}
    }
}

fn change(slots: &mut [RxSlot], what: impl FnOnce(&mut RxAnswer)) {
    if let Some(RxSlot::Answer(answer)) = slots.first_mut() {
        what(answer);
    }
}

/// A packet of so many slots; the last one has these flags.
fn chain(count: u8, len: usize, last: RxFlags) -> Vec<RxSlot> {
    let flags = |number| if number == count { last } else { RxFlags::MORE_DATA };
    (1..=count).map(|number| RxSlot::data(vec![number; len], flags(number))).collect()
}

/// So many bytes of the first piece of a packet, alone.
fn cut(slots: &[RxSlot], len: u16, flags: RxFlags) -> RxSlot {
    let Some(RxSlot::Answer(answer)) = slots.first() else { return RxSlot::Raw([0; 8]) };
    let data = &answer.data[..answer.data.len().min(len.into())];
    RxSlot::data(data, (answer.flags & !(RxFlags::MORE_DATA | RxFlags::EXTRA_INFO)) | flags)
}

const fn extra(kind: u8) -> ExtraInfo {
    ExtraInfo { kind: ExtraType(kind), flags: ExtraFlags::empty(), data: [1; 6] }
}

fn gso(kind: GsoType, size: u16) -> ExtraInfo {
    Gso { kind, size }.extra()
}

/// Has more said of a packet, before what is said of it already.
fn insert(slots: &mut Vec<RxSlot>, extras: &[ExtraInfo]) {
    let mut goes_on = false;
    change(slots, |answer| {
        goes_on = answer.flags.contains(RxFlags::EXTRA_INFO);
        answer.flags |= RxFlags::EXTRA_INFO;
    });
    let last = extras.len().saturating_sub(1);
    let flagged = extras.iter().enumerate().map(|(number, extra)| {
        let mut extra = *extra;
        extra.flags.set(ExtraFlags::MORE, extra.flags.contains(ExtraFlags::MORE) || number < last || goes_on);
        RxSlot::extra(extra)
    });
    let place = slots.len().min(1);
    slots.splice(place..place, flagged.collect::<Vec<_>>());
}

/// Has more said of a slot that is not the first. A packet of one slot is cut into two.
fn late(slots: &mut Vec<RxSlot>) {
    if slots.len() == 1
        && let Some(RxSlot::Answer(answer)) = slots.first_mut()
    {
        let rest = answer.data.split_off(answer.data.len() / 2);
        answer.status = answer.data.len() as i16;
        answer.flags |= RxFlags::MORE_DATA;
        slots.push(RxSlot::data(rest, RxFlags::empty()));
    }
    if let Some(RxSlot::Answer(answer)) = slots.last_mut() {
        answer.flags |= RxFlags::EXTRA_INFO;
    }
}
