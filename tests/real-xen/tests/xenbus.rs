//! Xenstore, devices and the life cycle, with xenstored, xl and blkback as they are. One boot runs all guests.
//!
//! The figures of `docs/costs.md` are printed: `cargo test -p real-xen-tests --test xenbus -- --nocapture`.

use std::sync::LazyLock;

use real_xen_tests::{expect, failed, guest, in_scenario, outcome_of, succeeded};
use xtask::boot::{self, Ending, GuestSpec, Outcome, Reason};

static OUTCOMES: LazyLock<Vec<Outcome>> = LazyLock::new(|| boot::full(&guests()).expect("the boot can be tried"));

const REBOOT: &str = "
wait_for_line ready
xl reboot \"$name\"
wait_for_line 'asked: Reboot'
wait_for_end";

/// A guest that knows nothing of devices or of the toolstack is asked for what the others do.
const UNHEARD: &str = "
wait_for_line 'type a line'
xl block-attach \"$name\" phy:/dev/ram1,xvda,w
xs_wait \"$(xs_read device/vbd/51712/backend)/hotplug-status\" connected
if wait_for_line vbd/51712 2; then fail 'it noticed the disk'; fi
say plugged yes
xs_write control/shutdown poweroff
wait_for_end 3";

/// One connection, and then the end.
const ONCE: &str = "
wait_for_line ready
xl block-attach \"$name\" phy:/dev/ram1,xvda,w
wait_for_line 'connected after' 30
begun=$(uptime_seconds)
xl block-detach \"$name\" xvda || true
say seconds to detach $(($(uptime_seconds) - begun))
xl shutdown \"$name\"
wait_for_end";

fn guests() -> Vec<GuestSpec> {
    vec![
        in_scenario("xenbus", guest("xenbus", ""), include_str!("../scenarios/xenbus.sh")),
        in_scenario("lifecycle", guest("lifecycle", ""), include_str!("../scenarios/lifecycle.sh")),
        in_scenario("shell", guest("xenstore-shell", ""), include_str!("../scenarios/shell.sh")),
        in_scenario("rebooting", guest("lifecycle", ""), REBOOT),
        in_scenario("devices", guest("devices", ""), include_str!("../scenarios/devices.sh")),
        in_scenario("leaking", guest("devices", "control=leak"), ONCE),
        in_scenario("deaf", guest("devices", "control=deaf"), ONCE),
        in_scenario("unheard", guest("echo", ""), UNHEARD),
        in_scenario("rounds", guest("rounds", ""), include_str!("../scenarios/rounds.sh")),
    ]
}

#[track_caller]
fn outcome(name: &str) -> &'static Outcome {
    outcome_of(&OUTCOMES, name)
}

/// Checks that a guest tells of a check that it holds.
#[track_caller]
fn holds(check: &str) {
    let console = &outcome("xenbus").console;
    assert!(console.lines().any(|line| line.strip_prefix("ok ") == Some(check)), "no `ok {check}` in:\n{console}");
}

/// Prints those of a guest's lines that have this text.
fn show(name: &str, text: &str) {
    outcome(name).console.lines().filter(|line| line.contains(text)).for_each(|line| println!("{name}: {line}"));
}

#[test]
fn all_checks_of_xenstore_hold() {
    let _ = succeeded(outcome("xenbus"));
    expect(outcome("xenbus"), &Ending::Exited(0), &["checks, 0 failed"]);
}

#[test]
fn the_shell_lists_reads_writes_and_watches() {
    let scenario = succeeded(outcome("shell"));
    assert_eq!(scenario.value("written"), Some("some words"));
    expect(outcome("shell"), &Ending::Exited(0), &["data/x is news"]);
}

#[test]
fn what_was_written_is_read_and_errors_are_typed() {
    holds("what was written is read, with typed errors for the rest");
}

#[test]
fn a_watch_fires_for_what_domain_0_writes() {
    holds("a watch fires for what domain 0 writes");
}

#[test]
fn hc_142_a_transaction_that_met_another_one_is_tried_again() {
    holds("hc_142 a transaction that met another one is tried again");
}

#[test]
fn permissions_are_read_and_set() {
    holds("permissions are read and set, and hold");
}

#[test]
fn a_directory_longer_than_a_message_comes_whole() {
    holds("a directory longer than a message comes whole");
}

