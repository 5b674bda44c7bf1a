//! Disks behind Linux's blkback. One boot runs all guests.
//!
//! The rates that are printed are those of translation: `cargo test -p real-xen-tests --test block -- --nocapture`.

use std::sync::LazyLock;

use real_xen_tests::{expect, guest, in_scenario, outcome_of, succeeded};
use xtask::boot::{self, Ending, GuestSpec, Outcome};

static OUTCOMES: LazyLock<Vec<Outcome>> = LazyLock::new(|| boot::full(&guests()).expect("the boot can be tried"));

/// Reads a file with a known digest; with a word before, one of which a byte was changed.
const EXT4: &str = include_str!("../scenarios/block-ext4.sh");
const FILE: &str = "/folder/numbers sha256";

/// A load for each row, so that every two values of two columns meet in one: depth, bytes of a block, segments, ring, queues, and
/// whether grants are persistent. A ring of order 3 has 8 pages; 11 segments are direct ones.
const LOADS: [Row; 6] = [
    Row { name: "load-1", depth: 1, block: 4096, segments: 11, persistent: false, queues: 1, ring: 0 },
    Row { name: "load-2", depth: 32, block: 65536, segments: 256, persistent: true, queues: 1, ring: 0 },
    Row { name: "load-3", depth: 32, block: 4096, segments: 256, persistent: false, queues: 4, ring: 0 },
    Row { name: "load-4", depth: 32, block: 65536, segments: 11, persistent: true, queues: 1, ring: 3 },
    Row { name: "load-5", depth: 1, block: 65536, segments: 256, persistent: false, queues: 4, ring: 3 },
    Row { name: "load-6", depth: 1, block: 4096, segments: 11, persistent: true, queues: 4, ring: 3 },
];

struct Row {
    name: &'static str,
    depth: u32,
    block: u32,
    segments: u32,
    persistent: bool,
    queues: u32,
    ring: u32,
}

impl Row {
    fn guest(&self) -> GuestSpec {
        let Self { depth, block, segments, queues, ring, .. } = self;
        let blocks = if *block > 4096 { 256 } else { 1024 };
        let arguments = format!(
            "count=1000 flush=50 depth={depth} block={block} blocks={blocks} segments={segments} queues={queues} ring={ring} persistent=yes"
        );
        let parameters = format!("parameters='feature_persistent={} max_queues=4'\n", u8::from(self.persistent));
        with(self.name, guest("disk-stress", &arguments), &[&parameters, include_str!("../scenarios/block-load.sh")])
    }

    /// What the guest tells of the connection.
    fn connection(&self) -> String {
        let Self { queues, segments, .. } = self;
        let grants = if self.persistent { "persistent" } else { "passing" };
        format!("{queues} queues of {}, {segments} segments, {grants} grants", 32 << self.ring)
    }
}

fn guests() -> Vec<GuestSpec> {
    let ask = include_str!("../scenarios/block-ask.sh");
    let cycles = include_str!("../scenarios/block-cycles.sh");
    let removal = include_str!("../scenarios/block-removal.sh");
    let restart = include_str!("../scenarios/block-restart.sh");
    let suspend = include_str!("../scenarios/block-suspend.sh");
    let stress = |arguments| guest("disk-stress", arguments);
    let mut guests = vec![
        with("cat", guest("cat", FILE), &[EXT4]),
        with("cat-changed", guest("cat", FILE), &["changed=yes\n", EXT4]),
        with("cat-example", guest("cat", "/folder/file"), &[include_str!("../../../examples/src/bin/cat.sh")]),
        with("cat-misspelt", guest("cat", "/folder/fiel"), &[include_str!("../../../examples/src/bin/cat.sh")]),
        with("orders", guest("blocks", ""), &[ask, include_str!("../scenarios/block-orders.sh")]),
        with("kinds", guest("blocks", ""), &[ask, include_str!("../scenarios/block-kinds.sh")]),
        with("rounds", guest("blocks", ""), &[ask, include_str!("../scenarios/block-rounds.sh")]),
        with("changed", stress("count=0 writes=0 blocks=16 depth=4"), &[include_str!("../scenarios/block-changed.sh")]),
        with("suspend", stress(UNENDING), &["rounds=5\n", suspend, cycles]),
        with("removal", stress(UNENDING), &["rounds=5\n", removal, cycles]),
        with("restart", stress(UNENDING), &["rounds=5\n", restart, cycles]),
        with("no-journal", stress("count=0 depth=16 blocks=64 flush=20"), &["rounds=1\n", removal, cycles]),
        GuestSpec { config: vec![DISKS.to_owned()], ..guest("disk-info", "") },
    ];
    guests.extend(LOADS.iter().map(Row::guest));
    guests
}

