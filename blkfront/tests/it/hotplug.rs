//! Disks that come, go, and come back.

use std::time::Duration;

use xen_blkfront::{
    Blkfront, Completion, Disks, Done, Event, Flushed, IoError, Options, Request, Sector512, Vanishing,
};
use xen_sim::blkback::{Blkback, Options as Offer, SimDisk};
use xen_sim::{Device, Domain, Machine};
use xen_xenbus::Store;
use xen_xenbus::bus::{End, Vanished};
use xen_xenbus::control::Resumable;

use crate::common::PAGES;
use crate::drivers;
use crate::drivers::kernel;
use crate::suspended;
use crate::suspended::Ending;

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const XVDA: u32 = 51712;
const XVDB: u32 = 51728;

/// A guest whose disks come and go.
struct Rig {
    machine: Machine,
    guest: Domain,
    domain: Domain,
    store: Store<Domain>,
    disks: Disks<Domain>,
    backs: Vec<Blkback>,
    completions: Vec<(u32, Completion<Domain>)>,
    events: Vec<(u32, Event<Domain>)>,
}

impl Rig {
    fn new(seed: u64, options: Options) -> Self {
        let machine = Machine::new(seed);
        let ((guest, store), domain) = (kernel(&machine, PAGES), machine.domain());
        let disks = Disks::new(&store, options).unwrap();
        let (backs, completions, events) = (Vec::new(), Vec::new(), Vec::new());
        Self { machine, guest, domain, store, disks, backs, completions, events }
    }

    fn plug(&mut self, number: u32, disk: &SimDisk, offer: &Offer) -> Device {
        self.plug_as(number, disk, offer, "/dev/disk")
    }

    fn plug_as(&mut self, number: u32, disk: &SimDisk, offer: &Offer, params: &str) -> Device {
        let device = Device::new("vbd", number, self.guest.id(), self.domain.id()).back_key("params", params);
        self.backs.push(Blkback::new(&self.machine, &self.domain, &device, disk.clone(), offer.clone()));
        self.machine.xenstore().plug(&device);
        device
    }

    /// The tools take a device away without asking, and its backend's program ends.
    fn tear_out(&mut self, device: &Device) {
        self.machine.xenstore().remove_device(device);
        self.backs.clear();
    }

    fn turn(&mut self) {
        let before = (self.completions.len(), self.events.len());
        for back in &mut self.backs {
            let _ = back.step();
        }
        while let Some((number, event)) = self.disks.poll(self.store.now()) {
            match event {
                Event::Completed(done) => self.completions.push((number, done)),
                event => self.events.push((number, event)),
            }
        }
        if before == (self.completions.len(), self.events.len()) {
            let nap = if self.backs.is_empty() { SECOND } else { MILLISECOND };
            self.disks.wait(self.store.now() + nap).unwrap();
        }
    }

    #[track_caller]
    fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let end = self.store.now() + 30 * SECOND;
        while !done(self) {
            assert!(self.store.now() < end, "not {what}: {:?} {:?}", self.disks, self.events);
            self.turn();
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.store.now() + time;
        while self.store.now() < end {
            self.turn();
        }
    }

    fn is_connected(&self, number: u32) -> bool {
        self.disks.get(number).is_some_and(|disk| disk.disk().is_some())
    }

    fn disk(&mut self, number: u32) -> &mut Blkfront<Domain> {
        self.disks.get_mut(number).expect("the disk is there")
    }

    fn write(&mut self, number: u32, at: u64, fill: u8) {
        let now = self.store.now();
        let disk = self.disk(number);
        let mut buffer = disk.buffer(4096).expect("there is memory");
        buffer.copy_in(0, &[fill; 4096]);
        disk.submit(Request::write(Sector512(at), buffer), now).expect("it is taken");
    }

