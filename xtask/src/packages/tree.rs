//! Unpacked packages, seen as one file system.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::elf;

/// A number of unpacked packages, each in a folder of its own.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// Name and folder of each package.
    packages: Vec<(String, PathBuf)>,
    /// Every file by its last name: the package's index and the path on this machine.
    files: HashMap<String, Vec<(usize, PathBuf)>>,
}

impl Tree {
    /// Adds a package unpacked in `folder`.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read.
    pub fn add(&mut self, package: &str, folder: &Path) -> Result<()> {
        self.packages.push((package.to_owned(), folder.to_owned()));
        self.index(folder)
    }

    /// Returns whether a package is in the tree.
    #[must_use]
    pub fn contains(&self, package: &str) -> bool {
        self.packages.iter().any(|(name, _)| name == package)
    }

    /// Returns the names of the packages.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        self.packages.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// Returns the first folder or file with this path inside a package.
    #[must_use]
    pub fn path(&self, inside: &str) -> Option<PathBuf> {
        self.paths(inside).into_iter().next()
    }

    /// Returns this path inside each package that has it.
    #[must_use]
    pub fn paths(&self, inside: &str) -> Vec<PathBuf> {
        self.packages.iter().map(|(_, folder)| folder.join(inside)).filter(|path| path.exists()).collect()
    }

    /// Returns the regular files with this last name, links followed inside their package.
    #[must_use]
    pub fn files(&self, name: &str) -> Vec<PathBuf> {
        let found = self.files.get(name).map(Vec::as_slice).unwrap_or_default();
        found.iter().filter_map(|(package, path)| self.resolve(*package, path)).collect()
    }

    /// Returns the ELF program or library with this last name.
    ///
    /// # Errors
    ///
    /// When no package holds one.
    pub fn elf(&self, name: &str) -> Result<PathBuf> {
        self.files(name)
            .into_iter()
            .find(|path| elf::is_elf(path))
            .with_context(|| format!("none of the packages {} holds {name}", self.names().join(", ")))
    }

    /// Returns the first file in a folder of a package whose last name is accepted.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn find(&self, folder: &str, accept: impl Fn(&str) -> bool) -> Result<PathBuf> {
        let found = self.packages.iter().find_map(|(_, package)| {
            let entries = fs::read_dir(package.join(folder)).ok()?;
            entries.filter_map(Result::ok).find(|entry| accept(&entry.file_name().to_string_lossy()))
        });
        found
            .map(|entry| entry.path())
            .with_context(|| format!("no fitting file in {folder} of the packages {}", self.names().join(", ")))
    }

    /// Returns every library that the programs need, directly or not, and that the tree holds.
    ///
    /// # Errors
    ///
    /// When a program is missing or no ELF file.
    pub fn closure(&self, programs: &[&str]) -> Result<Closure> {
        let mut closure = Closure::default();
        let mut pending: Vec<PathBuf> = programs.iter().map(|name| self.elf(name)).collect::<Result<_>>()?;
        while let Some(path) = pending.pop() {
            for library in elf::needed(&path)? {
                if closure.found.contains_key(&library) {
                    continue;
                }
                match self.elf(&library) {
                    Ok(file) => {
                        pending.push(file.clone());
                        closure.found.insert(library, file);
                    }
                    Err(_) => closure.missing.push((library, self.owner(&path))),
                }
            }
        }
        closure.missing.sort();
        closure.missing.dedup();
        Ok(closure)
    }

    /// Returns the package that holds a file.
    #[must_use]
    pub fn owner(&self, path: &Path) -> String {
        let owner = self.packages.iter().find(|(_, folder)| path.starts_with(folder));
        owner.map(|(name, _)| name.clone()).unwrap_or_default()
    }

    fn index(&mut self, folder: &Path) -> Result<()> {
        let package = self.packages.len() - 1;
        for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                self.index(&entry.path())?;
            } else {
                let name = entry.file_name().to_string_lossy().into_owned();
                self.files.entry(name).or_default().push((package, entry.path()));
            }
        }
        Ok(())
    }

    /// Follows symbolic links; an absolute target means the package's own root, not this machine's.
    fn resolve(&self, package: usize, path: &Path) -> Option<PathBuf> {
        let mut path = path.to_owned();
        for _ in 0..8 {
            match fs::read_link(&path) {
                Ok(target) if target.is_absolute() => {
                    path = self.packages[package].1.join(target.strip_prefix("/").ok()?);
                }
                Ok(target) => path = path.parent()?.join(target),
                Err(_) => return path.is_file().then_some(path),
            }
        }
        None
    }
}

/// The libraries that some programs need.
#[derive(Debug, Default)]
pub struct Closure {
    /// The file of each library by its soname; in order, as keys are made from it.
    pub found: BTreeMap<String, PathBuf>,
    /// Libraries that are not in the tree, each with the package that needs it.
    pub missing: Vec<(String, String)>,
}
