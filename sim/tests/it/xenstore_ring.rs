//! The ring between a guest and xenstored, and what can happen to it.

use std::time::Duration;

use xen_event_channel::Channel;
use xen_hypercall::abi::io::xs_wire::{MessageType, RingError, ServerFeatures};
use xen_sim::{EventFault, Machine, Message, Pace, RunError, Violation, When, Word};

use crate::common::wire::{Client, ended, guest, offset};

const SECOND: Duration = Duration::from_secs(1);

/// A machine whose guest has yet to be introduced.
fn alone(seed: u64) -> (Machine, xen_sim::Domain) {
    let machine = Machine::new(seed);
    let domain = machine.domain();
    (machine, domain)
}

#[test]
fn the_ring_starts_anywhere_and_full_of_junk() {
    let starts: Vec<(u32, u32)> = (0..8)
        .map(|seed| {
            let (_machine, mut client) = guest(seed);
            let start = (client.word(offset(Word::RequestProducer)), client.word(offset(Word::ResponseConsumer)));
            let mut junk = [0; 2048];
            assert_eq!(client.page.read(0, &mut junk), 2048);
            assert!(junk.iter().any(|byte| *byte != 0));
            assert!(client.read("domid").is_ok());
            start
        })
        .collect();
    assert!(starts.iter().all(|start| *start != (0, 0)) && starts.iter().any(|start| start.0 != starts[0].0));
    let (machine, domain) = alone(1);
    machine.xenstore().introduction(&domain).indices(u32::MAX - 3, 17).introduce();
    let mut client = Client::new(&domain);
    assert_eq!(client.word(offset(Word::RequestConsumer)), u32::MAX - 3);
    assert_eq!(client.word(offset(Word::ResponseProducer)), 17);
    assert_eq!(client.read("domid").as_deref(), Ok(&b"1"[..]), "over the wrap");
}

#[test]
fn a_page_that_is_kept_after_the_machine_is_memory_still() {
    let (machine, client) = guest(1);
    let (page, _) = client.domain.store().unwrap();
    drop(client);
    drop(machine);
    assert_eq!(page.write(0, &[7]), 1);
}

#[test]
fn the_connection_may_come_late() {
    let (machine, domain) = alone(1);
    machine.xenstore().introduction(&domain).late(SECOND).introduce();
    let mut client = Client::new(&domain);
    assert_eq!(client.word(offset(Word::Connection)), 1);
    let start = domain.now();
    client.await_connection();
    assert!(domain.now() - start > SECOND - Duration::from_millis(10));
    assert!(client.read("domid").is_ok());
}

#[test]
fn a_guest_that_asks_for_it_begins_anew() {
    let (machine, mut client) = guest(2);
    client.watch("data", "t").unwrap();
    client.start();
    client.put(&Message { kind: MessageType::READ, req_id: 9, tx_id: 0, payload: vec![0; 20] }.to_bytes()[..30]);
    client.reconnect();
    assert_eq!((machine.xenstore().watches(&client.domain), machine.xenstore().transactions(&client.domain)), (0, 0));
    assert!(client.read("domid").is_ok(), "what was half sent is forgotten");
    client.events.clear();
    machine.xenstore().write("/local/domain/1/data/x", "1");
    assert_eq!(client.event(), None);
}

#[test]
fn without_the_feature_nobody_reconnects() {
    let (machine, domain) = alone(3);
    machine.xenstore().set_features(ServerFeatures::empty());
    machine.xenstore().introduce(&domain);
    let mut client = Client::new(&domain);
    assert_eq!(client.word(offset(Word::ServerFeatures)), 0);
    client.set(offset(Word::Connection), 1);
    client.channel.notify().unwrap();
    machine.settle();
    assert_eq!(client.word(offset(Word::Connection)), 1);
    client.put(&Message { kind: MessageType::READ, req_id: 1, tx_id: 0, payload: Vec::new() }.to_bytes_with_len(4097));
    assert_eq!(client.receive_within(SECOND), None);
    assert_eq!(client.word(offset(Word::Error)), 0, "nor is told why nothing comes");
    machine.xenstore().set_features(ServerFeatures::from_bits_retain(0xf0));
    assert_eq!(client.word(offset(Word::ServerFeatures)), 0xf0, "unknown ones may come at any time");
}

#[test]
fn too_long_a_payload_ends_the_connection() {
    for len in [4097, u32::MAX] {
        let (machine, mut client) = guest(4);
        client.watch("data", "t").unwrap();
        client
            .put(&Message { kind: MessageType::READ, req_id: 1, tx_id: 0, payload: Vec::new() }.to_bytes_with_len(len));
        machine.settle();
        assert_eq!(client.word(offset(Word::Error)), RingError::PROTO.0);
        assert_eq!(machine.xenstore().watches(&client.domain), 0);
        client.put(&Message { kind: MessageType::READ, req_id: 2, tx_id: 0, payload: ended("domid") }.to_bytes());
        assert_eq!(client.receive_within(SECOND).map(|message| message.kind), Some(MessageType::WATCH_EVENT));
        assert_eq!(client.receive_within(SECOND), None);
        client.reconnect();
        assert_eq!(client.word(offset(Word::Error)), 0);
        assert!(client.read("domid").is_ok());
    }
}

