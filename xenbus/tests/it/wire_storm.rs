//! The scripts of the fuzz target, and seeded changes of them: nothing panics, and each comes to its end.
//!
//! `DOMU_STORM_STEPS` and `DOMU_SEED` make it longer and other; with `DOMU_WRITE_CORPUS` set, the fuzz target's first scripts are
//! written anew.

use std::fs;
use std::path::PathBuf;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use xen_xenbus::wire::{Header, MessageType};
use zerocopy::IntoBytes;

use crate::wire::{Played, play, step};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/connection")
}

fn with_bytes(first: &[u8], bytes: &[u8]) -> Vec<u8> {
    [first, &[bytes.len() as u8], bytes].concat()
}

fn ask(kind: MessageType, transaction: u8) -> Vec<u8> {
    vec![step::ASK, kind.0 as u8, transaction]
}

fn answer(which: u8, payload: &[u8]) -> Vec<u8> {
    with_bytes(&[step::ANSWER, which], payload)
}

fn raw(header: Header, payload: &[u8]) -> Vec<u8> {
    with_bytes(&[step::BYTES], &[header.as_bytes(), payload].concat())
}

/// Where a fuzzer begins: each kind of step, and what comes of it.
fn scripts() -> Vec<(&'static str, Vec<u8>, Played)> {
    let none = Played::default();
    let read = || ask(MessageType::READ, 0);
    let header = Header { kind: MessageType::READ, req_id: 1, tx_id: 0, len: 0 };
    let mut many: Vec<u8> = (0..5).flat_map(|_| read()).collect();
    many.extend([2, 0, 1, 0].into_iter().flat_map(|which| answer(which, b"value")));
    let event = |payload: &[u8]| with_bytes(&[step::EVENT], payload);
    let byte_by_byte = with_bytes(&[step::ANSWER | 1 << 3, 0], b"value");
    vec![
        ("answer", [read(), vec![step::TAKE, 40], answer(0, b"value")].concat(), Played { answers: 1, ..none }),
        ("byte-by-byte", [read(), byte_by_byte].concat(), Played { answers: 1, ..none }),
        ("any-order", many, Played { answers: 4, ..none }),
        ("refusal", [read(), with_bytes(&[step::REFUSE, 0], b"ENOENT\0")].concat(), Played { refusals: 1, ..none }),
        (
            "other-type",
            [read(), raw(Header { kind: MessageType::WRITE, ..header }, b"")].concat(),
            Played { bad: 1, ..none },
        ),
        ("other-transaction", [read(), raw(Header { tx_id: 9, ..header }, b"")].concat(), Played { bad: 1, ..none }),
        ("unknown-number", [read(), raw(Header { req_id: 9, ..header }, b"")].concat(), Played { nobodys: 1, ..none }),
        ("late", [read(), vec![step::PASS, 6], answer(0, b"x")].concat(), Played { expired: 1, late: 1, ..none }),
        ("abandoned", [read(), vec![step::ABANDON, 0], answer(0, b"x")].concat(), Played { late: 1, ..none }),
        (
            "late-transaction",
            [ask(MessageType::TRANSACTION_START, 0), vec![step::PASS, 6], answer(0, b"7\0")].concat(),
            Played { expired: 1, late: 1, ..none },
        ),
        ("event", event(b"device/vbd\x003-ab\0"), Played { events: 1, ..none }),
        ("event-odd", [event(b"device\0"), event(b"device\x003-AB\0")].concat(), Played { nobodys: 2, ..none }),
        ("too-long", raw(Header { len: 4097, ..header }, b"abc"), Played { violations: 1, ..none }),
        (
            "cut-and-reset",
            [read(), raw(Header { len: 9, ..header }, b"abc"), vec![step::TAKE, 255], read(), answer(0, b"x")].concat(),
            Played { answers: 1, ..none },
        ),
    ]
}

#[test]
fn the_corpus_is_what_this_makes_of_it() {
    for (name, script, expected) in scripts() {
        let file = folder().join(name);
        if std::env::var_os("DOMU_WRITE_CORPUS").is_some() {
            fs::create_dir_all(folder()).unwrap();
            fs::write(&file, &script).unwrap();
        }
        assert_eq!(fs::read(&file).ok(), Some(script.clone()), "{name}: with DOMU_WRITE_CORPUS set it is written");
        assert_eq!(play(&script), expected, "{name}");
    }
}

/// Those that a fuzzer has added included.
#[test]
fn every_script_of_the_corpus_comes_to_its_end() {
    let files: Vec<_> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= scripts().len());
    for file in files {
        let _ = play(&fs::read(file).unwrap());
    }
}

#[test]
fn a_storm_of_changed_scripts_breaks_no_promise() {
    let (seed, steps) = (number("DOMU_SEED", 1), number("DOMU_STORM_STEPS", if cfg!(miri) { 50 } else { 20_000 }));
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let scripts: Vec<Vec<u8>> = scripts().into_iter().map(|(_, script, _)| script).collect();
    let mut total = Played::default();
    for step in 0..steps {
        let script = changed(&scripts, &mut rng);
        let played = std::panic::catch_unwind(|| play(&script));
        let played = played.unwrap_or_else(|_| panic!("seed {seed}, step {step}: {script:?}"));
        total.answers = total.answers.wrapping_add(played.answers);
        total.late = total.late.wrapping_add(played.late);
        total.events = total.events.wrapping_add(played.events);
        total.violations = total.violations.wrapping_add(played.violations);
    }
    println!("seed {seed}, {steps} scripts: {total:?}");
    assert!(steps < 1000 || [total.answers, total.late, total.events, total.violations].iter().all(|n| *n > 0));
}

/// Several scripts one after the other, with some bytes changed, taken away or put in.
fn changed(scripts: &[Vec<u8>], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let count = rng.random_range(1..6);
    let mut script: Vec<u8> =
        (0..count).flat_map(|_| scripts[rng.random_range(0..scripts.len())].iter().copied()).collect();
    for _ in 0..rng.random_range(0..6) {
        let place = rng.random_range(0..script.len());
        match rng.random_range(0..4) {
            0 => script[place] = rng.random(),
            1 => script[place] ^= 1 << rng.random_range(0..8),
            2 if script.len() > 1 => drop(script.remove(place)),
            _ => script.insert(place, rng.random()),
        }
    }
    script
}
