//! Packets to groups: those that were joined, and no others, where the backend can do that.

use xen_netfront::{GroupError, MOST_GROUPS, Multicast, Netfront, Options};
use xen_sim::Domain;
use xen_sim::When;
use xen_sim::netback::{Fault, Multicast as Filter, Options as Offer, Packet, Restart, Which};

use crate::common::{Rig, SECOND, SMALL, packet};
use crate::perils::MS;

const A: [u8; 6] = [0x01, 0x00, 0x5e, 0, 0, 1];
const B: [u8; 6] = [0x33, 0x33, 0, 0, 0, 2];
const ALL: [u8; 6] = [0xff; 6];
const JOINED: Options = Options { multicast: Multicast::Joined, ..SMALL };

const fn offer(multicast: Filter) -> Offer {
    Offer { multicast, ..Offer::DEFAULT }
}

/// Which of these addresses' packets come.
fn coming(rig: &mut Rig, addresses: &[[u8; 6]]) -> Vec<[u8; 6]> {
    rig.pass(MS * 20);
    rig.received.clear();
    for address in addresses {
        let mut data = packet(60, 1);
        data[..6].copy_from_slice(address);
        rig.port.send(Packet::new(data));
    }
    rig.pass(MS * 20);
    rig.received.drain(..).map(|(data, _)| data[..6].try_into().unwrap()).collect()
}

fn groups(front: &Netfront<Domain>) -> Vec<[u8; 6]> {
    front.groups().collect()
}

#[test]
fn groups_that_were_joined_come_and_no_others() {
    for filter in [Filter::Static, Filter::Dynamic] {
        let mut rig = Rig::new(1, JOINED, offer(filter));
        assert!(rig.front.link().is_some_and(|link| link.filters_multicast()));
        assert_eq!(rig.front_number("request-multicast-control"), 1);
        assert_eq!(coming(&mut rig, &[A, B, ALL]), [ALL]);
        rig.front.join(A).unwrap();
        rig.front.join(A).unwrap();
        assert_eq!(coming(&mut rig, &[A, B, ALL]), [A, ALL]);
        rig.front.join(B).unwrap();
        rig.front.leave(A);
        assert_eq!(coming(&mut rig, &[A, B, ALL]), [B, ALL]);
        assert_eq!((groups(&rig.front), rig.back().statistics().filters), (vec![B], 3));
        // Nothing of it is left in the rings, and none of it was a packet.
        assert_eq!((rig.front.pending(), rig.front.statistics().sent.packets, rig.sent().len()), (0, 0, 0));
        rig.assert_works();
        rig.close();
        rig.assert_given_back();
    }
}

#[test]
fn all_come_where_nobody_filters_or_all_are_wanted() {
    for (options, filter) in [(JOINED, Filter::Flooded), (SMALL, Filter::Dynamic)] {
        let mut rig = Rig::new(2, options, offer(filter));
        rig.front.join(A).unwrap();
        rig.front.leave(A);
        assert_eq!(coming(&mut rig, &[A, B, ALL]), [A, B, ALL]);
        assert!(rig.front.link().is_some_and(|link| !link.filters_multicast()));
        assert_eq!((rig.front_number("request-multicast-control"), rig.back().statistics().filters), (0, 0));
    }
}

#[test]
fn groups_are_told_to_the_next_backend() {
    let mut rig = Rig::new(3, JOINED, offer(Filter::Static));
    rig.front.join(A).unwrap();
    for restart in [Restart::Orderly, Restart::Abrupt] {
        let before = rig.front.statistics().connections;
        rig.control().restart(restart);
        rig.front.join(B).unwrap();
        assert!(rig.until(20 * SECOND, |rig| rig.front.statistics().connections > before), "{:?}", rig.events);
        assert_eq!(coming(&mut rig, &[A, B, [1; 6]]), [A, B]);
    }
}

#[test]
fn more_groups_than_there_is_room_are_told_bit_by_bit() {
    let options = Options { transmit_pages: 18, ..JOINED };
    let mut rig = Rig::new(4, options, offer(Filter::Dynamic));
    let group = |number: usize| [0x01, 0, 0x5e, 0, 0, number as u8];
    (0..MOST_GROUPS).for_each(|number| rig.front.join(group(number)).unwrap());
    assert_eq!(rig.front.join(B), Err(GroupError::TooMany));
    assert_eq!(rig.front.join([2; 6]), Err(GroupError::NoGroup));
    assert_eq!(rig.front.join(ALL), Err(GroupError::NoGroup));
    let all: Vec<_> = (0..MOST_GROUPS).map(group).collect();
    assert_eq!(coming(&mut rig, &all), all);
    // Whoever joins and leaves without end needs no more memory for it.
    rig.control().on(Which::Transmit, When::Always, Fault::Hang);
    for round in 0..10_000_usize {
        rig.front.leave(group(round % MOST_GROUPS));
        rig.front.join(group(round % MOST_GROUPS)).unwrap();
    }
    rig.control().clear();
    rig.control().go_on();
    assert_eq!(coming(&mut rig, &all), all);
    assert!(rig.back().statistics().filters < 500, "{:?}", rig.back().statistics());
}

#[test]
fn a_backend_that_refuses_a_group_is_counted() {
    let mut rig = Rig::new(5, JOINED, offer(Filter::Static));
    rig.control().on(Which::Transmit, When::Always, Fault::Refuse(xen_hypercall::abi::io::netif::Status::ERROR));
    rig.front.join(A).unwrap();
    rig.pass(MS * 20);
    assert_eq!(rig.front.pending(), 0);
    rig.control().clear();
    rig.assert_works();
}
