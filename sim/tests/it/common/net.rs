//! A network front-end by hand, so that the simulator's backend is tested apart from the driver.

pub(crate) use crate::device;

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::time::Duration;

use xen_event_channel::Channel;
use xen_grant_table::{Access, Account, Grant, GrantRun, Limits, Page, PageRun};
use xen_hypercall::abi::io::netif::{
    CtrlRequest, CtrlResponse, CtrlStatus, CtrlType, ExtraFlags, ExtraInfo, RxFlags, RxRequest, RxResponse, Status,
    TxFlags, TxRequest, TxResponse,
};
use xen_hypercall::abi::io::xenbus::State;
use xen_shared_ring::{FrontRing, OnePage, Protocol};
use xen_sim::netback::{Netback, Options, Progress};
use xen_sim::{Device, Domain, Machine};
use zerocopy::{FromBytes, IntoBytes};

pub(crate) enum Tx {}
impl Protocol for Tx {
    type Request = TxRequest;
    type Response = TxResponse;
}

pub(crate) enum Rx {}
impl Protocol for Rx {
    type Request = RxRequest;
    type Response = RxResponse;
}

pub(crate) enum Ctrl {}
impl Protocol for Ctrl {
    type Request = CtrlRequest;
    type Response = CtrlResponse;
}

type Ring<P> = FrontRing<P, GrantRun<Domain>, OnePage>;

/// A machine with a guest, a backend for its interface, and nothing connected.
pub(crate) struct Rig {
    pub(crate) machine: Rc<Machine>,
    pub(crate) guest: Domain,
    pub(crate) host: Domain,
    pub(crate) device: Device,
    pub(crate) back: Netback,
}

const LIMITS: Limits = Limits::exactly(600);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

impl Rig {
    pub(crate) fn new(seed: u64, options: Options) -> Self {
        Self::on(&Rc::new(Machine::new(seed)), options)
    }

    /// One of several on a machine.
    pub(crate) fn on(machine: &Rc<Machine>, options: Options) -> Self {
        let machine = Rc::clone(machine);
        let guest = machine.domain_builder().pages(NonZeroUsize::new(1024).unwrap()).build();
        let host = machine.domain();
        let device = Device::new("vif", 0, guest.id(), host.id()).front_key("mac", "00:16:3e:00:00:01");
        machine.xenstore().plug(&device);
        // The grant table keeps the pages of its book-keeping for good: they are no leak.
        drop(Account::open(guest.clone(), host.id(), LIMITS).unwrap());
        let back = Netback::new(&machine, &host, &device, options);
        Self { machine, guest, host, device, back }
    }

    /// Connects a front.
    pub(crate) fn connect(&mut self, shape: &Shape) -> Front {
        self.settle();
        let front = Front::new(self, shape);
        self.set_state(State::CONNECTED);
        assert_eq!((self.state(), self.back.last_error()), (State::CONNECTED, None));
        front
    }

    device::rig_methods!();
}

/// What a front asks for.
#[derive(Clone)]
pub(crate) struct Shape {
    pub(crate) queues: u32,
    pub(crate) split: bool,
    pub(crate) control: bool,
    /// Buffers for each queue.
    pub(crate) buffers: usize,
    pub(crate) keys: &'static [(&'static str, &'static str)],
}

/// All that a front of today can do.
const KEYS: &[(&str, &str)] = &[
    ("request-rx-copy", "1"),
    ("feature-rx-notify", "1"),
    ("feature-sg", "1"),
    ("feature-gso-tcpv4", "1"),
    ("feature-gso-tcpv6", "1"),
    ("feature-ipv6-csum-offload", "1"),
];

impl Shape {
    pub(crate) const PLAIN: Self = Self { queues: 1, split: false, control: false, buffers: 64, keys: KEYS };
    pub(crate) const CONTROL: Self = Self { control: true, ..Self::PLAIN };
    /// The least that a front can ask for.
    pub(crate) const BARE: Self =
        Self { keys: &[("request-rx-copy", "1"), ("feature-no-csum-offload", "1")], ..Self::PLAIN };
}

