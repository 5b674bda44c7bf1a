//! What an interface does where grants, event channels or memory are scarce.

use std::collections::BTreeSet;

use xen_event_channel::Channel;
use xen_grant_table::{Account, Limits, Memory as _, Page};
use xen_netfront::{Channels, Event, Netfront, Options};
use xen_sim::netback::{Netback, Options as Offer, Packet, Restart};
use xen_sim::{Domain, Limit};
use xen_xenbus::bus::Problem;

use crate::common;
use crate::common::{Rig, SECOND, packet};
use crate::drivers::look;
use crate::perils::{MS, Traffic};

/// Why the last connection was given up.
fn trouble(rig: &Rig) -> Option<&str> {
    rig.events.iter().rev().find_map(|event| match event {
        Event::Trouble(error) => match &error.problem {
            Problem::Broken(reason) => Some(reason.as_str()),
            _ => None,
        },
        _ => None,
    })
}

/// Other devices have all grants that there are, but for `left`.
fn hog(rig: &Rig, left: u32) -> Vec<Account<Domain>> {
    let open = |count| Account::open(rig.guest.clone(), rig.domain.id(), Limits::exactly(count));
    let _spared = (left > 0).then(|| open(left).expect("there are so many"));
    let (mut hogs, mut count) = (Vec::new(), 1 << 15);
    while count > 0 {
        match open(count) {
            Ok(account) => hogs.push(account),
            Err(_) => count /= 2,
        }
    }
    hogs
}

/// How many pages the backend's domain has leave for.
fn granted(rig: &Rig) -> usize {
    let pages = rig.machine.readable_by(&rig.domain);
    // Rings are mapped, besides.
    pages.iter().map(|page| page.gref.0).collect::<BTreeSet<_>>().len()
}

#[test]
fn fault_14_what_an_interface_needs_is_set_aside_for_it() {
    let mut rig =
        Rig::new(1, Options { queues: 2, ..Options::DEFAULT }, Offer { latency: MS..2 * MS, ..Offer::DEFAULT });
    let hogs = hog(&rig, 0);
    assert!(!hogs.is_empty());
    let mut traffic = Traffic::default();
    for _ in 0..20 {
        // More than there is room for, both ways.
        traffic.send(&mut rig, 300);
        rig.pass(MS * 20);
        traffic.check(&mut rig);
    }
    traffic.flows(&mut rig);
    assert_eq!(traffic.out.came.len(), traffic.out.sent as usize, "nothing that was taken is lost");
    // Others take what is free, also while a page is the guest's own.
    let (mut others, guest, domain) = (Vec::new(), rig.guest.clone(), rig.domain.id());
    for round in 0..20 {
        rig.port.send(Packet::new(packet(1000, round)));
        while rig.front.receive().is_none() {
            rig.steps(1);
        }
        let came = rig.front.receive().expect("it stays");
        others.extend(Account::open(guest.clone(), domain, Limits::exactly(1)));
        came.discard();
    }
    assert_eq!(others.len(), 0, "nothing is free");
    rig.pass(SECOND);
    assert_eq!((rig.front.statistics().received.starved, rig.front.statistics().connections), (0, 1));
}

#[test]
fn fault_14_without_grants_there_is_no_connection_until_there_are_some() {
    for left in [0, 100] {
        let mut rig = Rig::plugged(2, Options::DEFAULT, Offer::DEFAULT, |device| device);
        let hogs = hog(&rig, left);
        rig.pass(SECOND * 3);
        assert!(rig.front.link().is_none());
        assert!(trouble(&rig).is_some_and(|reason| reason.contains("were not granted")), "{:?}", rig.events);
        assert!(rig.count(|event| matches!(event, Event::Trouble(_))) < 15, "ever less often");
        drop(hogs);
        rig.connected(1, SECOND * 11);
        Traffic::default().flows(&mut rig);
        rig.close();
        rig.assert_given_back();
    }
}

#[test]
fn fault_14_three_interfaces_with_all_queues_have_what_they_need() {
    let options = Options { queues: 16, transmit_pages: 18, receive_pages: 32, ..Options::DEFAULT };
    let offer = Offer { queues: 16, ..Offer::DEFAULT };
    let mut rig = Rig::new(3, options, offer.clone());
    let mut others: Vec<(Netback, Netfront<Domain>)> = (1..3)
        .map(|number| {
            let device = common::vif(number, &rig.guest, &rig.domain);
            let back = Netback::new(&rig.machine, &rig.domain, &device, offer.clone());
            rig.machine.xenstore().plug(&device);
            let found = look(&mut rig.enumerator, &rig.store).expect("it is there");
            (back, Netfront::open(&rig.store, found, options).unwrap())
        })
        .collect();
    for _ in 0..200 {
        for (back, front) in &mut others {
            let _ = back.step();
            while let Some(event) = front.poll(rig.store.now()) {
                assert_eq!(event, Event::Connected);
            }
        }
        rig.turn();
    }
    assert!(others.iter().all(|(_, front)| front.link().is_some_and(|link| link.queues() == 16)));
}

