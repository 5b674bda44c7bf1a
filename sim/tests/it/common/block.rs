//! A block front-end by hand, so that the simulator's backend is tested apart from the driver.

pub(crate) use crate::device;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use xen_event_channel::Channel;
use xen_grant_table::{Access, Account, Grant, GrantRun, Limits, Page, PageRun};
use xen_hypercall::abi::io::blkif::{
    DiscardFlags, Operation, Request, RequestDiscard, RequestIndirect, Response, Segment, Status,
};
use xen_hypercall::abi::io::xenbus::State;
use xen_shared_ring::{FrontRing, Prefix, Protocol, Slots};
use xen_sim::blkback::{Blkback, Options, Progress, SimDisk};
use xen_sim::{Device, Domain, Machine};
use zerocopy::IntoBytes;

pub(crate) enum Blk {}

impl Protocol for Blk {
    type Request = Request;
    type Response = Response;
}

/// Both are what a request of another kind looks like in a slot.
#[derive(Clone, Copy, zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable)]
#[repr(transparent)]
pub(crate) struct Discard(pub(crate) RequestDiscard);
impl Prefix<Request> for Discard {}
#[derive(Clone, Copy, zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable)]
#[repr(transparent)]
pub(crate) struct Indirect(pub(crate) RequestIndirect);
impl Prefix<Request> for Indirect {}

/// A machine with a guest, a backend for its disk, and nothing connected.
pub(crate) struct Rig {
    pub(crate) machine: Machine,
    pub(crate) guest: Domain,
    pub(crate) host: Domain,
    pub(crate) device: Device,
    pub(crate) disk: SimDisk,
    pub(crate) back: Blkback,
}

const LIMITS: Limits = Limits::exactly(160);
pub(crate) const SECTORS: u64 = 1 << 20;

impl Rig {
    pub(crate) fn new(seed: u64, options: Options) -> Self {
        let machine = Machine::new(seed);
        let (guest, host) = (machine.domain(), machine.domain());
        let device = Device::new("vbd", 51712, guest.id(), host.id());
        machine.xenstore().plug(&device);
        let disk = SimDisk::new(SECTORS);
        // The grant table keeps the pages of its book-keeping for good: they are no leak.
        drop(Account::open(guest.clone(), host.id(), LIMITS).unwrap());
        let back = Blkback::new(&machine, &host, &device, disk.clone(), options);
        Self { machine, guest, host, device, disk, back }
    }

    /// Connects a front of so many queues.
    pub(crate) fn connect(&mut self, shape: Shape) -> Front {
        self.settle();
        let front = Front::new(self, shape);
        self.set_state(State::INITIALISED);
        assert_eq!((self.state(), self.back.last_error()), (State::CONNECTED, None));
        self.set_state(State::CONNECTED);
        front
    }

    device::rig_methods!();
}

/// What a front asks for.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) queues: u32,
    pub(crate) order: Option<u32>,
    pub(crate) persistent: bool,
}

impl Shape {
    pub(crate) const PLAIN: Self = Self { queues: 1, order: None, persistent: false };
    pub(crate) const PERSISTENT: Self = Self { persistent: true, ..Self::PLAIN };
}

pub(crate) struct Queue {
    pub(crate) ring: FrontRing<Blk, GrantRun<Domain>, Slots>,
    pub(crate) channel: Channel<Domain>,
}

pub(crate) struct Front {
    pub(crate) domain: Domain,
    pub(crate) account: Account<Domain>,
    pub(crate) queues: Vec<Queue>,
    /// Pages that stay granted.
    pool: Vec<Grant<Domain>>,
    persistent: bool,
    next: u64,
    /// Answers that nobody has asked for yet.
    pub(crate) answers: BTreeMap<u64, Response>,
}