    #[track_caller]
    fn flush(&mut self, number: u32) -> Flushed {
        let now = self.store.now();
        let id = self.disk(number).submit(Request::flush(), now).unwrap();
        self.until("flushed", |rig| rig.completions.iter().any(|(_, done)| done.id == id));
        let index = self.completions.iter().position(|(_, done)| done.id == id).unwrap();
        match self.completions.swap_remove(index).1.result {
            Ok(Done::Flushed(flushed)) => flushed,
            other => panic!("{other:?}"),
        }
    }

    fn ended(&self) -> Vec<End> {
        self.events
            .iter()
            .filter_map(|(_, event)| if let Event::Ended(end) = event { Some(*end) } else { None })
            .collect()
    }

    fn count(&self, which: impl Fn(&Event<Domain>) -> bool) -> usize {
        self.events.iter().filter(|(_, event)| which(event)).count()
    }

    /// Whether nothing is in use but what the grant table has grown by.
    #[track_caller]
    fn assert_given_back(&self, watches: usize) {
        drivers::assert_given_back(&self.machine, &self.guest);
        assert_eq!(self.machine.xenstore().watches(&self.guest), watches);
    }
}

#[test]
fn rounds_of_attach_and_detach_leave_nothing_behind() {
    for vanished in [Vanishing::Fail, Vanishing::Hold(60 * SECOND)] {
        let mut rig = Rig::new(1, Options { vanished, ..Options::DEFAULT });
        let (disk, mut checkpoint) = (SimDisk::new(2048), None);
        for round in 1..=20_u8 {
            let device = rig.plug(XVDA, &disk, &Offer::DEFAULT);
            rig.until("connected", |rig| rig.is_connected(XVDA));
            rig.write(XVDA, 8 * u64::from(round), round);
            assert_eq!(rig.flush(XVDA), Flushed::Durable);
            rig.machine.xenstore().unplug(&device);
            rig.until("gone", |rig| rig.disks.get(XVDA).is_none_or(|disk| disk.is_detached()));
            rig.backs.clear();
            rig.pass(10 * MILLISECOND);
            rig.assert_given_back(1 + usize::from(vanished != Vanishing::Fail));
            // Messages of the store's tables come and go; buffers of completions do not.
            rig.completions.clear();
            rig.machine.assert_no_leaks_since(checkpoint.get_or_insert_with(|| rig.machine.checkpoint()));
        }
        let ends = if vanished == Vanishing::Fail { 20 } else { 0 };
        assert_eq!(rig.ended(), vec![End::Vanished(Vanished::Unplugged); ends]);
        assert_eq!(rig.count(|event| matches!(event, Event::Connected)), 20);
        let mut written = vec![0; 20 * 4096];
        disk.read(8, &mut written);
        assert!(written.chunks(4096).zip(1..).all(|(block, round)| block == [round; 4096]));
    }
}

#[test]
fn what_a_disk_is_owed_when_it_is_torn_out_goes_to_it_when_it_is_back() {
    for seed in 0..8 {
        let mut rig = Rig::new(seed, Options { journal: 1 << 20, ..Options::DEFAULT });
        let disk = SimDisk::new(2048);
        let offer = Offer { latency: MILLISECOND..40 * MILLISECOND, ..Offer::DEFAULT };
        let mut device = rig.plug(XVDA, &disk, &offer);
        rig.until("connected", |rig| rig.is_connected(XVDA));
        for round in 0..3_u8 {
            for block in 0..64 {
                // Odd ones only, so that each is a request of its own.
                rig.write(XVDA, 16 * block, round + 1);
            }
            rig.pass(Duration::from_millis(1 + seed * 5));
            rig.tear_out(&device);
            if seed % 2 == 0 {
                rig.until("vanished", |rig| rig.disks.get(XVDA).is_none_or(|disk| disk.is_detached()));
            }
            device = rig.plug(XVDA, &disk, &offer);
            rig.until("answered", |rig| rig.completions.len() == 64);
            assert!(
                rig.completions.drain(..).all(|(number, done)| number == XVDA && done.result == Ok(Done::Transferred))
            );
            assert_eq!(rig.flush(XVDA), Flushed::Durable, "what was acknowledged was written again");
        }
        disk.crash(xen_sim::blkback::Loss::All);
        for block in 0..64 {
            let mut written = [0; 4096];
            disk.read(16 * block, &mut written);
            assert_eq!(written, [3; 4096], "seed {seed}, block {block}");
        }
        assert!(rig.disk(XVDA).statistics().sent_again > 0);
        assert!(rig.ended().is_empty());
    }
}

