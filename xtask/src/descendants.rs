//! Processes that a process has started, also those that lead a group of their own: a test that boots a guest builds it first,
//! with a cargo that is guarded by the test, but not by who ends the test.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

/// Kills a process and, as far as the kernel tells, all that it has started.
pub(crate) fn kill(process: Pid) {
    // Who is stopped starts no more. Errors mean that it is gone already.
    let _ = kill_process(process, Signal::STOP);
    let children = children(process);
    let _ = kill_process(process, Signal::KILL);
    children.into_iter().for_each(kill);
}

fn children(process: Pid) -> Vec<Pid> {
    let threads = fs::read_dir(format!("/proc/{}/task", process.as_raw_pid())).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(pid).collect::<Vec<_>>()).collect()
}

fn pid(word: &str) -> Option<Pid> {
    Pid::from_raw(word.parse().ok()?)
}
