//! Addresses, many connections, many requests.

mod support;

use std::time::Duration;

use smoltcp::phy::{Device, DeviceCapabilities, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::Ipv4Address;
use support::dhcp::Mood;
use support::wire::Frame;
use support::{FILES, Lab, SERVER};
use xen_web_example::{Address, Files, MemoryFiles, Options, Stack};

const SECOND: Duration = Duration::from_secs(1);
const LEASE: u32 = 600;

#[test]
fn an_address_that_is_given_is_there_at_once() {
    let mut lab = Lab::new();
    assert_eq!(lab.stack.address(), Some(SERVER.into()));
    assert_eq!(lab.get("/").status, 200);
}

#[test]
fn dhcp_gives_an_address_renews_it_and_takes_it_away() {
    let mut lab = dhcp();
    assert!(lab.until(15 * SECOND, |lab| lab.stack.address() == Some(Ipv4Address::from(SERVER))));
    assert_eq!(lab.get("/").status, 200);
    lab.pass(Duration::from_secs(3 * u64::from(LEASE)));
    let given = lab.client.dhcp.as_ref().unwrap().given;
    assert!((4..10).contains(&given), "{given}");
    assert_eq!(lab.get("/").status, 200);
    lab.client.dhcp.as_mut().unwrap().mood = Mood::Silent;
    lab.pass(Duration::from_secs(LEASE.into()));
    assert_eq!(lab.stack.address(), None);
    lab.client.dhcp.as_mut().unwrap().mood = Mood::Helpful;
    assert!(lab.until(15 * SECOND, |lab| lab.stack.address().is_some()));
    assert_eq!(lab.get("/").status, 200);
}

#[test]
fn a_device_that_was_connected_again_keeps_its_address_and_its_connections() {
    let mut lab = dhcp();
    assert!(lab.until(15 * SECOND, |lab| lab.stack.address().is_some()));
    let peer = lab.client.connect();
    for mtu in [1500, 9000, 600] {
        lab.port.mtu = mtu;
        lab.stack.connected(&mut lab.port, [2, 0, 0, 0, 0, 9]);
        assert_eq!(lab.stack.address(), Some(SERVER.into()));
        // Hosts hear of it by an announcement, which is the guest's.
        lab.client.forget_neighbours();
        lab.client.say(peer, b"GET /large.bin HTTP/1.1\r\nHost: test\r\n\r\n");
        assert_eq!(lab.response(peer, 10 * SECOND).unwrap().body.len(), 1_000_000, "{mtu}");
    }
    assert_eq!(lab.web.counts().accepted, 1);
}

#[test]
fn a_thousand_requests_on_connections_of_their_own_are_answered() {
    let mut lab = Lab::new();
    for number in 0..1000 {
        let (path, content) = FILES[number % 4];
        let response = lab.get(&path.replace(' ', "%20"));
        assert!(response.status == 200 && response.body == content, "{number}: {response:?}");
    }
    assert_eq!((lab.web.counts().succeeded, lab.web.counts().cut), (1000, 0));
}

#[test]
fn a_thousand_requests_of_sixty_clients_at_a_time_are_answered() {
    let mut lab = Lab::new();
    let peers: Vec<_> = (0..60).map(|_| lab.client.connect()).collect();
    let mut answered = 0;
    while answered < 1000 {
        for &peer in &peers {
            lab.client.say(peer, b"GET /style.css HTTP/1.1\r\nHost: test\r\n\r\n");
        }
        for &peer in &peers {
            assert_eq!(lab.response(peer, SECOND).unwrap().status, 200);
            answered += 1;
        }
    }
    let counts = lab.web.counts();
    assert_eq!((counts.accepted, counts.succeeded, counts.cut, counts.open), (60, answered, 0, 60));
}

#[test]
fn large_files_of_many_clients_come_whole_over_a_network_that_loses_packets() {
    let mut lab = Lab::new();
    let peers: Vec<_> = (0..20).map(|_| lab.client.connect()).collect();
    for &peer in &peers {
        lab.client.say(peer, b"GET /large.bin HTTP/1.1\r\nHost: test\r\n\r\n");
    }
    lab.port.lose_every(97);
    for &peer in &peers {
        let response = lab.response(peer, 60 * SECOND).unwrap();
        assert!(response.status == 200 && response.body.iter().all(|byte| *byte == 0xa5));
        assert_eq!(response.body.len(), 1_000_000);
    }
}

#[test]
fn the_server_sleeps_where_nothing_is_to_be_done() {
    let mut lab = Lab::new();
    lab.get("/");
    lab.pass(30 * SECOND);
    let polls = lab.polls;
    lab.pass(100 * SECOND);
    // A sample a second.
    assert!((100..130).contains(&(lab.polls - polls)), "{}", lab.polls - polls);
}

#[test]
fn a_device_without_room_is_not_asked_all_the_time() {
    let mut lab = Lab::new();
    let peer = lab.client.connect();
    lab.pass(SECOND / 10);
    lab.client.say(peer, b"GET /style.css HTTP/1.1\r\nHost: test\r\n\r\n");
    lab.client.poll(lab.now);
    lab.port.fill();
    let start = lab.now;
    for _ in 0..500 {
        lab.turn();
        lab.now = lab.next_deadline();
    }
    assert!(lab.now - start >= SECOND / 2, "{:?}", lab.now - start);
}

#[test]
fn packets_without_end_have_an_end() {
    let mut flood = Flood(0);
    let mut stack = Stack::new(&mut flood, [2, 0, 0, 0, 0, 2], support::fixed(), 1);
    stack.receive(&mut flood, SECOND);
    assert_eq!(flood.0, Stack::BURST);
}

/// A device by which packets come for ever, and how many have.
struct Flood(usize);

impl Device for Flood {
    type RxToken<'a> = Frame;
    type TxToken<'a> = NoRoom;

    fn receive(&mut self, _: Instant) -> Option<(Frame, NoRoom)> {
        self.0 += 1;
        Some((Frame(vec![0xff; 60]), NoRoom))
    }

    fn transmit(&mut self, _: Instant) -> Option<NoRoom> {
        None
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

struct NoRoom;

impl TxToken for NoRoom {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        f(&mut vec![0; len])
    }
}

fn dhcp() -> Lab<impl Files> {
    let mut lab = Lab::serving(MemoryFiles::new(FILES), Address::Dhcp, Options::DEFAULT);
    lab.client.give_addresses(LEASE);
    lab
}
