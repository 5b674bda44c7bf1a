//! What no honest backend does.

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use xen_hypercall::abi::grant_table::GrantRef;
use xen_hypercall::abi::io::netif::{
    ExtraFlags, ExtraInfo, ExtraType, GsoType, RxFlags, RxRequest, Status, TxRequest, TxResponse,
};
use zerocopy::IntoBytes;

use super::XDP;
use super::engine::Engine;
use super::packet::Gso;
use super::receive::{Receiver, RxAnswer, RxSlot};
use super::transmit::{Transmitter, null};
use crate::backend::Ear;
use crate::oracle::Access;

/// What a backend does in place of what an honest one would. The number in the text is that of the catalogue of hostile inputs, where
/// it has one. What is for one direction only leaves packets of the other one as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misdeed {
    /// Both ways: the first answer names this request. (023, 024, 034)
    Id(u16),
    /// Both ways: the first answer says this. When transmitting, 1 says that there was no request. (027, 029, 030, 035 to 037)
    Status(i16),
    /// Both ways: there is no answer, and buffers do not come back. (033, 058)
    Silent,
    /// Both ways: the first answer is given twice. (025)
    Twice,
    /// Both ways: a request is answered that the front has not published: the next one. (001, 014, 026)
    Unpublished,
    /// Both ways: the producer index is so much further than the answers go, or back. (001 to 004)
    Producer(i32),
    /// Both ways: pages are mapped, and stay so after the answer. (022, 079)
    KeepsMapped,
    /// Both ways: all requests in the ring change, before the answer. (018)
    RewritesRequests,
    /// Both ways: the front's index and both event indices change. (007 to 009, 011) The backend itself cannot use the ring then, and
    /// stands still until the front connects anew.
    RewritesIndices,
    /// Both ways: the whole ring is filled with junk, after the answer. (012) The backend stands still then, too.
    Junk,
    /// Both ways: so many events come with the answer. (090, 092)
    Storm(u16),

    /// Transmitting: the answer's id has these bits inverted. (023, 024)
    IdBits(u16),
    /// Transmitting: the first slot of a packet is not answered, the others are. (032)
    Headless,
    /// Transmitting: so many slots more, or fewer, are said to have been no requests than there were extras. (028)
    Nulls(i8),

    /// Receiving: the packet begins here, as it says. (037)
    Offset(u16),
    /// Receiving: so many bytes of the packet come. (036, 038)
    Runt(u16),
    /// Receiving: a packet of so many slots, with so many bytes in each. (039, 041, 042)
    Slots(u8, u16),
    /// Receiving: a packet of so many slots of which the last one says that it goes on, too. (040, 041)
    Endless(u8),
    /// Receiving: a packet has more said of it, and no slot that says it. (043)
    ExtraMissing,
    /// Receiving: a slot of this type says more of the packet. (044, 047)
    Extra(u8),
    /// Receiving: so many slots say more of the packet, each of another type as long as there are some. (045)
    Extras(u8),
    /// Receiving: two slots of this type say something else of the packet. (046)
    ExtraTwice(u8),
    /// Receiving: the last slot that says more of the packet says that the next one does so, too. (045)
    ExtraOpen,
    /// Receiving: a slot that is not the first has more said of it. (048)
    ExtraLate,
    /// Receiving: the packet is to be cut into segments of that type and size. (049 to 051)
    Gso(u8, u16),
    /// Receiving: the packet is to be cut into segments, and has a checksum. (052)
    GsoUnblank,
    /// Receiving: a byte of the packet changes, and its checksum is said to be right. (053)
    Corrupts,
    /// Receiving: the checksum is said to be blank, and so many bytes of the packet come. (054)
    Blank(u16),
    /// Receiving: the packet has a flag that is not used any more. (055)
    Prefix,
    /// Receiving: there is said to be so much room before the packet. (056)
    Headroom(u16),
    /// Receiving: one buffer is taken and not answered, and its slot has the answer of the next one, here and from now on. (057)
    Skips,
    /// Receiving: all of each buffer is written, not just what the packet needs.
    Overruns,
    /// Receiving: buffers change after the answer. (021)
    ChangesLater,
}

