//! What scenarios can do, tried with guests that know nothing of it. One boot runs them all.

use std::sync::LazyLock;
use std::time::Duration;

use real_xen_tests::{expect, failed, fetch_in_background, guest, in_scenario, outcome_of, succeeded};
use xtask::boot::{self, Ending, GuestSpec, Outcome, Reason};
use xtask::linux::{self, Init};
use xtask::network::{Forward, Network};
use xtask::progress::Progress;

static OUTCOMES: LazyLock<(Vec<Outcome>, Option<String>)> = LazyLock::new(|| {
    let forward = Forward::to_tcp(80).expect("a port is free");
    let page = fetch_in_background(forward.host, "/", Duration::from_secs(480));
    let outcomes = boot::full(&guests(forward)).expect("the boot can be tried");
    // If there is none by now, the guest has failed.
    let page = page.is_finished().then(|| page.join().expect("it does not panic"));
    (outcomes, page.flatten())
});

/// Waits for its first word, as some guests are destroyed before they say it.
const READY: &str = "wait_for_line 'type a line'\n";

/// Looks for a line that was there before.
const SKIPPING: &str = "
wait_until 20 grep -q 'type a line' $log
skip_lines
wait_for_line 'type a line' 2";

/// What the Linux of the scenario `network` does.
const LINUX: &str = include_str!("../scenarios/network-guest.sh");

fn guests(forward: Forward) -> Vec<GuestSpec> {
    vec![
        linux(forward),
        with("typing", guest("echo", ""), include_str!("../scenarios/typing.sh")),
        with("destroying", guest("echo", ""), &format!("{READY} xl destroy $name\n guest_state")),
        with("failing", guest("echo", ""), &format!("{READY} echo before\n echo why >&2\n grep x /none\n echo after")),
        with("waiting", guest("echo", ""), &format!("{READY} wait_for_line 'type a line' 2")),
        with("skipping", guest("echo", ""), SKIPPING),
        with("ended", guest("misbehave", "exit"), "wait_for_line 'never said' 60"),
        with("rebooting", guest("misbehave", "reboot"), "wait_for_end\n say it has $(guest_state)"),
        with("leaving", guest("hello", ""), "sleep 1000 &\n wait_for_end"),
        with("store", guest("echo", ""), include_str!("../scenarios/store.sh")),
        with("memory", guest("echo", ""), include_str!("../scenarios/memory.sh")),
        with("disk", guest("echo", ""), include_str!("../scenarios/disk.sh")),
        in_scenario("vif", guest("echo", ""), include_str!("../scenarios/vif.sh")),
        with("refused", GuestSpec { config: vec!["disk = [".into()], ..guest("hello", "") }, "say never"),
        // The last one, as it takes the boot with it.
        GuestSpec { timeout: Duration::from_secs(8), ..with("endless", guest("echo", ""), "say begun\n sleep 1000") },
    ]
}

fn linux(forward: Forward) -> GuestSpec {
    let linux = linux::guest("linux", Init::Script(LINUX), &["xen-netfront"], &Progress::quiet());
    let network = Some(Network { forwards: vec![forward], ..Network::default() });
    let scenario = format!("port={}\n{}", forward.host, include_str!("../scenarios/network.sh"));
    in_scenario("network", GuestSpec { network, ..linux.expect("Linux can be fetched") }, &scenario)
}

fn with(name: &str, guest: GuestSpec, scenario: &str) -> GuestSpec {
    GuestSpec { name: name.to_owned(), scenario: Some(scenario.to_owned()), ..guest }
}

#[track_caller]
fn outcome(name: &str) -> &'static Outcome {
    outcome_of(&OUTCOMES.0, name)
}

#[test]
fn a_scenario_waits_for_lines_types_and_speaks() {
    let typing = outcome("typing");
    assert_eq!(succeeded(typing).said, ["answer one line"]);
    expect(typing, &Ending::Exited(0), &["you typed 8 bytes:\none line\n", "you typed 3 bytes:\nend\n"]);
}

#[test]
fn a_guest_that_a_scenario_destroys_was_killed() {
    assert_eq!(succeeded(outcome("destroying")).said, ["gone"]);
    expect(outcome("destroying"), &Ending::Killed, &[]);
}

#[test]
fn a_scenario_ends_at_the_first_command_that_fails_and_its_guest_with_it() {
    let scenario = failed(outcome("failing"), "+ echo why\nwhy\n+ grep x /none\n");
    assert_eq!((&scenario.said[..], scenario.status), (&["before".to_owned()][..], Some(2)));
    assert_eq!(outcome("failing").ending, Ending::Killed);
    assert_eq!(outcome("failing").exit_status(), 103);
}

