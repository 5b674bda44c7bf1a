//! Very many packets on one interface, over the ends of the rings' indices. `DOMU_PACKETS` says how many.
//!
//! They go both ways, with the rings as full as they get. Each comes once, those of one queue in their order; its number is looked at
//! each time, and all of it once in 64. The indices begin shortly before 2^32, and again so with each connection: there is another one
//! every million packets.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use xen_netfront::{Channels, Options};
use xen_sim::When;
use xen_sim::netback::{Fault, Netback, Options as Offer, Packet, Restart, Which};

use crate::common::{Rig, SECOND, packet};

/// Packets in all, if nobody says how many: enough for each index to go over its end.
const FEW: u64 = 20_000;
/// Packets of a connection.
const EPISODE: u64 = 1_000_000;
/// So many messages before the indices wrap.
const BEFORE_WRAP: u32 = 1000;
/// Packets under way each way: what the backend may have to keep is not more than it does keep.
const WINDOW: u64 = 60;

/// One direction.
#[derive(Default)]
struct Way {
    sent: u64,
    /// All before this one have come.
    came: u64,
    /// Those after it that have.
    early: BTreeSet<u64>,
}

impl Way {
    const fn has_room(&self, end: u64) -> bool {
        self.sent < end && self.sent - self.came < WINDOW
    }

    fn take(&mut self, name: &str, bytes: &[u8], queues: u32) -> Result<(), String> {
        let number = bytes.get(16..24).and_then(|bytes| bytes.try_into().ok()).map_or(u64::MAX, u64::from_be_bytes);
        let is_new = (self.came..self.sent).contains(&number) && self.early.insert(number);
        if !is_new || queues == 1 && number != self.came {
            return Err(format!("{name}: packet {number} in place of {}", self.came));
        }
        if number.is_multiple_of(64) && bytes != numbered(number) {
            return Err(format!("{name}: packet {number} is not as it was sent"));
        }
        while self.early.remove(&self.came) {
            self.came += 1;
        }
        Ok(())
    }
}

/// A packet with its number; one in 64 is not small.
fn numbered(number: u64) -> Vec<u8> {
    let len = if number.is_multiple_of(64) { 60 + (number / 64 * 37 % 1455) as usize } else { 60 };
    let mut packet = packet(len, (number % 251) as usize);
    packet[16..24].copy_from_slice(&number.to_be_bytes());
    packet
}

struct Many {
    rig: Rig,
    queues: u32,
    out: Way,
    into: Way,
    /// When something came last.
    last: Duration,
}

impl Many {
    fn new(queues: u32) -> Self {
        let first_index = BEFORE_WRAP.wrapping_neg();
        let options = Options { queues, channels: Channels::Split, first_index, ..Options::DEFAULT };
        let rig = Rig::new(1, options, Offer::DEFAULT);
        let last = rig.now();
        Self { rig, queues, last, out: Way::default(), into: Way::default() }
    }

    /// Sends so many packets each way.
    fn run(&mut self, packets: u64) -> Result<(), String> {
        let mut episode = EPISODE.min(packets);
        loop {
            while self.out.came < episode || self.into.came < episode {
                self.fill(episode);
                self.turn()?;
            }
            if episode == packets {
                return Ok(());
            }
            self.restart();
            episode = (episode + EPISODE).min(packets);
        }
    }

    /// Sends as much as there is room for, up to this number.
    fn fill(&mut self, end: u64) {
        while self.out.has_room(end)
            && let Some(room) = self.rig.front.transmit()
        {
            let packet = numbered(self.out.sent);
            room.consume(packet.len(), |into| into.copy_from_slice(&packet));
            self.out.sent += 1;
        }
        self.rig.front.flush_notifications();
        while self.into.has_room(end) {
            self.rig.port.send(Packet::new(numbered(self.into.sent)));
            self.into.sent += 1;
        }
    }

    /// Lets both halves do what they can, and looks at what came.
    fn turn(&mut self) -> Result<(), String> {
        let before = (self.out.came, self.into.came);
        self.rig.back.as_mut().map(Netback::step);
        while self.rig.front.poll(self.rig.store.now()).is_some() {}
        while let Some(packet) = self.rig.front.receive() {
            packet.consume(|bytes| self.into.take("received", bytes, self.queues))?;
        }
        while let Some(packet) = self.rig.port.receive() {
            self.out.take("sent", &packet.data, self.queues)?;
        }
        if before == (self.out.came, self.into.came) {
            let now = self.rig.now();
            if now > self.last + SECOND {
                return Err(format!("nothing comes any more: {:?}", self.rig.front.statistics()));
            }
            self.rig.front.wait(now + Duration::from_millis(1)).expect("Xen lets guests wait");
        } else {
            self.last = self.rig.now();
        }
        Ok(())
    }

    /// Another connection, whose indices wrap, too. Nothing is on its way.
    fn restart(&mut self) {
        let before = self.rig.front.statistics().connections;
        self.rig.control().restart(Restart::Orderly);
        let is_there = |rig: &Rig| rig.front.statistics().connections > before && rig.front.link().is_some();
        assert!(self.rig.until(SECOND * 20, is_there), "{:?}", self.rig.events);
        self.last = self.rig.now();
    }
}

#[test]
fn packets_over_the_ends_of_the_indices() {
    let packets = std::env::var("DOMU_PACKETS").map_or(FEW, |text| text.parse().expect("a number"));
    for queues in [1, 2] {
        let (mut many, start, each) = (Many::new(queues), Instant::now(), packets / 4);
        many.run(each).unwrap_or_else(|what| panic!("{queues} queues: {what}"));
        let (front, back) = (many.rig.front.statistics(), many.rig.back().statistics());
        assert_eq!((many.out.came, many.into.came), (each, each));
        assert_eq!((front.connections, back.dropped), (each.div_ceil(EPISODE), 0));
        assert!(each.min(EPISODE) > 2 * u64::from(BEFORE_WRAP * queues), "every index goes over its end");
        let (connections, seconds) = (front.connections, start.elapsed().as_secs_f64());
        println!("{queues} queues: {} packets, {connections} connections, {seconds:.1} s", 2 * each);
    }
}

/// What would not be found would not be tested.
#[test]
fn a_packet_that_is_lost_or_doubled_is_found() {
    for (which, fault) in [(Which::Transmit, Fault::Lose), (Which::Receive, Fault::Lose)] {
        let mut many = Many::new(2);
        many.rig.control().on(which, When::Nth(700), fault);
        let found = many.run(2000).expect_err("one is lost");
        assert!(found.contains("nothing comes any more"), "{found}");
    }
    let mut many = Many::new(1);
    many.run(100).expect("all is well");
    many.rig.port.send(Packet::new(numbered(50)));
    let found = many.run(200).expect_err("one comes twice");
    assert!(found.contains("packet 50 in place of 100"), "{found}");
}
