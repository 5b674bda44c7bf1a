//! What a network backend puts into the receive ring and into the buffers.

mod seeds;

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::time::Duration;

use xen_event_channel::Channel;
use xen_grant_table::{GrantTable, Memory};
use xen_hypercall::abi::frame::PAGE_SIZE;
use xen_hypercall::abi::grant_table::GrantRef;
use xen_hypercall::abi::io::netif::{MAX_TX_SIZE, RxFlags, RxRequest, RxResponse, Status};
use xen_netfront::{Checksums, ETHERNET_HEADER, Event, Meta, Netfront, Offer as Yes, Options, Transport};
use xen_sim::netback::{Netback, Options as Offer};
use xen_sim::{Device, Domain, Machine};
use xen_xenbus::Store;
use xen_xenbus::bus::{Change, Enumerator, Problem};
use zerocopy::{FromBytes, IntoBytes};

use crate::raw::{RawRing, reachable};
use crate::script::Script;
use crate::{Tally, Target};

/// The receive ring of a network interface.
pub const TARGET: Target = Target {
    name: "receive",
    play,
    seeds: seeds::seeds,
    outcomes: &["packets", "dropped", "segments", "violations"],
    weight: 100,
};

/// The steps of a script: the lower three bits of a byte. Its first byte says what was agreed upon: bit 0 that packets have one piece,
/// bit 1 that checksums may be blank, bit 2 that packets may be cut, the rest how long they may be.
mod step {
    /// An answer with the id of its buffer: flags, offset, status.
    pub(super) const ANSWER: u8 = 0;
    /// Any eight bytes in place of an answer.
    pub(super) const RAW: u8 = 1;
    /// The answers are shown.
    pub(super) const SHOW: u8 = 2;
    /// So many more answers are shown than there are, a number of four bytes.
    pub(super) const LIE: u8 = 3;
    /// What is in the buffers from now on where an answer says that a packet begins: how many bytes, and those.
    pub(super) const FILL: u8 = 4;
    /// The guest takes what has come: by the upper bits it is done with all, looks only, or copies to where there is little room.
    pub(super) const TAKE: u8 = 5;
    /// The guest polls.
    pub(super) const POLL: u8 = 6;
    /// So many milliseconds pass.
    pub(super) const PASS: u8 = 7;
}

/// How many pages the guest has.
const PAGES: NonZeroUsize = NonZeroUsize::new(600).unwrap();

/// How long packets may be, by the first byte of a script.
const MTUS: [u32; 4] = [1500, 68, 9000, 65_535];

/// Where a guest copies a packet to that it has little room for, in bytes.
const ROOM: usize = 100;

const SECOND: Duration = Duration::from_secs(1);

/// Plays a script to its end, and closes the interface.
///
/// # Panics
///
/// When the interface does what it must not, or does not come to an end.
#[must_use]
pub fn play(script: &[u8]) -> Tally {
    let mut rest = Script(script);
    let mut player = Player::new(rest.byte());
    while let Some(first) = rest.next() {
        player.step(first, &mut rest);
        player.check();
        if player.front.link().is_none() {
            break;
        }
    }
    player.close();
    player.tally
}

/// What the next slot is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A packet begins.
    First,
    /// What says more of a packet.
    Extra,
    /// A packet goes on.
    More,
}

/// An answer that was written.
struct Slot {
    answer: RxResponse,
    page: Vec<u8>,
    /// What it is, and whether it is the last one of a packet.
    place: Place,
    is_last: bool,
}

impl Place {
    /// What follows a slot, which may not be an answer. (`struct netif_extra_info` has its flags in the second byte.)
    fn after(self, slot: RxResponse, goes_on: &mut bool) -> Self {
        let raw: [u8; 8] = zerocopy::transmute!(slot);
        if self != Self::Extra {
            *goes_on = slot.flags.contains(RxFlags::MORE_DATA);
        }
        let more_extras = match self {
            Self::First => slot.flags.contains(RxFlags::EXTRA_INFO),
            Self::Extra => raw[1] & 1 != 0,
            Self::More => false,
        };
        match (more_extras, *goes_on) {
            (true, _) => Self::Extra,
            (false, true) => Self::More,
            (false, false) => Self::First,
        }
    }
}

impl Slot {
    /// What of its page may be of a packet.
    fn piece(&self) -> Option<&[u8]> {
        let (at, len) = (usize::from(self.answer.offset), usize::try_from(self.answer.status.0).ok()?);
        self.page.get(at..at + len)
    }
}

struct Player {
    machine: Machine,
    domain: Domain,
    store: Store<Domain>,
    back: Netback,
    front: Netfront<Domain>,
    ring: RawRing,
    longest: usize,
    /// Slots that were written, and of which no packet has come.
    slots: VecDeque<Slot>,
    fill: Vec<u8>,
    /// What the next slot is, and whether the packet goes on after what says more of it.
    place: Place,
    goes_on: bool,
    /// Whether the backend has kept to what is about the ring and its ids.
    honest: bool,
    tally: Tally,
}

