//! The store against a daemon that misbehaves: cases 128 to 150.
//!
//! What must hold in each: the call ends in its time with a typed error, nothing panics, and where the daemon can begin anew the
//! store works again afterwards.

use xen_hypercall::abi::io::xs_wire::ServerFeatures;
use xen_sim::{Machine, Message, Pace, Reaction, Requests, When, Word};
use xen_xenbus::store::{PATIENCE, Reason, StoreError};
use xen_xenbus::wire::{BadReply, MessageType, Violation};

use crate::common::{SECOND, attach, bounded, guest, heals, read};

/// Answers every `READ` from now on with something that is made of the honest answer.
fn answer_reads(machine: &Machine, with: impl Fn(&Message, Message) -> Vec<u8> + Send + Sync + 'static) {
    machine.xenstore().script(Requests::of(MessageType::READ), When::Always, Reaction::alter(with));
}

#[test]
fn hc_128_an_index_that_cannot_be_breaks_the_connection_and_a_reconnect_heals_it() {
    for (word, by) in [
        (Word::ResponseProducer, 1025),
        (Word::ResponseProducer, 1 << 31),
        (Word::RequestConsumer, 1025),
        (Word::RequestConsumer, u32::MAX - 2000),
    ] {
        let (machine, domain, store) = guest(1);
        read(&store).unwrap();
        let host = machine.xenstore();
        host.poke(&domain, word, host.peek(&domain, word).wrapping_add(by));
        let error = bounded(&store, 1, || store.write("data/x", "y").wait()).unwrap_err();
        assert!(matches!(error.reason, Reason::Broken(Violation::Ring(_))), "{word:?} by {by}: {error}");
        heals(&machine, &store);
        assert_eq!(store.statistics().broken, 1);
    }
}

#[test]
fn hc_128_without_the_feature_a_broken_connection_stays_so() {
    let (machine, domain, store) = guest(1);
    machine.xenstore().set_features(ServerFeatures::ERROR);
    read(&store).unwrap();
    machine.xenstore().poke(&domain, Word::ResponseProducer, 1 << 20);
    for _ in 0..3 {
        let error = bounded(&store, 1, || read(&store)).unwrap_err();
        assert!(matches!(error.reason, Reason::Broken(_)), "{error}");
    }
    assert!(store.watch("data").wait().is_err());
    assert!(store.transaction(|_| Ok(())).is_err());
}

#[test]
fn hc_129_our_own_indices_are_never_read_back() {
    let (machine, domain, store) = guest(1);
    read(&store).unwrap();
    let host = machine.xenstore();
    let (producer, consumer) = (host.peek(&domain, Word::RequestProducer), host.peek(&domain, Word::ResponseConsumer));
    // The daemon that has overwritten them may be confused by that itself; we are not.
    host.hang();
    host.poke(&domain, Word::RequestProducer, producer.wrapping_add(500));
    host.poke(&domain, Word::ResponseConsumer, consumer.wrapping_add(1 << 30));
    let write = store.write("data/x", "y");
    store.poll();
    assert_eq!(host.peek(&domain, Word::RequestProducer).wrapping_sub(producer), 16 + 8, "from our own copy");
    drop(write);
    assert_eq!(store.statistics().broken, 0);
}

#[test]
fn hc_130_a_length_that_cannot_be_breaks_the_connection() {
    for len in [4097, u32::MAX] {
        let (machine, _domain, store) = guest(1);
        answer_reads(&machine, move |_, answer| answer.to_bytes_with_len(len));
        let error = bounded(&store, 1, || read(&store)).unwrap_err();
        assert_eq!(error.reason, Reason::Broken(Violation::TooLong { len }));
        heals(&machine, &store);
    }
}

#[test]
fn hc_131_answers_may_come_byte_by_byte() -> Result<(), StoreError> {
    let (machine, _domain, store) = guest(1);
    machine.xenstore().pace(Pace::Dribble);
    store.write("data/x", "hello").wait()?;
    assert_eq!(store.read("data/x").wait()?, b"hello");
    Ok(())
}

#[test]
fn hc_132_numbers_that_were_not_asked_are_dropped() -> Result<(), StoreError> {
    let (machine, _domain, store) = guest(1);
    answer_reads(&machine, |_, answer| {
        let other = |req_id| Message { req_id, ..answer.clone() }.to_bytes();
        [other(0), other(answer.req_id + 1), other(u32::MAX), answer.to_bytes(), answer.to_bytes()].concat()
    });
    assert_eq!(read(&store)?, b"1");
    assert_eq!(read(&store)?, b"1", "the second answer to the first is nobody's");
    assert!(store.statistics().dropped >= 4, "{:?}", store.statistics());
    Ok(())
}

