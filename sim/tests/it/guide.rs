//! The page for guest authors: its scenarios run with many seeds, and it shows what is run.

use crate::scenarios;

/// How many seeds each scenario gets.
const SEEDS: u64 = if cfg!(miri) { 1 } else { 10 };

fn run(scenario: scenarios::Scenario) -> Vec<usize> {
    (0..SEEDS).map(scenario).collect()
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn an_honest_back_squares() {
    run(scenarios::honest);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn lost_and_late_events_cost_time_only() {
    run(scenarios::lossy);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn a_hostile_back_does_no_harm() {
    run(scenarios::hostile);
}

#[test]
fn a_lack_of_ports_is_an_error() {
    run(scenarios::exhausted);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn a_seed_replays() {
    for (_, scenario) in scenarios::ALL {
        assert_eq!(run(scenario), run(scenario));
    }
}

/// Each block of Rust on the page stands in the example, but for its indentation.
#[test]
#[cfg_attr(miri, ignore = "reads a file")]
fn the_page_shows_what_is_run() {
    let page = include_str!("../../../docs/simulator.md");
    let sources = concat!(
        include_str!("../../examples/squares/driver.rs"),
        include_str!("../../examples/squares/scenarios.rs"),
        include_str!("xenstore_page.rs"),
        include_str!("blkback_page.rs"),
        include_str!("netback_page.rs")
    );
    let blocks: Vec<&str> = page.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 5, "the page has its code");
    for block in blocks {
        assert!(flat(sources).contains(&flat(block)), "not in the example:\n{block}");
    }
}

fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