pub(crate) struct Queue {
    pub(crate) tx: Ring<Tx>,
    pub(crate) rx: Ring<Rx>,
    pub(crate) tx_channel: Channel<Domain>,
    pub(crate) rx_channel: Option<Channel<Domain>>,
    /// Pages of slots that are not answered, by id.
    pub(crate) sent: BTreeMap<u16, Grant<Domain>>,
    /// Buffers, in the order of the ring.
    pub(crate) buffers: VecDeque<(u16, Grant<Domain>)>,
    next: u16,
}

pub(crate) struct Front {
    pub(crate) domain: Domain,
    pub(crate) account: Account<Domain>,
    pub(crate) queues: Vec<Queue>,
    pub(crate) control: Option<(Ring<Ctrl>, Channel<Domain>)>,
}

/// A slot of a packet that is received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Data { id: u16, offset: u16, flags: RxFlags, status: i16, bytes: Vec<u8> },
    Extra(ExtraInfo),
}

/// An answer on the receive ring.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) response: RxResponse,
    /// The id of the buffer that it has the place of.
    pub(crate) own: u16,
    pub(crate) page: Grant<Domain>,
}

/// A packet as it was received.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub(crate) bytes: Vec<u8>,
    pub(crate) flags: RxFlags,
    pub(crate) extras: Vec<ExtraInfo>,
    pub(crate) statuses: Vec<i16>,
}

impl Front {
    fn new(rig: &Rig, shape: &Shape) -> Self {
        let account = Account::open(rig.guest.clone(), rig.host.id(), LIMITS).unwrap();
        shape.keys.iter().for_each(|(key, value)| rig.write(key, value));
        let mut queues: Vec<Queue> = (0..shape.queues).map(|number| queue(rig, &account, number, shape)).collect();
        if shape.queues > 1 {
            rig.write("multi-queue-num-queues", shape.queues);
        }
        let control = shape.control.then(|| {
            let (ring, gref) = ring(rig, &account);
            let channel = Channel::unbound(&rig.guest, rig.host.id()).unwrap();
            rig.write("ctrl-ring-ref", gref);
            rig.write("event-channel-ctrl", channel.port().0);
            (ring, channel)
        });
        let domain = rig.guest.clone();
        for queue in &mut queues {
            queue.fill(shape.buffers, &domain, &account);
        }
        Self { domain, account, queues, control }
    }

    /// A page that holds bytes, for the backend to read.
    pub(crate) fn page(&self, bytes: &[u8]) -> Grant<Domain> {
        let mut page = Page::alloc(self.domain.clone()).unwrap();
        page.fill(bytes).unwrap();
        page.grant(&self.account, Access::ReadOnly).unwrap()
    }

    /// Transmits a packet in pieces of these lengths, and tells the ids.
    pub(crate) fn send(&mut self, queue: usize, bytes: &[u8], pieces: &[usize]) -> Vec<u16> {
        self.send_as(queue, bytes, pieces, TxFlags::empty(), &[])
    }

    /// The same with flags and extras.
    pub(crate) fn send_as(
        &mut self,
        queue: usize,
        bytes: &[u8],
        pieces: &[usize],
        flags: TxFlags,
        extras: &[ExtraInfo],
    ) -> Vec<u16> {
        let (mut rest, mut ids) = (bytes, Vec::new());
        for (number, len) in pieces.iter().enumerate() {
            let (piece, after) = rest.split_at(*len);
            rest = after;
            let page = self.page(piece);
            let mut flags = if number == 0 { flags } else { TxFlags::empty() };
            flags.set(TxFlags::MORE_DATA, number + 1 < pieces.len());
            flags.set(TxFlags::EXTRA_INFO, number == 0 && !extras.is_empty());
            let size = if number == 0 { bytes.len() } else { *len } as u16;
            let request = TxRequest { gref: page.gref(), flags, size, ..TxRequest::default() };
            ids.push(self.push(queue, request, Some(page)));
            if number == 0 {
                extras.iter().for_each(|extra| self.push_extra(queue, *extra));
            }
        }
        assert!(rest.is_empty(), "all is sent");
        self.publish(queue);
        ids
    }

