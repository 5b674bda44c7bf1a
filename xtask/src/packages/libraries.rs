//! Which packages hold the shared libraries that programs need.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::{Apt, Set, Tree};
use crate::paths;

/// Fetches packages until every library that the set's programs need is in the tree.
///
/// A library comes from a direct dependency of the package that needs it: first the one named after it, by
/// Debian's rule, else all those that hold libraries.
pub(super) fn complete(
    set: &Set,
    apt: &Apt,
    tree: &mut Tree,
    fetch: impl Fn(&[String], &mut Tree) -> Result<()>,
) -> Result<()> {
    let extra: Vec<String> = set.libraries.iter().map(|(_, package)| (*package).to_owned()).collect();
    fetch(&extra, tree)?;
    let mut programs = set.programs.to_vec();
    programs.extend(set.libraries.iter().map(|(library, _)| *library));
    loop {
        let missing = tree.closure(&programs)?.missing;
        if missing.is_empty() {
            return Ok(());
        }
        let wanted = candidates(apt, tree, &missing)?;
        if wanted.is_empty() {
            let names: Vec<String> = missing.into_iter().map(|(library, by)| format!("{library} (for {by})")).collect();
            bail!("no package found for {}", names.join(", "));
        }
        fetch(&wanted, tree)?;
    }
}

/// Writes a script that runs `program` with fixed options, and with the libraries that `needs` links to.
pub(super) fn write_wrapper(wrapper: &Path, tree: &Tree, program: &Path, needs: &str, options: &str) -> Result<()> {
    let text = format!(
        "#!/bin/sh\n# Written by cargo xtask.\nLD_LIBRARY_PATH='{}' exec '{}' {options} \"$@\"\n",
        library_path(tree, needs)?,
        program.display(),
    );
    let partial = wrapper.with_file_name(paths::unique("wrapper"));
    fs::write(&partial, text)?;
    fs::set_permissions(&partial, fs::Permissions::from_mode(0o755))?;
    fs::rename(&partial, wrapper).with_context(|| format!("cannot write {}", wrapper.display()))
}

/// Returns the folders that hold the libraries of a program in the tree, as `LD_LIBRARY_PATH` wants them.
///
/// The C library is left out: it must match the machine's own program loader.
pub(crate) fn library_path(tree: &Tree, program: &str) -> Result<String> {
    let closure = tree.closure(&[program])?;
    let libc = tree.owner(closure.found.get("libc.so.6").map_or(Path::new(""), PathBuf::as_path));
    let files = closure.found.values().filter(|file| tree.owner(file) != libc);
    let folders: BTreeSet<String> =
        files.filter_map(|file| file.parent()).map(|folder| folder.display().to_string()).collect();
    Ok(folders.into_iter().collect::<Vec<_>>().join(":"))
}

/// Returns packages, not in the tree yet, that should hold the missing libraries.
fn candidates(apt: &Apt, tree: &Tree, missing: &[(String, String)]) -> Result<Vec<String>> {
    let mut wanted = Vec::new();
    for (library, owner) in missing {
        let absent: Vec<String> = apt.depends(owner)?.into_iter().filter(|name| !tree.contains(name)).collect();
        let exact: Vec<String> = absent.iter().filter(|name| named_after(name, library)).cloned().collect();
        wanted.extend(if exact.is_empty() && !absent.is_empty() { apt.libraries(&absent)? } else { exact });
    }
    wanted.sort();
    wanted.dedup();
    Ok(wanted)
}

/// Returns whether a package is named after a soname: `libglib2.0-0` or `libglib2.0-0t64` after `libglib-2.0.so.0`.
fn named_after(package: &str, soname: &str) -> bool {
    let squeeze = |text: &str| -> String { text.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect() };
    let package = package.strip_suffix("t64").unwrap_or(package);
    squeeze(package) == squeeze(&soname.replacen(".so.", "", 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_matched_by_debians_rule() {
        assert!(named_after("libc6", "libc.so.6"));
        assert!(named_after("libglib2.0-0", "libglib-2.0.so.0"));
        assert!(named_after("libglib2.0-0t64", "libglib-2.0.so.0"));
        assert!(named_after("libxenstore4", "libxenstore.so.4"));
        assert!(!named_after("libxenmisc4.17", "libxenctrl.so.4.17"));
    }
}