#[test]
fn a_thousand_requests_in_flight_over_time_lose_none() {
    holds("a thousand requests, as many in flight as there is room for, all come back");
    show("xenbus", "requests per second");
}

#[test]
fn hc_146_more_watches_than_the_quota_are_an_error() {
    holds("hc_146 as many watches as the quota allows, and one more is an error");
}

#[test]
fn a_guest_obeys_poweroff() {
    let _ = succeeded(outcome("lifecycle"));
    expect(outcome("lifecycle"), &Ending::Exited(0), &["asked: PowerOff\n", "going down\n"]);
}

#[test]
fn a_guest_obeys_reboot() {
    let _ = succeeded(outcome("rebooting"));
    expect(outcome("rebooting"), &Ending::ShutDown(Reason::Reboot), &["asked: Reboot\n"]);
}

#[test]
fn a_guest_follows_the_target_of_its_memory_down_and_up() {
    let scenario = succeeded(outcome("lifecycle"));
    assert_eq!((scenario.value("listed"), scenario.value("again")), (Some("12"), Some("16")));
}

#[test]
fn devices_are_seen_to_come_and_go() {
    expect(
        outcome("lifecycle"),
        &Ending::Exited(0),
        &["device device/vbd/51712 came\n", "device device/vbd/51712 went\n"],
    );
}

#[test]
fn sysrq_and_an_unknown_command_are_told() {
    expect(outcome("lifecycle"), &Ending::Exited(0), &["asked: SysRq(104)\n", "asked: Unknown"]);
}

#[test]
fn a_guest_that_does_not_listen_shows_what_the_scenarios_demand() {
    let scenario = failed(outcome("unheard"), "not within 3 s: has_ended");
    assert_eq!(scenario.value("plugged"), Some("yes"), "it failed before: {:?}", scenario.trace);
}

#[test]
fn twenty_rounds_of_save_and_restore_and_clock_watches_and_console_go_on() {
    let rounds = outcome("rounds");
    assert_eq!(succeeded(rounds).value("rounds"), Some("20"));
    let lines: Vec<_> = (1..=20).flat_map(|i| [format!("resumed {i} epoch {i}\n"), format!("poked {i}\n")]).collect();
    expect(rounds, &Ending::Exited(0), &lines.iter().map(String::as_str).collect::<Vec<_>>());
    OUTCOMES.iter().for_each(|outcome| println!("{}: {:.0?}", outcome.name, outcome.elapsed));
}

#[test]
fn a_disk_is_connected_to_blkback_and_closed_ten_times_with_nothing_leaked() {
    let devices = outcome("devices");
    assert_eq!(succeeded(devices).value("rounds"), Some("10"));
    expect(devices, &Ending::Exited(0), &["sectors Ok(Some(131072)), sector-size Ok(Some(512))", "closed: Clean"]);
    assert_eq!(devices.console.matches("has its page back").count(), 11, "{}", devices.console);
    show("devices", "requests to Connected");
}

#[test]
fn a_disk_closes_in_the_time_that_xl_gives() {
    let slowest = seconds_to_detach("devices").max();
    assert!(slowest < Some(10), "{slowest:?}");
    // As long as xl waits before it uses force, where nobody answers.
    let deaf = seconds_to_detach("deaf").max();
    assert!(deaf >= Some(9), "{deaf:?}: {:#?}", outcome("deaf").scenario);
}

#[test]
fn a_disk_that_is_taken_away_by_force_ends_and_its_page_comes_back() {
    let scenario = succeeded(outcome("devices"));
    assert!(scenario.value("forced").is_some_and(|line| line.contains("ended: Vanished")));
}

#[test]
fn a_driver_that_keeps_its_ring_and_its_port_is_found_out() {
    let _ = succeeded(outcome("leaking"));
    expect(outcome("leaking"), &Ending::Exited(1), &["not ok: grants, ports or watches leaked\n"]);
}

fn seconds_to_detach(name: &str) -> impl Iterator<Item = u64> {
    let scenario = outcome(name).scenario.as_ref().expect("it has one");
    let seconds = |line: &String| line.strip_prefix("seconds to detach ")?.parse().ok();
    scenario.said.iter().filter_map(seconds)
}