impl Front {
    fn new(rig: &Rig, shape: Shape) -> Self {
        let account = Account::open(rig.guest.clone(), rig.host.id(), LIMITS).unwrap();
        let queues = (0..shape.queues).map(|number| queue(rig, &account, number, shape)).collect();
        if shape.queues > 1 {
            rig.write("multi-queue-num-queues", shape.queues);
        }
        if let Some(order) = shape.order {
            rig.write("ring-page-order", order);
        }
        rig.write("protocol", "x86_64-abi");
        rig.write("feature-persistent", u8::from(shape.persistent));
        let (domain, persistent) = (rig.guest.clone(), shape.persistent);
        let (pool, answers) = (Vec::new(), BTreeMap::new());
        Self { domain, account, queues, pool, persistent, next: 1, answers }
    }

    pub(crate) const fn id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(crate) fn grant(&mut self) -> Grant<Domain> {
        self.pool.pop().unwrap_or_else(|| {
            Page::alloc(self.domain.clone()).unwrap().grant(&self.account, Access::ReadWrite).unwrap()
        })
    }

    /// Takes a page back when its request is answered.
    pub(crate) fn give_back(&mut self, grant: Grant<Domain>) {
        if self.persistent {
            self.pool.push(grant);
        } else {
            drop(grant.revoke().expect("unmapped before the answer"));
        }
    }

    pub(crate) fn push<T: Prefix<Request>>(&mut self, queue: usize, request: T) {
        self.queues[queue].ring.push(request).map_err(drop).expect("there is room");
    }

    pub(crate) fn publish(&mut self, queue: usize) {
        let queue = &mut self.queues[queue];
        if queue.ring.publish().is_needed() {
            queue.channel.notify().unwrap();
        }
    }

    /// Takes answers out of all rings.
    pub(crate) fn take(&mut self) {
        for queue in &mut self.queues {
            while let Some(response) = queue.ring.pop_or_arm().expect("an honest ring") {
                let response = response.into_unverified();
                assert!(self.answers.insert(response.id, response).is_none(), "answered twice");
            }
        }
    }

    /// The answer to a request, which comes after a few steps.
    pub(crate) fn answer(&mut self, back: &mut Blkback, id: u64) -> Response {
        for _ in 0..10_000 {
            self.take();
            if let Some(response) = self.answers.remove(&id) {
                return response;
            }
            if let Progress::Until(time) = back.step() {
                let _ = xen_hypercall::sched::poll(&self.domain, &[], Some(time));
            }
        }
        panic!("no answer");
    }

    /// Sends a request of one kind or the other; the pages hold the bytes.
    pub(crate) fn send(&mut self, queue: usize, operation: Operation, sector: u64, grants: &[Grant<Domain>]) -> Sent {
        self.send_parts(queue, operation, sector, grants, 7)
    }

    /// The same with the sectors up to `last` of each page.
    pub(crate) fn send_parts(
        &mut self,
        queue: usize,
        operation: Operation,
        sector: u64,
        grants: &[Grant<Domain>],
        last: u8,
    ) -> Sent {
        let id = self.id();
        let segment = |grant: &Grant<Domain>| Segment { gref: grant.gref(), last_sect: last, ..Segment::default() };
        let segments: Vec<Segment> = grants.iter().map(segment).collect();
        let mut pages = Vec::new();
        if segments.len() <= 11 {
            let mut seg = [Segment::default(); 11];
            seg[..segments.len()].copy_from_slice(&segments);
            let nr_segments = segments.len() as u8;
            let request = Request { operation, nr_segments, id, sector_number: sector, seg, ..Request::default() };
            self.push(queue, request);
        } else {
            let nr_segments = segments.len() as u16;
            let (operation, indirect_op) = (Operation::INDIRECT, operation);
            let mut request = RequestIndirect {
                operation,
                indirect_op,
                nr_segments,
                id,
                sector_number: sector,
                ..Default::default()
            };
            for (gref, segments) in request.indirect_grefs.iter_mut().zip(segments.chunks(512)) {
                let mut page = self.grant();
                assert_eq!(page.write(0, segments.as_bytes()), segments.len() * 8);
                *gref = page.gref();
                pages.push(page);
            }
            self.push(queue, Indirect(request));
        }
        self.publish(queue);
        Sent { id, pages }
    }

