//! Random lives of grants, with a peer that maps and unmaps as it likes. The simulator judges each step: a page that is freed or
//! changed hands while somebody uses it, or an entry that is, ends the test.
// Miri takes minutes for these, and finds the same code in the others.
#![cfg(not(any(loom, miri)))]

mod common;

use std::num::{NonZeroU32, NonZeroUsize};

use common::World;
use xen_grant_table::{
    Access, Account, AccountReport, Grant, GrantRun, GrantTable, Limits, Mapping, Memory, PageRun, ReadMapping, Refusal,
};
use xen_hypercall::abi::grant_table::GrantRef;
use xen_sim::Domain;

/// What is going on.
struct Storm {
    world: World,
    random: Random,
    accounts: Vec<Account<Domain>>,
    grants: Vec<Grant<Domain>>,
    rings: Vec<GrantRun<Domain>>,
    mappings: Vec<Mapped>,
    counts: [usize; 4],
}

/// What the peer has mapped, and unmaps when it is dropped.
#[allow(dead_code, reason = "held to be dropped")]
enum Mapped {
    Read(ReadMapping<Domain>),
    Write(Mapping<Domain>),
}

const LIMITS: [Limits; 3] = [
    Limits { guaranteed: 30, most: 60, quarantine: 6 },
    Limits { guaranteed: 0, most: 300, quarantine: 20 },
    Limits { guaranteed: 100, most: 100, quarantine: 3 },
];

#[test]
fn storm_of_grants() {
    let seed = variable("DOMU_SEED", 42);
    let steps = variable("DOMU_STORM_STEPS", 4_000);
    println!("seed {seed}, {steps} steps");
    let mut storm = Storm::new(seed);
    for step in 0..steps {
        storm.step();
        storm.check(&format!("seed {seed}, step {step}"));
    }
    println!("granted, refused, still mapped, reaped: {:?}", storm.counts);
    assert!(storm.counts.iter().all(|count| *count > 0) || steps < 1000, "seed {seed}: everything happens");
    storm.end(&format!("seed {seed}"));
}

impl Storm {
    fn new(seed: u64) -> Self {
        let world = World::with_frames(1);
        let (accounts, grants, rings, mappings) = Default::default();
        Self { world, random: Random(seed), accounts, grants, rings, mappings, counts: [0; 4] }
    }

    fn step(&mut self) {
        match self.random.below(20) {
            0 => self.open_or_close(),
            1..=5 => self.grant(),
            6 => self.grant_ring(),
            7 => self.reserve(),
            8..=12 => self.map(),
            13..=14 => drop(self.random.take(&mut self.mappings)),
            15..=17 => self.revoke(),
            18 => drop((self.random.take(&mut self.grants), self.random.take(&mut self.rings))),
            _ => self.counts[3] += GrantTable::reap(&self.world.front, 5).freed as usize,
        }
    }

    fn open_or_close(&mut self) {
        if self.accounts.len() < LIMITS.len() {
            let limits = LIMITS[self.accounts.len()];
            self.accounts.extend(Account::open(self.world.front.clone(), self.world.back.id(), limits));
        } else {
            self.random.take(&mut self.accounts);
        }
    }

    fn account(&mut self) -> Option<usize> {
        (!self.accounts.is_empty()).then(|| self.random.below(self.accounts.len()))
    }

    const fn access(&mut self) -> Access {
        if self.random.below(2) == 0 { Access::ReadOnly } else { Access::ReadWrite }
    }

    fn grant(&mut self) {
        let Some(account) = self.account() else { return };
        let access = self.access();
        match self.world.page().grant(&self.accounts[account], access) {
            Ok(grant) => {
                self.grants.push(grant);
                self.counts[0] += 1;
            }
            Err(refused) => self.refused(refused.reason),
        }
    }

    fn grant_ring(&mut self) {
        let Some(account) = self.account() else { return };
        let pages = NonZeroUsize::new(1 + self.random.below(16)).unwrap();
        let run = PageRun::alloc(self.world.front.clone(), pages).unwrap();
        match run.grant(&self.accounts[account], Access::ReadWrite) {
            Ok(ring) => self.rings.push(ring),
            Err(refused) => self.refused(refused.reason),
        }
    }

    fn reserve(&mut self) {
        let Some(account) = self.account() else { return };
        let count = NonZeroU32::new(1 + self.random.below(40) as u32).unwrap();
        let Ok(mut reserved) = self.accounts[account].reserve(count) else { return };
        for _ in 0..self.random.below(reserved.len() + 1) {
            self.grants.push(reserved.grant(self.world.page(), Access::ReadWrite).expect("it is in hand"));
        }
    }

    fn refused(&mut self, reason: Refusal) {
        assert!(matches!(reason, Refusal::NoGrants | Refusal::QuarantineFull), "{reason}");
        self.counts[1] += 1;
    }

    /// The peer maps what it was told, or guesses.
    fn map(&mut self) {
        let gref = match self.random.below(4) {
            0 => GrantRef(self.random.below(600) as u32),
            1 => self.rings.first().map_or(GrantRef(9), |ring| ring.grefs()[0]),
            _ if self.grants.is_empty() => return,
            _ => self.grants[self.random.below(self.grants.len())].gref(),
        };
        let (back, front) = (self.world.back.clone(), self.world.front.id());
        self.mappings.extend(match self.random.below(2) {
            0 => ReadMapping::map(back, front, &[gref]).ok().map(Mapped::Read),
            _ => Mapping::map(back, front, &[gref]).ok().map(Mapped::Write),
        });
    }

    fn revoke(&mut self) {
        if let Some(grant) = self.random.take(&mut self.grants)
            && let Err(refused) = grant.revoke()
        {
            self.counts[2] += 1;
            self.grants.push(refused.into_grant());
        }
        if let Some(ring) = self.random.take(&mut self.rings)
            && let Err(refused) = ring.revoke()
        {
            self.rings.push(refused.into_grant());
        }
    }

    /// What the accounts say is what there is.
    fn check(&self, at: &str) {
        let table = self.world.front.grant_table();
        let numbers = table.statistics();
        let held: u32 = table.accounts().map(|account| account.held + account.quarantined).sum();
        let kept: u32 = table.accounts().map(|account| account.inherited + account.guaranteed.max(own(&account))).sum();
        let quarantined: u32 = table.accounts().map(|account| account.quarantined).sum();
        let all = if numbers.frames == 0 { 0 } else { 504 };
        assert_eq!(numbers.free + held, all, "{at}: references");
        assert_eq!(numbers.common + kept, all, "{at}: guarantees");
        assert_eq!(numbers.quarantined, quarantined, "{at}: quarantine");
    }

    /// Everybody lets go.
    fn end(mut self, at: &str) {
        self.accounts.clear();
        self.grants.clear();
        self.rings.clear();
        self.mappings.clear();
        self.world.reap();
        let numbers = self.world.statistics();
        assert_eq!((numbers.free, numbers.common, numbers.quarantined), (504, 504, 0), "{at}: all is back");
    }
}

/// What an account uses of its guarantee.
const fn own(account: &AccountReport) -> u32 {
    account.held + account.quarantined - account.inherited
}

/// Numbers by chance, the same for the same seed (splitmix64).
struct Random(u64);

impl Random {
    const fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }

    fn take<T>(&mut self, from: &mut Vec<T>) -> Option<T> {
        (!from.is_empty()).then(|| from.swap_remove(self.below(from.len())))
    }
}

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}
