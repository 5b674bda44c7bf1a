//! Whether everything that Xen's headers define is in our list, or left out for a reason.

use crate::excluded::{Exclusion, matches};
use crate::scan::Defined;
use crate::{Item, Shape};
use std::collections::BTreeSet;

/// The names that the headers define and nobody knows of.
pub fn missed<'a>(
    defined: impl IntoIterator<Item = &'a Defined>,
    items: &[&Item],
    exclusions: &[Exclusion],
) -> Vec<&'a Defined> {
    let known = known(items);
    let excluded = |name: &str| exclusions.iter().any(|exclusion| exclusion.covers(name));
    defined.into_iter().filter(|defined| !is_known(&defined.name, &known) && !excluded(&defined.name)).collect()
}

/// The exclusions that no name of an architecture's headers needs.
#[must_use]
pub fn unneeded<'a>(defined: &BTreeSet<Defined>, items: &[&Item], exclusions: &'a [Exclusion]) -> Vec<&'a Exclusion> {
    let known = known(items);
    let unknown: Vec<_> = defined.iter().filter(|defined| !is_known(&defined.name, &known)).collect();
    let needed = |exclusion: &&Exclusion| unknown.iter().any(|defined| exclusion.covers(&defined.name));
    exclusions
        .iter()
        .filter(|exclusion| !exclusion.is_header() && !exclusion.is_dated() && !needed(exclusion))
        .collect()
}

/// The families of constants whose pattern no name of the headers matches.
#[must_use]
pub fn empty_families<'a>(defined: &BTreeSet<Defined>, items: &[&'a Item]) -> Vec<&'a Item> {
    let families = items.iter().filter(|item| matches!(item.shape, Shape::Family));
    families.filter(|item| !defined.iter().any(|defined| matches(&item.c, &defined.name))).copied().collect()
}

/// A name is known as it is, as the typedef of a known structure, or as the bit number of a known flag.
fn is_known(name: &str, known: &BTreeSet<String>) -> bool {
    let structure = name.strip_suffix("_t").is_some_and(|tag| known.contains(tag));
    let bit = name.strip_prefix('_').is_some_and(|flag| known.contains(flag));
    known.contains(name) || structure || bit
}

/// All names in the C originals, fields as `type.field`.
fn known(items: &[&Item]) -> BTreeSet<String> {
    items.iter().flat_map(|item| names(item)).collect()
}

fn names(item: &Item) -> Vec<String> {
    let mut words = words(&item.c).into_iter();
    let Shape::Layout { fields, .. } = &item.shape else {
        return words.collect();
    };
    // The keyword `struct` or `union` comes first, the members of a nested type after its owner.
    let Some(owner) = words.nth(1) else { return Vec::new() };
    let inner = fields.iter().filter_map(|field| field.c.as_deref()).flat_map(self::words);
    let fields: Vec<_> = words.chain(inner).map(|field| format!("{owner}.{field}")).collect();
    fields.into_iter().chain([owner]).collect()
}

/// The words of a C expression.
#[must_use]
pub fn words(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}
