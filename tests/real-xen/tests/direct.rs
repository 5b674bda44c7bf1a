//! Guests that Xen boots as domain 0.

use std::time::Duration;

use real_xen_tests::{died_in_guard_page, direct, direct_counting, expect, expect_crash, guest};
use xtask::boot::{Ending, Input, Reason};
use xtask::{new, paths, process, workspace};

#[test]
fn hello_greets_and_exits() {
    expect(&direct(&guest("hello", "")), &Ending::Exited(0), &["Hello from Xen!\n"]);
}

#[test]
fn hello_fits_in_64_kib_stripped_and_boots_with_4_mib() {
    let mut hello = guest("hello", "");
    hello.memory = 4;
    hello.elf = xtask::strip::beside(&hello.elf).expect("the guest is an ELF file");
    let size = std::fs::metadata(&hello.elf).expect("it was written").len();
    println!("hello: {size} bytes stripped");
    assert!(size <= 64 << 10, "{size} bytes");
    expect(&direct(&hello), &Ending::Exited(0), &["Hello from Xen!\n"]);
}

#[test]
fn tour_tells_what_it_learns() {
    let texts = [
        "Xen           4.",
        "features     ",
        "command line  \"a b=c\"",
        "as domain 0",
        "memory        16384 KiB",
        "r-x",
        "timer         asked to wake up in 50ms",
        "domain        0",
        ": came",
        "\"a page that is shared\"",
    ];
    expect(&direct(&guest("tour", "a b=c")), &Ending::Exited(0), &texts);
}

#[test]
fn the_runtime_keeps_its_promises_as_domain_0() {
    expect(&direct(&guest("selftest", "key=value=1 flag")), &Ending::Exited(0), &["checks, 0 failed"]);
}

#[test]
fn the_runtime_keeps_its_promises_with_fifo_events() {
    let outcome = direct(&guest("selftest", "key=value=1 flag events=fifo"));
    expect(&outcome, &Ending::Exited(0), &["checks, 0 failed"]);
}

#[test]
fn selftest_notices_a_wrong_command_line() {
    let outcome = direct(&guest("selftest", "key=other"));
    expect(&outcome, &Ending::Exited(1), &["not ok the command line is the one given", "1 failed"]);
}

#[test]
fn the_runtime_keeps_its_promises_with_much_memory() {
    let mut selftest = guest("selftest", "key=value=1 flag");
    // More than one third-level entry of the direct map, and more tables than the builder leaves room for.
    selftest.memory = 1536;
    expect(&direct(&selftest), &Ending::Exited(0), &["checks, 0 failed"]);
}

#[test]
fn a_kernel_brings_its_own_everything() {
    let mut own = guest("bring-your-own-kernel", "");
    // What the builder maps is all that it uses, however much there is.
    for memory in [4, 16, 600] {
        own.memory = memory;
        let outcome = direct(&own);
        let texts = ["Hello from a kernel of its own", "no xenstore: neither disk nor network\n"];
        expect(&outcome, &Ending::Exited(0), &texts);
        let slept = outcome.console.lines().find_map(|line| line.strip_prefix("timer: slept for ")).expect("it slept");
        let number = |text: &str| text.parse::<f64>().ok();
        let seconds = slept.strip_suffix("ms").and_then(number).map(|number| number / 1000.0);
        let seconds = seconds.or_else(|| slept.strip_suffix('s').and_then(number));
        assert!(seconds.is_some_and(|seconds| seconds >= 0.05), "{slept}");
    }
}