#[test]
fn a_payload_of_the_greatest_length_is_carried_out() {
    let (_machine, mut client) = guest(4);
    let answer = client.ask(MessageType::WRITE, &[ended("data/x"), vec![7; 4096 - 7]].concat());
    assert_eq!(answer, Err("ENOSPC".into()), "more than a node may have");
    assert!(client.read("domid").is_ok());
}

#[test]
fn an_impossible_index_ends_the_connection() {
    for (word, beyond) in
        [(Word::RequestProducer, 1025), (Word::ResponseConsumer, 1), (Word::RequestProducer, u32::MAX)]
    {
        let (machine, mut client) = guest(5);
        client.set(offset(word), client.word(offset(word)).wrapping_add(beyond));
        client.channel.notify().unwrap();
        machine.settle();
        assert_eq!(client.word(offset(Word::Error)), RingError::RINGIDX.0, "{word:?}");
        client.reconnect();
        assert!(client.read("domid").is_ok());
    }
}

#[test]
fn a_guest_that_writes_the_daemons_words_is_found() {
    for word in [Word::RequestConsumer, Word::ResponseProducer, Word::ServerFeatures, Word::Error] {
        let machine = Machine::builder(5).record_violations().build();
        let domain = machine.domain();
        machine.xenstore().introduce(&domain);
        let mut client = Client::new(&domain);
        client.read("domid").unwrap();
        assert_eq!(machine.violations(), []);
        client.set(offset(word), 77);
        client.channel.notify().unwrap();
        machine.settle();
        assert_eq!(machine.violations(), [Violation::StoreWordChanged { domain: domain.id(), word }]);
        assert!(client.read("domid").is_ok());
    }
}

#[test]
fn bytes_come_one_by_one() {
    let (machine, mut client) = guest(6);
    machine.xenstore().pace(Pace::Dribble);
    let before = machine.trace().iter().len();
    assert_eq!(client.read("domid").as_deref(), Ok(&b"1"[..]));
    client.send(MessageType::READ, 0, &ended("name"));
    let mut seen = Vec::new();
    while client.parse().is_none() {
        let count = client.channel.count();
        client.take();
        seen.push(client.word(offset(Word::ResponseProducer)));
        client.wait(count, client.domain.now() + SECOND);
    }
    assert!(seen.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) <= 4), "never many at a time");
    assert!(machine.trace().iter().len() > before);
}

#[test]
fn a_slow_daemon_takes_its_time_for_each() {
    let (machine, mut client) = guest(7);
    machine.xenstore().slow(SECOND);
    let start = client.domain.now();
    client.read("domid").unwrap();
    let one = client.domain.now() - start;
    assert!(one >= SECOND && one < SECOND + SECOND / 2, "{one:?}");
    let ids: Vec<u32> = (0..3).map(|_| client.send(MessageType::READ, 0, &ended("domid"))).collect();
    for id in ids {
        client.answer(id).unwrap();
    }
    let all = client.domain.now() - start;
    assert!(all >= 4 * SECOND && all < 5 * SECOND, "{all:?}");
    machine.jump_to(Duration::from_secs(1));
    machine.xenstore().slow(Duration::ZERO);
    client.read("domid").unwrap();
}

#[test]
fn a_daemon_may_hang_and_go_on() {
    let (machine, mut client) = guest(8);
    machine.xenstore().hang();
    let id = client.send(MessageType::READ, 0, &ended("domid"));
    assert_eq!(client.receive_within(10 * SECOND), None);
    machine.xenstore().go_on();
    assert_eq!(client.answer(id).map(|answer| answer.payload), Some(b"1".to_vec()));
}

#[test]
fn a_daemon_may_be_replaced_and_nobody_notices() {
    let (machine, mut client) = guest(9);
    let store = machine.xenstore();
    client.watch("data", "t").unwrap();
    let transaction = client.start();
    client.ask_in(transaction, MessageType::WRITE, b"data/x\0new").unwrap();
    let half = Message { kind: MessageType::READ, req_id: 99, tx_id: 0, payload: ended("domid") }.to_bytes();
    client.put(&half[..20]);
    machine.settle();
    let start = client.domain.now();
    store.live_update(SECOND);
    client.put(&half[20..]);
    assert_eq!(client.answer(99).map(|answer| answer.payload), Some(b"1".to_vec()));
    assert!(client.domain.now() - start >= SECOND);
    client.ask_in(transaction, MessageType::TRANSACTION_END, b"T\0").unwrap();
    client.events.retain(|(path, _)| path != "data");
    assert_eq!(client.event(), Some(("data/x".into(), "t".into())));
}

