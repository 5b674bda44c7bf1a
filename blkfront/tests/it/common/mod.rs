//! A guest with a disk, whose backend is simulated. One thread: the two halves take turns.

pub(crate) mod hostile;

use std::time::Duration;

use xen_blkfront::{
    Blkfront, Buffer, Completion, Done, Event, Flushed, IoError, Options, Request, RequestId, Sector512,
};
use xen_sim::blkback::{Blkback, Control, Options as Offer, SimDisk};
use xen_sim::{Device, Domain, Machine};
use xen_xenbus::Store;
use xen_xenbus::bus::Enumerator;

use crate::drivers;
use crate::drivers::{kernel, look};

/// The disk's number: `xvda`.
pub(crate) const XVDA: u32 = 51712;

/// How many sectors the disk has.
pub(crate) const SECTORS: u64 = 1 << 20;

/// How many pages the guest has.
pub(crate) const PAGES: usize = 2500;

/// A turn in which nothing happens takes so long.
const NAP: Duration = Duration::from_millis(1);

pub(crate) struct Rig {
    pub(crate) machine: Machine,
    pub(crate) guest: Domain,
    pub(crate) store: Store<Domain>,
    pub(crate) domain: Domain,
    pub(crate) device: Device,
    pub(crate) disk: SimDisk,
    pub(crate) back: Option<Blkback>,
    pub(crate) enumerator: Enumerator,
    pub(crate) front: Blkfront<Domain>,
    pub(crate) completions: Vec<Completion<Domain>>,
    pub(crate) events: Vec<Event<Domain>>,
}

impl Rig {
    /// A disk that is connected.
    pub(crate) fn new(seed: u64, options: Options, offer: Offer) -> Self {
        let mut rig = Self::plugged(seed, options, offer);
        assert!(rig.until(Duration::from_secs(20), |rig| rig.front.disk().is_some()), "{:?}", rig.events);
        rig
    }

    /// A disk that was found.
    pub(crate) fn plugged(seed: u64, options: Options, offer: Offer) -> Self {
        let machine = Machine::new(seed);
        let ((guest, store), domain) = (kernel(&machine, PAGES), machine.domain());
        let device = Device::new("vbd", XVDA, guest.id(), domain.id()).back_key("params", "/dev/disk");
        machine.xenstore().plug(&device);
        let disk = SimDisk::new(SECTORS);
        let back = Blkback::new(&machine, &domain, &device, disk.clone(), offer);
        let mut enumerator = Enumerator::new();
        let found = look(&mut enumerator, &store).expect("the device is there");
        let front = Blkfront::open(&store, found, options).expect("xenstore answers");
        let (completions, events) = (Vec::new(), Vec::new());
        Self { machine, guest, store, domain, device, disk, back: Some(back), enumerator, front, completions, events }
    }

    pub(crate) fn control(&self) -> Control {
        self.back.as_ref().expect("there is a backend").control()
    }

    pub(crate) fn now(&self) -> Duration {
        self.store.now()
    }

    /// Lets both halves do what they can, and time pass if that is nothing.
    pub(crate) fn turn(&mut self) {
        let (done, noted) = (self.completions.len(), self.events.len());
        if let Some(back) = &mut self.back {
            back.step();
        }
        while let Some(event) = self.front.poll(self.store.now()) {
            match event {
                Event::Completed(completion) => self.completions.push(completion),
                event => self.events.push(event),
            }
        }
        if (done, noted) == (self.completions.len(), self.events.len()) {
            self.front.wait(self.store.now() + NAP).expect("Xen lets guests wait");
        }
    }

    /// Goes on until something is so; says whether it is in time.
    pub(crate) fn until(&mut self, within: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.store.now() + within;
        while !done(self) {
            if self.store.now() >= end {
                return false;
            }
            self.turn();
        }
        true
    }

    /// Goes on for some time.
    pub(crate) fn pass(&mut self, time: Duration) {
        let _ = self.until(time, |_| false);
    }

    #[track_caller]
    pub(crate) fn submit(&mut self, request: Request<Domain>) -> RequestId {
        let id = self.front.submit(request, self.store.now()).expect("it is taken");
        self.front.flush_notifications(self.store.now());
        id
    }

    /// Waits for the end of a request.
    #[track_caller]
    pub(crate) fn finish(&mut self, id: RequestId) -> Completion<Domain> {
        let ended = self.until(Duration::from_secs(100), |rig| rig.completions.iter().any(|done| done.id == id));
        assert!(ended, "{id:?} has no end: {:?} {:?}", self.front, self.events);
        let index = self.completions.iter().position(|done| done.id == id).expect("it was just there");
        self.completions.swap_remove(index)
    }

    #[track_caller]
    pub(crate) fn run(&mut self, request: Request<Domain>) -> Completion<Domain> {
        let id = self.submit(request);
        self.finish(id)
    }

    /// Memory that holds `fill` in every byte.
    pub(crate) fn filled(&self, bytes: usize, fill: u8) -> Buffer<Domain> {
        let mut buffer = self.front.buffer(bytes).expect("there is memory");
        assert_eq!(buffer.copy_in(0, &vec![fill; bytes]), bytes);
        buffer
    }

    #[track_caller]
    pub(crate) fn write(&mut self, at: u64, bytes: usize, fill: u8) -> Result<Done, IoError> {
        let buffer = self.filled(bytes, fill);
        self.run(Request::write(Sector512(at), buffer)).result
    }

    #[track_caller]
    pub(crate) fn read(&mut self, at: u64, bytes: usize) -> Result<Vec<u8>, IoError> {
        let buffer = self.front.buffer(bytes).expect("there is memory");
        let done = self.run(Request::read(Sector512(at), buffer));
        done.result.map(|_| contents(&done.buffer))
    }

    #[track_caller]
    pub(crate) fn flush(&mut self) -> Flushed {
        match self.run(Request::flush()).result {
            Ok(Done::Flushed(flushed)) => flushed,
            other => panic!("a flush says whether it was one: {other:?}"),
        }
    }

    /// What stands on the disk.
    pub(crate) fn on_disk(&self, at: u64, bytes: usize) -> Vec<u8> {
        let mut data = vec![0; bytes];
        self.disk.read(at, &mut data);
        data
    }

    /// Has the front take the device that stands in the store now.
    pub(crate) fn reattach(&mut self) {
        self.enumerator.forget(self.front.device());
        let found = look(&mut self.enumerator, &self.store).expect("a device is there");
        self.front.reattach(found).expect("xenstore answers");
    }

    /// Closes the disk, and lets the backend's tools take it away.
    pub(crate) fn close(&mut self) {
        self.front.close();
        assert!(self.until(Duration::from_secs(30), |rig| rig.front.is_ended()), "{:?}", self.front);
    }

    /// Sees to it that nothing of a disk that has ended is left.
    #[track_caller]
    pub(crate) fn assert_given_back(&mut self) {
        // The backend lets go of what it had.
        self.pass(Duration::from_millis(20));
        drivers::assert_given_back(&self.machine, &self.guest);
    }

    pub(crate) fn count(&self, which: impl Fn(&Event<Domain>) -> bool) -> usize {
        self.events.iter().filter(|event| which(event)).count()
    }
}

pub(crate) fn contents(buffer: &Buffer<Domain>) -> Vec<u8> {
    let mut data = vec![0; buffer.len()];
    assert_eq!(buffer.copy_out(0, &mut data), data.len());
    data
}
