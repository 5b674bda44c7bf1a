//! Models of the orderings, run by loom over the crate's own source files.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p xen-grant-table --release --test loom`
#![cfg(loom)]
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    missing_docs,
    reason = "the files are those of the library, which uses all of them"
)]

#[path = "../src/entry.rs"]
mod entry;
#[path = "../src/order.rs"]
mod order;
#[path = "../src/references.rs"]
mod references;
#[path = "../src/slot.rs"]
mod slot;
#[path = "../src/sync.rs"]
mod sync;

use entry::{EntryV1, EntryV2};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, AtomicU64, Ordering, fence};
use loom::thread;
use references::{References, Taken};
use slot::{Limits, Slot};
use xen_hypercall::abi::DomId;
use xen_hypercall::abi::grant_table::GrantFlags;

const PEER: DomId = DomId(7);
const WRITABLE: u16 = GrantFlags::PERMIT_ACCESS.bits();
const READABLE: u16 = WRITABLE | GrantFlags::READONLY.bits();
const READING: u16 = GrantFlags::READING.bits();
const IN_USE: u16 = READING | GrantFlags::WRITING.bits();
/// The frames that are granted: the first for writing, then the second for reading.
const FRAMES: [u32; 2] = [10, 11];

fn check(model: impl Fn() + Sync + Send + 'static) {
    check_with(4, model);
}

/// With so many preemptions, unless told otherwise.
fn check_with(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.check(model);
}

/// Two pages, which only one domain uses at a time.
struct Memory([UnsafeCell<u32>; 2]);

// SAFETY: loom checks each access to the cells.
unsafe impl Sync for Memory {}

impl Memory {
    fn new() -> Self {
        Self([UnsafeCell::new(0), UnsafeCell::new(0)])
    }

    /// Uses the page for writing, alone.
    fn write(&self, frame: u32) {
        self.0[(frame - FRAMES[0]) as usize].with_mut(|page| {
            // SAFETY: loom fails the model if anybody else uses the page.
            unsafe { *page += 1 };
        });
    }
}

fn blank_v1() -> EntryV1 {
    EntryV1 { flags: AtomicU16::new(0), domid: AtomicU16::new(0), frame: AtomicU32::new(0) }
}

fn blank_v2() -> EntryV2 {
    EntryV2 { flags: AtomicU16::new(0), domid: AtomicU16::new(0), _pad0: 0, frame: AtomicU64::new(0) }
}

/// What the flags that Xen met say about the frame.
fn frame_of(flags: u16) -> u32 {
    FRAMES[usize::from(flags & GrantFlags::READONLY.bits() != 0)]
}

/// Xen maps by one compare-exchange, the peer uses the page, Xen unmaps.
fn xen_v1(entry: &EntryV1, memory: &Memory) {
    let flags = entry.flags.load(Ordering::Acquire);
    let pinned = flags | IN_USE;
    if flags == 0 || entry.flags.compare_exchange(flags, pinned, Ordering::AcqRel, Ordering::Relaxed).is_err() {
        return;
    }
    assert_eq!(entry.domid.load(Ordering::Relaxed), PEER.0);
    assert_eq!(entry.frame.load(Ordering::Relaxed), frame_of(flags), "the frame is that of the flags");
    memory.write(frame_of(flags));
    entry.flags.fetch_and(!IN_USE, Ordering::Release);
}

#[test]
fn m7_revoke_v1_against_map() {
    check(|| {
        let shared = Arc::new((blank_v1(), Memory::new()));
        let xen = {
            let shared = shared.clone();
            thread::spawn(move || xen_v1(&shared.0, &shared.1))
        };
        let (entry, memory) = &*shared;
        memory.write(FRAMES[0]);
        entry.permit(PEER, FRAMES[0], WRITABLE);
        if entry.withdraw(WRITABLE).is_ok() {
            memory.write(FRAMES[0]);
            memory.write(FRAMES[1]);
            entry.permit(PEER, FRAMES[1], READABLE);
        }
        xen.join().unwrap();
    });
}

/// Xen says in the status that it maps, looks at the flags once more, and reads the frame then.
fn xen_v2(entry: &EntryV2, status: &AtomicU16, memory: &Memory) {
    let flags = entry.flags.load(Ordering::Acquire);
    if flags == 0 {
        return;
    }
    status.fetch_or(IN_USE, Ordering::AcqRel);
    fence(Ordering::SeqCst);
    if entry.flags.load(Ordering::Acquire) == flags {
        assert_eq!(entry.frame.load(Ordering::Relaxed) as u32, frame_of(flags), "the frame is that of the flags");
        memory.write(frame_of(flags));
    }
    status.fetch_and(!IN_USE, Ordering::Release);
}

