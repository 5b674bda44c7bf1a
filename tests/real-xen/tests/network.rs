//! Network interfaces behind Linux's netback. One boot runs all guests.

use std::sync::LazyLock;

use real_xen_tests::{expect, guest, in_scenario, outcome_of, succeeded};
use xtask::boot::{self, Ending, GuestSpec, Outcome};
use xtask::linux;
use xtask::network::Network;
use xtask::progress::Progress;

static OUTCOMES: LazyLock<Vec<Outcome>> = LazyLock::new(|| boot::full(&guests()).expect("the boot can be tried"));

/// A load for each row, so that every two values of two columns meet in one: queues, channels of each, whether packets may be longer than a
/// page, whether TCP packets may be longer than the MTU (which takes the columns before and after), and who makes checksums.
const LOADS: [Row; 6] = [
    Row { name: "load-1", queues: 1, channels: "one", scatter: true, segments: true, offload: true },
    Row { name: "load-2", queues: 4, channels: "split", scatter: true, segments: true, offload: true },
    Row { name: "load-3", queues: 1, channels: "split", scatter: false, segments: false, offload: false },
    Row { name: "load-4", queues: 4, channels: "one", scatter: false, segments: false, offload: true },
    Row { name: "load-5", queues: 1, channels: "split", scatter: true, segments: false, offload: true },
    Row { name: "load-6", queues: 4, channels: "one", scatter: true, segments: false, offload: false },
];

/// Which hashes lead to which queues.
const STEERED: [(&str, &str); 2] = [("steered", "mapping=2"), ("spread", "mapping=3,0,2,1,1")];

struct Row {
    name: &'static str,
    queues: u32,
    channels: &'static str,
    scatter: bool,
    segments: bool,
    offload: bool,
}

impl Row {
    fn guest(&self) -> GuestSpec {
        let Self { queues, channels, .. } = self;
        let word = |yes: bool| if yes { "yes" } else { "no" };
        let (scatter, segments, offload) = (word(self.scatter), word(self.segments), word(self.offload));
        let arguments = format!(
            "bytes={BYTES} queues={queues} channels={channels} scatter={scatter} segments={segments} offload={offload}"
        );
        loaded(self.name, "", &arguments, "")
    }

    /// What the guest tells of the connection.
    fn connection(&self) -> [String; 2] {
        let Self { queues, channels, .. } = self;
        let channels = if *channels == "one" { "One" } else { "Split" };
        [format!("queues: {queues}, channels: {channels}"), format!("gso_v4: {}", self.segments)]
    }
}

/// Bytes over TCP, each way.
const BYTES: u32 = 100 << 20;

fn guests() -> Vec<GuestSpec> {
    let lives = include_str!("../scenarios/network-lives.sh");
    let life = |name, bytes: u32, rounds: &str, scenario| {
        networked(name, &format!("bytes={bytes} queues=2"), &[scenario, rounds, lives])
    };
    let mut guests = vec![
        networked("rounds", "hold=0", &[include_str!("../scenarios/network-rounds.sh"), "rounds=10\n", lives]),
        life("link", 1, "rounds=3\n", include_str!("../scenarios/network-link.sh")),
        life("suspend", 8 << 20, "rounds=5\n", include_str!("../scenarios/network-suspend.sh")),
        life("removal", 8 << 20, "rounds=5\n", include_str!("../scenarios/network-removal.sh")),
        life("restart", 8 << 20, "rounds=5\n", include_str!("../scenarios/network-restart.sh")),
    ];
    guests.extend(LOADS.iter().map(Row::guest));
    guests.extend([("all-groups", ""), ("one-group", "join=01:00:5e:01:01:01")].map(|(name, arguments)| {
        let guest = GuestSpec { network: Some(Network::default()), ..guest("ping", arguments) };
        in_scenario(name, guest, include_str!("../scenarios/network-multicast.sh"))
    }));
    guests.extend(STEERED.map(|(name, mapping)| {
        let guest = GuestSpec { network: Some(Network::default()), ..guest("steered", mapping) };
        in_scenario(name, guest, include_str!("../scenarios/network-steering.sh"))
    }));
    // Last, for it changes the bridge.
    let jumbo =
        loaded("jumbo", include_str!("../scenarios/network-jumbo.sh"), "", "1473 4000 4054 4055 4096 8000 8972");
    guests.push(GuestSpec { network: None, arguments: format!("ip=10.0.0.15/24 bytes={BYTES}"), ..jumbo });
    guests
}

