//! The README's first command, as its user types it: looked at by itself, and ended by Ctrl-C.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use xtask::process::{self, Guarded};
use xtask::{fetch, workspace};

const LIMIT: Duration = Duration::from_secs(420);

/// Two at a time would only wait for each other.
static ONE: Mutex<()> = Mutex::new(());

/// `cargo xtask run` with an option.
fn run(options: &[&str]) -> Command {
    let mut cargo = workspace::cargo().expect("the workspace is found");
    cargo.args(["run", "--quiet", "--package", "xtask", "--", "run"]).args(options);
    cargo
}

#[test]
fn it_looks_at_its_pages_by_itself_and_ends() {
    let _one = ONE.lock();
    let ended = process::capture(run(&["--smoke"]), Some(Instant::now() + LIMIT)).expect("it ends in time");
    println!("{}", ended.stderr);
    assert!(ended.status.success(), "{}\n{}", ended.status, ended.stderr);
    for text in ["http://127.0.0.1:", "first answered ping", "first page", "timeline.svg", "exit        status 0"] {
        assert!(ended.stderr.contains(text), "no {text:?} in\n{}", ended.stderr);
    }
    assert!(ended.stdout.contains("requests on"), "the guest has ended by itself:\n{}", ended.stdout);
}

#[test]
fn it_serves_until_ctrl_c_and_its_guest_ends_in_good_order() {
    let _one = ONE.lock();
    let mut command = run(&[]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Guarded::spawn(command).expect("cargo can be started");
    let deadline = Instant::now() + LIMIT;
    let console = process::drain(running.child().stdout.take());
    let (found, port) = std::sync::mpsc::channel();
    let steps = running.child().stderr.take().expect("it is a pipe");
    let steps = thread::spawn(move || {
        let lines = BufReader::new(steps).lines().map_while(Result::ok);
        let lines = lines.inspect(|line| {
            if let Some((_, rest)) = line.split_once("http://127.0.0.1:") {
                let _ = found.send(rest.to_owned());
            }
        });
        lines.collect::<Vec<_>>().join("\n")
    });
    let url = port.recv_timeout(LIMIT).expect("it says where the page is");
    let port = url.split(['/', ' ']).next().and_then(|port| port.parse().ok()).expect("there is a port");
    let page = fetch::page_within(port, "/", LIMIT).expect("the page is there");
    assert!(fetch::body(&page).expect("it is good").contains("This page is a file"));
    let pid = i32::try_from(running.child().id()).ok().and_then(Pid::from_raw).expect("it is a process");
    kill_process(pid, Signal::INT).expect("it runs");
    let status = running.wait(Some(deadline)).expect("it ends in time");
    let (console, steps) = (process::collect(console), steps.join().expect("it does not panic"));
    assert_eq!(status.code(), Some(0), "it is the guest's own:\n{steps}");
    assert!(console.contains("requests on"), "the guest was asked to end, and has:\n{console}\n{steps}");
}
