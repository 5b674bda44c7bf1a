//! What a Linux PV guest asks of xenstored to bring a disk to Connected, beside ours. For `docs/costs.md`, by hand:
//! `cargo test -p real-xen-tests --test linux -- --ignored --nocapture`.

use std::time::Duration;

use real_xen_tests::{guest, succeeded};
use xtask::boot::{self, GuestSpec};
use xtask::linux::{self, Init};
use xtask::progress::Progress;

const TRACE: &str = include_str!("../scenarios/trace.sh");

/// Waits.
const INIT: &str = "
echo ready
while :; do sleep 1000; done
";

#[test]
#[ignore = "a figure for the documentation, and no promise; Linux takes its time to start"]
fn requests_to_connected_of_linux_and_ours() {
    let ours = GuestSpec { scenario: Some(TRACE.to_owned()), ..guest("devices", "") };
    for outcome in &boot::full(&[ours, linux()]).expect("the boot can be tried") {
        println!("{}", outcome.name);
        succeeded(outcome).said.iter().for_each(|line| println!("  {line}"));
        // What our guest has counted itself, for the device alone.
        outcome.console.lines().filter(|line| line.contains("requests")).for_each(|line| println!("  {line}"));
    }
}

fn linux() -> GuestSpec {
    let linux = linux::guest("linux", Init::Script(INIT), &["xen-blkfront"], &Progress::quiet());
    let linux = linux.expect("Linux can be fetched");
    GuestSpec { scenario: Some(TRACE.to_owned()), timeout: Duration::from_secs(120), ..linux }
}
