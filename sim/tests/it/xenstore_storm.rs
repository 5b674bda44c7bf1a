//! Guests that send anything: the daemon never fails, and its nodes stay a tree.
//!
//! `DOMU_STORM_STEPS` and `DOMU_SEED` make it longer and other.

use std::time::Duration;

use rand::seq::IndexedRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use xen_hypercall::abi::io::xs_wire::MessageType;
use xen_sim::{Leniency, Machine, Message, Pace, Word, Xenstore};

use crate::common::wire::{Client, ended, offset};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

const PATHS: [&str; 12] = [
    "/",
    "data",
    "data/a",
    "data/a/b",
    "data/a/b/c",
    "data/c",
    "/local/domain/1/data/x",
    "/local/domain/2/data/x",
    "control/shutdown",
    "@releaseDomain",
    "data//bad",
    "",
];

struct Storm {
    machine: Machine,
    clients: Vec<Client>,
    transactions: Vec<u32>,
    rng: ChaCha8Rng,
}

impl Storm {
    fn new(seed: u64) -> Self {
        // What a hostile guest writes into its page is no mistake here.
        let machine = Machine::builder(seed).record_violations().allow(Leniency::UncheckedGrants).build();
        let domains = [machine.domain(), machine.domain()];
        domains.iter().for_each(|domain| machine.xenstore().introduce(domain));
        let clients = domains.iter().map(Client::new).collect();
        Self { machine, clients, transactions: vec![0], rng: ChaCha8Rng::seed_from_u64(seed) }
    }

    fn payload(&mut self) -> Vec<u8> {
        let rng = &mut self.rng;
        let path = ended(PATHS.choose(rng).unwrap());
        let mut rest = match rng.random_range(0..6) {
            0 => Vec::new(),
            1 => b"token\0".to_vec(),
            2 => b"n1\0b2\0".to_vec(),
            3 => b"7\0".to_vec(),
            4 => vec![b'x'; rng.random_range(0..3000)],
            _ => vec![0xff; rng.random_range(0..40)],
        };
        match rng.random_range(0..8) {
            0 => [b"T\0".to_vec(), b"F\0".to_vec()].choose(rng).cloned().unwrap(),
            1 => {
                rng.fill_bytes(&mut rest);
                rest
            }
            _ => [path, rest].concat(),
        }
    }

    fn step(&mut self) {
        let kind = MessageType(self.rng.random_range(0..25));
        let (payload, tx_id) = (self.payload(), *self.transactions.choose(&mut self.rng).unwrap());
        let who = self.rng.random_range(0..self.clients.len());
        let (store, rng, client) = (self.machine.xenstore(), &mut self.rng, &mut self.clients[who]);
        match rng.random_range(0..60) {
            0 => client.reconnect(),
            1 => {
                let word = [Word::RequestProducer, Word::ResponseConsumer, Word::RequestConsumer, Word::Error];
                client.set(offset(*word.choose(rng).unwrap()), rng.next_u32());
                client.channel.notify().unwrap();
                self.machine.settle();
                client.reconnect();
            }
            2 => {
                let message = Message { kind, req_id: 1, tx_id, payload };
                let bytes = message.to_bytes_with_len(rng.random_range(0..8192));
                client.put(&bytes[..bytes.len().min(1000)]);
                self.machine.settle();
                client.reconnect();
            }
            3 => store.pace(if rng.random_bool(0.5) { Pace::Usual } else { Pace::Dribble }),
            4 => store.live_update(Duration::from_millis(rng.random_range(0..20))),
            5 => store.remove("/local/domain/1/data/a"),
            6 => store.write("/local/domain/2/data/x/y", "host"),
            _ => {
                let id = client.send(kind, tx_id, &payload);
                let Some(answer) = client.answer(id) else { panic!("no answer:\n{}", self.machine.trace()) };
                if kind == MessageType::TRANSACTION_START && answer.kind == kind {
                    let text = String::from_utf8(answer.payload).unwrap();
                    self.transactions.push(text.trim_end_matches('\0').parse().unwrap());
                    self.transactions.truncate(4);
                }
            }
        }
        client.events.clear();
    }
}

/// Each child that is listed is there, once.
fn check(store: Xenstore<'_>, path: &str) -> usize {
    let mut names = store.list(path).expect("what is listed is there");
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count, "{path}");
    let child = |name: &String| if path == "/" { format!("/{name}") } else { format!("{path}/{name}") };
    1 + names.iter().map(|name| check(store, &child(name))).sum::<usize>()
}

#[test]
fn xenstore_storm() {
    let (seed, steps) = (number("DOMU_SEED", 1), number("DOMU_STORM_STEPS", if cfg!(miri) { 20 } else { 400 }));
    let mut storm = Storm::new(seed);
    for step in 0..steps {
        storm.step();
        if step % 256 == 0 {
            assert!(check(storm.machine.xenstore(), "/") > 10, "seed {seed}");
        }
    }
    check(storm.machine.xenstore(), "/");
}
