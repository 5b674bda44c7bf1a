//! Models of the orderings, on the crate's own code: every interleaving and every stale value that the memory model allows,
//! without a bound on the preemptions.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p xen-shared-ring --release --test loom`
#![cfg(loom)]

use std::ptr::NonNull;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use loom::thread;
use xen_shared_ring::{BackRing, ByteRing, Consumer, FrontRing, Notify, Producer, Protocol, Region, SharedMem, Slots};

struct Words;

impl Protocol for Words {
    type Request = u32;
    type Response = u32;
}

type Front = FrontRing<Words, Memory, Slots>;
type Back = BackRing<Words, Memory, Slots>;

/// Memory of the model's atomics: the header, and a slot or two.
#[derive(Clone)]
struct Memory(Arc<Owned>);

struct Owned {
    region: SharedMem,
    _words: Box<[AtomicU32]>,
}

// SAFETY: only atomics are behind the pointer of the region.
unsafe impl Sync for Owned {}

// SAFETY: always the same atomics, which live as long as any clone does.
unsafe impl Region for Memory {
    fn memory(&self) -> &SharedMem {
        &self.0.region
    }
}

impl Memory {
    fn new(words: usize) -> Self {
        let atomics: Box<[AtomicU32]> = (0..words).map(|_| AtomicU32::new(0)).collect();
        let start = NonNull::from(&*atomics).cast();
        // SAFETY: the model's atomics, which the value owns together with the region.
        let region = unsafe { SharedMem::new(start, 4 * words) };
        Self(Arc::new(Owned { region, _words: atomics }))
    }
}

/// Both ends of a ring with so many slots, after one message in each direction: nobody is armed any more.
fn ends(slots: u32) -> (Front, Back) {
    let (memory, size) = (Memory::new(16 + slots as usize), Slots::new(slots).unwrap());
    let mut front = Front::init(memory.clone(), size).ok().unwrap();
    let mut back = Back::attach(memory, size).ok().unwrap();
    front.push(1).unwrap();
    assert_eq!(front.publish(), Notify::Needed);
    assert_eq!(back.pop().unwrap().unwrap().into_unverified(), 1);
    back.push(101).unwrap();
    assert_eq!(back.publish(), Notify::Needed);
    assert_eq!(front.pop().unwrap().unwrap().into_unverified(), 101);
    (front, back)
}

/// A back that finds nothing and sleeps is woken for what the front publishes meanwhile.
#[test]
fn m1_no_request_is_left_to_a_sleeping_back() {
    loom::model(|| {
        let (mut front, mut back) = ends(1);
        let publisher = thread::spawn(move || {
            front.push(2).unwrap();
            front.publish()
        });
        let slept = back.pop_or_arm().unwrap().is_none();
        let notify = publisher.join().unwrap();
        assert!(!slept || notify.is_needed(), "a lost wake-up");
    });
}

#[test]
fn m1_no_response_is_left_to_a_sleeping_front() {
    loom::model(|| {
        let (mut front, mut back) = ends(1);
        front.push(2).unwrap();
        let _ = front.publish();
        assert_eq!(back.pop().unwrap().unwrap().into_unverified(), 2);
        let publisher = thread::spawn(move || {
            back.push(102).unwrap();
            back.publish()
        });
        let slept = front.drain_or_arm().unwrap().is_none();
        let notify = publisher.join().unwrap();
        assert!(!slept || notify.is_needed(), "a lost wake-up");
    });
}

/// The second of two publications finds the consumer at any point of its work: whoever sleeps was woken afterwards.
#[test]
fn m1_a_back_that_sleeps_between_two_requests_gets_both() {
    loom::model(|| {
        let (mut front, mut back) = ends(2);
        let event = Arc::new(AtomicBool::new(false));
        let channel = Arc::clone(&event);
        let publisher = thread::spawn(move || {
            for request in [2, 3] {
                front.push(request).unwrap();
                if front.publish().is_needed() {
                    channel.store(true, Relaxed);
                }
            }
        });
        let mut got = 0;
        while back.pop_or_arm().unwrap().is_some() {
            got += 1;
        }
        publisher.join().unwrap();
        assert!(got == 2 || event.load(Relaxed), "asleep with {got} of 2, and no event");
    });
}