impl Player {
    fn new(agreed: u8) -> Self {
        let machine = Machine::new(1);
        let (guest, domain) = (machine.domain_builder().pages(PAGES).build(), machine.domain());
        machine.xenstore().introduce(&guest);
        let (page, port) = guest.store().expect("it was introduced");
        let channel = Channel::adopt(&guest, port).expect("the port is open");
        let store = Store::attach(page, channel, guest.clone()).expect("the page holds a ring");
        let mtu = MTUS[usize::from(agreed >> 3) % MTUS.len()];
        let device = Device::new("vif", 0, guest.id(), domain.id());
        let device = device.front_key("mac", "00:16:3e:00:00:01").front_key("mtu", &mtu.to_string());
        machine.xenstore().plug(&device);
        let mut back = Netback::new(&machine, &domain, &device, Offer::DEFAULT);
        let mut front = open(&store, options(agreed));
        let connected = (0..10_000).any(|_| {
            let _ = back.step();
            while front.poll(store.now()).is_some() {}
            machine.advance(Duration::from_micros(100));
            front.link().is_some()
        });
        assert!(connected, "an honest backend connects");
        let longest = usize::from(front.link().map_or(0, xen_netfront::Link::mtu)) + ETHERNET_HEADER + 4;
        let gref = machine.xenstore().read_text(&format!("{}/rx-ring-ref", device.front_path()));
        let gref = GrantRef(gref.and_then(|text| text.parse().ok()).expect("there is one"));
        let ring = RawRing::new(&machine, &domain, gref, size_of::<RxResponse>());
        let (slots, fill, tally) = (VecDeque::new(), Vec::new(), Tally::default());
        Self {
            machine,
            domain,
            store,
            back,
            front,
            ring,
            longest,
            slots,
            fill,
            place: Place::First,
            goes_on: false,
            honest: true,
            tally,
        }
    }

    fn step(&mut self, first: u8, rest: &mut Script<'_>) {
        match first & 7 {
            step::ANSWER => {
                let flags = RxFlags::from_bits_retain(rest.byte().into());
                let (offset, status) = (rest.u16(), Status(rest.u16().cast_signed()));
                self.put(|id| RxResponse { id, offset, flags, status });
            }
            step::RAW => {
                let raw: RxResponse = zerocopy::transmute!(rest.array::<8>());
                self.put(|_| raw);
            }
            step::SHOW => self.ring.show(&self.machine),
            step::LIE => {
                let by = rest.u32();
                self.honest &= by == 0;
                self.ring.lie(&self.machine, by);
            }
            step::FILL => self.fill = rest.bytes().to_vec(),
            step::TAKE => self.take(first >> 3),
            step::POLL => self.poll(),
            _ => {
                assert_eq!(first & 7, step::PASS);
                self.machine.advance(Duration::from_millis(rest.byte().into()));
            }
        }
    }

    /// Writes an answer, if there is a buffer for it.
    fn put(&mut self, answer: impl FnOnce(u16) -> RxResponse) {
        if !self.ring.has_request(&self.machine) {
            return;
        }
        let request =
            RxRequest::read_from_bytes(&self.ring.slot(&self.machine, self.ring.next())).expect("it is as long");
        let answer = answer(request.id);
        self.honest &= self.place == Place::Extra || answer.id == request.id;
        let place = self.place;
        self.place = place.after(answer, &mut self.goes_on);
        let page = self.page(&answer);
        if let Some(buffer) = reachable(&self.machine, &self.domain, request.gref) {
            self.machine.hostile(&self.domain).write(&buffer, 0, &page).expect("it is a buffer");
        }
        self.ring.put(&self.machine, answer.as_bytes());
        self.slots.push_back(Slot { answer, page, place, is_last: self.place == Place::First });
    }

    /// A page that differs from the others of a ring, with what the script says where the packet begins.
    fn page(&self, answer: &RxResponse) -> Vec<u8> {
        let number = self.ring.next();
        let mut page: Vec<u8> = (0..PAGE_SIZE as u32).map(|at| (number * 31 + at * 7 + at / 251) as u8).collect();
        let from = page.get_mut(usize::from(answer.offset)..).unwrap_or_default();
        from.iter_mut().zip(&self.fill).for_each(|(to, from)| *to = *from);
        page
    }

    fn take(&mut self, how: u8) {
        for _ in 0..=self.ring.slots() {
            let Some(packet) = self.front.receive() else { return };
            let (meta, bytes) = (packet.meta(), packet.bytes().to_vec());
            assert_eq!((packet.len(), packet.is_empty()), (bytes.len(), false));
            match how % 3 {
                0 => packet.discard(),
                1 => {
                    let again = self.front.receive().expect("it stays where it is");
                    assert!(again.bytes() == bytes && again.meta() == meta, "it is the same packet");
                    return;
                }
                _ => {
                    let mut some = [0; ROOM];
                    assert_eq!(packet.copy_to(&mut some), bytes.len());
                    assert!(some.iter().zip(&bytes).all(|(some, byte)| some == byte), "it is the same packet");
                }
            }
            self.came(&bytes, meta);
        }
        panic!("more packets than slots");
    }

