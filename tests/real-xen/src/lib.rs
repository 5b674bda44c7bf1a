//! What the tests on real Xen share: guests that are built once, and ways to look at how they ended.
//!
//! A direct boot takes a second and a half, so each test has its own. A Linux dom0 takes much longer, so that all guests of
//! the full mode share one boot (see `tests/full.rs`).

pub mod browser;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use xtask::boot::{self, Ending, GuestSpec, Outcome, Scenario, Session};
use xtask::progress::Progress;
use xtask::{fetch, guests};

/// A guest of the workspace, built, with its command line.
///
/// # Panics
///
/// When it does not build.
#[must_use]
pub fn guest(program: &str, arguments: &str) -> GuestSpec {
    let elf = built(program);
    let name = format!("{program}-{arguments}").replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    GuestSpec {
        arguments: arguments.to_owned(),
        // Room for a busy machine; only a guest that hangs takes so long.
        timeout: Duration::from_secs(180),
        ..GuestSpec::new(name.trim_end_matches('-'), elf)
    }
}

/// A guest of this name with a scenario. It has as long as that takes under translation on a busy machine.
#[must_use]
pub fn in_scenario(name: &str, guest: GuestSpec, scenario: &str) -> GuestSpec {
    let timeout = Duration::from_secs(480);
    GuestSpec { name: name.to_owned(), scenario: Some(scenario.to_owned()), timeout, ..guest }
}

/// What came of the guest of this name, of those that one boot has run.
///
/// # Panics
///
/// When it was not among them.
#[track_caller]
#[must_use]
pub fn outcome_of<'a>(all: &'a [Outcome], name: &str) -> &'a Outcome {
    all.iter().find(|outcome| outcome.name == name).expect("the guest was run")
}

/// Asks for a page at a port of this machine's, again and again until there is an answer; within the limit.
#[must_use]
pub fn fetch_in_background(port: u16, path: &str, limit: Duration) -> JoinHandle<Option<String>> {
    let path = path.to_owned();
    thread::spawn(move || fetch::page_within(port, &path, limit).ok())
}

/// Builds a program when it is first asked for: cargo, asked for each boot, would wait for other builds each time.
fn built(program: &str) -> PathBuf {
    static BUILT: LazyLock<Mutex<HashMap<String, PathBuf>>> = LazyLock::new(Mutex::default);
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(elf) = built.get(program) {
        return elf.clone();
    }
    let guest = guests::find(program).expect("the guest exists");
    let elf = guests::build(&guest, &Progress::quiet()).expect("the guest builds");
    built.insert(program.to_owned(), elf.clone());
    elf
}

/// Boots a guest as domain 0 and waits for its end.
///
/// # Panics
///
/// When it cannot be booted at all.
#[must_use]
pub fn direct(guest: &GuestSpec) -> Outcome {
    boot::direct(guest).expect("a direct boot can be tried")
}

/// As [`direct`], with virtual time that counts instructions.
///
/// # Panics
///
/// When it cannot be booted at all.
#[must_use]
pub fn direct_counting(guest: &GuestSpec) -> Outcome {
    let mut session = Session { icount: true, ..Session::default() };
    boot::direct_with(guest, &mut session).expect("a direct boot can be tried")
}

/// Checks how a guest ended, and that its console has each of these texts.
///
/// # Panics
///
/// When it ended otherwise, or a text is missing.
#[track_caller]
pub fn expect(outcome: &Outcome, ending: &Ending, texts: &[&str]) {
    let console = &outcome.console;
    assert_eq!(&outcome.ending, ending, "{console}\n--- Xen's log:\n{}", tail(&outcome.xen_log));
    for text in texts {
        assert!(console.contains(text), "no `{text}` in:\n{console}");
    }
}

/// Returns what came of a guest's scenario.
///
/// # Panics
///
/// When it failed; the message has its commands and the guest's console.
#[track_caller]
#[must_use]
pub fn succeeded(outcome: &Outcome) -> &Scenario {
    let scenario = outcome.scenario.as_ref().expect("the guest has a scenario and started");
    let (ending, console) = (&outcome.ending, &outcome.console);
    let trace = scenario.trace.join("\n");
    assert!(scenario.succeeded(), "{scenario}:\n{trace}\n--- the guest: {ending:?}\n{console}");
    scenario
}

/// Returns what came of a guest's scenario that was to fail, or to come to no end, with this text in its trace.
///
/// # Panics
///
/// When it succeeded, or the text is missing.
#[track_caller]
#[must_use]
pub fn failed<'a>(outcome: &'a Outcome, text: &str) -> &'a Scenario {
    let scenario = outcome.scenario.as_ref().expect("the guest has a scenario and started");
    let trace = scenario.trace.join("\n");
    assert!(!scenario.succeeded(), "it succeeded:\n{trace}");
    assert!(trace.contains(text), "no `{text}` in:\n{trace}");
    scenario
}

/// Checks that Xen ended the guest, and that its report has each of these texts.
///
/// # Panics
///
/// When it ended otherwise, or a text is missing.
#[track_caller]
pub fn expect_crash(outcome: &Outcome, texts: &[&str]) {
    let Ending::Crashed { report } = &outcome.ending else {
        panic!("{:?}, no crash:\n{}", outcome.ending, outcome.console)
    };
    for text in texts {
        assert!(report.contains(text), "no `{text}` in:\n{report}");
    }
}

/// Whether the guest's stack pointer lay in its guard page when Xen ended it.
///
/// # Panics
///
/// When the guest did not tell the page, or Xen the pointer.
#[must_use]
pub fn died_in_guard_page(outcome: &Outcome) -> bool {
    let Ending::Crashed { report } = &outcome.ending else { panic!("{:?}, no crash", outcome.ending) };
    let hex = |text: &str| u64::from_str_radix(text, 16).expect("an address");
    let pointer = report.split("rsp: ").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("Xen tells rsp");
    let console = &outcome.console;
    let page = console.split("guard page Some(").nth(1).and_then(|rest| rest.split(')').next()).expect("a guard page");
    let (start, end) = page.split_once("..").expect("a range");
    (hex(start)..hex(end)).contains(&hex(pointer))
}

fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