    /// Puts a slot into the ring under an id of its own, which it tells.
    pub(crate) fn push(&mut self, queue: usize, request: TxRequest, page: Option<Grant<Domain>>) -> u16 {
        let queue = &mut self.queues[queue];
        queue.next = queue.next.wrapping_add(1);
        let id = queue.next;
        queue.tx.push(TxRequest { id, ..request }).map_err(drop).expect("there is room");
        page.into_iter().for_each(|page| drop(queue.sent.insert(id, page)));
        id
    }

    pub(crate) fn push_extra(&mut self, queue: usize, extra: ExtraInfo) {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(extra.as_bytes());
        let request = TxRequest::read_from_bytes(&bytes).unwrap();
        self.queues[queue].tx.push(request).map_err(drop).expect("there is room");
    }

    pub(crate) fn publish(&mut self, queue: usize) {
        let queue = &mut self.queues[queue];
        if queue.tx.publish().is_needed() {
            queue.tx_channel.notify().unwrap();
        }
    }

    /// What was answered on the transmit ring; pages of slots that were answered come back.
    pub(crate) fn answers(&mut self, queue: usize) -> Vec<TxResponse> {
        let queue = &mut self.queues[queue];
        let mut answers = Vec::new();
        while let Ok(Some(response)) = queue.tx.pop_or_arm() {
            let response = response.into_unverified();
            if response.status != Status::NULL
                && let Some(page) = queue.sent.remove(&response.id)
            {
                match page.revoke() {
                    Ok(page) => drop(page),
                    Err(mapped) => drop(queue.sent.insert(response.id, mapped.into_grant())),
                }
            }
            answers.push(response);
        }
        answers
    }

    /// What was answered on the receive ring, each with the buffer whose place it has.
    pub(crate) fn taken(&mut self, queue: usize) -> Vec<Taken> {
        let queue = &mut self.queues[queue];
        let mut taken = Vec::new();
        while let Ok(Some(response)) = queue.rx.pop_or_arm() {
            let Some((own, page)) = queue.buffers.pop_front() else { break };
            taken.push(Taken { response: response.into_unverified(), own, page });
        }
        taken
    }

    /// The slots that were received, by their places.
    pub(crate) fn slots(&mut self, queue: usize) -> Vec<Slot> {
        let (mut slots, mut extra) = (Vec::new(), false);
        for Taken { response, page, .. } in self.taken(queue) {
            if extra {
                let info: ExtraInfo = zerocopy::transmute!(response);
                extra = info.flags.contains(ExtraFlags::MORE);
                slots.push(Slot::Extra(info));
            } else {
                let RxResponse { id, offset, flags, status } = response;
                extra = flags.contains(RxFlags::EXTRA_INFO);
                let mut bytes = vec![0; usize::try_from(status.0).unwrap_or(0)];
                let count = page.read(usize::from(offset), &mut bytes);
                bytes.truncate(count);
                slots.push(Slot::Data { id, offset, flags, status: status.0, bytes });
            }
        }
        slots
    }

    /// The packets that were received, from an honest backend.
    pub(crate) fn receive(&mut self, queue: usize) -> Vec<Received> {
        let (mut packets, mut goes_on) = (Vec::new(), false);
        for slot in self.slots(queue) {
            match slot {
                Slot::Data { flags, status, bytes, .. } => {
                    if !goes_on {
                        packets.push(Received { flags, ..Received::default() });
                    }
                    goes_on = flags.contains(RxFlags::MORE_DATA);
                    let packet = packets.last_mut().unwrap();
                    packet.bytes.extend(bytes);
                    packet.statuses.push(status);
                }
                Slot::Extra(extra) => packets.last_mut().unwrap().extras.push(extra),
            }
        }
        packets
    }

    /// Gives the backend so many buffers more.
    pub(crate) fn refill(&mut self, queue: usize, count: usize) {
        self.queues[queue].fill(count, &self.domain, &self.account);
    }