#[test]
fn a_new_package_is_built_and_booted_by_cargo_run() {
    let mut build = workspace::cargo().expect("this is a workspace");
    build.args(["build", "--quiet", "--package", "xtask"]);
    process::output(build).expect("xtask builds");
    let program = paths::target().expect("this is a workspace").join("debug/xtask");
    let place = std::env::temp_dir().join(paths::unique("new"));
    std::fs::create_dir(&place).expect("there is room");
    let made = new::make(&place.join("my-guest"), &program).expect("it can be made");
    let mut run = workspace::cargo().expect("this is a workspace");
    // A folder of its own for what is built, as without an environment that names one.
    workspace::build_quickly(&mut run).current_dir(&made).env("CARGO_TARGET_DIR", made.join("target"));
    run.args(["run", "--quiet", "--release", "--", "--direct", "--", "a", "b=c"]);
    let console = process::output(run);
    let built = new::elf(&made, "my-guest").is_file();
    std::fs::remove_dir_all(&place).expect("it is ours");
    let console = console.expect("the guest ends with status 0");
    for text in ["Hello from my-guest, on xen-", "command line: \"a b=c\"\n", "next: change src/main.rs"] {
        assert!(console.contains(text), "no `{text}` in:\n{console}");
    }
    assert!(built, "it is not where it is said to be");
}

#[test]
fn a_status_is_passed_on() {
    expect(&direct(&guest("misbehave", "exit")), &Ending::Exited(42), &["going to: exit"]);
    expect(&direct(&guest("misbehave", "error")), &Ending::Exited(1), &["ERROR", "as asked\n"]);
}

#[test]
fn a_panic_names_file_line_and_registers() {
    let texts = ["panicked at tests/guests/src/bin/misbehave.rs:", "as asked", "rip ffffffff8", "rsp ffffffff8"];
    expect(&direct(&guest("misbehave", "panic")), &Ending::Panicked, &texts);
}

#[test]
fn a_panic_in_a_panic_ends_the_guest() {
    let outcome = direct(&guest("misbehave", "panic-in-panic"));
    // Panics without an end would run into the guard page, and Xen would report that.
    assert!(matches!(&outcome.ending, Ending::Crashed { report } if !report.contains("domain_crash_sync")));
}

#[test]
fn wild_accesses_are_caught_and_explained() {
    let cases: [(&str, &[&str]); 10] = [
        ("null", &["page fault: read of 0x8", "a null pointer"]),
        ("write-text", &["page fault: write to 0xffffffff8", "not permitted"]),
        ("write-constant", &["page fault: write to 0xffffffff8", "not permitted"]),
        ("execute-stack", &["page fault: execution of 0xffffffff8", "not permitted"]),
        ("execute-heap", &["page fault: execution of 0xffff", "not permitted"]),
        (
            "write-foreign",
            &["page fault: write to 0xffffffffbf", "not permitted (in the window for pages of other domains)"],
        ),
        ("execute-foreign", &["page fault: execution of 0xffffffffbf", "not permitted (in the window"]),
        ("undefined", &["invalid opcode"]),
        ("divide", &["divide error"]),
        ("privileged", &["general protection fault"]),
    ];
    for (how, texts) in cases {
        let outcome = direct(&guest("misbehave", how));
        expect(&outcome, &outcome.ending, &[texts, &["rip ffff", "rax "]].concat());
        assert!(matches!(outcome.ending, Ending::Crashed { .. }), "{how}: {:?}", outcome.ending);
    }
}

#[test]
fn a_stack_overflow_hits_the_guard_page() {
    // Xen finds no room for the frame of the fault, and ends the domain instead.
    let overflow = direct(&guest("misbehave", "overflow"));
    expect_crash(&overflow, &["domain_crash_sync", "RIP:"]);
    assert!(died_in_guard_page(&overflow), "{:?}", overflow.ending);
}

#[test]
fn a_stack_pointer_elsewhere_is_no_overflow() {
    let mut no_stack = direct(&guest("misbehave", "no-stack"));
    expect_crash(&no_stack, &["domain_crash_sync", "RIP:"]);
    no_stack.console.push_str("guard page Some(ffffffff80010000..ffffffff80011000)");
    assert!(!died_in_guard_page(&no_stack));
}

#[test]
fn other_ends_are_told_apart() {
    expect(&direct(&guest("misbehave", "poweroff")), &Ending::Exited(0), &[]);
    expect(&direct(&guest("misbehave", "reboot")), &Ending::ShutDown(Reason::Reboot), &[]);
    assert!(matches!(direct(&guest("misbehave", "crash")).ending, Ending::Crashed { .. }));
}

