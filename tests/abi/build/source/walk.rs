//! Walks modules and collects their public items.

use super::origin::{self, Architecture, Named, Origin};
use super::{Field, Item, Kind, Parsed};
use quote::ToTokens;
use std::path::Path;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Expr, Ident, ItemMod, Token, Type, Visibility, braced};

/// Collects the items of a file and of the modules it declares.
pub(super) fn module(file: &Path, path: &str, parsed: &mut Parsed) -> Result<(), Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    for item in syn::parse_file(&text)?.items {
        match item {
            syn::Item::Mod(child) if child.content.is_none() => self::child(file, &child, path, parsed)?,
            item => one(item, path, parsed),
        }
    }
    Ok(())
}

fn child(file: &Path, child: &ItemMod, path: &str, parsed: &mut Parsed) -> Result<(), Box<dyn std::error::Error>> {
    let name = child.ident.to_string();
    let folder = match file.file_stem().and_then(|stem| stem.to_str()) {
        Some("mod") | None => file.with_file_name(""),
        Some(_) => file.with_extension(""),
    };
    let flat = folder.join(format!("{name}.rs"));
    let nested = folder.join(&name).join("mod.rs");
    // What is public in a private module is re-exported by its parent.
    let public = is_public(&child.vis).then(|| format!("{path}::{name}"));
    let inner = public.as_deref().unwrap_or(path);
    module(if flat.exists() { &flat } else { &nested }, inner, parsed)
}

/// Collects an item that stands in the file itself.
pub(super) fn one(item: syn::Item, path: &str, parsed: &mut Parsed) {
    match item {
        syn::Item::Struct(item) if is_public(&item.vis) => structure(item, path, parsed),
        syn::Item::Union(item) if is_public(&item.vis) => {
            let fields = fields(item.fields.named.iter(), &format!("{path}::{}", item.ident), parsed);
            add(&item.attrs, path, &item.ident, Kind::Layout { fields }, parsed);
        }
        syn::Item::Const(item) if is_public(&item.vis) => {
            let accessor = if integer(&item.ty).is_some() { "" } else { ".0" };
            add(&item.attrs, path, &item.ident, Kind::Constant { accessor }, parsed);
        }
        syn::Item::Type(item) if is_public(&item.vis) => {
            add(&item.attrs, path, &item.ident, Kind::Newtype { signed: integer(&item.ty) }, parsed);
        }
        syn::Item::Macro(item) => expand(item, path, parsed),
        syn::Item::Impl(item) => implementation(&item, path, parsed),
        syn::Item::Mod(item) if !is_test(&item) => {
            let text = format!("{path}::{} is a module inside a file, which the comparison does not read", item.ident);
            parsed.problems.push(text);
        }
        syn::Item::Use(_) | syn::Item::Mod(_) => {}
        other => reject(&other, path, parsed),
    }
}

fn structure(item: syn::ItemStruct, path: &str, parsed: &mut Parsed) {
    let kind = match &item.fields {
        syn::Fields::Unnamed(tuple) => {
            Kind::Newtype { signed: tuple.unnamed.first().and_then(|field| integer(&field.ty)) }
        }
        named => Kind::Layout { fields: fields(named.iter(), &format!("{path}::{}", item.ident), parsed) },
    };
    add(&item.attrs, path, &item.ident, kind, parsed);
}

fn fields<'a>(fields: impl Iterator<Item = &'a syn::Field>, path: &str, parsed: &mut Parsed) -> Vec<Field> {
    let mut list = Vec::new();
    for field in fields {
        let name = field.ident.as_ref().map(Ident::to_string).unwrap_or_default();
        if field.ty.to_token_stream().to_string().split_whitespace().any(|word| word == "bool") {
            parsed.problems.push(format!("{path}.{name} is a bool, which a hostile byte makes undefined behaviour"));
        }
        if !is_public(&field.vis) {
            parsed.problems.push(format!("{path}.{name} is not public"));
        }
        list.push(Field { c: origin::of_field(&name, &field.attrs), name });
    }
    list
}

fn expand(item: syn::ItemMacro, path: &str, parsed: &mut Parsed) {
    let name = item.mac.path.to_token_stream().to_string();
    match name.as_str() {
        "constants" => newtype(&item.mac, ".0", path, parsed),
        "flags" => newtype(&item.mac, ".bits()", path, parsed),
        "macro_rules" => {}
        _ if item.mac.tokens.to_string().split_whitespace().any(|word| word == "pub") => {
            parsed.problems.push(format!("{path}: {name}! makes items that the comparison cannot see"));
        }
        _ => {}
    }
}