/// Who sees an index sees the message before it.
#[test]
fn m2_a_request_is_there_when_its_index_is() {
    loom::model(|| {
        let (mut front, mut back) = ends(2);
        let publisher = thread::spawn(move || {
            for request in [2, 3] {
                front.push(request).unwrap();
                let _ = front.publish();
            }
        });
        let (first, second) = (back.pop().unwrap(), back.pop().unwrap());
        let numbers = [first, second].map(|request| request.map(|request| request.into_unverified()));
        let possible = [[None, None], [None, Some(2)], [Some(2), None], [Some(2), Some(3)]];
        assert!(possible.contains(&numbers), "{numbers:?}");
        publisher.join().unwrap();
    });
}

#[test]
fn m2_a_response_is_there_when_its_index_is() {
    loom::model(|| {
        let (mut front, mut back) = ends(2);
        front.push_all([2, 3]);
        let _ = front.publish();
        assert_eq!(back.drain().unwrap().count(), 2);
        let publisher = thread::spawn(move || {
            back.push_all([102, 103]);
            let _ = back.publish();
        });
        let numbers: Vec<u32> = front.drain().unwrap().map(|response| response.into_unverified()).collect();
        assert!([vec![], vec![102, 103]].contains(&numbers), "{numbers:?}");
        publisher.join().unwrap();
    });
}

/// One slot for everything: each message stays until the other side has taken it.
#[test]
fn m3_a_slot_is_used_again_only_when_its_message_was_taken() {
    loom::model(|| {
        let (mut front, mut back) = ends(1);
        let server = thread::spawn(move || {
            for expected in [2, 3] {
                let request = loop {
                    match back.pop().unwrap() {
                        Some(request) => break request.into_unverified(),
                        None => thread::yield_now(),
                    }
                };
                assert_eq!(request, expected);
                back.push(100 + request).unwrap();
                let _ = back.publish();
            }
        });
        let (mut responses, mut next) = (Vec::new(), 2);
        while responses.len() < 2 {
            if next <= 3 && front.push(next).is_ok() {
                next += 1;
                let _ = front.publish();
            }
            match front.pop().unwrap() {
                Some(response) => responses.push(response.into_unverified()),
                None => thread::yield_now(),
            }
        }
        assert_eq!(responses, [102, 103]);
        server.join().unwrap();
    });
}

/// The bytes of a byte ring, which the reader gives back and the writer uses again.
#[test]
fn m2_m3_bytes_are_there_when_their_index_is_and_stay_until_they_were_read() {
    loom::model(|| {
        let memory = Memory::new(3);
        let ring = || {
            let start: NonNull<AtomicU32> = NonNull::from(&*memory.0._words).cast();
            // SAFETY: the model's atomics, which outlive both ends.
            let part = |start: NonNull<AtomicU32>| unsafe { SharedMem::new(start.cast(), 4) };
            let word = |place: usize| part(NonNull::from(&memory.0._words[place]));
            ByteRing::new(part(start), word(1), word(2)).unwrap()
        };
        let (mut producer, mut consumer) = (Producer::attach(ring()), Consumer::attach(ring()));
        let writer = thread::spawn(move || {
            let mut sent = 0;
            while sent < 2 {
                match producer.write(&[[1, 2, 3, 4], [5, 6, 7, 8]][sent]).unwrap() {
                    0 => thread::yield_now(),
                    count => sent += count / 4,
                }
            }
        });
        for expected in [[1, 2, 3, 4], [5, 6, 7, 8]] {
            let mut copy = [0; 4];
            while consumer.read(&mut copy).unwrap() == 0 {
                thread::yield_now();
            }
            assert_eq!(copy, expected);
        }
        writer.join().unwrap();
    });
}
