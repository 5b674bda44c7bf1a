//! The last line of a doc comment, which names the C original.

use syn::{Attribute, Expr, ExprLit, Lit, Meta};

/// A C original.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its C name, or a pattern with `*` for a family of macros without a type.
    pub c: String,
    /// The header that defines it, below `xen/`.
    pub header: String,
    /// Where it exists; nothing for where the module does.
    pub architecture: Option<Architecture>,
    /// Who sees it.
    pub view: View,
    /// How it changes between versions of Xen.
    pub history: History,
}

/// How an item changes between versions of Xen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// All versions from 4.17 on have it, and alike.
    Fixed,
    /// Only later versions have it.
    New,
    /// Later versions add fields at its end.
    Growing,
}

/// An architecture whose headers define an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// x86-64.
    X86,
    /// ARM64.
    Arm,
}

/// Whose view of the headers defines an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// A guest's.
    Guest,
    /// That of the hypervisor's tools, which define `__XEN_TOOLS__`.
    Tools,
}

/// What the last line of an item's doc says of its origin.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// The C original.
    C(Origin),
    /// The item is our own.
    Ours,
    /// Nothing that can be understood.
    Nothing,
}

/// Reads an item's origin.
pub(super) fn of_item(attributes: &[Attribute]) -> Named {
    match last_line(attributes).as_deref() {
        Some("Origin: domu") => Named::Ours,
        Some(line) => parse(line).map_or(Named::Nothing, Named::C),
        None => Named::Nothing,
    }
}

/// Reads a field's path in C: what its doc says, else its own name, else nothing for padding.
pub(super) fn of_field(name: &str, attributes: &[Attribute]) -> Option<String> {
    let said = last_line(attributes).and_then(|line| Some(line.strip_prefix("C: `")?.strip_suffix('`')?.to_owned()));
    said.or_else(|| (!name.starts_with('_')).then(|| name.to_owned()))
}

fn last_line(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().filter_map(doc_line).rfind(|line| !line.is_empty())
}

fn doc_line(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(doc) = &attribute.meta else {
        return None;
    };
    let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &doc.value else {
        return None;
    };
    doc.path.is_ident("doc").then(|| text.value().trim().to_owned())
}

fn parse(line: &str) -> Option<Origin> {
    let (c, rest) = line.strip_prefix('`')?.split_once("`, public/")?;
    let (header, mark) = rest.split_once(' ').unwrap_or((rest, ""));
    if c.is_empty() || !header.ends_with(".h") {
        return None;
    }
    let (c, header) = (c.to_owned(), header.to_owned());
    let plain = Origin { c, header, architecture: None, view: View::Guest, history: History::Fixed };
    match mark {
        "" => Some(plain),
        "(x86-64)" => Some(Origin { architecture: Some(Architecture::X86), ..plain }),
        "(ARM64)" => Some(Origin { architecture: Some(Architecture::Arm), ..plain }),
        "(tools)" => Some(Origin { view: View::Tools, ..plain }),
        "(may grow)" => Some(Origin { history: History::Growing, ..plain }),
        _ => mark.starts_with("(from Xen 4.").then_some(Origin { history: History::New, ..plain }),
    }
}
