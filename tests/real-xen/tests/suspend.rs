//! Guests that are saved to a file and restored. One boot runs them all.

use std::sync::LazyLock;
use std::time::Duration;

use real_xen_tests::{expect, guest, succeeded};
use xtask::boot::{self, Ending, GuestSpec, Outcome};

static OUTCOMES: LazyLock<Vec<Outcome>> = LazyLock::new(|| boot::full(&guests()).expect("the boot can be tried"));

fn guests() -> Vec<GuestSpec> {
    let saved = |name: &str, arguments, memory| GuestSpec {
        name: name.to_owned(),
        memory,
        timeout: Duration::from_secs(180),
        scenario: Some(include_str!("../scenarios/suspend.sh").to_owned()),
        ..guest("suspend", arguments)
    };
    vec![
        saved("plain", "times=3 cancelled=1", 16),
        saved("other", "times=3 cancelled=1 balloon=1500 grants=v2 events=fifo", 16),
        saved("small", "times=1", 4),
        saved("large", "times=1", 64),
    ]
}

#[track_caller]
fn came_through(name: &str) -> &'static Outcome {
    let outcome = OUTCOMES.iter().find(|outcome| outcome.name == name).expect("the guest was run");
    expect(outcome, &Ending::Exited(0), &["resumed, 1 of"]);
    let _ = succeeded(outcome);
    outcome
}

#[test]
fn fault_07_fault_08_a_guest_is_saved_restored_and_let_go_on() {
    let scenario = succeeded(came_through("plain"));
    assert_eq!(scenario.said, ["resumed, 1 of 3", "called off, 2 of 3", "resumed, 3 of 3"]);
}

#[test]
fn fault_17_with_a_balloon_and_the_other_forms_of_events_and_grants() {
    let _ = came_through("other");
}

#[test]
fn with_little_memory_and_with_more() {
    let _ = came_through("small");
    let _ = came_through("large");
}

#[test]
fn fault_21_the_clock_stands_still_meanwhile() {
    let console = &came_through("plain").console;
    let milliseconds = |line: &str| line.strip_prefix("the clock stood still for ")?.strip_suffix(" ms")?.parse().ok();
    let still: Vec<u64> = console.lines().filter_map(milliseconds).collect();
    // A save and a restore take a second; a suspend that is called off does not stop the clock.
    assert!(matches!(still[..], [100..=u64::MAX, 0..=50, 100..=u64::MAX]), "{still:?}");
}