#[test]
fn hc_133_hc_134_answers_to_something_else_are_errors_of_their_call() {
    let (machine, _domain, store) = guest(1);
    answer_reads(&machine, |_, answer| Message { tx_id: 5, ..answer }.to_bytes());
    let error = read(&store).unwrap_err();
    assert_eq!(error.reason, Reason::BadReply(BadReply::Transaction { asked: 0, got: 5 }));
    machine.xenstore().clear_script();
    answer_reads(&machine, |_, answer| Message { kind: MessageType::WRITE, ..answer }.to_bytes());
    let error = read(&store).unwrap_err();
    assert_eq!(error.reason, Reason::BadReply(BadReply::Type { asked: MessageType::READ, got: MessageType::WRITE }));
    machine.xenstore().clear_script();
    assert!(read(&store).is_ok(), "the connection goes on");
}

#[test]
fn hc_135_errors_with_odd_names_are_shown_as_they_came() {
    let (machine, _domain, store) = guest(1);
    for (payload, shown) in
        [(&b"EWHAT\0"[..], "\"EWHAT\""), (b"ENOENT", "ENOENT"), (b"", "\"\""), (b"\xff\x1b[2J\0", r#""\xff\x1b[2J""#)]
    {
        answer_reads(&machine, move |_, answer| {
            Message { kind: MessageType::ERROR, ..answer.answer(payload) }.to_bytes()
        });
        let error = read(&store).unwrap_err();
        assert!(matches!(error.reason, Reason::Refused(_)) && error.to_string().contains(shown), "{error}");
        machine.xenstore().clear_script();
    }
}

#[test]
fn hc_137_lists_with_odd_names_are_refused() {
    let (machine, _domain, store) = guest(1);
    for odd in [&b"a\0b"[..], b"a\0\0b\0", b"a/b\0", b"\0", b"a\xff\0"] {
        machine.xenstore().script(
            Requests::of(MessageType::DIRECTORY),
            When::Always,
            Reaction::alter(move |_, answer| answer.answer(odd).to_bytes()),
        );
        let error = store.directory("data").wait().unwrap_err();
        assert!(matches!(error.reason, Reason::BadReply(BadReply::Payload(_))), "{odd:?}: {error}");
        machine.xenstore().clear_script();
    }
}

/// A list in parts that never ends, never begins, or changes all the time.
#[test]
fn hc_137_a_list_in_parts_ends_whatever_the_daemon_says() {
    type Part = fn(u64) -> Vec<u8>;
    let odd = Reason::BadReply(BadReply::Payload(MessageType::DIRECTORY_PART));
    let parts: [(&str, Part, Reason); 5] = [
        ("no name in a part", |_| b"7\0".to_vec(), odd.clone()),
        ("no generation", |_| b"7".to_vec(), odd.clone()),
        ("a name without an end", |_| b"7\0abc".to_vec(), odd.clone()),
        ("another generation each time", |i| format!("{i}\0abc\0").into_bytes(), Reason::Unsteady { attempts: 8 }),
        ("no end", |_| [&b"7\0"[..], &[b'a'; 4000], b"\0"].concat(), odd),
    ];
    for (name, part, reason) in parts {
        let (machine, _domain, store) = guest(1);
        let host = machine.xenstore();
        host.script(Requests::of(MessageType::DIRECTORY), When::Always, Reaction::refuse("E2BIG"));
        let count = std::sync::atomic::AtomicU64::new(0);
        let answer = move |_: &Message, answer: Message| {
            let count = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Message { kind: MessageType::DIRECTORY_PART, ..answer.answer(part(count)) }.to_bytes()
        };
        host.script(Requests::of(MessageType::DIRECTORY_PART), When::Always, Reaction::alter(answer));
        let error = bounded(&store, 1, || store.directory("data").wait()).unwrap_err();
        assert_eq!(error.reason, reason, "{name}");
    }
}

#[test]
fn hc_138_odd_watch_events_are_dropped_and_counted() -> Result<(), StoreError> {
    let (machine, domain, store) = guest(1);
    let watch = store.watch("data").wait()?;
    assert!(watch.wait(store.now() + SECOND)?);
    let host = machine.xenstore();
    let event = |payload: &[u8]| Message { payload: payload.to_vec(), ..Message::event("", b"") }.to_bytes();
    let odd: [&[u8]; 9] = [
        b"",
        b"data\0",
        b"data\x000-1",
        b"data\x000-1\0more\0",
        b"data\x000-2\0",
        b"data\x001-1\0",
        b"device\x000-1\0",
        b"data/../x\0ffff8880deadbeef\0",
        b"database\x000-1\0",
    ];
    odd.iter().for_each(|payload| host.send_bytes(&domain, &event(payload)));
    read(&store)?;
    assert!(!watch.take());
    assert_eq!(store.statistics().dropped as usize, odd.len());
    host.send_bytes(&domain, &event(b"data/x\x000-1\0"));
    read(&store)?;
    assert!(watch.take(), "the token is what these have wrong");
    Ok(())
}

#[test]
fn hc_139_a_flood_of_events_is_one_bit_and_stops_no_call() -> Result<(), StoreError> {
    let (machine, domain, store) = guest(1);
    let watch = store.watch("data").wait()?;
    let other = store.watch("device").wait()?;
    assert!(watch.wait(store.now() + SECOND)? && other.wait(store.now() + SECOND)?);
    machine.xenstore().flood(&domain, "data/x", b"0-1", 5000);
    bounded(&store, 1, || read(&store))?;
    assert!(watch.take());
    assert!(!other.take());
    while store.statistics().events < 5000 {
        store.poll();
        let _ = store.now();
    }
    let _ = watch.take();
    assert!(!watch.take(), "all of them are one bit");
    Ok(())
}

#[test]
fn hc_148_a_connection_that_is_not_ready_at_boot_is_waited_for_and_not_for_ever() {
    let machine = Machine::new(1);
    let early = machine.domain();
    machine.xenstore().introduction(&early).late(2 * SECOND).introduce();
    let store = attach(&early);
    assert_eq!(bounded(&store, 1, || read(&store)).unwrap(), b"1");

    let never = machine.domain();
    machine.xenstore().introduction(&never).late(3600 * SECOND).introduce();
    let store = attach(&never);
    let error = bounded(&store, 1, || read(&store)).unwrap_err();
    assert_eq!(error.reason, Reason::TimedOut(PATIENCE));
}

#[test]
fn hc_149_features_that_are_not_known_change_nothing() {
    let (machine, _domain, store) = guest(1);
    machine.xenstore().set_features(ServerFeatures::from_bits_retain(u32::MAX));
    assert!(read(&store).is_ok());
}

/// A word that belongs to a feature which the daemon does not have. (The word for a reconnect means something without it, too.)
#[test]
fn hc_149_an_error_without_its_feature_means_nothing() {
    let machine = Machine::new(1);
    let domain = machine.domain();
    machine.xenstore().introduce(&domain);
    machine.xenstore().set_features(ServerFeatures::RECONNECTION);
    machine.xenstore().poke(&domain, Word::Error, 1);
    let store = attach(&domain);
    assert_eq!(bounded(&store, 1, || read(&store)).unwrap(), b"1");
}

/// A daemon that breaks each connection is given a second each time.
#[test]
fn hc_130_a_connection_that_breaks_each_time_costs_little() {
    let (machine, _domain, store) = guest(1);
    answer_reads(&machine, |_, answer| answer.to_bytes_with_len(4097));
    let end = store.now() + 10 * SECOND;
    while store.now() < end {
        assert!(bounded(&store, 1, || read(&store)).is_err());
    }
    assert!((8..=13).contains(&store.statistics().broken), "{:?}", store.statistics());
}

#[test]
fn hc_150_a_fresh_ring_starts_anywhere_and_holds_junk() {
    for start in [0, 1, 1023, u32::MAX - 3, u32::MAX / 2] {
        let machine = Machine::new(u64::from(start));
        let domain = machine.domain();
        machine.xenstore().introduction(&domain).indices(start, start.wrapping_mul(3)).introduce();
        let store = attach(&domain);
        for _ in 0..100 {
            assert_eq!(read(&store).unwrap(), b"1");
        }
    }
}

/// Random bytes on the ring, random indices, at random times.
#[test]
fn a_storm_of_nonsense_breaks_nothing_for_good() {
    use rand::{RngExt, SeedableRng};
    for seed in 0..30 {
        let (machine, domain, store) = guest(seed);
        let host = machine.xenstore();
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        for _ in 0..40 {
            match random.random_range(0..5) {
                0 => host.send_bytes(&domain, &random.random::<[u8; 32]>()),
                1 => host.poke(&domain, Word::ResponseProducer, random.random()),
                2 => host.poke(&domain, Word::Error, random.random_range(0..5)),
                3 => host.flood(&domain, "data", b"0-1", 100),
                _ => host.poke(&domain, Word::Connection, random.random_range(0..3)),
            }
            let _ = bounded(&store, 1, || store.write("data/x", "y").wait());
            let _ = bounded(&store, 2, || store.watch("data").wait().map(drop));
        }
        host.poke(&domain, Word::Error, 0);
        let healed = (0..5).any(|_| bounded(&store, 1, || read(&store)).is_ok());
        assert!(healed, "seed {seed}: {store:?}");
    }
}