#[test]
fn a_daemon_that_crashed_knows_nothing() {
    let (machine, mut client) = guest(10);
    let store = machine.xenstore();
    client.watch("data", "t").unwrap();
    client.write("data/x", "1").unwrap();
    store.crash();
    client.send(MessageType::READ, 0, &ended("domid"));
    client.receive_within(SECOND);
    store.restart();
    assert_eq!(client.receive_within(10 * SECOND), None);
    assert!(client.domain.store().is_none());
    store.introduce(&client.domain);
    let (_, port) = client.domain.store().unwrap();
    assert_eq!(port, client.channel.port(), "the port is the same");
    client.reconnect();
    assert_eq!(client.read("data/x"), Err("ENOENT".into()));
    assert_eq!(store.watches(&client.domain), 0);
}

#[test]
fn one_domains_ring_may_be_reset() {
    let (machine, mut client) = guest(11);
    client.watch("data", "t").unwrap();
    client.event().unwrap();
    let id = client.send(MessageType::READ, 0, &ended("domid"));
    machine.xenstore().reset(&client.domain, SECOND);
    assert_eq!(client.word(offset(Word::Connection)), 1);
    client.await_connection();
    assert_eq!(machine.xenstore().watches(&client.domain), 0);
    let read = client.read("domid");
    assert!(read.is_ok(), "not the answer to {id}");
}

#[test]
fn a_daemon_may_give_a_ring_up_for_any_reason() {
    let (machine, mut client) = guest(12);
    machine.xenstore().give_up(&client.domain, RingError(42));
    assert_eq!(client.word(offset(Word::Error)), 42);
    client.send(MessageType::READ, 0, &ended("domid"));
    assert_eq!(client.receive_within(SECOND), None);
    client.reconnect();
    assert!(client.read("domid").is_ok());
}

#[test]
fn a_full_ring_holds_the_daemon_up_until_it_is_told() {
    let (machine, mut client) = guest(13);
    let value = "x".repeat(900);
    client.write("data/x", &value).unwrap();
    for _ in 0..4 {
        client.send(MessageType::READ, 0, &ended("data/x"));
    }
    machine.settle();
    let unread = client.word(offset(Word::ResponseProducer)).wrapping_sub(client.word(offset(Word::ResponseConsumer)));
    assert_eq!(unread, 1024);
    for _ in 0..4 {
        assert_eq!(client.receive_within(SECOND).map(|answer| answer.payload.len()), Some(900));
    }
}

#[test]
fn a_guest_must_signal_what_it_has_written() {
    let (machine, mut client) = guest(13);
    client.read("domid").unwrap();
    machine.settle();
    let request = Message { kind: MessageType::READ, req_id: 50, tx_id: 0, payload: ended("domid") }.to_bytes();
    client.put_unsignalled(&request);
    assert_eq!(client.receive_within(SECOND), None);
    client.channel.notify().unwrap();
    assert_eq!(client.receive_within(SECOND).map(|answer| answer.req_id), Some(50));
}

#[test]
fn events_of_the_ring_are_lost_as_others_are() {
    let (machine, mut client) = guest(14);
    machine.faults().disturb_events(&client.domain, When::Always, EventFault::Lose);
    let start = client.domain.now();
    (0..20).for_each(|_| assert!(client.read("domid").is_ok(), "the guest looks by itself"));
    assert!(client.domain.now() - start >= Duration::from_millis(50));
}

#[test]
fn the_ring_and_its_port_are_no_leaks() {
    let (machine, domain) = alone(15);
    let before = machine.checkpoint();
    machine.xenstore().introduce(&domain);
    machine.assert_no_leaks_since(&before);
    let (_, port) = domain.store().unwrap();
    let channel = Channel::adopt(&domain, port).unwrap();
    drop(channel);
    assert!(domain.store().is_none(), "a port that was closed leads nowhere");
}

#[test]
fn a_run_waits_for_the_daemon_and_not_for_ever() {
    let (machine, mut client) = guest(16);
    let domain = client.domain.clone();
    let run = machine.run(|vcpus| {
        vcpus.spawn(&domain, |_| {
            client.send(MessageType::READ, 0, &ended("domid"));
            loop {
                let seen = client.channel.count();
                client.take();
                if client.parse().is_some() {
                    break;
                }
                client.channel.wait_poll(seen, Duration::MAX, || client.domain.now()).map(drop).unwrap();
            }
        });
    });
    run.unwrap();
    machine.xenstore().hang();
    let run = machine.run(|vcpus| {
        vcpus.spawn(&domain, |domain| {
            client.send(MessageType::READ, 0, &ended("domid"));
            let port = client.channel.port();
            loop {
                xen_hypercall::sched::poll(domain, &[port], None).unwrap();
            }
        });
    });
    assert!(matches!(run, Err(RunError::Deadlock { .. })), "{run:?}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let trace = |seed| {
        let (machine, mut client) = guest(seed);
        client.watch("data", "t").unwrap();
        (0..20).for_each(|n| drop(client.write("data/x", &n.to_string()).unwrap()));
        machine.trace()
    };
    assert_eq!(trace(1), trace(1));
    assert_ne!(trace(1), trace(2));
}
