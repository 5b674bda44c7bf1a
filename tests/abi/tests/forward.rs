//! Every item of the ABI agrees with Xen's headers.

use abi_tests::compare::Summary;
use abi_tests::{Architecture, Compiler, History, Item, Shape, compare, coverage, item, items};
use std::io::Write;

fn agrees(architecture: Architecture) {
    let compiler = Compiler::find(architecture).expect("a compiler and the headers");
    let (summary, mismatches) = compare(&compiler, &items()).expect("a comparison");
    let list: Vec<_> = mismatches.iter().map(ToString::to_string).collect();
    assert!(list.is_empty(), "{architecture:?}:\n{}", list.join("\n"));
    report(architecture, summary);
    let Summary { types, fields, constants, absent } = summary;
    assert!(
        types > 100 && fields > 250 && constants > 400 && absent < 50,
        "the comparison has lost items: {summary:?}"
    );
}

/// Prints what was compared, not by a macro, whose output the test runner would keep to itself.
fn report(architecture: Architecture, summary: Summary) {
    let Summary { types, fields, constants, absent } = summary;
    let line = format!(
        "{architecture:?}: {types} types, {fields} fields, {constants} constants: all agree with Xen's headers, \
         but for {absent} that these headers are too old to have\n"
    );
    std::io::stderr().write_all(line.as_bytes()).expect("standard error");
}

#[test]
fn every_item_agrees_with_xens_headers_on_x86_64() {
    agrees(Architecture::X86);
}

#[test]
fn every_item_agrees_with_xens_headers_on_arm64() {
    agrees(Architecture::Arm);
}

#[test]
fn the_source_keeps_the_rules_of_the_abi() {
    assert!(item::problems().is_empty(), "{}", item::problems().join("\n"));
}

#[test]
fn no_structure_has_padding_that_is_not_a_field() {
    for item in items().iter().filter(|item| !item.c.starts_with("union ") && !is_union(item)) {
        if let Shape::Layout { size, fields, .. } = &item.shape {
            let sum: usize = fields.iter().map(|field| field.size).sum();
            assert_eq!(sum, *size, "{} has hidden padding", item.path);
        }
    }
}

/// Whether all fields of an item share one place.
fn is_union(item: &Item) -> bool {
    let Shape::Layout { fields, .. } = &item.shape else {
        return false;
    };
    fields.len() > 1 && fields.iter().all(|field| field.offset == 0 && field.size > 0)
}

#[test]
fn every_origin_names_a_header_that_speaks_of_it() {
    let compiler = Compiler::find(Architecture::X86).expect("a compiler and the headers");
    for item in items().into_iter().filter(|item| item.history != History::New) {
        let file = compiler.headers().join("xen").join(&item.header);
        let text =
            std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {}: {error}", item.path, item.header));
        let known = coverage::words(&text);
        for word in coverage::words(item.c.trim_end_matches('*')) {
            let family = item.c.ends_with('*') && known.iter().any(|name| name.starts_with(&word));
            // The error numbers get their prefix from a macro.
            let spoken = known.contains(&word)
                || word.strip_prefix("XEN_").is_some_and(|rest| known.iter().any(|name| name == rest));
            assert!(family || spoken, "{}: {} does not speak of {word}", item.path, item.header);
        }
    }
}
