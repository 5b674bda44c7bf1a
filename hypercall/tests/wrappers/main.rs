//! Every wrapper, called on a hypervisor that knows the numbers and layouts from Xen's headers.
//!
//! The tables have a case for each wrapper, and a test makes sure of that. The cases take part in several tests: the
//! right call, the right reading of the answer, the right error for each refusal, and, as a control, that each
//! number in them counts.

#[macro_use]
mod fake;

mod batches;
mod devices;
mod errors;
mod grants;
mod kernel;
mod machine;
mod memory;
mod vcpus;

use std::collections::BTreeSet;
use std::path::Path;

use fake::Case;
use xen_hypercall::Errno;

fn cases() -> Vec<Case> {
    let modules = [devices::cases, grants::cases, kernel::cases, machine::cases, memory::cases, vcpus::cases];
    modules.into_iter().flat_map(|cases| cases()).collect()
}

fn none(problems: impl IntoIterator<Item = String>) {
    let problems: Vec<_> = problems.into_iter().collect();
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn every_wrapper_makes_its_call_and_reads_the_answer() {
    none(cases().iter().filter_map(|case| case.check().err()));
}

#[test]
fn a_planted_mistake_in_any_number_is_noticed() {
    none(cases().iter_mut().flat_map(Case::unnoticed_mistakes));
}

/// Optional operations on an old hypervisor: the caller can tell "not there" from other refusals and fall back.
#[test]
fn hc_171_what_xen_does_not_have_is_told_apart() {
    const OPTIONAL: [&str; 4] = [
        "grant_table::set_version",
        "event_channel::init_control",
        "vcpu::register_vcpu_info",
        "hvm::set_evtchn_upcall_vector",
    ];
    let cases = cases();
    for name in OPTIONAL {
        let case = cases.iter().find(|case| case.name == name).expect(name);
        assert_eq!(case.check_refusal(Errno::NOSYS), Ok(()));
        // The same call on a hypervisor that has it.
        assert_eq!(case.check(), Ok(()));
    }
}

#[test]
fn hc_172_every_refusal_is_a_typed_error() {
    // EPERM, ENOENT, ENOMEM, EFAULT, EBUSY, EINVAL, ENOSYS, and numbers that no list has.
    const REFUSALS: [u32; 10] = [1, 2, 12, 14, 16, 22, 38, 199, 4095, i32::MAX as u32];
    let cases = cases();
    none(REFUSALS.into_iter().flat_map(|number| {
        let refused = |case: &Case| case.check_refusal(Errno(number)).err();
        cases.iter().filter_map(refused).collect::<Vec<_>>()
    }));
}

/// The names of all public functions of the crate that take a hypervisor, as `module::function`.
fn wrappers(folder: &Path, module: Option<&str>, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("the sources are there") {
        let path = entry.expect("the sources are readable").path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("names are text");
        let module = module.unwrap_or(stem);
        if path.is_dir() {
            wrappers(&path, Some(module), found);
        } else {
            let text = std::fs::read_to_string(&path).expect("sources are text");
            found.extend(functions(&text).map(|function| format!("{module}::{function}")));
        }
    }
}

fn functions(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let line = line.trim_start().strip_prefix("pub ")?;
        let line = line.strip_prefix("unsafe ").unwrap_or(line);
        let (name, generics) = line.strip_prefix("fn ")?.split_once('<')?;
        generics.contains("H: Hypercall").then_some(name)
    })
}

#[test]
#[cfg_attr(miri, ignore = "reads the crate's sources")]
fn every_wrapper_is_in_the_tables() {
    let mut found = BTreeSet::new();
    wrappers(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), None, &mut found);
    let tested: BTreeSet<_> = cases().iter().map(|case| case.name.to_owned()).collect();
    assert!(found.len() > 100, "the sources were not understood: {found:?}");
    assert_eq!(found, tested);
}