/// What a load says of its flushes.
const NOTHING_LOST: &str = " durable, 0 after a loss\n";

/// A load without an end of its own.
const UNENDING: &str = "count=0 depth=16 block=8192 blocks=512 flush=20 queues=2 persistent=yes journal=4194304";

const DISKS: &str = r#"disk = ["phy:/dev/ram1,xvda,w", "phy:/dev/ram2,xvdb,r"]"#;

fn with(name: &str, guest: GuestSpec, scenario: &[&str]) -> GuestSpec {
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

/// What came of a line that was typed at the guest `blocks`, each time.
#[track_caller]
fn answers(name: &str, line: &str) -> Vec<&'static str> {
    let scenario = succeeded(outcome(name));
    scenario.said.iter().filter_map(|said| said.strip_prefix(line)?.strip_prefix(": ")).collect()
}

/// Checks what `counters` said, except for requests that had to wait for memory.
#[track_caller]
fn counted(name: &str, key: &str, [reads, writes, flushes, discards]: [u32; 4]) {
    let wanted = format!("rd_req={reads} wr_req={writes} f_req={flushes} ds_req={discards} ");
    let text = said(name, key);
    assert!(text.starts_with(&wanted), "{key}: {text} instead of {wanted}");
}

/// Checks that a load went well, and prints how fast it was.
#[track_caller]
fn went_well(name: &str) {
    let _ = succeeded(outcome(name));
    expect(outcome(name), &Ending::Exited(0), &["under load", ": 0 mismatches, 0 errors\n"]);
    let lines =
        outcome(name).console.lines().filter(|line| line.starts_with("load: ") || line.starts_with("flushes: "));
    lines.for_each(|line| println!("{name}: {line}"));
}

#[test]
fn a_file_of_an_ext4_file_system_has_its_sha256() {
    let line = format!("/folder/numbers: {} bytes, sha256 {}\n", said("cat", "bytes"), said("cat", "sha256"));
    expect(outcome("cat"), &Ending::Exited(0), &[&line]);
}

#[test]
fn a_file_of_which_a_byte_was_changed_has_another_sha256() {
    let sha256 = said("cat-changed", "sha256");
    expect(outcome("cat-changed"), &Ending::Exited(0), &[&format!("{} bytes, sha256 ", said("cat-changed", "bytes"))]);
    assert!(!outcome("cat-changed").console.contains(sha256));
}

#[test]
fn the_scenario_beside_cat_gives_it_a_file() {
    let _ = succeeded(outcome("cat-example"));
    expect(outcome("cat-example"), &Ending::Exited(0), &["hello from ext4\n"]);
    expect(outcome("cat-misspelt"), &Ending::Exited(1), &["/folder/fiel: file not found\n"]);
}

#[test]
fn every_pair_of_depth_block_segments_grants_queues_and_ring_carries_a_checked_load() {
    for row in &LOADS {
        went_well(row.name);
        expect(outcome(row.name), &Ending::Exited(0), &[&row.connection()]);
    }
}

#[test]
fn a_block_that_domain_0_has_changed_is_found_out() {
    let _ = succeeded(outcome("changed"));
    assert_eq!(said("changed", "before"), "0");
    let line = "mismatch: block 5 sector 1: expected generation 1, found other bytes from 488 on\n";
    expect(outcome("changed"), &Ending::Exited(1), &[line]);
}

#[test]
fn barriers_and_flushes_are_counted_by_the_backend_as_they_were_sent() {
    counted("orders", "counted-at-first", [0, 0, 0, 0]);
    // The backend counts a barrier as a flush.
    counted("orders", "counted-after-writes", [0, 2, 1, 0]);
    counted("orders", "counted-after-flushes", [0, 2, 3, 0]);
    assert_eq!(answers("orders", "flush"), ["Durable", "Durable"]);
    assert_eq!(answers("orders", "barrier 128 64 3"), ["done"]);
    assert_eq!(answers("orders", "check 128 64 3"), ["right", "right"]);
    assert_eq!(answers("orders", "check 128 64 4"), ["byte 0 is another one"]);
}

