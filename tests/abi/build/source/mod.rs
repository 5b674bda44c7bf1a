//! Reads the ABI's own source: what is public in it, and what C original each item names.
//!
//! Nothing is left out in silence. A public item without an origin, a form of item that this parser does not
//! understand, and what the ABI's rules forbid (enums, `bool`) are problems, which a test turns into failures.

mod origin;
mod walk;

pub use origin::Origin;
#[allow(unused_imports, reason = "the build script only prints them")]
pub use origin::{Architecture, History, View};
use std::path::Path;

/// What the source contains.
#[derive(Debug, Default)]
pub struct Parsed {
    /// Every public item, in the order of the source.
    pub items: Vec<Item>,
    /// What breaks the ABI's rules, each naming its item.
    pub problems: Vec<String>,
}

/// A public item.
#[derive(Debug)]
pub struct Item {
    /// Its path in the crate, such as `abi::sched::Poll`.
    pub path: String,
    /// Its C original; nothing where it is our own.
    pub origin: Option<Origin>,
    /// What it is.
    pub kind: Kind,
}

/// What an item is.
#[derive(Debug)]
pub enum Kind {
    /// A structure or union with fields.
    Layout {
        /// Its fields, with the padding.
        fields: Vec<Field>,
    },
    /// A newtype or alias; `signed` where it is an integer.
    Newtype {
        /// Whether the integer in it has a sign.
        signed: Option<bool>,
    },
    /// A constant, and how its number is had from it.
    Constant {
        /// What to append to the item's path.
        accessor: &'static str,
    },
}

/// A field of a structure or union.
#[derive(Debug)]
pub struct Field {
    /// Its name in Rust.
    pub name: String,
    /// Its path in C; nothing for padding.
    pub c: Option<String>,
}

/// Reads a folder of modules, from its `mod.rs`.
///
/// # Errors
///
/// When a file cannot be read or is not Rust.
pub fn read(root: &Path) -> Result<Parsed, Box<dyn std::error::Error>> {
    let mut parsed = Parsed::default();
    walk::module(&root.join("mod.rs"), "abi", &mut parsed)?;
    Ok(parsed)
}

/// Reads the text of one module, as if it were `abi::test`.
///
/// # Errors
///
/// When it is not Rust.
#[cfg_attr(not(test), allow(dead_code, reason = "the build script has no use for it"))]
pub fn read_text(text: &str) -> Result<Parsed, Box<dyn std::error::Error>> {
    let mut parsed = Parsed::default();
    for item in syn::parse_file(text)?.items {
        walk::one(item, "abi::test", &mut parsed);
    }
    Ok(parsed)
}
