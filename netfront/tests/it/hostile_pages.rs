//! A backend that does with pages what it should not: cases 021, 022, 079, 082 to 084 of the catalogue.

use std::collections::BTreeSet;

use xen_grant_table::{Account, GrantTable, Limits, Memory as _, Page};
use xen_hypercall::abi::grant_table::GrantRef;
use xen_netfront::{Event, Options};
use xen_sim::netback::{Fault, Misdeed, Options as Offer, Packet, Restart, Which};
use xen_sim::{Access, Held, When};
use xen_xenbus::bus::Problem;

use crate::common::{Rig, SECOND, packet};
use crate::drivers;
use crate::perils::{MS, Traffic};

const SMALL: Options = Options { transmit_pages: 18, receive_pages: 32, ..Options::DEFAULT };

/// What a backend's domain keeps mapped.
#[derive(Default)]
struct Hoard {
    held: Vec<Held>,
    known: BTreeSet<GrantRef>,
}

impl Hoard {
    /// Maps pages that it has leave for and has not mapped yet, as far as `wanted` says which.
    fn map(&mut self, rig: &Rig, wanted: impl Fn(&xen_sim::Reachable) -> bool, most: usize) {
        let hostile = rig.machine.hostile(&rig.domain);
        let before = self.held.len();
        for target in hostile.targets().into_iter().filter(wanted) {
            if self.held.len() < before + most
                && !self.known.contains(&target.gref)
                && let Ok(page) = hostile.hold(target.owner, target.gref, target.access)
            {
                self.held.push(page);
                self.known.insert(target.gref);
            }
        }
    }

    fn let_go(&mut self, rig: &Rig) {
        let hostile = rig.machine.hostile(&rig.domain);
        self.held.drain(..).for_each(|page| hostile.let_go(page).expect("it was mapped"));
        self.known.clear();
        rig.machine.settle();
        let _ = GrantTable::reap(&rig.guest, u32::MAX);
    }
}

fn quarantined(rig: &Rig) -> u32 {
    rig.guest.grant_table().statistics().quarantined
}

fn gave_up(event: &Event, why: &str) -> bool {
    matches!(event, Event::Trouble(error) if matches!(&error.problem, Problem::Broken(reason) if reason.contains(why)))
}

/// The rings of a connection with one queue.
fn rings(rig: &Rig) -> [GrantRef; 2] {
    ["tx-ring-ref", "rx-ring-ref"].map(|key| GrantRef(rig.front_number(key)))
}

/// The index of what we have shown, as it stands in a ring. (`req_prod`, public/io/ring.h)
fn shown(rig: &Rig, ring: GrantRef) -> u32 {
    let page = rig.machine.hostile(&rig.domain).read(&reachable(rig, ring)).expect("the backend has it");
    u32::from_ne_bytes(*page.first_chunk().expect("a page has four bytes"))
}

fn reachable(rig: &Rig, gref: GrantRef) -> xen_sim::Reachable {
    let mut targets = rig.machine.hostile(&rig.domain).targets().into_iter();
    targets.find(|target| target.gref == gref).expect("the backend can reach it")
}

/// The backend rewrites it while it is not looked at: it is written anew from our own copy, and all goes on.
#[test]
fn hc_153_our_index_in_a_ring_is_not_read_back() {
    let (mut rig, mut traffic) = (Rig::new(1, Options::DEFAULT, Offer::DEFAULT), Traffic::default());
    for junk in [0_u32, 1 << 31, 0xdead_beef, u32::MAX] {
        traffic.flows(&mut rig);
        (0..20).for_each(|number| rig.port.send(Packet::new(packet(1000, number))));
        rig.steps(5);
        let before = rings(&rig).map(|ring| shown(&rig, ring));
        for ring in rings(&rig) {
            let hostile = rig.machine.hostile(&rig.domain);
            hostile.write(&reachable(&rig, ring), 0, &junk.to_ne_bytes()).expect("it may write there");
        }
        (0..7).for_each(|number| assert!(rig.send(&packet(60, number))));
        for number in 0..20 {
            let came = rig.front.receive().map(|came| came.consume(<[u8]>::to_vec));
            assert_eq!(came, Some(packet(1000, number)));
        }
        let _ = rig.front.prepare_to_wait(rig.now());
        let after = rings(&rig).map(|ring| shown(&rig, ring));
        let pushed = [0, 1].map(|ring| after[ring].wrapping_sub(before[ring]));
        assert_eq!(pushed, [7, 20], "what was sent, and pages for what has come");
        rig.pass(MS);
        assert_eq!(rig.sent().len(), 7);
    }
    traffic.flows(&mut rig);
    assert_eq!(rig.front.statistics().connections, 1);
}

