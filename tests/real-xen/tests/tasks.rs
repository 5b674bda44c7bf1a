//! Tasks that wait for an interface of netback's and a disk of blkback's at once. One boot runs all guests.

use std::sync::LazyLock;

use real_xen_tests::{expect, guest, in_scenario, outcome_of, succeeded};
use xtask::boot::{self, Ending, GuestSpec, Outcome};
use xtask::network::Network;

static OUTCOMES: LazyLock<Vec<Outcome>> = LazyLock::new(|| boot::full(&guests()).expect("the boot can be tried"));

fn guests() -> Vec<GuestSpec> {
    let tasks = GuestSpec { network: Some(Network::default()), ..guest("tasks", "depth=8") };
    vec![in_scenario("tasks", tasks, &format!("rounds=2\n{}", include_str!("../scenarios/tasks.sh")))]
}

#[test]
fn an_interface_and_a_disk_are_awaited_together_whatever_happens_to_them() {
    let outcome = outcome_of(&OUTCOMES, "tasks");
    assert_eq!(succeeded(outcome).value("suspends"), Some("2"));
    expect(outcome, &Ending::Exited(0), &["interface: the link is down\n", "\n0 mismatches, 0 errors\n"]);
    let answered = |line: &str| line.strip_suffix(" packets answered")?.parse().ok();
    let answered: Option<u32> = outcome.console.lines().find_map(answered);
    // Five times four sizes, three pings each.
    assert!(answered >= Some(60), "{answered:?}");
    println!("{}", outcome.console);
}
