//! The connection against every kind of answer, without a ring.

use std::time::Duration;

use xen_xenbus::connection::{Connection, Failure, Incoming, SendError, Token};
use xen_xenbus::wire::{BadReply, Header, MessageType, PAYLOAD_MAX, Refusal, Violation};
use zerocopy::{FromBytes, IntoBytes};

const SOON: Duration = Duration::from_secs(5);

fn message(kind: MessageType, req_id: u32, tx_id: u32, payload: &[u8]) -> Vec<u8> {
    let header = Header { kind, req_id, tx_id, len: payload.len() as u32 };
    [header.as_bytes(), payload].concat()
}

/// Sends a request and returns its number.
fn ask<const N: usize>(connection: &mut Connection<N>, kind: MessageType, transaction: u32) -> u32 {
    connection.send(kind, transaction, &[b"path\0"], SOON).unwrap();
    last_number(connection)
}

/// The number of the request that was sent last; everything sent is taken.
fn last_number<const N: usize>(connection: &mut Connection<N>) -> u32 {
    let mut rest = connection.outgoing().to_vec();
    connection.sent(rest.len());
    let mut number = 0;
    while !rest.is_empty() {
        let header = Header::read_from_bytes(&rest[..16]).unwrap();
        number = header.req_id;
        rest.drain(..16 + header.len as usize);
    }
    number
}

/// Feeds one message, and tells what came of it.
fn feed<'a, const N: usize>(connection: &'a mut Connection<N>, bytes: &[u8]) -> Incoming<'a> {
    let mut fed = 0;
    loop {
        let space = connection.space();
        let count = space.len().min(bytes.len() - fed);
        space[..count].copy_from_slice(&bytes[fed..][..count]);
        fed += count;
        if fed == bytes.len() {
            return connection.received(count).unwrap();
        }
        assert_eq!(connection.received(count).unwrap(), Incoming::Partial);
    }
}

#[test]
fn hc_130_a_length_that_cannot_be_breaks_the_connection() {
    for len in [PAYLOAD_MAX as u32 + 1, 1 << 31, u32::MAX] {
        let mut connection: Connection = Connection::new();
        let header = Header { kind: MessageType::READ, req_id: 1, tx_id: 0, len };
        connection.space().copy_from_slice(header.as_bytes());
        assert_eq!(connection.received(16), Err(Violation::TooLong { len }));
        connection.reset();
        let id = ask(&mut connection, MessageType::READ, 0);
        let answer = feed(&mut connection, &message(MessageType::READ, id, 0, b"x"));
        assert!(matches!(answer, Incoming::Answer { result: Ok(b"x"), .. }), "a reset heals it");
    }
}

#[test]
fn hc_132_answers_to_nobody_are_dropped_and_counted() {
    let mut connection: Connection = Connection::new();
    let id = ask(&mut connection, MessageType::READ, 0);
    for (dropped, number) in [id + 1, u32::MAX, 0].into_iter().enumerate() {
        let answer = message(MessageType::READ, number, 0, b"x");
        assert!(matches!(feed(&mut connection, &answer), Incoming::Nobodys(_)), "number {number}");
        assert_eq!(connection.dropped(), dropped as u32 + 1);
    }
    let answer = message(MessageType::READ, id, 0, b"x");
    assert!(matches!(feed(&mut connection, &answer), Incoming::Answer { .. }));
    assert!(matches!(feed(&mut connection, &answer), Incoming::Nobodys(_)), "a second time");
}

#[test]
fn hc_133_an_answer_in_another_transaction_is_none() {
    let mut connection: Connection = Connection::new();
    let id = ask(&mut connection, MessageType::READ, 7);
    let incoming = feed(&mut connection, &message(MessageType::READ, id, 8, b"x"));
    let bad = Failure::BadReply(BadReply::Transaction { asked: 7, got: 8 });
    assert!(matches!(incoming, Incoming::Answer { result: Err(failure), .. } if failure == bad));
    assert_eq!(connection.in_flight(), 0);
}

#[test]
fn hc_134_an_answer_of_another_type_is_none_unless_it_is_an_error() {
    let mut connection: Connection = Connection::new();
    let id = ask(&mut connection, MessageType::READ, 0);
    let incoming = feed(&mut connection, &message(MessageType::WRITE, id, 0, b"OK\0"));
    let bad = Failure::BadReply(BadReply::Type { asked: MessageType::READ, got: MessageType::WRITE });
    assert!(matches!(incoming, Incoming::Answer { result: Err(failure), .. } if failure == bad));

    let id = ask(&mut connection, MessageType::READ, 0);
    let incoming = feed(&mut connection, &message(MessageType::ERROR, id, 0, b"EACCES\0"));
    let Incoming::Answer { result: Err(Failure::Refused(refusal)), .. } = incoming else { panic!("{incoming:?}") };
    assert!(refusal.is(Refusal::ACCES));
}

