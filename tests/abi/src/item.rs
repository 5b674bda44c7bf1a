//! Our side: the ABI's items as compiled.

use crate::{Architecture, History, View};

/// An item of the ABI that has a C original.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its path in the crate.
    pub path: String,
    /// Its C name: an expression, a type, a member's type as `type.member`, or a pattern for a family.
    pub c: String,
    /// The header that defines it, below `xen/`.
    pub header: String,
    /// The one architecture that has it; nothing for both.
    pub architecture: Option<Architecture>,
    /// Whose view of the headers defines it.
    pub view: View,
    /// How it changes between versions of Xen.
    pub history: History,
    /// Its layout or value.
    pub shape: Shape,
}

/// An item's layout or value.
#[derive(Clone, Debug)]
pub enum Shape {
    /// A structure or union; sizes in bytes.
    Layout {
        /// Its size.
        size: usize,
        /// Its alignment.
        align: usize,
        /// Its fields, padding included.
        fields: Vec<Field>,
    },
    /// A type with a single value in it.
    Newtype {
        /// Its size in bytes.
        size: usize,
        /// Whether it has a sign, where it is an integer.
        signed: Option<bool>,
    },
    /// A type whose C original is only a common prefix.
    Family,
    /// A number.
    Constant {
        /// The number.
        value: i128,
        /// The size of its type in bytes.
        size: usize,
    },
}

/// A field of a structure or union.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name in Rust.
    pub name: String,
    /// Its path in C; nothing for padding.
    pub c: Option<String>,
    /// Its offset in bytes.
    pub offset: usize,
    /// Its size in bytes.
    pub size: usize,
}

/// The items that have a C original.
#[must_use]
pub fn items() -> Vec<Item> {
    generated().0
}

/// What in the ABI's source breaks its rules; each line names its item.
#[must_use]
pub fn problems() -> Vec<&'static str> {
    generated().1
}

/// The size of a field, which needs no value of the structure.
macro_rules! field_size {
    ($structure:ty, $field:ident) => {{
        const fn pointee<F>(_: *const F) -> usize {
            size_of::<F>()
        }
        let place = core::mem::MaybeUninit::<$structure>::uninit();
        // SAFETY: the address lies in `place`, and nothing is read through it.
        pointee(unsafe { &raw const (*place.as_ptr()).$field })
    }};
}

#[allow(clippy::too_many_lines, reason = "generated")]
fn generated() -> (Vec<Item>, Vec<&'static str>) {
    include!(concat!(env!("OUT_DIR"), "/items.rs"))
}