/// What comes of so many queues with so many ports: how many channels there are, and of which kind.
fn with_ports(queues: u32, ports: u32) -> (Rig, Option<(usize, Channels)>) {
    let mut rig = Rig::plugged(4, Options { queues, ..Options::DEFAULT }, Offer::DEFAULT, |device| device);
    let open = rig.guest.open_ports().len();
    let is_enough = |limit: &u32| {
        rig.machine.faults().limit(&rig.guest, Limit::Ports(*limit));
        let some: Vec<_> = (0..ports).map_while(|_| Channel::unbound(&rig.guest, rig.domain.id()).ok()).collect();
        some.len() == ports as usize
    };
    (0..).find(is_enough).expect("there is a limit");
    rig.pass(SECOND);
    let link = rig.front.link().copied();
    let channels = rig.guest.open_ports().len() - open;
    let found = link.map(|link| (channels, link.channels()));
    (rig, found)
}

#[test]
fn fault_15_where_ports_are_scarce_one_channel_serves_both_directions() {
    for (queues, ports, channels) in [(1, 1, 1), (1, 2, 2), (4, 4, 4), (4, 5, 5), (4, 7, 7), (4, 8, 8), (4, 100, 8)] {
        let (mut rig, found) = with_ports(queues, ports);
        let kind = if channels > queues as usize { Channels::Split } else { Channels::One };
        assert_eq!(found, Some((channels, kind)), "{queues} {ports} {:?}", rig.events);
        Traffic::default().flows(&mut rig);
        rig.close();
        rig.assert_given_back();
    }
}

#[test]
fn fault_15_without_ports_there_is_no_connection_until_there_are_some() {
    for (queues, ports) in [(1, 0), (4, 3)] {
        let (mut rig, found) = with_ports(queues, ports);
        assert_eq!((found, rig.guest.open_ports().len()), (None, 1), "{queues} {ports}");
        assert!(trouble(&rig).is_some_and(|reason| reason.contains("event channel")), "{:?}", rig.events);
        rig.machine.faults().limit(&rig.guest, Limit::Ports(100));
        rig.connected(1, SECOND * 11);
        Traffic::default().flows(&mut rig);
    }
}

/// How many pages the guest's kernel has in use.
fn used(rig: &Rig) -> usize {
    let is_enough = |limit: &usize| {
        rig.machine.faults().limit(&rig.guest, Limit::Pages(*limit));
        Page::alloc(rig.guest.clone()).is_some()
    };
    (0..).find(is_enough).expect("there is a limit") - 1
}

/// An interface that has room for so many pages of its own: 20 are for what is sent, and for rings.
fn with_pages(pages: usize) -> Rig {
    let options = Options { transmit_pages: 18, receive_pages: 64, ..Options::DEFAULT };
    let rig =
        Rig::plugged(5, options, Offer { piece: 500, ..Offer::DEFAULT }, |device| device.front_key("mtu", "9000"));
    // The grant table has what it needs.
    drop(Account::open(rig.guest.clone(), rig.domain.id(), Limits::exactly(1)));
    let used = used(&rig);
    rig.machine.faults().limit(&rig.guest, Limit::Pages(used + pages));
    rig
}

#[test]
fn fault_16_with_eighteen_pages_to_receive_into_all_packets_come() {
    for (pages, receive) in [(38, 18), (39, 19), (60, 40)] {
        let mut rig = with_pages(pages);
        rig.connect();
        assert_eq!(granted(&rig), 20 + receive, "rings, and pages both ways");
        for round in 0..20 {
            let (long, short) = (packet(8900, round), packet(60, round));
            assert!(rig.receives(Packet::new(long.clone())).0 == long, "round {round}");
            assert!(rig.receives(Packet::new(short.clone())).0 == short);
            assert!(rig.sends(&long).data == long);
        }
        // The others are asked for by a timer, and not all the time.
        let starved = rig.front.statistics().received.starved;
        rig.pass(SECOND * 2);
        let tries = rig.front.statistics().received.starved - starved;
        assert!((10..25).contains(&tries), "{tries}");
        rig.machine.faults().limit(&rig.guest, Limit::Pages(4000));
        rig.pass(SECOND / 5);
        assert_eq!(granted(&rig), 20 + 64);
        let starved = rig.front.statistics().received.starved;
        rig.pass(SECOND);
        assert_eq!(rig.front.statistics().received.starved, starved, "there are all");
        rig.close();
        rig.assert_given_back();
    }
}

#[test]
fn fault_16_with_less_there_is_no_connection_until_there_is_memory() {
    for pages in [0, 1, 10, 19, 20, 37] {
        let mut rig = with_pages(pages);
        rig.pass(SECOND * 3);
        assert!(rig.front.link().is_none(), "{pages}");
        assert!(trouble(&rig).is_some_and(|reason| reason.contains("no memory")), "{:?}", rig.events);
        assert_eq!(granted(&rig), 0, "nothing stays granted");
        rig.machine.faults().limit(&rig.guest, Limit::Pages(4000));
        rig.connected(1, SECOND * 11);
        Traffic::default().flows(&mut rig);
    }
}

/// Memory may be gone when the connection is made anew.
#[test]
fn fault_16_a_reconnect_without_memory_is_tried_again() {
    let mut rig = Rig::new(6, Options::DEFAULT, Offer::DEFAULT);
    rig.control().restart(Restart::Orderly);
    while rig.front.link().is_some() {
        rig.turn();
    }
    let used = used(&rig);
    rig.machine.faults().limit(&rig.guest, Limit::Pages(used));
    rig.pass(SECOND * 3);
    assert!(rig.front.link().is_none() && trouble(&rig).is_some_and(|reason| reason.contains("no memory")));
    rig.machine.faults().limit(&rig.guest, Limit::Pages(4000));
    rig.connected(2, SECOND * 11);
    Traffic::default().flows(&mut rig);
    assert_eq!(rig.guest.grant_table().statistics().quarantined, 0);
}
