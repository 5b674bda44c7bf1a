//! Linux modules for domain 0, in the order in which they must be loaded.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result};
use object::{Object as _, ObjectSection as _};

use crate::packages::Tree;

/// A module ready to be loaded.
#[derive(Debug)]
pub(crate) struct Module {
    /// Its name as insmod's argument wants it, without an ending.
    pub(crate) name: String,
    /// What follows the name on insmod's command line.
    pub(crate) options: String,
    /// The uncompressed object file.
    pub(crate) content: Vec<u8>,
}

/// Reads modules and all that they depend on, dependencies first; one that is built into the kernel is left out.
///
/// A name may be followed by options.
pub(crate) fn load(tree: &Tree, names: &[&str]) -> Result<Vec<Module>> {
    let builtin = tree.files("modules.builtin");
    let builtin = builtin.first().map(std::fs::read_to_string).transpose()?.unwrap_or_default();
    let mut loaded = Vec::new();
    names.iter().try_for_each(|name| add(tree, &builtin, name, &mut loaded))?;
    Ok(loaded)
}

fn add(tree: &Tree, builtin: &str, line: &str, loaded: &mut Vec<Module>) -> Result<()> {
    let (name, options) = line.split_once(' ').unwrap_or((line, ""));
    let same = |other: &str| other.replace('_', "-") == name.replace('_', "-");
    let inside = builtin.lines().filter_map(|path| path.rsplit('/').next()?.strip_suffix(".ko"));
    if loaded.iter().any(|module| same(&module.name)) || inside.into_iter().any(same) {
        return Ok(());
    }
    let content = read(tree, &find(tree, name)?)?;
    let depends = depends(&content).with_context(|| format!("cannot read the module {name}"))?;
    depends.iter().try_for_each(|other| add(tree, builtin, other, loaded))?;
    loaded.push(Module { name: name.to_owned(), options: options.to_owned(), content });
    Ok(())
}

/// Finds a module's file: its name may have `-` where the module's has `_`, and it may be compressed.
fn find(tree: &Tree, name: &str) -> Result<PathBuf> {
    let spellings = [name.to_owned(), name.replace('_', "-"), name.replace('-', "_")];
    spellings
        .iter()
        .flat_map(|name| [".ko", ".ko.xz"].map(|ending| format!("{name}{ending}")))
        .find_map(|file| tree.files(&file).into_iter().next())
        .with_context(|| format!("the kernel's package holds no module {name} that this tool can read"))
}

fn read(tree: &Tree, path: &Path) -> Result<Vec<u8>> {
    let raw = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    if path.extension().is_none_or(|ending| ending != "xz") {
        return Ok(raw);
    }
    super::kernel::unxz(tree, &raw, Stdio::piped()).with_context(|| format!("cannot unpack {}", path.display()))
}

/// Returns the module names after `depends=` in the module's own description.
fn depends(content: &[u8]) -> Result<Vec<String>> {
    let file = object::File::parse(content)?;
    let section = file.section_by_name(".modinfo").context("it has no section .modinfo")?;
    let text = String::from_utf8_lossy(section.data()?).into_owned();
    let list = text.split('\0').find_map(|line| line.strip_prefix("depends=")).unwrap_or_default();
    Ok(list.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}