impl Misdeed {
    /// All kinds that matter when the front transmits, for tests that go through them.
    pub const TRANSMITTED: [Self; 28] = [
        Self::Id(256),
        Self::Id(255),
        Self::Id(u16::MAX),
        Self::IdBits(1),
        Self::IdBits(1 << 15),
        Self::Status(1),
        Self::Status(-1),
        Self::Status(-2),
        Self::Status(2),
        Self::Status(i16::MIN),
        Self::Silent,
        Self::Twice,
        Self::Unpublished,
        Self::Producer(1),
        Self::Producer(-1),
        Self::Producer(i32::MIN),
        Self::Producer(1 << 20),
        Self::KeepsMapped,
        Self::RewritesRequests,
        Self::RewritesIndices,
        Self::Junk,
        Self::Storm(300),
        Self::Headless,
        Self::Nulls(1),
        Self::Nulls(20),
        Self::Nulls(-1),
        Self::Nulls(-4),
        Self::Status(100),
    ];

    /// All kinds that matter when it receives.
    pub const RECEIVED: [Self; 57] = [
        Self::Id(256),
        Self::Id(255),
        Self::Status(0),
        Self::Status(-1),
        Self::Status(-2),
        Self::Status(4096),
        Self::Status(4097),
        Self::Status(i16::MAX),
        Self::Status(i16::MIN),
        Self::Silent,
        Self::Twice,
        Self::Unpublished,
        Self::Producer(1),
        Self::Producer(-1),
        Self::Producer(i32::MIN),
        Self::Producer(1 << 20),
        Self::KeepsMapped,
        Self::RewritesRequests,
        Self::RewritesIndices,
        Self::Junk,
        Self::Storm(300),
        Self::Offset(4095),
        Self::Offset(4096),
        Self::Offset(u16::MAX),
        Self::Runt(0),
        Self::Runt(1),
        Self::Runt(13),
        Self::Slots(18, 4096),
        Self::Slots(19, 100),
        Self::Slots(30, 1),
        Self::Slots(3, 0),
        Self::Endless(1),
        Self::Endless(18),
        Self::Endless(30),
        Self::ExtraMissing,
        Self::Extra(0),
        Self::Extra(2),
        Self::Extra(4),
        Self::Extra(5),
        Self::Extra(255),
        Self::Extras(4),
        Self::Extras(40),
        Self::ExtraTwice(1),
        Self::ExtraOpen,
        Self::ExtraLate,
        Self::Gso(1, 0),
        Self::Gso(1, 1),
        Self::Gso(1, u16::MAX),
        Self::Gso(0, 1448),
        Self::GsoUnblank,
        Self::Corrupts,
        Self::Blank(20),
        Self::Prefix,
        Self::Headroom(u16::MAX),
        Self::Skips,
        Self::Overruns,
        Self::ChangesLater,
    ];

    /// One of them.
    pub(super) fn any_transmitted(rng: &mut ChaCha8Rng) -> Self {
        match rng.random_range(0..10) {
            0 => Self::Id(rng.random_range(0..300)),
            1 => Self::IdBits(1 << rng.random_range(0..16)),
            2 => Self::Status(rng.random()),
            3 => Self::Producer(rng.random_range(-40..40)),
            4 => Self::Storm(rng.random_range(1..300)),
            5 => Self::Nulls(rng.random()),
            _ => *Self::TRANSMITTED.choose(rng).unwrap_or(&Self::Twice),
        }
    }

    /// One of those.
    pub(super) fn any_received(rng: &mut ChaCha8Rng) -> Self {
        match rng.random_range(0..16) {
            0 => Self::Id(rng.random_range(0..300)),
            1 => Self::Status(rng.random()),
            2 => Self::Offset(rng.random()),
            3 => Self::Producer(rng.random_range(-40..40)),
            4 => Self::Slots(rng.random_range(1..40), rng.random_range(0..4097)),
            5 => Self::Endless(rng.random_range(1..40)),
            6 => Self::Extra(rng.random()),
            7 => Self::Extras(rng.random_range(1..40)),
            8 => Self::Gso(rng.random_range(0..4), rng.random()),
            9 => Self::Runt(rng.random_range(0..70)),
            10 => Self::ChangesLater,
            _ => *Self::RECEIVED.choose(rng).unwrap_or(&Self::Twice),
        }
    }
}

/// A ring that answers go into.
trait Answering {
    /// Bytes from one slot to the next.
    const SLOT: usize;