/// A guest that is pinged, also with more sizes, and carries many bytes.
fn loaded(name: &str, before: &str, arguments: &str, sizes: &str) -> GuestSpec {
    let bulk = linux::program("bulk", &Progress::quiet()).expect("the program builds");
    let head = format!("sizes='{sizes}' bytes={BYTES}\n");
    let scenario = [&head, include_str!("../scenarios/bulk.sh"), before, include_str!("../scenarios/network-load.sh")];
    GuestSpec { files: vec![("domu/tests/bulk".to_owned(), bulk)], ..networked(name, arguments, &scenario) }
}

fn networked(name: &str, arguments: &str, scenario: &[&str]) -> GuestSpec {
    let guest = GuestSpec { network: Some(Network::default()), ..guest("tcp", arguments) };
    in_scenario(name, guest, &scenario.concat())
}

#[track_caller]
fn outcome(name: &str) -> &'static Outcome {
    outcome_of(&OUTCOMES, name)
}

/// What a guest's scenario, which succeeded, said of something.
#[track_caller]
fn said(name: &str, key: &str) -> &'static str {
    let scenario = succeeded(outcome(name));
    scenario.value(key).unwrap_or_else(|| panic!("no `{key}` in {:#?}", scenario.said)).trim()
}

#[track_caller]
fn lived(name: &str, rounds: &str) {
    assert_eq!(said(name, "rounds"), rounds);
    expect(outcome(name), &Ending::Exited(0), &[]);
}

#[test]
fn pings_and_tcp_go_both_ways_in_every_layout() {
    for row in &LOADS {
        assert_eq!(said(row.name, "transferred"), BYTES.to_string());
        let [queues, segments] = row.connection();
        expect(outcome(row.name), &Ending::Exited(0), &[&queues, &segments]);
    }
}

#[test]
fn packets_of_up_to_9000_bytes_go_both_ways() {
    assert_eq!(said("jumbo", "transferred"), BYTES.to_string());
    assert!(outcome("jumbo").console.contains("MTU 9000"));
}

#[test]
fn packets_to_groups_that_were_not_joined_do_not_come() {
    for (name, comes) in [("all-groups", true), ("one-group", false)] {
        let outcome = outcome(name);
        let _ = succeeded(outcome);
        expect(outcome, &Ending::Exited(0), &["dst=239.1.1.1"]);
        assert_eq!(outcome.console.contains("dst=239.1.1.2"), comes, "{}", outcome.console);
    }
}

#[test]
fn packets_come_on_the_queues_of_their_hashes() {
    for (name, mapping) in STEERED {
        assert_eq!(said(name, "offered"), "1");
        let types = "Steering(Ok(HashTypes(IPV4 | IPV4_TCP)))";
        expect(outcome(name), &Ending::Exited(0), &[types, "HashTypes(IPV4) ", "HashTypes(IPV4_TCP) "]);
        let console = &outcome(name).console;
        assert!(!console.contains("astray") && !console.contains("is wrong"), "{console}");
        let has = |queue| console.contains(&format!("queue {queue}, as told: HashTypes(IPV4_TCP)"));
        let queues: Vec<u32> = (0..4).filter(|queue| has(*queue)).collect();
        // Sixteen flows are all on one, or on several.
        assert!(if mapping == "mapping=2" { queues == [2] } else { queues.len() > 1 }, "{queues:?}");
    }
}

#[test]
fn ten_rounds_leave_nothing_behind() {
    lived("rounds", "10");
    assert_eq!(said("rounds", "at last"), said("rounds", "at first"));
}

#[test]
fn the_link_goes_down_and_up() {
    lived("link", "3");
}

#[test]
fn a_transfer_survives_five_suspends() {
    lived("suspend", "5");
}

#[test]
fn a_transfer_survives_five_removals() {
    lived("removal", "5");
}

#[test]
fn a_transfer_survives_five_restarts_of_the_backend() {
    lived("restart", "5");
}
