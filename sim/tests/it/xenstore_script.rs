//! Xenstored misbehaves by script: each kind of lie reaches the guest as it was told.

use std::time::Duration;

use xen_hypercall::abi::io::xs_wire::MessageType;
use xen_sim::{Message, Reaction, Requests, When, Word};

use crate::common::wire::{ended, guest, offset};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_request_is_ignored_or_carried_out_in_silence() {
    let (machine, mut client) = guest(1);
    let store = machine.xenstore();
    store.script(Requests::of(MessageType::WRITE), When::Nth(1), Reaction::Ignore);
    store.script(Requests::of(MessageType::WRITE), When::Nth(2), Reaction::Silent);
    for value in [b"data/x\x001", b"data/x\x002"] {
        client.send(MessageType::WRITE, 0, value);
        assert_eq!(client.receive_within(SECOND), None);
    }
    assert_eq!(client.read("data/x").as_deref(), Ok(&b"2"[..]), "the second was carried out");
    assert!(client.write("data/x", "3").is_ok(), "the third is none of the two");
}

#[test]
fn an_answer_comes_late() {
    let (machine, mut client) = guest(2);
    machine.xenstore().script(Requests::all().on("domid"), When::Always, Reaction::Late(SECOND));
    let (start, first) = (client.domain.now(), client.send(MessageType::READ, 0, &ended("domid")));
    let second = client.send(MessageType::READ, 0, &ended("name"));
    assert_eq!(client.receive_within(SECOND / 2).map(|answer| answer.req_id), Some(second), "others do not wait");
    assert_eq!(client.receive_within(2 * SECOND).map(|answer| answer.req_id), Some(first));
    assert!(client.domain.now() - start >= SECOND);
}

#[test]
fn an_error_is_given_that_is_none() {
    let (machine, mut client) = guest(3);
    let store = machine.xenstore();
    store.script(Requests::of(MessageType::TRANSACTION_END), When::Always, Reaction::refuse("EAGAIN"));
    store.script(Requests::of(MessageType::WRITE).by(client.domain.id()), When::From(2), Reaction::refuse("EQUOTA"));
    for _ in 0..20 {
        let id = client.start();
        assert_eq!(client.ask_in(id, MessageType::TRANSACTION_END, b"T\0"), Err("EAGAIN".into()));
    }
    assert!(client.write("data/x", "").is_ok());
    assert_eq!(client.write("data/x", ""), Err("EQUOTA".into()));
    store.clear_script();
    assert!(client.write("data/x", "").is_ok());
}

#[test]
fn an_answer_is_altered() {
    let (machine, mut client) = guest(4);
    let alterations: [fn(&mut Message); 4] = [
        |answer| answer.req_id = 0,
        |answer| answer.tx_id = 5,
        |answer| answer.kind = MessageType::WRITE,
        |answer| *answer = Message { payload: b"ENOSUCH".to_vec(), ..answer.refusal("") },
    ];
    for alter in alterations {
        let store = machine.xenstore();
        store.clear_script();
        let reaction = Reaction::alter(move |request, mut answer| {
            assert_eq!(request.req_id, answer.req_id);
            alter(&mut answer);
            answer.to_bytes()
        });
        store.script(Requests::of(MessageType::READ), When::Always, reaction);
        let req_id = client.send(MessageType::READ, 0, &ended("domid"));
        let mut expected = Message { kind: MessageType::READ, req_id, tx_id: 0, payload: b"1".to_vec() };
        alter(&mut expected);
        assert_eq!(client.receive_within(SECOND), Some(expected));
    }
}

#[test]
fn an_answer_is_any_bytes() {
    let (machine, mut client) = guest(5);
    let names = "x\0".repeat(10_000).into_bytes();
    let list = names.clone();
    let reaction = Reaction::alter(move |request, _| request.answer(list.clone()).to_bytes_with_len(u32::MAX));
    machine.xenstore().script(Requests::of(MessageType::DIRECTORY), When::Always, reaction);
    let id = client.send(MessageType::DIRECTORY, 0, &ended("data"));
    let mut raw = Vec::new();
    while raw.len() < 16 + names.len() {
        let seen = client.channel.count();
        raw.extend(client.take_raw());
        client.wait(seen, client.domain.now() + SECOND);
    }
    assert_eq!(raw[4..8], id.to_ne_bytes());
    assert_eq!((&raw[12..16], &raw[16..]), (&[0xff; 4][..], &names[..]));
    machine.xenstore().script(Requests::of(MessageType::READ), When::Always, Reaction::Bytes(vec![7; 3]));
    client.send(MessageType::READ, 0, &ended("domid"));
    machine.settle();
    assert_eq!(client.take_raw(), [7; 3]);
}

#[test]
fn events_come_that_nobody_asked_for() {
    let (machine, mut client) = guest(6);
    let store = machine.xenstore();
    store.flood(&client.domain, "/foreign", b"unknown", 1000);
    for _ in 0..1000 {
        assert_eq!(client.event(), Some(("/foreign".into(), "unknown".into())));
    }
    let odd = Message { kind: MessageType::WATCH_EVENT, req_id: 0, tx_id: 0, payload: b"one\0".to_vec() };
    store.send_bytes(&client.domain, &odd.to_bytes());
    assert_eq!(client.receive_within(SECOND), Some(odd));
    assert!(client.read("domid").is_ok());
}

#[test]
fn words_of_the_page_are_overwritten() {
    let (machine, mut client) = guest(7);
    let store = machine.xenstore();
    client.read("domid").unwrap();
    machine.settle();
    for word in [Word::RequestConsumer, Word::RequestProducer, Word::ResponseConsumer, Word::ResponseProducer] {
        let before = client.word(offset(word));
        assert_eq!(store.peek(&client.domain, word), before);
        let seen = client.channel.count();
        store.poke(&client.domain, word, before.wrapping_add(2000));
        assert_eq!(client.word(offset(word)), before.wrapping_add(2000));
        assert_ne!(client.channel.count(), seen, "the guest is told");
        store.poke(&client.domain, word, before);
    }
    assert!(client.read("domid").is_ok(), "all is as it was");
}

#[test]
fn answers_come_in_any_order() {
    let orders: Vec<Vec<u32>> = (0..6)
        .map(|seed| {
            let (machine, mut client) = guest(seed);
            machine.xenstore().mix_answers();
            let sent: Vec<u32> = (0..6).map(|_| client.send(MessageType::READ, 0, &ended("domid"))).collect();
            let mut came: Vec<u32> = (0..6).map(|_| client.receive_within(SECOND).unwrap().req_id).collect();
            let order = came.clone();
            came.sort_unstable();
            assert_eq!(came, sent, "each once");
            order
        })
        .collect();
    assert!(orders.iter().any(|order| !order.is_sorted()), "{orders:?}");
}

#[test]
fn many_of_the_same_event_wait_as_one() {
    let (machine, mut client) = guest(8);
    client.watch("data", "t").unwrap();
    client.event().unwrap();
    machine.xenstore().nodes(|nodes| (0..100).for_each(|n| nodes.write("/local/domain/1/data/x", n.to_string())));
    assert_eq!(client.event(), Some(("data/x".into(), "t".into())));
    assert_eq!(client.event(), None);
}