#[test]
fn a_wait_ends_at_its_limit_and_at_the_guests_end() {
    // The line is there, but a wait before has found it.
    let _ = failed(outcome("waiting"), "no line \"type a line\" within 2 s");
    let _ = failed(outcome("ended"), "no line \"never said\" within 60 s; the guest: ended 0");
    // What the guest did is not lost.
    assert_eq!(outcome("ended").ending, Ending::Exited(42));
    assert!(outcome("ended").elapsed < Duration::from_secs(45), "{:?}", outcome("ended").elapsed);
}

#[test]
fn skipped_lines_are_not_found() {
    let _ = failed(outcome("skipping"), "no line \"type a line\" within 2 s; the guest: running");
}

#[test]
fn the_reason_of_the_end_is_known_to_both_sides() {
    assert_eq!(succeeded(outcome("rebooting")).said, ["it has ended 1"]);
    expect(outcome("rebooting"), &Ending::ShutDown(Reason::Reboot), &[]);
}

#[test]
fn what_a_scenario_leaves_behind_keeps_nobody() {
    let _ = succeeded(outcome("leaving"));
    expect(outcome("leaving"), &Ending::Exited(0), &["Hello from Xen!\n"]);
    assert!(outcome("leaving").elapsed < Duration::from_secs(60));
}

#[test]
fn a_scenario_without_an_end_is_told_as_far_as_it_came() {
    let scenario = failed(outcome("endless"), "+ sleep 1000");
    assert_eq!((&scenario.said[..], scenario.status), (&["begun".to_owned()][..], None));
    assert!(matches!(outcome("endless").ending, Ending::TimedOut(_)));
}

#[test]
fn a_guest_that_xl_refuses_has_no_scenario() {
    assert!(matches!(outcome("refused").ending, Ending::NotStarted(_)), "{:?}", outcome("refused").ending);
    assert_eq!(outcome("refused").scenario, None);
}

#[test]
fn xenstore_can_be_read_and_written_beside_the_guest() {
    let scenario = succeeded(outcome("store"));
    assert_eq!(scenario.value("read"), Some("a value"));
    assert_eq!(scenario.value("children"), Some("200"));
    let bytes = scenario.value("bytes").and_then(|bytes| bytes.parse().ok());
    assert!(bytes > Some(4096), "{bytes:?} bytes of names fit in one answer");
    assert_eq!(scenario.value("permissions"), Some("(n,r0)"));
}

#[test]
fn the_target_of_a_guests_memory_can_be_set() {
    let scenario = succeeded(outcome("memory"));
    assert_eq!(scenario.value("target"), Some("12288"));
    // It has no balloon.
    assert_eq!(scenario.value("listed"), Some("16"));
}

#[test]
fn disks_can_be_attached_and_taken_away() {
    let scenario = succeeded(outcome("disk"));
    assert_eq!(scenario.value("device"), Some("1:1"));
    assert_eq!(scenario.value("waiting"), Some("2"), "the back-end waits for the front-end (XenbusStateInitWait)");
}

#[test]
fn a_linux_guest_is_reached_through_its_network_interface() {
    let outcome = outcome("network");
    let scenario = succeeded(outcome);
    assert_eq!(outcome.ending, Ending::Killed);
    assert!(scenario.value("small").is_some() && scenario.value("large").is_some(), "{:?}", scenario.said);
    assert_eq!(scenario.value("received"), Some("some words"));
    let dhcp = scenario.value("dhcp").unwrap_or_default();
    assert!(dhcp.contains("lease of 10.0.0.15 obtained from 10.0.0.2"), "{dhcp}");
    // Each in one packet, where those of the usual size would be 35. ARP may have had its word.
    let packets = scenario.value("packets").and_then(|packets| packets.parse().ok());
    assert!(packets.is_some_and(|packets: u32| (5..15).contains(&packets)), "{packets:?}");
    assert_eq!(scenario.value("unwanted"), Some("1000"));
    // Of one queue, a transmit and a receive ring.
    assert_eq!(scenario.value("rings"), Some("2"));
}

#[test]
fn a_page_of_the_guests_comes_through_a_forwarded_port() {
    let _ = succeeded(outcome("network"));
    let page = OUTCOMES.1.as_deref().expect("the port of this machine led to the guest");
    assert!(page.starts_with("HTTP/1.1 200 OK") && page.ends_with("a page of the guest\n"), "{page}");
}

#[test]
fn network_interfaces_can_be_attached_and_taken_away() {
    let scenario = succeeded(outcome("network"));
    assert_eq!(scenario.value("second"), Some("00:16:3e:00:00:10 of 0 1"));
    assert_eq!(scenario.value("left"), Some("0"));
}

#[test]
fn a_guest_without_a_driver_can_have_interfaces() {
    let scenario = succeeded(outcome("vif"));
    assert_eq!(scenario.value("waiting"), Some("2"), "the back-end waits for the front-end (XenbusStateInitWait)");
    assert_eq!(scenario.value("mtu"), Some("9000"));
    assert_eq!(scenario.value("queues"), Some("4"));
    assert_eq!(scenario.value("fewer"), Some("2"));
    assert_eq!(scenario.value("reloaded"), Some("1 0"));
}
