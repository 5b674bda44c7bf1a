//! Guests that xl starts as domUs under a Linux dom0. One boot runs them all.

use std::sync::LazyLock;
use std::time::Duration;

use real_xen_tests::{died_in_guard_page, expect, expect_crash, guest, in_scenario, outcome_of, succeeded};
use xtask::boot::{self, Ending, GuestSpec, Input, Outcome, Reason};
use xtask::network::Network;

/// Pings the kernel that brings its own everything.
const PING: &str = include_str!("../../../examples/bring-your-own-kernel/own.sh");

static OUTCOMES: LazyLock<Vec<Outcome>> = LazyLock::new(|| boot::full(&guests()).expect("the boot can be tried"));

fn guests() -> Vec<GuestSpec> {
    let smallest = GuestSpec { name: "smallest".to_owned(), memory: 4, ..guest("hello", "") };
    let typed = GuestSpec { input: Input::Bytes(b"one line\nend\n".to_vec()), ..guest("echo", "") };
    let hanging = GuestSpec { timeout: Duration::from_secs(5), ..guest("misbehave", "hang") };
    let much = GuestSpec { name: "much".to_owned(), memory: 600, ..guest("selftest", "key=value=1 flag") };
    let ways = ["exit", "panic", "null", "overflow", "poweroff", "reboot", "crash", "flood", "watchdog"];
    let mut guests = vec![guest("hello", ""), smallest, guest("tour", "a b=c"), typed, hanging, much];
    guests.push(guest("selftest", "key=value=1 flag"));
    guests.push(guest("balloon", ""));
    guests.extend(ways.map(|how| guest("misbehave", how)));
    guests.extend(own_kernels());
    guests.push(first_steps());
    guests
}