#[test]
fn another_disk_under_the_same_number_is_not_given_what_the_old_one_is_owed() {
    let mut rig = Rig::new(1, Options::DEFAULT);
    let (old, new) = (SimDisk::new(2048), SimDisk::new(2048));
    let offer = Offer { latency: SECOND..2 * SECOND, ..Offer::DEFAULT };
    let device = rig.plug_as(XVDA, &old, &offer, "/dev/old");
    rig.until("connected", |rig| rig.is_connected(XVDA));
    rig.write(XVDA, 0, 1);
    rig.pass(10 * MILLISECOND);
    rig.tear_out(&device);
    rig.plug_as(XVDA, &new, &Offer::DEFAULT, "/dev/new");
    rig.until("answered", |rig| rig.completions.len() == 1);
    assert_eq!(rig.completions[0].1.result, Err(IoError::OutcomeUnknown));
    rig.until("connected", |rig| rig.is_connected(XVDA));
    let mut first = [0; 512];
    new.read(0, &mut first);
    assert_eq!(first, [0; 512]);
}

#[test]
fn a_disk_that_does_not_come_back_in_time_is_another_one_afterwards() {
    let mut rig = Rig::new(1, Options { vanished: Vanishing::Hold(SECOND), ..Options::DEFAULT });
    let disk = SimDisk::new(2048);
    let device = rig.plug(XVDA, &disk, &Offer::DEFAULT);
    rig.until("connected", |rig| rig.is_connected(XVDA));
    rig.tear_out(&device);
    rig.until("detached", |rig| rig.disks.get(XVDA).is_some_and(|disk| disk.is_detached()));
    rig.write(XVDA, 0, 1);
    rig.until("ended", |rig| rig.disks.get(XVDA).is_none());
    assert_eq!(rig.completions[0].1.result, Err(IoError::NotSent));
    rig.plug(XVDA, &disk, &Offer::DEFAULT);
    rig.until("connected", |rig| rig.is_connected(XVDA));
    assert_eq!((rig.disk(XVDA).statistics().connections, rig.ended().len()), (1, 1));
}

#[test]
fn a_device_without_a_backend_costs_little_and_is_given_up_in_time() {
    let mut rig = Rig::new(1, Options { vanished: Vanishing::Hold(20 * SECOND), ..Options::DEFAULT });
    let disk = SimDisk::new(2048);
    let device = rig.plug(XVDA, &disk, &Offer::DEFAULT);
    rig.until("connected", |rig| rig.is_connected(XVDA));
    // Its domain has died: nobody has removed our half.
    rig.machine.xenstore().remove(&device.back_path());
    rig.backs.clear();
    let (since, before) = (rig.store.now(), rig.store.statistics().requests);
    rig.until("ended", |rig| rig.disks.get(XVDA).is_none());
    let took = rig.store.now() - since;
    assert!((20 * SECOND..25 * SECOND).contains(&took), "{took:?}");
    let requests = rig.store.statistics().requests - before;
    assert!(requests < 600, "{requests} requests to xenstore");
    // Nothing is left of it but the look that is made from time to time by whoever plugs something.
    rig.machine.xenstore().remove_device(&device);
    rig.plug(XVDA, &disk, &Offer::DEFAULT);
    rig.until("connected", |rig| rig.is_connected(XVDA));
}