    /// Reads or writes whole pages, and waits.
    pub(crate) fn io(&mut self, back: &mut Blkback, operation: Operation, sector: u64, bytes: &mut [u8]) -> Status {
        let mut grants: Vec<Grant<Domain>> = Vec::new();
        for chunk in bytes.chunks(4096) {
            let mut grant = self.grant();
            assert_eq!(grant.write(0, chunk), 4096);
            grants.push(grant);
        }
        let sent = self.send(0, operation, sector, &grants);
        let response = self.answer(back, sent.id);
        assert_eq!(response.operation, operation);
        for (grant, chunk) in grants.into_iter().zip(bytes.chunks_mut(4096)) {
            assert_eq!(grant.read(0, chunk), 4096);
            self.give_back(grant);
        }
        sent.pages.into_iter().for_each(|page| self.give_back(page));
        response.status
    }

    pub(crate) fn write(&mut self, back: &mut Blkback, sector: u64, byte: u8, pages: usize) -> Status {
        self.io(back, Operation::WRITE, sector, &mut vec![byte; pages * 4096])
    }

    pub(crate) fn read(&mut self, back: &mut Blkback, sector: u64, pages: usize) -> Result<Vec<u8>, Status> {
        let mut bytes = vec![0xee; pages * 4096];
        let status = self.io(back, Operation::READ, sector, &mut bytes);
        if status == Status::OKAY { Ok(bytes) } else { Err(status) }
    }

    pub(crate) fn flush(&mut self, back: &mut Blkback) -> Status {
        self.io(back, Operation::FLUSH_DISKCACHE, 0, &mut [])
    }

    pub(crate) fn discard(&mut self, back: &mut Blkback, sector: u64, count: u64, flag: DiscardFlags) -> Status {
        let (id, operation) = (self.id(), Operation::DISCARD);
        let request = RequestDiscard {
            operation,
            flag,
            id,
            sector_number: sector,
            nr_sectors: count,
            ..RequestDiscard::default()
        };
        self.push(0, Discard(request));
        self.publish(0);
        let response = self.answer(back, id);
        assert_eq!(response.operation, operation);
        response.status
    }

    /// All pages come back.
    pub(crate) fn end(self) {
        for queue in self.queues {
            queue.ring.into_region().revoke().map_err(drop).expect("the ring is unmapped");
        }
        for grant in self.pool {
            grant.revoke().map_err(drop).expect("kept pages are unmapped");
        }
    }
}

pub(crate) struct Sent {
    pub(crate) id: u64,
    pub(crate) pages: Vec<Grant<Domain>>,
}

fn queue(rig: &Rig, account: &Account<Domain>, number: u32, shape: Shape) -> Queue {
    let order = shape.order.unwrap_or(0);
    let count = NonZeroUsize::new(1 << order).unwrap();
    let run = PageRun::alloc(rig.guest.clone(), count).unwrap();
    let region = run.grant(account, Access::ReadWrite).map_err(|error| error.reason).unwrap();
    let grefs = region.grefs().to_vec();
    let slots = Slots::in_pages::<Blk>(order).unwrap();
    let ring = FrontRing::init(region, slots).map_err(drop).unwrap();
    let channel = Channel::unbound(&rig.guest, rig.host.id()).unwrap();
    let at = if shape.queues > 1 { format!("queue-{number}/") } else { String::new() };
    match shape.order {
        None => rig.write(&format!("{at}ring-ref"), grefs[0].0),
        Some(_) => grefs.iter().enumerate().for_each(|(page, gref)| rig.write(&format!("{at}ring-ref{page}"), gref.0)),
    }
    rig.write(&format!("{at}event-channel"), channel.port().0);
    Queue { ring, channel }
}

pub(crate) const SECOND: Duration = Duration::from_secs(1);