#[test]
fn hc_136_answers_may_come_in_any_order() {
    let mut connection: Connection = Connection::new();
    let calls: Vec<_> = (0..4)
        .map(|_| {
            let call = connection.send(MessageType::READ, 0, &[b"a\0"], SOON).unwrap();
            (call, last_number(&mut connection))
        })
        .collect();
    for index in [2, 0, 3, 1] {
        let (call, id) = calls[index];
        let value = [index as u8];
        let incoming = feed(&mut connection, &message(MessageType::READ, id, 0, &value));
        assert_eq!(incoming, Incoming::Answer { call, result: Ok(&value) });
    }
}

#[test]
fn hc_138_watch_events_have_two_strings_and_a_token_of_ours() {
    let mut connection: Connection = Connection::new();
    let event = |payload: &[u8]| message(MessageType::WATCH_EVENT, 0, 0, payload);
    let token = Token { index: 3, generation: 0xab };
    let incoming = feed(&mut connection, &event(b"device/vbd\x003-ab\0"));
    assert_eq!(incoming, Incoming::Watched { token, path: b"device/vbd" });
    for odd in [
        &b""[..],
        b"\0",
        b"device\0",
        b"device\x003-ab",
        b"device\x003-ab\0more\0",
        b"device\0\0",
        b"device\0ffff8880deadbeef\0",
        b"device\x00-1-ab\0",
    ] {
        assert!(matches!(feed(&mut connection, &event(odd)), Incoming::Nobodys(_)), "{odd:?}");
    }
    let numbered = message(MessageType::WATCH_EVENT, 9, 0, b"device\x003-ab\0");
    assert!(matches!(feed(&mut connection, &numbered), Incoming::Nobodys(_)), "an event has the number 0");
    let other = message(MessageType::READ, 0, 0, b"device\x003-ab\0");
    assert!(matches!(feed(&mut connection, &other), Incoming::Nobodys(_)), "an event has a type of its own");
}

#[test]
fn hc_144_a_request_without_an_answer_expires_at_its_deadline() {
    let mut connection: Connection = Connection::new();
    let call = connection.send(MessageType::READ, 0, &[b"a\0"], SOON).unwrap();
    let later = connection.send(MessageType::READ, 0, &[b"a\0"], 2 * SOON).unwrap();
    assert_eq!(connection.next_deadline(), Some(SOON));
    assert_eq!(connection.expire(SOON - Duration::from_nanos(1)), None);
    assert_eq!(connection.expire(SOON), Some(call));
    assert_eq!(connection.expire(SOON), None);
    assert_eq!(connection.next_deadline(), Some(2 * SOON));
    connection.set_deadline(later, SOON);
    assert_eq!(connection.expire(SOON), Some(later));
}

/// Also where others have expired, or nobody waits for them any more.
#[test]
fn hc_144_each_request_expires_whatever_became_of_those_before() {
    let mut connection: Connection = Connection::new();
    let mut send = |times: u32| connection.send(MessageType::READ, 0, &[b"a\0"], times * SOON).unwrap();
    let (first, abandoned, last) = (send(1), send(2), send(3));
    assert_eq!(connection.expire(SOON), Some(first));
    assert_eq!(connection.expire(SOON), None);
    connection.abandon(abandoned);
    assert_eq!(connection.expire(2 * SOON), None);
    assert_eq!((connection.next_deadline(), connection.expire(3 * SOON)), (Some(3 * SOON), Some(last)));
    assert_eq!((connection.next_deadline(), connection.expire(Duration::MAX)), (None, None));
    let after = connection.send(MessageType::READ, 0, &[b"a\0"], SOON).unwrap();
    assert_eq!(connection.expire(SOON), Some(after));
}