#[test]
fn m7_revoke_v2_against_map() {
    check(|| {
        let shared = Arc::new((blank_v2(), AtomicU16::new(0), Memory::new()));
        let xen = {
            let shared = shared.clone();
            thread::spawn(move || xen_v2(&shared.0, &shared.1, &shared.2))
        };
        let (entry, status, memory) = &*shared;
        memory.write(FRAMES[0]);
        entry.permit(PEER, FRAMES[0].into(), WRITABLE);
        if entry.withdraw(status).is_ok() {
            memory.write(FRAMES[0]);
            memory.write(FRAMES[1]);
            entry.permit(PEER, FRAMES[1].into(), READABLE);
        }
        xen.join().unwrap();
    });
}

const LIMITS: Limits = Limits { guaranteed: 1, most: 2, quarantine: 1 };

/// A pool of two references, and an account with a guarantee of one for each CPU.
struct Pool {
    references: References<1>,
    common: AtomicU32,
    accounts: [Slot; 2],
    entries: [UnsafeCell<u32>; 2],
}

// SAFETY: loom checks each access to the cells.
unsafe impl Sync for Pool {}

impl Pool {
    fn new(free: u32) -> Self {
        let pool = Self {
            references: References::new(),
            common: AtomicU32::new(free),
            accounts: [Slot::new(), Slot::new()],
            entries: [UnsafeCell::new(0), UnsafeCell::new(0)],
        };
        pool.references.add(Taken { word: 0, bits: (1 << free) - 1 });
        pool
    }

    /// Takes a reference, uses its entry alone, and gives it back.
    fn cycle(&self, account: &Slot) {
        let mut taken = self.references.take(|| 1, 1).expect("who was charged for a reference finds one");
        let put = taken;
        let reference = taken.pop().unwrap();
        self.entries[reference as usize].with_mut(|entry| {
            // SAFETY: loom fails the model if anybody else uses the entry.
            unsafe { *entry += 1 };
        });
        self.references.put(put);
        account.repay(1, &self.common);
    }
}

#[test]
fn m12_two_cpus_with_guarantees() {
    check(|| {
        let pool = Arc::new(Pool::new(2));
        for account in &pool.accounts {
            assert!(account.occupy(PEER) && account.guarantee(1, &pool.common));
        }
        let run = |pool: &Pool, cpu: usize| {
            let account = &pool.accounts[cpu];
            assert_eq!(account.charge(1, &LIMITS, &pool.common), Ok(1));
            pool.cycle(account);
        };
        let other = {
            let pool = pool.clone();
            thread::spawn(move || run(&pool, 1))
        };
        run(&pool, 0);
        other.join().unwrap();
        assert_eq!(pool.references.count(), 2);
        assert_eq!(pool.common.load(Ordering::Relaxed), 0);
    });
}

/// Two words with one reference in each, and each CPU has one for certain. What the other one has put back is never missed,
/// though it is in a word that the search has passed, or rests.
#[test]
fn m12_none_to_spare_in_two_words() {
    check_with(3, || {
        let references = Arc::new(References::<2>::new());
        (0..2).for_each(|word| references.add(Taken { word, bits: 1 }));
        let run = |references: &References<2>| {
            for _ in 0..2 {
                references.put(references.take(|| 2, 1).expect("one is always free"));
            }
        };
        let other = {
            let references = references.clone();
            thread::spawn(move || run(&references))
        };
        run(&references);
        other.join().unwrap();
        assert_eq!(references.count(), 2);
    });
}

/// One account goes while another one moves into its place: the numbers stay right.
#[test]
fn m12_a_place_changes_hands() {
    check(|| {
        let shared = Arc::new((Slot::new(), AtomicU32::new(1)));
        assert!(shared.0.occupy(PEER) && shared.0.guarantee(1, &shared.1));
        let other = {
            let shared = shared.clone();
            thread::spawn(move || {
                if shared.0.occupy(DomId(8)) && shared.0.guarantee(1, &shared.1) {
                    assert_eq!(shared.0.usage().guaranteed, 1);
                }
            })
        };
        shared.0.vacate(&shared.1);
        other.join().unwrap();
        let guaranteed = shared.0.usage().guaranteed;
        assert_eq!(shared.1.load(Ordering::Relaxed) + guaranteed, 1);
    });
}

