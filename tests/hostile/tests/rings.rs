//! A short storm in each test run; `ring-storm` runs the long ones.

use hostile_tests::{Tally, storm};

#[test]
fn storm_of_both_ends_of_a_ring() {
    let (steps, seed) =
        (number("DOMU_STORM_STEPS", if cfg!(miri) { 2_000 } else { 1_000_000 }), number("DOMU_SEED", 6));
    println!("{steps} steps, seed {seed}");
    let mut tally = Tally::default();
    storm::run(seed, steps, &mut tally).unwrap_or_else(|finding| panic!("seed {seed}: {finding}"));
    println!("{tally}");
    assert!(steps < 1_000_000 || tally.least() > 0, "seed {seed} never met something: {tally}");
}

fn number(variable: &str, default: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {text}")))
}