#[test]
fn hc_145_a_late_answer_is_told_apart_and_its_number_not_used_again() {
    let mut connection: Connection<2> = Connection::new();
    let overdue = ask(&mut connection, MessageType::TRANSACTION_START, 0);
    let _ = connection.expire(SOON).unwrap();
    let next = ask(&mut connection, MessageType::READ, 0);
    assert_ne!(next, overdue);
    let incoming = feed(&mut connection, &message(MessageType::TRANSACTION_START, overdue, 0, b"9\0"));
    let asked = MessageType::TRANSACTION_START;
    assert_eq!(incoming, Incoming::Late { asked, transaction: 0, payload: Some(b"9\0") });
    let again = feed(&mut connection, &message(asked, overdue, 0, b"9\0"));
    assert!(matches!(again, Incoming::Nobodys(_)), "late once");
}

/// A daemon that answers nothing must not use the slots up for ever.
#[test]
fn slots_of_overdue_requests_are_used_again_the_oldest_first() {
    let mut connection: Connection<3> = Connection::new();
    let ids: Vec<u32> = (0..3).map(|_| ask(&mut connection, MessageType::READ, 0)).collect();
    assert_eq!(connection.send(MessageType::READ, 0, &[b"a\0"], SOON), Err(SendError::Full), "all are awaited");
    while connection.expire(SOON).is_some() {}
    ask(&mut connection, MessageType::READ, 0);
    let late =
        |connection: &mut Connection<3>, id| feed(connection, &message(MessageType::READ, id, 0, b"x")).to_string();
    assert_eq!(late(&mut connection, ids[0]), "nobody's", "forgotten for the new one");
    assert_eq!(late(&mut connection, ids[1]), "late");
    assert_eq!(late(&mut connection, ids[2]), "late");
}

trait Name {
    fn to_string(&self) -> &'static str;
}

impl Name for Incoming<'_> {
    fn to_string(&self) -> &'static str {
        match self {
            Incoming::Nobodys(_) => "nobody's",
            Incoming::Late { .. } => "late",
            _ => "something else",
        }
    }
}

#[test]
fn a_request_that_is_too_long_or_finds_no_room_leaves_no_trace() {
    let mut connection: Connection<8> = Connection::new();
    let payload = [b'a'; PAYLOAD_MAX + 1];
    let too_long = connection.send(MessageType::WRITE, 0, &[&payload], SOON);
    assert_eq!(too_long, Err(SendError::TooLong { len: PAYLOAD_MAX + 1 }));
    for _ in 0..2 {
        connection.send(MessageType::WRITE, 0, &[&payload[1..]], SOON).unwrap();
    }
    let full = connection.send(MessageType::WRITE, 0, &[b"a"], SOON);
    assert_eq!((full, connection.in_flight()), (Err(SendError::Full), 2));
}

/// What a connection tells, in words that can be compared.
fn told(incoming: &Incoming<'_>) -> Option<String> {
    match incoming {
        Incoming::Partial => None,
        other => Some(format!("{other:?}")),
    }
}

#[test]
fn hc_131_answers_errors_and_events_may_be_split_anywhere() {
    let stream = |connection: &mut Connection<3>| {
        let (read, write) = (ask(connection, MessageType::READ, 0), ask(connection, MessageType::WRITE, 7));
        let answer = message(MessageType::READ, read, 0, b"value");
        let refusal = message(MessageType::ERROR, write, 7, b"EACCES\0");
        let event = message(MessageType::WATCH_EVENT, 0, 0, b"data\x003-ab\0");
        [refusal, event, answer].concat()
    };
    let feed = |split: &dyn Fn(&[u8]) -> Vec<Vec<u8>>| {
        let mut connection = Connection::new();
        let bytes = stream(&mut connection);
        let mut all = Vec::new();
        for mut piece in split(&bytes) {
            while !piece.is_empty() {
                let space = connection.space();
                let count = space.len().min(piece.len());
                space[..count].copy_from_slice(&piece[..count]);
                piece.drain(..count);
                all.extend(told(&connection.received(count).unwrap()));
            }
        }
        assert!(!connection.is_within_message() && connection.in_flight() == 0);
        all
    };
    let len = stream(&mut Connection::new()).len();
    let whole = feed(&|bytes| vec![bytes.to_vec()]);
    assert_eq!(whole.len(), 3, "{whole:?}");
    assert!(whole[0].contains("EACCES") && whole[1].contains("Watched") && whole[2].contains("Ok("), "{whole:?}");
    for first in 0..=len {
        for second in first..=len {
            let split =
                |bytes: &[u8]| [&bytes[..first], &bytes[first..second], &bytes[second..]].map(<[u8]>::to_vec).to_vec();
            assert_eq!(feed(&split), whole, "split at {first} and {second}");
        }
    }
    assert_eq!(feed(&|bytes| bytes.chunks(1).map(<[u8]>::to_vec).collect()), whole);
}