/// What an account did to its place happened before another one does anything to it.
#[test]
fn m12_a_place_is_left_before_it_is_taken() {
    check(|| {
        let shared = Arc::new((AtomicU32::new(1), Memory::new()));
        let next = {
            let shared = shared.clone();
            thread::spawn(move || {
                if order::occupy(&shared.0, 0, 1) {
                    shared.1.write(FRAMES[0]);
                }
            })
        };
        shared.1.write(FRAMES[0]);
        order::vacate(&shared.0, 0);
        next.join().unwrap();
    });
}

/// A page that is reaped while its account takes a reference: each is counted once.
#[test]
fn m12_reaping_while_taking() {
    check(|| {
        let shared = Arc::new((Slot::new(), AtomicU32::new(3)));
        let (slot, common) = &*shared;
        assert!(slot.occupy(PEER) && slot.charge(1, &LIMITS, common) == Ok(1));
        slot.quarantined();
        slot.vacate(common);
        assert!(slot.occupy(PEER) && slot.guarantee(1, common));
        let other = {
            let shared = shared.clone();
            thread::spawn(move || shared.0.reaped(&shared.1))
        };
        let limits = Limits { quarantine: 2, ..LIMITS };
        assert_eq!(slot.charge(2, &limits, common), Ok(2));
        slot.repay(2, common);
        other.join().unwrap();
        assert_eq!((common.load(Ordering::Relaxed), slot.usage().used), (2, 0));
    });
}

/// One reference for two: who is charged for it finds it, with the entry as the other one left it.
#[test]
fn m12_two_cpus_and_one_reference() {
    check(|| {
        let pool = Arc::new(Pool::new(1));
        for account in &pool.accounts {
            assert!(account.occupy(PEER));
        }
        let run = |pool: &Pool, cpu: usize| {
            let account = &pool.accounts[cpu];
            for _ in 0..2 {
                if account.charge(1, &LIMITS, &pool.common).is_ok() {
                    pool.cycle(account);
                }
            }
        };
        let other = {
            let pool = pool.clone();
            thread::spawn(move || run(&pool, 1))
        };
        run(&pool, 0);
        other.join().unwrap();
        assert_eq!(pool.references.count(), 1);
        assert_eq!(pool.common.load(Ordering::Relaxed), 1);
    });
}

/// Both CPUs use the same account, which has a guarantee of one.
#[test]
fn m12_two_cpus_and_one_account() {
    check(|| {
        let pool = Arc::new(Pool::new(1));
        assert!(pool.accounts[0].occupy(PEER) && pool.accounts[0].guarantee(1, &pool.common));
        let run = |pool: &Pool| {
            let account = &pool.accounts[0];
            for _ in 0..2 {
                if account.charge(1, &LIMITS, &pool.common).is_ok() {
                    pool.cycle(account);
                }
            }
        };
        let other = {
            let pool = pool.clone();
            thread::spawn(move || run(&pool))
        };
        run(&pool);
        other.join().unwrap();
        assert_eq!(pool.references.count(), 1);
        assert_eq!(pool.accounts[0].usage().used, 0);
    });
}

/// One CPU puts a page in quarantine, the other one reaps.
#[test]
fn m12_quarantine_hands_over() {
    check(|| {
        let shared = Arc::new((AtomicU64::new(0), Memory::new()));
        let reaper = {
            let shared = shared.clone();
            thread::spawn(move || {
                if order::claim(&shared.0, 1) {
                    shared.1.write(FRAMES[0]);
                }
            })
        };
        shared.1.write(FRAMES[0]);
        order::quarantine(&shared.0, 1);
        if order::claim(&shared.0, 1) {
            shared.1.write(FRAMES[0]);
        }
        reaper.join().unwrap();
    });
}

/// Only one CPU changes the table's size, and it sees what the one before it did.
#[test]
fn m12_growth_is_one_at_a_time() {
    check(|| {
        let shared = Arc::new((AtomicBool::new(false), Memory::new()));
        let grow = |shared: &(AtomicBool, Memory)| {
            if order::try_lock(&shared.0) {
                shared.1.write(FRAMES[0]);
                order::unlock(&shared.0);
            }
        };
        let other = {
            let shared = shared.clone();
            thread::spawn(move || grow(&shared))
        };
        grow(&shared);
        other.join().unwrap();
    });
}