#[test]
fn several_disks_live_side_by_side_and_one_that_is_closed_stays_so() {
    let mut rig = Rig::new(1, Options::DEFAULT);
    let (a, b) = (SimDisk::new(4096), SimDisk::new(2048));
    rig.plug(XVDB, &b, &Offer::DEFAULT);
    rig.plug(XVDA, &a, &Offer::DEFAULT);
    rig.until("connected", |rig| rig.is_connected(XVDA) && rig.is_connected(XVDB));
    let sizes: Vec<_> = rig.disks.iter().map(|(number, disk)| (number, disk.disk().unwrap().sectors())).collect();
    assert_eq!(sizes, [(XVDA, 4096), (XVDB, 2048)]);
    for block in 0..100 {
        rig.write(XVDA, 16 * block, 1);
    }
    rig.write(XVDB, 0, 2);
    rig.until("answered", |rig| rig.completions.len() == 101);
    let place = rig.completions.iter().position(|(number, _)| *number == XVDB).unwrap();
    assert!(place <= 64, "the other one has its turn");
    rig.disk(XVDA).close();
    rig.until("closed", |rig| rig.disks.get(XVDA).is_none());
    rig.pass(SECOND);
    assert_eq!((rig.disks.iter().count(), rig.ended()), (1, vec![End::Closed]));
}

impl suspended::Guest for Rig {
    fn domain(&self) -> Domain {
        self.guest.clone()
    }

    fn store(&self) -> Store<Domain> {
        self.store.clone()
    }

    fn devices(&mut self) -> &mut dyn Resumable {
        &mut self.disks
    }

    fn turn(&mut self) {
        Self::turn(self);
    }
}

#[test]
fn all_disks_are_found_again_after_each_migration() {
    for seed in 0..6 {
        let mut rig = Rig::new(seed, Options::DEFAULT);
        let (a, b) = (SimDisk::new(4096), SimDisk::new(2048));
        let offer = Offer { latency: MILLISECOND..20 * MILLISECOND, ..Offer::DEFAULT };
        rig.plug(XVDA, &a, &offer);
        rig.plug(XVDB, &b, &offer);
        rig.guest.migrate_on_suspend();
        rig.until("connected", |rig| rig.is_connected(XVDA) && rig.is_connected(XVDB));
        for round in 1..=3_u8 {
            for block in 0..40 {
                rig.write(XVDA, 16 * block, round);
                rig.write(XVDB, 16 * block, round + 100);
            }
            assert_eq!(suspended::suspend(&mut rig), Ending::Resumed);
            rig.until("answered", |rig| rig.completions.len() == 80);
            assert!(rig.completions.drain(..).all(|(_, done)| done.result == Ok(Done::Transferred)), "seed {seed}");
            rig.until("connected", |rig| rig.is_connected(XVDA) && rig.is_connected(XVDB));
            assert_eq!((rig.flush(XVDA), rig.flush(XVDB)), (Flushed::Durable, Flushed::Durable));
        }
        for block in 0..40 {
            let (mut of_a, mut of_b) = ([0; 4096], [0; 4096]);
            a.read(16 * block, &mut of_a);
            b.read(16 * block, &mut of_b);
            assert_eq!((of_a, of_b), ([3; 4096], [103; 4096]));
        }
        assert!(rig.ended().is_empty());
        assert_eq!(rig.disk(XVDA).statistics().connections, 4);
    }
}

#[test]
fn a_suspend_that_is_called_off_changes_nothing() {
    let mut rig = Rig::new(1, Options::DEFAULT);
    rig.plug(XVDA, &SimDisk::new(2048), &Offer::DEFAULT);
    rig.until("connected", |rig| rig.is_connected(XVDA));
    rig.write(XVDA, 0, 1);
    assert_eq!(suspended::suspend(&mut rig), Ending::Cancelled);
    rig.write(XVDA, 8, 1);
    rig.until("answered", |rig| rig.completions.len() == 2);
    assert_eq!((rig.flush(XVDA), rig.disk(XVDA).statistics().connections), (Flushed::Durable, 1));
}
