//! What tests of faults have in common: traffic both ways, a suspend, another backend.

#![allow(dead_code, reason = "not every test uses all of it")]

use std::collections::BTreeSet;
use std::time::Duration;

pub(crate) use crate::suspended::Ending;
use xen_netfront::Event;
use xen_sim::Domain;
use xen_sim::netback::{Netback, Options as Offer, Packet};
use xen_xenbus::Store;
use xen_xenbus::control::Resumable;

use crate::common::{Rig, SECOND, packet, vif};
use crate::drivers::look;
use crate::suspended;

pub(crate) const MS: Duration = Duration::from_millis(1);

/// Packets with numbers, both ways. Each comes whole, not mixed with another, in its order, and once at most. (D5)
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) out: Way,
    pub(crate) into: Way,
}

/// One direction of it.
#[derive(Debug, Default)]
pub(crate) struct Way {
    /// Those that were sent.
    pub(crate) sent: u32,
    pub(crate) came: BTreeSet<u32>,
}

impl Traffic {
    /// Sends so many packets each way, as far as there is room.
    pub(crate) fn send(&mut self, rig: &mut Rig, count: u32) {
        for _ in 0..count {
            self.out.sent += u32::from(rig.send(&numbered(b'f', self.out.sent)));
            rig.port.send(Packet::new(numbered(b'b', self.into.sent)));
            self.into.sent += 1;
        }
    }

    /// Looks at what has come.
    #[track_caller]
    pub(crate) fn check(&mut self, rig: &mut Rig) {
        for packet in rig.sent() {
            self.out.take(b'f', &packet.data);
        }
        for (data, _) in rig.received.drain(..) {
            self.into.take(b'b', &data);
        }
    }

    /// Sees to it that what is sent now comes, all of it, both ways.
    #[track_caller]
    pub(crate) fn flows(&mut self, rig: &mut Rig) {
        // Whatever was on its way has come, or never will.
        rig.pass(MS * 20);
        self.check(rig);
        let before = (self.out.sent, self.into.sent);
        self.send(rig, 15);
        rig.pass(MS * 20);
        self.check(rig);
        assert_eq!(self.out.sent, before.0 + 15, "there is room: {:?}", rig.front);
        let all = |way: &Way, from| (from..way.sent).all(|number| way.came.contains(&number));
        let statistics = (rig.front.statistics(), rig.back().statistics());
        assert!(all(&self.out, before.0) && all(&self.into, before.1), "{:?} {statistics:?}", rig.front);
    }
}

impl Way {
    #[track_caller]
    fn take(&mut self, way: u8, data: &[u8]) {
        let number = data.get(15..19).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
        let number = number.unwrap_or_else(|| panic!("it is cut: {data:?}"));
        assert!(data == numbered(way, number), "packet {number} is not as it was sent");
        assert!(number < self.sent && self.came.last().is_none_or(|last| *last < number), "{number} after {self:?}");
        self.came.insert(number);
    }
}

fn numbered(way: u8, number: u32) -> Vec<u8> {
    let mut packet = packet(60 + number as usize * 37 % 1455, number as usize);
    packet[14] = way;
    packet[15..19].copy_from_slice(&number.to_be_bytes());
    packet
}

/// A small source of chance.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9) | 1)
    }

    pub(crate) const fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    pub(crate) const fn toss(&mut self) -> bool {
        self.below(2) == 0
    }
}

impl Rig {
    /// Goes on until it is connected so many times in all, and says how long that took.
    #[track_caller]
    pub(crate) fn connected(&mut self, times: u64, within: Duration) -> Duration {
        let start = self.now();
        let done = |rig: &Self| rig.front.statistics().connections >= times && rig.front.link().is_some();
        assert!(self.until(within, done), "{:?} {:?}", self.front, self.events);
        self.now() - start
    }

    /// The backend's domain dies; another one takes its place.
    pub(crate) fn replace_backend(&mut self, offer: Offer) {
        self.machine.destroy(&self.domain);
        self.unplug_by_force();
        self.domain = self.machine.domain();
        self.plug_again(offer);
    }

    /// The tools remove all that there is of the device.
    pub(crate) fn unplug_by_force(&mut self) {
        self.back = None;
        self.machine.xenstore().remove_device(&self.device);
    }

    /// The device is there again, with a backend that knows nothing.
    pub(crate) fn plug_again(&mut self, offer: Offer) {
        self.device = vif(0, &self.guest, &self.domain);
        self.machine.xenstore().plug(&self.device);
        let back = Netback::new(&self.machine, &self.domain, &self.device, offer);
        self.port = back.port();
        self.back = Some(back);
    }

    /// Waits until it is known that the device has vanished, and takes what is there then.
    #[track_caller]
    pub(crate) fn reattach_when_gone(&mut self) {
        let gone = |rig: &Self| rig.count(|event| matches!(event, Event::Detached(_))) > 0;
        assert!(self.until(SECOND * 10, gone), "{:?}", self.events);
        self.events.retain(|event| !matches!(event, Event::Detached(_)));
        self.reattach();
    }

    /// Takes the domain through a suspend.
    pub(crate) fn suspend(&mut self) -> Ending {
        let ending = suspended::suspend(self);
        if ending == Ending::Resumed {
            self.enumerator.resumed();
        }
        ending
    }

    /// Suspends, with a resume on another host, and takes the device that is there.
    #[track_caller]
    pub(crate) fn migrate(&mut self) {
        self.guest.migrate_on_suspend();
        assert_eq!(self.suspend(), Ending::Resumed);
        let found = look(&mut self.enumerator, &self.store).expect("the other host has the device");
        self.front.reattach(found).expect("xenstore answers");
    }
}

impl suspended::Guest for Rig {
    fn domain(&self) -> Domain {
        self.guest.clone()
    }

    fn store(&self) -> Store<Domain> {
        self.store.clone()
    }

    fn devices(&mut self) -> &mut dyn Resumable {
        &mut self.front
    }

    fn wakes(&self) {
        if let Some(clock) = self.wakes_at.take() {
            self.machine.jump_to(clock);
        }
    }

    fn turn(&mut self) {
        Self::turn(self);
    }
}