    fn gref(&self) -> GrantRef;

    fn ear(&self) -> &Ear;

    /// Shows the front the answers.
    fn show(&mut self, engine: &mut Engine);

    /// What comes before the answer.
    fn before(&self, misdeed: &Misdeed, engine: &mut Engine) {
        match *misdeed {
            Misdeed::RewritesRequests => engine.forge().scribble_slots(&[self.gref()]),
            Misdeed::RewritesIndices => engine.forge().rewrite_indices(&[self.gref()]),
            _ => {}
        }
    }

    /// What comes after the answer, of which this is the first.
    fn after(&mut self, answer: &[u8], misdeed: &Misdeed, engine: &mut Engine) {
        let ring = [self.gref()];
        match *misdeed {
            Misdeed::Twice => self.force(answer, 0, engine),
            Misdeed::Unpublished => self.force(answer, 1, engine),
            Misdeed::Producer(by) => {
                self.show(engine);
                engine.forge().move_producer(&ring, by as u32);
                self.ear().storm(1);
            }
            Misdeed::Junk => {
                self.show(engine);
                engine.forge().scribble(ring[0]);
            }
            Misdeed::Storm(events) => {
                self.show(engine);
                self.ear().storm(events.into());
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
        engine.forge().force(&[self.gref()], Self::SLOT, &answer);
        self.ear().storm(1);
    }
}

impl Answering for Transmitter {
    const SLOT: usize = size_of::<TxRequest>();

    fn gref(&self) -> GrantRef {
        self.gref
    }

    fn ear(&self) -> &Ear {
        &self.ear
    }

    fn show(&mut self, engine: &mut Engine) {
        self.answer(engine);
    }
}

impl Answering for Receiver {
    const SLOT: usize = size_of::<RxRequest>();

    fn gref(&self) -> GrantRef {
        self.gref
    }

    fn ear(&self) -> &Ear {
        &self.ear
    }

    fn show(&mut self, engine: &mut Engine) {
        self.answer(engine);
    }
}

/// Answers a packet that the front has transmitted.
pub(super) fn transmit(
    ring: &mut Transmitter,
    slots: &[TxRequest],
    extras: &[u16],
    statuses: &[Status],
    misdeed: &Misdeed,
    engine: &mut Engine,
) {
    ring.before(misdeed, engine);
    if *misdeed == Misdeed::KeepsMapped {
        let grefs: Vec<GrantRef> = slots.iter().map(|slot| slot.gref).collect();
        // A page that cannot be mapped is as good as one that is.
        let _ = engine.window.map(&grefs, Access::ReadOnly, &mut ring.hoard);
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
    answers.into_iter().for_each(|answer| ring.put(answer, engine));
    (0..too_many).for_each(|_| ring.force(null(0).as_bytes(), 0, engine));
    ring.after(first.as_bytes(), misdeed, engine);
}

/// Puts a packet into the receive ring, whose slots were distorted already.
pub(super) fn receive(ring: &mut Receiver, slots: Vec<RxSlot>, misdeed: &Misdeed, engine: &mut Engine) {
    ring.before(misdeed, engine);
    let mut buffers = ring.take_buffers(slots.len());
    let grefs: Vec<GrantRef> = buffers.iter().map(|buffer| buffer.gref).collect();
    let first = ring.hoard.len();
    match misdeed {
        Misdeed::Silent => return,
        Misdeed::Skips => drop(buffers.remove(0)),
        Misdeed::Overruns => grefs.iter().for_each(|gref| engine.forge().scribble(*gref)),
        Misdeed::KeepsMapped | Misdeed::ChangesLater => {
            // A page that cannot be mapped is as good as one that is.
            let _ = engine.window.map(&grefs, Access::ReadWrite, &mut ring.hoard);
        }
        _ => {}
    }
    ring.fill(&slots, &buffers, engine);
    if *misdeed == Misdeed::ChangesLater {
        ring.answer(engine);
        ring.hoard[first..].iter().for_each(|mapped| engine.forge().fill(mapped.page));
    }
    let id = buffers.first().map_or(0, |buffer| buffer.id);
    let answer = [id.to_le_bytes(), [0; 2], [0; 2], 60_u16.to_le_bytes()].concat();
    ring.after(&answer, misdeed, engine);
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