    /// Asks something on the control ring, and waits for the answer.
    pub(crate) fn ask(&mut self, back: &mut Netback, kind: CtrlType, data: [u32; 3]) -> Result<u32, CtrlStatus> {
        let (ring, channel) = self.control.as_mut().expect("a control ring");
        ring.push(CtrlRequest { id: 77, kind, data }).map_err(drop).expect("there is room");
        if ring.publish().is_needed() {
            channel.notify().unwrap();
        }
        for _ in 0..100 {
            if let Some(response) = ring.pop_or_arm().expect("an honest ring") {
                let CtrlResponse { id, kind: answered, status, data } = response.into_unverified();
                assert_eq!((id, answered), (77, kind));
                return if status == CtrlStatus::SUCCESS { Ok(data) } else { Err(status) };
            }
            back.step();
        }
        panic!("no answer");
    }

    /// All pages come back.
    pub(crate) fn end(self) {
        for Queue { tx, rx, sent, buffers, .. } in self.queues {
            revoke(tx);
            revoke(rx);
            let pages = sent.into_values().chain(buffers.into_iter().map(|(_, page)| page));
            pages.for_each(|page| drop(page.revoke().map_err(drop).expect("unmapped at the end")));
        }
        self.control.into_iter().for_each(|(ring, _)| revoke(ring));
    }
}

impl Queue {
    fn fill(&mut self, count: usize, domain: &Domain, account: &Account<Domain>) {
        for _ in 0..count {
            let page = Page::alloc(domain.clone()).unwrap();
            let grant = page.grant(account, Access::ReadWrite).unwrap();
            let id = (self.rx.next_push() % 256) as u16;
            self.rx.push(RxRequest { id, gref: grant.gref(), ..RxRequest::default() }).map_err(drop).unwrap();
            self.buffers.push_back((id, grant));
        }
        if self.rx.publish().is_needed() {
            self.rx_channel.as_ref().unwrap_or(&self.tx_channel).notify().unwrap();
        }
    }
}

fn revoke<P: Protocol>(ring: Ring<P>) {
    ring.into_region().revoke().map_err(drop).expect("the ring is unmapped");
}

fn ring<P: Protocol>(rig: &Rig, account: &Account<Domain>) -> (Ring<P>, u32) {
    let run = PageRun::alloc(rig.guest.clone(), NonZeroUsize::MIN).unwrap();
    let region = run.grant(account, Access::ReadWrite).map_err(|error| error.reason).unwrap();
    let gref = region.grefs()[0].0;
    (FrontRing::init(region, OnePage).map_err(drop).unwrap(), gref)
}

fn queue(rig: &Rig, account: &Account<Domain>, number: u32, shape: &Shape) -> Queue {
    let at = if shape.queues > 1 { format!("queue-{number}/") } else { String::new() };
    let ((tx, tx_gref), (rx, rx_gref)) = (ring(rig, account), ring(rig, account));
    rig.write(&format!("{at}tx-ring-ref"), tx_gref);
    rig.write(&format!("{at}rx-ring-ref"), rx_gref);
    let channel = |name: &str| {
        let channel = Channel::unbound(&rig.guest, rig.host.id()).unwrap();
        rig.write(&format!("{at}{name}"), channel.port().0);
        channel
    };
    let (tx_channel, rx_channel) = if shape.split {
        (channel("event-channel-tx"), Some(channel("event-channel-rx")))
    } else {
        (channel("event-channel"), None)
    };
    Queue { tx, rx, tx_channel, rx_channel, sent: BTreeMap::new(), buffers: VecDeque::new(), next: 0 }
}

/// A packet of so many bytes, no two of which are the same.
pub(crate) fn bytes(len: usize, number: u8) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..len).map(|index| (index / 7) as u8 ^ number).collect();
    bytes[..12].copy_from_slice(&[2, 0, 0, 0, 0, number, 2, 0, 0, 0, 0, 200]);
    bytes
}

/// As [`bytes`], and a packet of TCP over IPv4 with a blank checksum: it can be cut into segments.
pub(crate) fn tcp(len: usize, number: u8) -> Vec<u8> {
    let mut bytes = bytes(len, number);
    let header = [0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    bytes[12..14].copy_from_slice(&[8, 0]);
    bytes[14..34].copy_from_slice(&header);
    bytes[16..18].copy_from_slice(&((len - 14) as u16).to_be_bytes());
    bytes[46] = 0x50;
    bytes
}