#[test]
fn hc_022_hc_079_a_page_that_is_kept_mapped_ends_the_connection_and_is_not_used_again() {
    for round in 0..3 {
        let (mut rig, mut traffic) = (Rig::new(round, Options::DEFAULT, Offer::DEFAULT), Traffic::default());
        traffic.flows(&mut rig);
        let (rings, mut hoard) = (rings(&rig), Hoard::default());
        hoard.map(&rig, |page| page.access == Access::ReadWrite && !rings.contains(&page.gref), usize::MAX);
        // Small ones are copied, out of pages that the backend may have as long as it likes.
        let small = packet(128, 1);
        (0..200).for_each(|_| assert_eq!(rig.receives(Packet::new(small.clone())).0, small));
        assert_eq!(rig.count(|event| *event == Event::Disconnected), 0);
        rig.port.send(Packet::new(packet(129, 2)));
        let ended = rig.until(SECOND, |rig| rig.count(|event| *event == Event::Disconnected) == 1);
        assert!(ended, "{:?}", rig.events);
        assert_eq!(rig.count(|event| gave_up(event, "still")), 1, "{:?}", rig.events);
        assert!(rig.received.is_empty(), "what the backend can still change is not handed out");
        rig.connected(2, SECOND * 10);
        assert_eq!(quarantined(&rig), 128, "all that it may write");
        let _ = GrantTable::reap(&rig.guest, u32::MAX);
        assert_eq!(quarantined(&rig), 128, "they are mapped");
        traffic.flows(&mut rig);
        hoard.let_go(&rig);
        assert_eq!(quarantined(&rig), 0);
        traffic.flows(&mut rig);
        rig.close();
        rig.assert_given_back();
    }
}

#[test]
fn hc_022_what_is_sent_may_stay_mapped_as_long_as_the_connection() {
    let (mut rig, mut traffic) = (Rig::new(1, Options::DEFAULT, Offer::DEFAULT), Traffic::default());
    rig.control().on(Which::Transmit, When::Always, Fault::Misdeed(Misdeed::KeepsMapped));
    for _ in 0..20 {
        traffic.flows(&mut rig);
    }
    assert_eq!((rig.front.statistics().connections, quarantined(&rig)), (1, 0));
    rig.control().clear();
    rig.control().keep_mappings();
    rig.control().restart(Restart::Orderly);
    rig.pass(MS * 10);
    rig.connected(2, SECOND * 10);
    assert!(quarantined(&rig) > 2, "{}", quarantined(&rig));
    rig.control().let_go();
    rig.pass(MS * 10);
    rig.close();
    rig.assert_given_back();
}

#[test]
fn hc_021_what_was_handed_out_does_not_change_any_more() {
    for (len, restart) in [(60, false), (256, false), (257, false), (1514, false), (1514, true)] {
        let mut rig = Rig::new(2, Options::DEFAULT, Offer::DEFAULT);
        let data = packet(len, 1);
        rig.port.send(Packet::new(data.clone()));
        while rig.front.receive().is_none() {
            rig.steps(1);
        }
        let came = rig.front.receive().expect("it stays");
        let hostile = rig.machine.hostile(&rig.domain);
        for target in hostile.targets() {
            let _ = hostile.write(&target, 128, &[0xff; 4000]);
        }
        assert!(came.bytes() == data, "{len}");
        came.consume(|bytes| assert!(bytes == data, "{len}"));
        if restart {
            rig.control().restart(Restart::Abrupt);
        }
    }
}

/// References of an earlier connection, and of pages that were taken back, lead nowhere.
#[test]
fn hc_082_what_was_given_back_cannot_be_mapped() {
    let mut rig = Rig::new(3, SMALL, Offer::DEFAULT);
    let before = rig.machine.hostile(&rig.domain).targets();
    rig.close();
    rig.assert_given_back();
    let hostile = rig.machine.hostile(&rig.domain);
    assert!(before.iter().all(|page| hostile.hold(page.owner, page.gref, Access::ReadOnly).is_err()));
    assert!(before.iter().all(|page| hostile.steal(page.owner, page.gref, 0, 64).is_err()));
}

