//! The comparison finds what it is meant to find: each test plants one error in the real list.

use abi_tests::excluded::Exclusion;
use abi_tests::{
    Architecture, Compiler, Field, Item, Mismatch, Shape, compare, coverage, excluded, items, scan, source,
};

const ARCHITECTURES: [Architecture; 2] = [Architecture::X86, Architecture::Arm];

fn compiler(architecture: Architecture) -> Compiler {
    Compiler::find(architecture).expect("a compiler and the headers")
}

/// Changes one item of the real list and gives what the comparison of its module finds on each architecture.
fn planted(path: &str, change: impl Fn(&mut Item)) -> [Vec<Mismatch>; 2] {
    let module = &path[..path.match_indices("::").nth(1).expect("a module").0];
    let mut items: Vec<_> = items().into_iter().filter(|item| item.path.starts_with(module)).collect();
    assert!(items.len() > 1, "{module} has nothing that could be found by mistake");
    change(items.iter_mut().find(|item| item.path == path).expect("the item exists"));
    ARCHITECTURES.map(|architecture| compare(&compiler(architecture), &items).expect("a comparison").1)
}

/// Requires that each architecture finds exactly these differences, all in one item.
fn found(mismatches: [Vec<Mismatch>; 2], path: &str, whats: &[&str]) {
    for mismatches in mismatches {
        assert!(mismatches.iter().all(|mismatch| mismatch.item == path), "{mismatches:?}");
        assert_eq!(mismatches.iter().map(|mismatch| mismatch.what.as_str()).collect::<Vec<_>>(), whats);
    }
}

fn fields(item: &mut Item) -> &mut Vec<Field> {
    match &mut item.shape {
        Shape::Layout { fields, .. } => fields,
        other => panic!("{other:?} has no fields"),
    }
}

#[test]
fn a_wrong_offset_is_found() {
    let path = "abi::sched::Poll";
    let mismatches = planted(path, |item| fields(item).last_mut().expect("a field").offset += 4);
    found(mismatches, path, &["offset of timeout"]);
}

#[test]
fn a_wrong_size_of_a_field_is_found() {
    let path = "abi::grant_table::MapGrantRef";
    let mismatches = planted(path, |item| fields(item)[1].size = 2);
    found(mismatches, path, &["size of flags"]);
}

#[test]
fn a_wrong_size_and_alignment_of_a_structure_are_found() {
    let path = "abi::event_channel::Send";
    let mismatches = planted(path, |item| item.shape = Shape::Layout { size: 8, align: 8, fields: Vec::new() });
    found(mismatches, path, &["size", "alignment"]);
}

#[test]
fn a_wrong_value_is_found() {
    let path = "abi::sched::Command::SHUTDOWN";
    let mismatches = planted(path, |item| item.shape = Shape::Constant { value: 3, size: 4 });
    found(mismatches, path, &["value"]);
}

#[test]
fn a_wrong_sign_is_found() {
    let path = "abi::domain::DomId";
    let mismatches = planted(path, |item| item.shape = Shape::Newtype { size: 2, signed: Some(true) });
    found(mismatches, path, &["having a sign"]);
}

#[test]
fn a_structure_that_the_headers_lack_is_found() {
    let path = "abi::event_channel::Close";
    let mismatches = planted(path, |item| item.c = "struct evtchn_shut".into());
    found(mismatches, path, &["size", "alignment", "offset of port", "size of port"]);
}

#[test]
fn a_field_that_the_headers_lack_is_found() {
    let path = "abi::event_channel::Close";
    let mismatches = planted(path, |item| fields(item)[0].c = Some("door".into()));
    found(mismatches, path, &["offset of port", "size of port"]);
}

#[test]
fn a_constant_that_the_headers_lack_is_found() {
    let path = "abi::sched::Command::YIELD";
    let mismatches = planted(path, |item| item.c = "SCHEDOP_halt".into());
    found(mismatches, path, &["value"]);
}

#[test]
fn what_the_list_loses_is_missed() {
    let lost = ["abi::sched::Watchdog", "abi::sched::Command::WATCHDOG"];
    let items: Vec<_> = items().into_iter().filter(|item| !lost.contains(&item.path.as_str())).collect();
    let exclusions = excluded::list().expect("reasons");
    for architecture in ARCHITECTURES {
        let defined = scan::scan(&compiler(architecture)).expect("the headers");
        let missed = coverage::missed(&defined, &abi_tests::compare::of(architecture, &items), &exclusions);
        let names: Vec<_> = missed.iter().map(|defined| defined.name.as_str()).collect();
        let fields = ["sched_watchdog.id", "sched_watchdog.timeout"];
        assert_eq!(names, ["SCHEDOP_watchdog", "sched_watchdog", fields[0], fields[1], "sched_watchdog_t"]);
    }
}

#[test]
fn an_exclusion_that_nothing_needs_is_found() {
    let items = items();
    let line = |pattern: &str, reason: &str| Exclusion { pattern: pattern.into(), reason: reason.into() };
    let exclusions =
        [line("SCHEDOP_halt", "not there"), line("SCHEDOP_yield", "known"), line("XEN_ERRNO", "is needed")];
    let defined = scan::scan(&compiler(Architecture::X86)).expect("the headers");
    let items: Vec<_> = items.iter().collect();
    assert_eq!(coverage::unneeded(&defined, &items, &exclusions), [&exclusions[0], &exclusions[1]]);
}

#[test]
fn a_breach_of_the_abis_rules_is_found() {
    for (text, problem) in [
        ("pub struct A { pub b: u8 }", "abi::test::A names no origin"),
        ("/// `A`, public/xen.h (someday)\npub const A: u32 = 1;", "abi::test::A names no origin"),
        ("pub enum A { B }", "abi::test::A is an enum"),
        ("/// `struct a`, public/xen.h\npub struct A { pub b: bool }", "abi::test::A.b is a bool"),
        ("/// `struct a`, public/xen.h\npub struct A { b: u8 }", "abi::test::A.b is not public"),
        ("make! { pub struct A; }", "make! makes items"),
        ("constants! { /// `A_*`, public/xen.h\n pub struct A: u8 { B = 1; } }", "abi::test::A::B names no origin"),
        ("impl A { pub const B: u8 = 1; }", "B belongs into constants!"),
        ("pub fn a() {}", "abi::test::a is a function"),
        ("pub mod a { }", "a module inside a file"),
    ] {
        let problems = source::read_text(text).expect("Rust").problems;
        assert!(problems.len() == 1 && problems[0].contains(problem), "{text}: {problems:?}");
    }
}

#[test]
fn a_source_that_keeps_the_rules_has_no_problems() {
    let text = "/// Origin: domu\npub const A: u32 = 1;\n/// `struct a`, public/xen.h\npub struct A { pub b: u8 }";
    let parsed = source::read_text(text).expect("Rust");
    assert!(parsed.problems.is_empty(), "{:?}", parsed.problems);
    assert_eq!(parsed.items.len(), 2);
}