fn newtype(invocation: &syn::Macro, accessor: &'static str, path: &str, parsed: &mut Parsed) {
    let named: Family = match invocation.parse_body() {
        Ok(named) => named,
        Err(error) => {
            return parsed.problems.push(format!("{path}: cannot read a family of constants: {error}"));
        }
    };
    add(&named.attributes, path, &named.name, Kind::Newtype { signed: integer(&named.integer) }, parsed);
    let family = format!("{path}::{}", named.name);
    for (attributes, constant) in &named.constants {
        add(attributes, &family, constant, Kind::Constant { accessor }, parsed);
    }
}

fn implementation(item: &syn::ItemImpl, path: &str, parsed: &mut Parsed) {
    for inner in &item.items {
        if let syn::ImplItem::Const(constant) = inner
            && is_public(&constant.vis)
        {
            parsed.problems.push(format!("{path}: {} belongs into constants! or flags!", constant.ident));
        }
    }
}

fn reject(item: &syn::Item, path: &str, parsed: &mut Parsed) {
    let (what, visibility, name) = match item {
        syn::Item::Enum(item) => ("an enum, which an unknown number makes undefined behaviour", &item.vis, &item.ident),
        syn::Item::Fn(item) => ("a function, where the ABI has types and numbers only", &item.vis, &item.sig.ident),
        syn::Item::Static(item) => ("a static", &item.vis, &item.ident),
        syn::Item::Trait(item) => ("a trait", &item.vis, &item.ident),
        _ => return,
    };
    if is_public(visibility) || matches!(item, syn::Item::Enum(_)) {
        parsed.problems.push(format!("{path}::{name} is {what}"));
    }
}

fn add(attributes: &[Attribute], path: &str, name: &Ident, kind: Kind, parsed: &mut Parsed) {
    let path = format!("{path}::{name}");
    let origin = match origin::of_item(attributes) {
        Named::C(origin) => Some(Origin { architecture: origin.architecture.or_else(|| of_module(&path)), ..origin }),
        Named::Ours => None,
        Named::Nothing => {
            return parsed.problems.push(format!("{path} names no origin in the last line of its doc"));
        }
    };
    parsed.items.push(Item { path, origin, kind });
}

fn of_module(path: &str) -> Option<Architecture> {
    match path.split("::").nth(1) {
        Some("x86") => Some(Architecture::X86),
        Some("arm") => Some(Architecture::Arm),
        _ => None,
    }
}

fn is_test(module: &ItemMod) -> bool {
    module.attrs.iter().any(|attribute| attribute.to_token_stream().to_string().replace(' ', "") == "#[cfg(test)]")
}

const fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

/// Whether a type is an integer, and if so whether it has a sign.
fn integer(kind: &Type) -> Option<bool> {
    match kind.to_token_stream().to_string().as_str() {
        "u8" | "u16" | "u32" | "u64" | "usize" => Some(false),
        "i8" | "i16" | "i32" | "i64" | "isize" => Some(true),
        _ => None,
    }
}

/// The body of `constants!` and `flags!`.
struct Family {
    attributes: Vec<Attribute>,
    name: Ident,
    integer: Type,
    constants: Vec<(Vec<Attribute>, Ident)>,
}

impl Parse for Family {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attributes = input.call(Attribute::parse_outer)?;
        input.parse::<Token![pub]>()?;
        input.parse::<Token![struct]>()?;
        let name = input.parse()?;
        input.parse::<Token![:]>()?;
        let integer = input.parse()?;
        let body;
        braced!(body in input);
        let mut constants = Vec::new();
        while !body.is_empty() {
            constants.push(constant(&body)?);
        }
        Ok(Self { attributes, name, integer, constants })
    }
}

fn constant(body: ParseStream<'_>) -> syn::Result<(Vec<Attribute>, Ident)> {
    let attributes = body.call(Attribute::parse_outer)?;
    let name = body.parse()?;
    body.parse::<Token![=]>()?;
    body.parse::<Expr>()?;
    body.parse::<Token![;]>()?;
    Ok((attributes, name))
}
