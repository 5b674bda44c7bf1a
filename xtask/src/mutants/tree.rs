//! A copy of the workspace that mutants are applied to, so that the workspace itself is never changed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::entry::Mutant;
use crate::paths;

/// Folders that are no part of the source: cargo's, and those that begin with a dot, except cargo's settings.
const LEFT_OUT: &str = "target";
const KEPT: &str = ".cargo";

/// A copy of a workspace.
#[derive(Debug)]
pub(super) struct Tree {
    folder: PathBuf,
}

impl Tree {
    /// Makes `folder` equal to the workspace in `root`.
    ///
    /// Files that are equal already are left alone, so that cargo builds only what changed since the last time.
    pub(super) fn copy(root: &Path, folder: &Path) -> Result<Self> {
        paths::make(folder)?;
        let (wanted, present) = (files(root)?, files(folder)?);
        for gone in present.difference(&wanted) {
            fs::remove_file(folder.join(gone))?;
        }
        for file in &wanted {
            copy(&root.join(file), &folder.join(file)).with_context(|| format!("cannot copy {}", file.display()))?;
        }
        Ok(Self { folder: folder.to_owned() })
    }

    /// Returns where the copy is.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Applies a mutant until the result is dropped.
    pub(super) fn apply(&self, mutant: &Mutant) -> Result<Applied> {
        let path = self.folder.join(&mutant.file);
        let original = fs::read_to_string(&path).with_context(|| format!("cannot read {}", mutant.file.display()))?;
        let changed = mutant.applied_to(&original)?;
        let applied = Applied { path, original };
        fs::write(&applied.path, changed)?;
        Ok(applied)
    }
}

/// A mutant in its place.
#[derive(Debug)]
#[must_use = "the mutant is undone when this is dropped"]
pub(super) struct Applied {
    path: PathBuf,
    original: String,
}

impl Drop for Applied {
    fn drop(&mut self) {
        // A new time of change makes cargo build the original again. Should this fail, the next copy puts it right.
        let _ = fs::write(&self.path, &self.original);
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(from)?;
    if fs::read(to).is_ok_and(|present| present == bytes) {
        return Ok(());
    }
    to.parent().map_or(Ok(()), paths::make)?;
    Ok(fs::write(to, bytes)?)
}

/// Returns the source files below a folder, as paths from there.
fn files(root: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut files = BTreeSet::new();
    let mut pending = vec![root.to_owned()];
    while let Some(folder) = pending.pop() {
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let (entry, kind) = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)))?;
            if kind.is_dir() && is_source(&entry) {
                pending.push(entry);
            } else if kind.is_file() {
                files.extend(entry.strip_prefix(root).map(Path::to_owned));
            }
        }
    }
    Ok(files)
}

fn is_source(folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    name == KEPT || (name != LEFT_OUT && !name.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(paths::unique(name));
        for (file, text) in [("root/a/lib.rs", "one"), ("root/.git/x", "git"), ("root/target/y", "built")] {
            let path = folder.join(file);
            paths::make(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn modified(path: &Path) -> std::time::SystemTime {
        fs::metadata(path).unwrap().modified().unwrap()
    }

    #[test]
    fn a_copy_follows_its_original_and_leaves_equal_files_alone() {
        let folder = fixture("tree");
        let (root, copy) = (folder.join("root"), folder.join("copy"));
        Tree::copy(&root, &copy).unwrap();
        let before = modified(&copy.join("a/lib.rs"));
        fs::write(root.join("b.rs"), "two").unwrap();
        Tree::copy(&root, &copy).unwrap();
        assert_eq!(modified(&copy.join("a/lib.rs")), before);
        fs::remove_file(root.join("b.rs")).unwrap();
        Tree::copy(&root, &copy).unwrap();
        assert_eq!(files(&copy).unwrap(), BTreeSet::from(["a/lib.rs".into()]));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_mutant_is_undone_with_a_new_time_of_change() {
        let folder = fixture("applied");
        let tree = Tree::copy(&folder.join("root"), &folder.join("copy")).unwrap();
        let file = tree.folder().join("a/lib.rs");
        let mutant = "id = 'm'\nfile = 'a/lib.rs'\nfind = 'n'\nreplace = 'N'\npackage = 'a'\ntest = 't'";
        let applied = tree.apply(&toml::from_str(mutant).unwrap()).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "oNe");
        let then = modified(&file);
        std::thread::sleep(std::time::Duration::from_millis(20));
        drop(applied);
        assert_eq!(fs::read_to_string(&file).unwrap(), "one");
        assert!(modified(&file) > then);
        fs::remove_dir_all(folder).unwrap();
    }
}
