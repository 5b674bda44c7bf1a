//! A short storm, and that each rule which is broken on purpose is found by it. `cargo xtask test` has a longer one, in release.

use std::panic::{AssertUnwindSafe, catch_unwind};

use block_tests::{Breakage, Finding, Tally, live};

/// As many seeds as most rules need not even half of, to be found broken.
const SEEDS: u64 = 40;

#[test]
fn nothing_is_found_where_no_rule_is_broken() {
    let mut tally = Tally::default();
    for seed in 0..SEEDS {
        live(seed, Breakage::Nothing, &mut tally).unwrap_or_else(|Finding(what)| panic!("seed {seed}: {what}"));
    }
    assert_eq!(tally.lives, SEEDS);
}

#[test]
fn each_rule_that_is_broken_is_found() {
    for (name, breakage) in Breakage::ALL {
        let is_found = |seed| {
            let mut tally = Tally::default();
            catch_unwind(AssertUnwindSafe(|| live(seed, breakage, &mut tally))).is_ok_and(|lived| lived.is_err())
        };
        assert!((0..SEEDS).any(is_found), "{name}");
    }
}

#[test]
fn a_seed_lives_the_same_life_again() {
    let lives = [7, 7].map(|seed| {
        let mut tally = Tally::default();
        live(seed, Breakage::Nothing, &mut tally).unwrap();
        format!("{tally}")
    });
    assert_eq!(lives[0], lives[1]);
}
