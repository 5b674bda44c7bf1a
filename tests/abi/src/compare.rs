//! The comparison of our items with Xen's headers.

use crate::probe::{self, Answer};
use crate::{Architecture, Compiler, Field, History, Item, Shape, View};
use anyhow::Result;
use std::fmt;

/// A difference between an item and its C original.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The item's path in the crate.
    pub item: String,
    /// What differs, such as `offset of port`.
    pub what: String,
    /// Our number.
    pub ours: i128,
    /// Xen's number, or why the headers do not have it.
    pub theirs: Answer,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { item, what, ours, theirs } = self;
        match theirs {
            Ok(theirs) => write!(f, "{item}: {what} is {ours} here and {theirs} in Xen's headers"),
            Err(error) => write!(f, "{item}: {what} is {ours} here, and Xen's headers say: {error}"),
        }
    }
}

/// What was compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Structures, unions and newtypes.
    pub types: usize,
    /// Fields.
    pub fields: usize,
    /// Constants.
    pub constants: usize,
    /// Those of them that only later versions of the headers have, and these do not.
    pub absent: usize,
}

/// Compares those of `items` that the compiler's architecture has, and tells all differences.
///
/// # Errors
///
/// When the compiler cannot be run or rejects the headers themselves.
pub fn compare(compiler: &Compiler, items: &[Item]) -> Result<(Summary, Vec<Mismatch>)> {
    let items = of(compiler.architecture, items);
    let (mut summary, mut mismatches) = (summary(&items), Vec::new());
    for view in [View::Guest, View::Tools] {
        let seen = items.iter().filter(|item| item.view == view);
        let checks: Vec<_> = seen.flat_map(|item| checks(item)).collect();
        let questions: Vec<_> = checks.iter().map(|check| check.question.clone()).collect();
        for (check, answer) in checks.into_iter().zip(probe::ask(compiler, view, &questions)?) {
            summary.absent += usize::from(check.shows_absence(&answer));
            mismatches.extend(check.verdict(answer));
        }
    }
    Ok((summary, mismatches))
}

/// The items that an architecture has.
#[must_use]
pub fn of(architecture: Architecture, items: &[Item]) -> Vec<&Item> {
    items.iter().filter(|item| item.architecture.is_none_or(|only| only == architecture)).collect()
}

/// One number that is compared.
struct Check {
    item: String,
    what: String,
    question: String,
    ours: i128,
    /// Bits in which the numbers must agree; both must be possible values of that many bits.
    bits: u32,
    history: History,
}

impl Check {
    /// Whether the answer says that the headers are too old for the item; one question per item tells it.
    fn shows_absence(&self, theirs: &Answer) -> bool {
        self.history == History::New && theirs.is_err() && matches!(self.what.as_str(), "size" | "value")
    }

    fn verdict(self, theirs: Answer) -> Option<Mismatch> {
        let agrees = match (&theirs, self.history) {
            (&Ok(theirs), History::Growing) if self.what == "size" => self.ours <= theirs,
            (&Ok(theirs), _) => fits(theirs, self.bits) && (self.ours - theirs) % (1 << self.bits) == 0,
            (Err(_), history) => history == History::New,
        };
        let Self { item, what, ours, .. } = self;
        (!agrees).then_some(Mismatch { item, what, ours, theirs })
    }
}

/// Whether a number of `bits` bits, with or without a sign, can have this value.
const fn fits(value: i128, bits: u32) -> bool {
    value >= -(1 << (bits - 1)) && value < 1 << bits
}

fn checks(item: &Item) -> Vec<Check> {
    let kind = c_type(&item.c);
    let number = |what: &str, question: String, ours| check(item, what, question, ours, 64);
    let size = |size: &usize| number("size", format!("sizeof({kind})"), *size);
    match &item.shape {
        Shape::Family => Vec::new(),
        Shape::Constant { value, size } => vec![constant(item, *value, *size)],
        Shape::Newtype { size: bytes, signed: None } => vec![size(bytes)],
        Shape::Newtype { size: bytes, signed: Some(signed) } => {
            vec![size(bytes), number("having a sign", format!("({kind})-1 < 0"), (*signed).into())]
        }
        Shape::Layout { size: bytes, align, fields } => {
            let mut list = vec![size(bytes), number("alignment", format!("__alignof__({kind})"), *align)];
            list.extend(fields.iter().flat_map(|field| self::field(item, &kind, field)));
            list
        }
    }
}

fn constant(item: &Item, value: i128, size: usize) -> Check {
    let bits = 8 * size as u32;
    Check { ours: value, ..check(item, "value", item.c.clone(), 0, bits) }
}

fn field(item: &Item, kind: &str, field: &Field) -> Vec<Check> {
    let Some(c) = &field.c else { return Vec::new() };
    let name = &field.name;
    vec![
        check(item, &format!("offset of {name}"), format!("__builtin_offsetof({kind}, {c})"), field.offset, 64),
        check(item, &format!("size of {name}"), format!("sizeof((({kind} *)0)->{c})"), field.size, 64),
    ]
}

fn check(item: &Item, what: &str, question: String, ours: usize, bits: u32) -> Check {
    let (what, ours) = (what.to_owned(), ours as i128);
    Check { item: item.path.clone(), what, question, ours, bits, history: item.history }
}

/// The C type that an origin names: a type, or the type of a member.
fn c_type(name: &str) -> String {
    match name.split_once('.') {
        None => name.to_owned(),
        Some((outer, member)) => format!("__typeof__((({outer} *)0)->{member})"),
    }
}

fn summary(items: &[&Item]) -> Summary {
    let mut summary = Summary::default();
    for item in items {
        match &item.shape {
            Shape::Family => {}
            Shape::Constant { .. } => summary.constants += 1,
            Shape::Newtype { .. } => summary.types += 1,
            Shape::Layout { fields, .. } => {
                summary.types += 1;
                summary.fields += fields.iter().filter(|field| field.c.is_some()).count();
            }
        }
    }
    summary
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(ours: i128, theirs: Answer, bits: u32, history: History) -> bool {
        let (item, question) = (String::new(), String::new());
        Check { item, what: "size".into(), question, ours, bits, history }.verdict(theirs).is_none()
    }

    fn agrees(ours: i128, theirs: i128, bits: u32) -> bool {
        verdict(ours, Ok(theirs), bits, History::Fixed)
    }

    #[test]
    fn the_same_bits_agree_whether_c_gave_them_a_sign_or_not() {
        assert!(agrees(0x8000_0000, -0x8000_0000, 32));
        assert!(agrees(-13, -13, 16));
    }

    #[test]
    fn other_bits_and_bits_that_do_not_fit_differ() {
        assert!(!agrees(1, 2, 32));
        assert!(!agrees(1, 0x1_0001, 16));
        assert!(!agrees(0xff, -1, 64));
    }

    #[test]
    fn a_new_item_may_be_absent_but_not_different() {
        assert!(verdict(1, Err("undeclared".into()), 32, History::New));
        assert!(!verdict(1, Err("undeclared".into()), 32, History::Fixed));
        assert!(!verdict(1, Ok(2), 32, History::New));
    }

    #[test]
    fn a_growing_structure_may_be_larger_but_not_smaller_in_the_headers() {
        assert!(verdict(8, Ok(12), 64, History::Growing));
        assert!(!verdict(8, Ok(4), 64, History::Growing));
        assert!(!verdict(8, Ok(12), 64, History::Fixed));
    }
}