#[test]
fn what_is_discarded_is_counted_and_takes_no_memory_any_more() {
    counted("orders", "counted-after-discard", [4, 2, 3, 1]);
    assert_eq!(answers("orders", "read 0 128"), ["zeros"]);
    let number = |key| said("orders", key).parse::<u32>().expect("a number");
    assert_eq!((number("used"), number("left")), (96, 32));
}

#[test]
fn a_read_only_disk_refuses_what_would_change_it_before_the_backend_sees_it() {
    assert_eq!(answers("kinds", "write 0 8 1"), ["refused, Rejected(ReadOnly)"]);
    assert_eq!(answers("kinds", "read 0 8"), ["zeros"]);
    counted("kinds", "read-only", [1, 0, 0, 0]);
}

#[test]
fn both_ends_of_a_disk_of_3_tib_are_written_and_read() {
    assert_eq!(
        (answers("kinds", "check 0 8 5"), answers("kinds", "check 6442450936 8 6")),
        (vec!["right"], vec!["right"])
    );
    let used: u32 = said("kinds", "huge-uses").parse().expect("a number");
    assert!(used <= 16, "{used} KiB");
}

#[test]
fn a_disk_that_grows_is_noticed_and_its_new_end_is_used() {
    let [before, after] = answers("kinds", "write 6442450936 16 7")[..] else { panic!("two answers") };
    assert!(before.contains("BeyondEnd"), "{before}");
    assert_eq!((after, answers("kinds", "check 6442450936 16 7")), ("done", vec!["right"]));
    assert!(answers("kinds", "disk")[0].contains("sectors: 6444548096"), "{:?}", answers("kinds", "disk"));
}

#[test]
fn sectors_of_4096_bytes_are_used_and_a_request_beside_them_is_refused() {
    assert!(answers("kinds", "disk")[1].contains("sector_size: 4096"), "{:?}", answers("kinds", "disk"));
    assert_eq!(
        (answers("kinds", "write 8 8 8"), answers("kinds", "check 8 8 8")),
        (vec!["done"], vec!["right", "right"])
    );
    for line in ["write 1 8 9", "write 0 1 9", "read 0 1"] {
        assert_eq!(answers("kinds", line), ["refused, Rejected(Misaligned { sector_size: 4096 })"], "{line}");
    }
    counted("kinds", "large-sectors", [2, 1, 0, 0]);
}

#[test]
fn ten_rounds_of_attach_and_detach_leak_no_grant_port_or_watch() {
    assert_eq!(said("rounds", "rounds"), "10");
    let console = &outcome("rounds").console;
    (1..=10).for_each(|round| assert!(console.contains(&format!("round {round}: as before\n")), "{console}"));
    // What an open disk holds is seen: the control.
    assert!(said("rounds", "holds").contains("instead of"));
    expect(outcome("rounds"), &Ending::Exited(0), &["read right\n"]);
}

#[test]
fn five_saves_and_restores_under_load_lose_double_and_change_nothing() {
    assert_eq!(said("suspend", "rounds"), "5");
    went_well("suspend");
    expect(outcome("suspend"), &Ending::Exited(0), &[NOTHING_LOST]);
}

#[test]
fn five_removals_by_force_under_load_lose_double_and_change_nothing() {
    assert_eq!(said("removal", "rounds"), "5");
    went_well("removal");
    expect(outcome("removal"), &Ending::Exited(0), &[NOTHING_LOST]);
}

#[test]
fn five_restarts_of_the_backend_under_load_lose_double_and_change_nothing() {
    assert_eq!(said("restart", "rounds"), "5");
    went_well("restart");
    expect(outcome("restart"), &Ending::Exited(0), &[NOTHING_LOST]);
}

#[test]
fn without_a_journal_a_flush_tells_of_the_backend_that_was_lost() {
    went_well("no-journal");
    let lost = |line: &str| line.split("durable, ").nth(1)?.split(' ').next()?.parse::<u32>().ok();
    let lost = outcome("no-journal").console.lines().find_map(lost);
    assert!(lost >= Some(1), "{lost:?}");
}

#[test]
fn what_each_backend_offers_is_listed() {
    expect(outcome("disk-info"), &Ending::Exited(0), &[]);
    let console = &outcome("disk-info").console;
    for (name, mode) in [("xvda", "writable"), ("xvdb", "read-only")] {
        let is_right = |line: &str| line.starts_with(name) && line.contains("64 MiB") && line.contains(mode);
        assert!(console.lines().any(is_right), "{name} is {mode}:\n{console}");
    }
    println!("{console}");
}