/// What the book builds up.
fn first_steps() -> GuestSpec {
    let config = vec![r#"disk = ["phy:/dev/ram2,xvda,w"]"#.to_owned()];
    let guest = GuestSpec { network: Some(Network::default()), config, ..guest("first-steps", "") };
    in_scenario("first-steps", guest, include_str!("../../../examples/src/bin/first-steps.sh"))
}

/// A kernel without the runtime: first with no devices, while a disk is filled, then with that disk and an interface.
fn own_kernels() -> [GuestSpec; 2] {
    let own = || guest("bring-your-own-kernel", "");
    let fill = "printf 'a sector of the disk' | dd of=/dev/ram1 conv=notrunc\nwait_for_end";
    let config = vec![r#"disk = ["phy:/dev/ram1,xvda,r"]"#.to_owned()];
    let with_devices = GuestSpec { network: Some(Network::default()), config, ..own() };
    // `ping` takes answers with wrong checksums; Linux counts them.
    let ping = format!("{PING}say \"errors $(awk '/^Icmp: [0-9]/ {{ print $3 + $4 }}' /proc/net/snmp)\"");
    [in_scenario("own-alone", own(), fill), in_scenario("own", with_devices, &ping)]
}

#[track_caller]
fn outcome(name: &str) -> &'static Outcome {
    outcome_of(&OUTCOMES, name)
}

#[test]
fn hello_greets_through_the_console_ring_and_exits() {
    expect(outcome("hello"), &Ending::Exited(0), &["Hello from Xen!\n"]);
}

#[test]
fn hello_boots_with_4_mib() {
    expect(outcome("smallest"), &Ending::Exited(0), &["Hello from Xen!\n"]);
}

#[test]
fn tour_tells_what_it_learns() {
    let tour = outcome("tour-a-b-c");
    let texts = [
        "command line  \"a b=c\"",
        "console       a ring",
        "xenstore      a ring",
        "memory        16384 KiB",
        ": came",
    ];
    expect(tour, &Ending::Exited(0), &texts);
    let domain = tour.console.lines().find_map(|line| line.strip_prefix("domain        ")?.parse::<u16>().ok());
    assert!(domain.is_some_and(|domain| domain > 0), "{domain:?} is no domU");
}

#[test]
fn the_runtime_keeps_its_promises_as_a_dom_u() {
    expect(outcome("selftest-key-value-1-flag"), &Ending::Exited(0), &["checks, 0 failed"]);
    expect(outcome("much"), &Ending::Exited(0), &["checks, 0 failed"]);
}

#[test]
fn a_kernel_that_brings_its_own_everything_has_console_and_xenstore() {
    let _ = succeeded(outcome("own-alone"));
    let texts = [
        "Hello from a kernel of its own",
        "timer: slept for ",
        "xenstore: this is domain ",
        "disk: none\n",
        "network: none\n",
    ];
    expect(outcome("own-alone"), &Ending::Exited(0), &texts);
}

#[test]
fn a_kernel_that_brings_its_own_everything_reads_its_disk_and_answers_a_ping() {
    assert_eq!(succeeded(outcome("own")).value("errors"), Some("0"));
    let texts = ["begins with \"a sector of the disk\"\n", "network: answered Arp\n", "network: answered Ping\n"];
    expect(outcome("own"), &Ending::Exited(0), &texts);
}

#[test]
fn memory_goes_to_xen_and_comes_back() {
    expect(outcome("balloon"), &Ending::Exited(0), &["6 checks, 0 failed"]);
}

#[test]
fn input_reaches_the_guest() {
    expect(outcome("echo"), &Ending::Exited(0), &["you typed 8 bytes:\none line\n", "you typed 3 bytes:\nend\n"]);
}

#[test]
fn a_status_is_passed_on() {
    expect(outcome("misbehave-exit"), &Ending::Exited(42), &["going to: exit"]);
}

#[test]
fn a_panic_names_file_line_and_registers() {
    let texts = ["panicked at tests/guests/src/bin/misbehave.rs:", "as asked", "rip ffffffff8", "rsp ffffffff8"];
    expect(outcome("misbehave-panic"), &Ending::Panicked, &texts);
    let texts = ["page fault: read of 0x8", "a null pointer", "rip ffffffff8"];
    let null = outcome("misbehave-null");
    expect(null, &null.ending, &texts);
    assert!(matches!(null.ending, Ending::Crashed { .. }), "{:?}", null.ending);
}

#[test]
fn a_stack_overflow_hits_the_guard_page() {
    expect_crash(outcome("misbehave-overflow"), &["domain_crash_sync", "RIP:"]);
    assert!(died_in_guard_page(outcome("misbehave-overflow")));
}

#[test]
fn other_ends_are_told_apart() {
    expect(outcome("misbehave-poweroff"), &Ending::Exited(0), &[]);
    expect(outcome("misbehave-reboot"), &Ending::ShutDown(Reason::Reboot), &[]);
    assert!(matches!(outcome("misbehave-crash").ending, Ending::Crashed { .. }));
    expect(outcome("misbehave-watchdog"), &Ending::ShutDown(Reason::Watchdog), &["watchdog Ok(1)"]);
    assert!(matches!(outcome("misbehave-hang").ending, Ending::TimedOut(_)));
}

#[test]
fn a_flood_of_output_arrives_whole_and_in_order() {
    let flood = outcome("misbehave-flood");
    expect(flood, &Ending::Exited(0), &[]);
    let console = &flood.console;
    let lines = console.lines().filter(|line| line.contains("of a flood"));
    for (number, line) in lines.clone().enumerate() {
        assert_eq!(line, format!("line {number:05} of a flood"));
    }
    assert_eq!(lines.count(), 2000, "the end is missing:\n{console}");
}

#[test]
fn the_books_unikernel_reads_a_sector_and_answers_pings() {
    let outcome = outcome("first-steps");
    let said = &succeeded(outcome).said;
    assert!(said.iter().any(|line| line.contains("bytes from 10.0.0.15")), "{said:#?}");
    expect(outcome, &Ending::Exited(0), &["the first sector begins with [00, 00, 00, 00]", "packets came"]);
}