#[test]
fn a_guest_that_hangs_is_ended() {
    for how in ["hang", "spin"] {
        let mut hanging = guest("misbehave", how);
        hanging.timeout = Duration::from_secs(3);
        let outcome = direct(&hanging);
        assert!(matches!(outcome.ending, Ending::TimedOut(_)), "{:?}", outcome.ending);
        assert!(outcome.elapsed < Duration::from_secs(60), "{:?}", outcome.elapsed);
    }
}

#[test]
fn grants_hold_what_they_promise_in_both_versions() {
    for (arguments, version) in [("", "entries of version 1\n"), ("grants=v2", "entries of version 2\n")] {
        let outcome = direct(&guest("grants", arguments));
        expect(&outcome, &Ending::Exited(0), &[version, "10 checks, 0 failed", "\n0 pages leaked\n"]);
    }
}

#[test]
fn the_checks_of_grants_notice_wrong_bytes_and_a_page_that_is_not_mapped() {
    let wrong = direct(&guest("grants", "control=bytes"));
    let noticed =
        ["the mapping shows other bytes", "other bytes were read", "not ok hc_079", "wrong bytes", "not ok hc_089"];
    expect(&wrong, &Ending::Exited(1), &noticed);
    let unmapped = direct(&guest("grants", "control=unmapped"));
    expect(
        &unmapped,
        &Ending::Exited(1),
        &["not ok hc_079", "it came back while it was mapped", "10 checks, 1 failed"],
    );
}

#[test]
fn memory_goes_to_xen_and_comes_back() {
    let mut balloon = guest("balloon", "");
    // The direct map, and more than one page of it.
    for memory in [8, 64] {
        balloon.memory = memory;
        expect(&direct(&balloon), &Ending::Exited(0), &["6 checks, 0 failed"]);
    }
}

#[test]
fn the_checks_of_the_balloon_notice_a_page_that_has_changed() {
    let outcome = direct(&guest("balloon", "control=bytes"));
    expect(&outcome, &Ending::Exited(1), &["not ok fault_17", "6 checks, 1 failed"]);
}

#[test]
fn events_hold_what_they_promise_in_both_abis() {
    for (arguments, abi) in [("", "events come by TwoLevel\n"), ("events=fifo", "events come by Fifo\n")] {
        expect(&direct(&guest("events", arguments)), &Ending::Exited(0), &[abi, "15 checks, 0 failed"]);
    }
}

#[test]
fn the_checks_of_events_notice_one_that_is_lost() {
    let outcome = direct(&guest("events", "control=lost"));
    expect(&outcome, &Ending::Exited(1), &["not ok 100,000 events", "counted 799 events of 800"]);
}

#[test]
fn a_ring_between_two_halves_of_a_domain_carries_millions_of_messages() {
    let outcome = direct(&guest("ring", ""));
    println!("{}", outcome.console);
    expect(&outcome, &Ending::Exited(0), &["5000000 messages in", "1000000 messages in", "3 checks, 0 failed"]);
}

#[test]
fn a_ring_whose_events_get_lost_is_noticed() {
    let outcome = direct(&guest("ring", "control=lost"));
    expect(&outcome, &Ending::Exited(1), &["both halves sleep: an event was lost", "3 checks, 2 failed"]);
}

#[test]
fn input_reaches_the_guest() {
    let mut echo = guest("echo", "");
    echo.input = Input::Bytes(b"one line\nend\n".to_vec());
    expect(&direct(&echo), &Ending::Exited(0), &["you typed 8 bytes:\none line\n", "you typed 3 bytes:\nend\n"]);
}

#[test]
fn the_sdk_adds_few_instructions_to_xens_own() {
    let outcome = direct_counting(&guest("overhead", ""));
    println!("{}", outcome.console);
    // The guest has the limits: 2 for a wrapper, 60 for the upcall.
    expect(&outcome, &Ending::Exited(0), &["through the wrapper", "instructions from entry to return"]);
}