    /// A packet was delivered: it is no longer than agreed, and made of slots that were shown, each once.
    fn came(&mut self, bytes: &[u8], meta: Meta) {
        let longest = if meta.gso.is_some() { MAX_TX_SIZE as usize } else { self.longest };
        assert!((ETHERNET_HEADER..=longest).contains(&bytes.len()), "{} bytes", bytes.len());
        if let Some(gso) = meta.gso {
            assert!(usize::from(gso.size) < bytes.len());
            self.tally.count("segments");
        }
        if meta.checksum == xen_netfront::Checksum::Blank {
            assert!(Transport::find(bytes).is_some(), "a blank checksum has a place");
        }
        self.tally.count("packets");
        // Once it has lied about the index, what it writes next may be in a slot that was taken.
        if !self.honest {
            return;
        }
        let unwritten = self.ring.next().wrapping_sub(self.ring.shown()) as usize;
        let shown = self.slots.len() - unwritten.min(self.slots.len());
        let mut ends =
            (0..shown).filter_map(|first| end_of(self.slots.range(first..shown), bytes).map(|len| first + len));
        let used = ends.next().expect("its bytes are those of slots that were shown, and follow each other");
        self.slots.drain(..used);
    }

    fn poll(&mut self) {
        for _ in 0..1000 {
            match self.front.poll(self.store.now()) {
                Some(Event::Trouble(error)) => {
                    assert!(
                        !matches!(error.problem, Problem::Broken(_)) || !self.honest,
                        "an honest backend is accused: {error}"
                    );
                }
                Some(_) => {}
                None => return self.front.flush_notifications(),
            }
        }
        panic!("events without end");
    }

    fn check(&mut self) {
        let given = self.ring.requests(&self.machine).wrapping_sub(self.ring.shown());
        assert!(given <= self.ring.slots() || !self.honest, "{given} buffers are in a ring of {}", self.ring.slots());
    }

    /// The interface ends in time, whatever its backend has done, and nothing of it is left.
    fn close(&mut self) {
        self.poll();
        if self.front.link().is_none() {
            self.tally.count("violations");
        }
        let received = self.front.statistics().received;
        (0..received.dropped_in_all()).for_each(|_| self.tally.count("dropped"));
        self.front.close();
        let end = self.store.now() + 15 * SECOND;
        while !self.front.is_ended() {
            assert!(self.store.now() < end, "it does not end: {:?}", self.front);
            let _ = self.back.step();
            while self.front.poll(self.store.now()).is_some() {}
            self.machine.advance(Duration::from_millis(1));
        }
        self.check_given_back();
    }

    /// Whatever it had is the guest's again, once the backend has let go.
    fn check_given_back(&mut self) {
        (0..20).for_each(|_| {
            let _ = self.back.step();
            self.machine.advance(Duration::from_millis(1));
        });
        self.machine.settle();
        let guest = self.store.platform();
        let _ = GrantTable::reap(guest, u32::MAX);
        let table = guest.grant_table().statistics();
        assert_eq!((table.quarantined, table.free), (0, table.common), "grants are left");
        assert_eq!(guest.open_ports().len(), 1, "that of the store");
    }
}

fn open(store: &Store<Domain>, options: Options) -> Netfront<Domain> {
    let changes = Enumerator::new().look(store).expect("xenstore answers");
    let found = changes.into_iter().find_map(|change| match change {
        Change::Added(device) => Some(device),
        _ => None,
    });
    Netfront::open(store, found.expect("the device is there"), options).expect("xenstore answers")
}

const fn options(agreed: u8) -> Options {
    Options {
        scatter_gather: if agreed & 1 == 0 { Yes::Yes } else { Yes::No },
        checksums: if agreed & 2 == 0 { Checksums::Stack } else { Checksums::Offload },
        segmentation: if agreed & 4 == 0 { Yes::No } else { Yes::Yes },
        transmit_pages: 18,
        receive_pages: 32,
        ..Options::DEFAULT
    }
}

/// How many slots a packet has that begins with the first one, if its bytes are all that is in them.
fn end_of<'a>(slots: impl Iterator<Item = &'a Slot>, bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    for (at, slot) in slots.enumerate() {
        if (at == 0) != (slot.place == Place::First) {
            return None;
        }
        if slot.place != Place::Extra {
            rest = rest.strip_prefix(slot.piece()?)?;
        }
        if slot.is_last {
            return rest.is_empty().then_some(at + 1);
        }
    }
    None
}
