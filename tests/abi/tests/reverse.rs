//! Everything that Xen's headers define for a guest is in the ABI, or left out for a reason.

use abi_tests::{Architecture, Compiler, compare, coverage, excluded, headers, items, scan};
use std::collections::BTreeSet;
use std::path::Path;

fn defined(architecture: Architecture) -> BTreeSet<scan::Defined> {
    let compiler = Compiler::find(architecture).expect("a compiler and the headers");
    let defined = scan::scan(&compiler).expect("the headers");
    assert!(defined.len() > 1000, "the headers define only {} names", defined.len());
    defined
}

fn is_complete(architecture: Architecture) {
    let (items, exclusions) = (items(), excluded::list().expect("reasons"));
    let defined = defined(architecture);
    let items = compare::of(architecture, &items);
    let missed = coverage::missed(&defined, &items, &exclusions);
    let list: Vec<_> = missed.iter().map(|defined| format!("{}: {}", defined.header, defined.name)).collect();
    assert!(list.is_empty(), "neither in the ABI nor in excluded.txt:\n{}", list.join("\n"));
}

#[test]
fn the_abi_misses_nothing_of_the_headers_on_x86_64() {
    is_complete(Architecture::X86);
}

#[test]
fn the_abi_misses_nothing_of_the_headers_on_arm64() {
    is_complete(Architecture::Arm);
}

#[test]
fn no_exclusion_is_stale_on_both_architectures() {
    let (items, exclusions) = (items(), excluded::list().expect("reasons"));
    let unneeded =
        |architecture| coverage::unneeded(&defined(architecture), &compare::of(architecture, &items), &exclusions);
    let arm = unneeded(Architecture::Arm);
    let stale: Vec<_> = unneeded(Architecture::X86).into_iter().filter(|exclusion| arm.contains(exclusion)).collect();
    let list: Vec<_> = stale.iter().map(ToString::to_string).collect();
    assert!(list.is_empty(), "these exclusions are not needed:\n{}", list.join("\n"));
}

#[test]
fn every_family_has_members() {
    let items = items();
    let items: Vec<_> = items.iter().collect();
    let defined = [Architecture::X86, Architecture::Arm].into_iter().flat_map(defined).collect();
    let empty: Vec<_> = coverage::empty_families(&defined, &items).iter().map(|item| &item.path).collect();
    assert!(empty.is_empty(), "these families match no name: {empty:?}");
}

#[test]
fn every_header_is_covered_or_left_out_for_a_reason() {
    let folder = headers::folder().expect("the headers").join("xen");
    let exclusions = excluded::list().expect("reasons");
    let covered = |path: &str| headers::COVERED.iter().any(|header| header.path == path);
    let excluded = |path: &str| exclusions.iter().any(|exclusion| exclusion.covers(&format!("header {path}")));
    let unknown: Vec<_> = files(&folder, "").into_iter().filter(|path| !covered(path) && !excluded(path)).collect();
    assert!(unknown.is_empty(), "neither covered nor in excluded.txt: {unknown:?}");
}

/// All headers below a folder, by their path in it.
fn files(folder: &Path, prefix: &str) -> Vec<String> {
    let mut list = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = format!("{prefix}{}", path.file_name().expect("a name").to_string_lossy());
        if path.is_dir() {
            list.extend(files(&path, &format!("{name}/")));
        } else if name.ends_with(".h") {
            list.push(name);
        }
    }
    list
}
