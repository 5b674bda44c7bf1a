//! Writes the list of items as Rust code.

use crate::source::{Field, Item, Kind, Origin, Parsed};
use std::fmt::Write;

/// An expression of type `(Vec<Item>, Vec<&str>)`: the items that have a C original, and the problems.
pub fn items(parsed: &Parsed) -> String {
    let mut text = String::from("(vec![\n");
    for item in &parsed.items {
        if let Some(origin) = &item.origin {
            let _ = writeln!(text, "    {},", self::item(item, origin));
        }
    }
    let _ = write!(text, "], vec!{:?})", parsed.problems);
    text
}

fn item(item: &Item, origin: &Origin) -> String {
    let Origin { c, header, architecture, view, history } = origin;
    // The names of the variants are what `Debug` prints.
    let architecture = architecture.map_or_else(|| "None".to_owned(), |only| format!("Some(Architecture::{only:?})"));
    format!(
        "Item {{ path: {:?}.into(), c: {c:?}.into(), header: {header:?}.into(), architecture: {architecture}, \
         view: View::{view:?}, history: History::{history:?}, shape: {} }}",
        item.path,
        shape(item, origin)
    )
}

fn shape(item: &Item, origin: &Origin) -> String {
    let path = format!("xen_hypercall::{}", item.path);
    match &item.kind {
        Kind::Constant { accessor } => {
            format!("Shape::Constant {{ value: {path}{accessor} as i128, size: size_of_val(&{path}) }}")
        }
        Kind::Newtype { .. } if origin.c.contains('*') => "Shape::Family".to_owned(),
        Kind::Newtype { signed } => format!("Shape::Newtype {{ size: size_of::<{path}>(), signed: {signed:?} }}"),
        Kind::Layout { fields } => format!(
            "Shape::Layout {{ size: size_of::<{path}>(), align: align_of::<{path}>(), fields: vec![{}] }}",
            fields.iter().map(|field| self::field(&path, field)).collect::<Vec<_>>().join(", ")
        ),
    }
}

fn field(path: &str, Field { name, c }: &Field) -> String {
    let c = c.as_ref().map_or_else(|| "None".to_owned(), |c| format!("Some({c:?}.into())"));
    format!(
        "Field {{ name: {name:?}.into(), c: {c}, offset: core::mem::offset_of!({path}, {name}), \
         size: field_size!({path}, {name}) }}"
    )
}