/// It keeps some pages of each connection, of one direction after the other. A connection has 50 pages and rings for each queue.
#[test]
fn hc_083_a_backend_that_keeps_pages_runs_into_the_limit_whichever_they_are() {
    for queues in [1, 4] {
        let options = Options { queues, quarantine: 40, ..SMALL };
        let mut rig = Rig::new(4, options, Offer::DEFAULT);
        let (mut hoard, mut connections) = (Hoard::default(), 0);
        for round in 0..30 {
            connections += 1;
            let access = if round % 2 == 0 { Access::ReadOnly } else { Access::ReadWrite };
            hoard.map(&rig, |page| page.access == access, 9);
            rig.control().restart(Restart::Orderly);
            rig.pass(MS * 20);
            rig.machine.advance(SECOND * 20);
            if !rig.until(SECOND, |rig| rig.front.link().is_some()) {
                break;
            }
        }
        assert!(rig.count(|event| gave_up(event, "too many pages")) > 0, "{:?}", rig.events.last());
        assert_eq!((connections, quarantined(&rig)), (5, 45), "no more than the limit, and what one connection adds");

        // Others are none the worse for it.
        let limits = Limits { guaranteed: 1, most: 1, quarantine: 1 };
        let account = Account::open(rig.guest.clone(), xen_hypercall::abi::DomId(7), limits).unwrap();
        let page = Page::alloc(rig.guest.clone()).unwrap();
        assert!(page.grant(&account, xen_grant_table::Access::ReadOnly).unwrap().revoke().is_ok());
        drop(account);

        // When it lets go, the interface works again.
        hoard.let_go(&rig);
        assert!(rig.until(SECOND * 30, |rig| rig.front.link().is_some()), "{:?}", rig.events);
        Traffic::default().flows(&mut rig);
        rig.close();
        rig.assert_given_back();
    }
}

#[test]
fn hc_083_a_backend_that_keeps_everything_is_cut_off_at_once() {
    let mut rig = Rig::new(5, Options { quarantine: u32::MAX, ..SMALL }, Offer::DEFAULT);
    let mut hoard = Hoard::default();
    hoard.map(&rig, |_| true, usize::MAX);
    rig.control().restart(Restart::Orderly);
    rig.pass(SECOND * 20);
    assert!(rig.front.link().is_none());
    assert_eq!(quarantined(&rig), 52, "all pages of the connection");
    assert!(rig.count(|event| matches!(event, Event::Trouble(_))) < 15, "ever less often");
    hoard.let_go(&rig);
    assert!(rig.until(SECOND * 30, |rig| rig.front.link().is_some()), "{:?}", rig.events);
    Traffic::default().flows(&mut rig);
}

#[test]
fn hc_083_an_interface_that_is_dropped_leaves_what_is_in_use_in_quarantine() {
    let mut rig = Rig::new(6, SMALL, Offer::DEFAULT);
    rig.control().on(Which::Transmit, When::Always, Fault::Hang);
    (0..7).for_each(|number| assert!(rig.send(&packet(100, number))));
    rig.pass(MS * 10);
    let Rig { machine, guest, front, back, .. } = rig;
    drop(front);
    let quarantined = || guest.grant_table().statistics().quarantined;
    assert_eq!(quarantined(), 9, "two rings, and what it is at");
    let _ = GrantTable::reap(&guest, u32::MAX);
    assert_eq!(quarantined(), 9);
    drop(back);
    drivers::assert_given_back(&machine, &guest);
}

#[test]
fn hc_084_rings_that_stay_mapped_are_not_used_again() {
    for queues in [1, 3] {
        let mut rig = Rig::new(7, Options { queues, ..SMALL }, Offer::DEFAULT);
        let (before, mut traffic) = (rig.machine.hostile(&rig.domain).targets(), Traffic::default());
        let mapped: BTreeSet<_> = before.iter().map(|page| page.page).collect();
        traffic.flows(&mut rig);
        rig.control().keep_mappings();
        rig.control().restart(Restart::Orderly);
        rig.pass(MS * 10);
        rig.connected(2, SECOND);
        assert_eq!(quarantined(&rig), 2 * queues);
        let _ = GrantTable::reap(&rig.guest, u32::MAX);
        assert_eq!(quarantined(&rig), 2 * queues, "still mapped");
        // What it can reach of before are those rings, and nothing that is in use now.
        let new = |gref: &GrantRef| before.iter().all(|page| page.gref != *gref || !mapped.contains(&page.page));
        assert!(queues > 1 || rings(&rig).iter().all(new), "new ones");
        let hostile = rig.machine.hostile(&rig.domain);
        for target in hostile.targets().iter().filter(|target| before.contains(target)) {
            let _ = hostile.write(target, 0, &[0xff; 4096]);
        }
        traffic.flows(&mut rig);
        rig.control().let_go();
        rig.pass(MS * 10);
        rig.close();
        rig.assert_given_back();
    }
}
