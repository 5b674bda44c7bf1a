//! Files made from other files, kept until their inputs change.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::paths;

/// What a cached file was made from.
#[derive(Debug, Default)]
pub struct Key(DefaultHasher);

impl Key {
    /// Adds a value.
    #[must_use]
    pub fn with(mut self, value: impl Hash) -> Self {
        value.hash(&mut self.0);
        self
    }

    /// Adds a file by its path, size and time of change.
    #[must_use]
    pub fn with_file(self, path: &Path) -> Self {
        let data = fs::metadata(path).ok().map(|data| (data.len(), data.modified().ok()));
        self.with((path, data))
    }
}

/// Returns the file `name` made from what `key` describes; `make` writes it when it is not there.
///
/// An older file of that name is removed, and a file that is only half written is never seen.
///
/// # Errors
///
/// When `make` fails or the file cannot be placed.
pub fn file(name: &str, key: &Key, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let folder = paths::domu()?.join("images");
    paths::make(&folder)?;
    let path = folder.join(format!("{name}-{:016x}", key.0.finish()));
    if path.is_file() {
        return Ok(path);
    }
    let partial = folder.join(paths::unique(name));
    make(&partial)?;
    remove_older(&folder, name);
    fs::rename(&partial, &path).with_context(|| format!("cannot place {}", path.display()))?;
    Ok(path)
}

fn remove_older(folder: &Path, name: &str) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.filter_map(Result::ok) {
        let file = entry.file_name().to_string_lossy().into_owned();
        let hash = file.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
        if hash.is_some_and(|hash| hash.len() == 16 && hash.chars().all(|c| c.is_ascii_hexdigit())) {
            // A file that stays costs only space.
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_made_once_per_key_and_replaces_the_older() {
        let name = format!("cache-test-{}", std::process::id());
        let write = |text: &'static str| move |path: &Path| Ok(fs::write(path, text)?);
        let first = file(&name, &Key::default().with(1), write("one")).unwrap();
        let again = file(&name, &Key::default().with(1), write("unused")).unwrap();
        assert_eq!(
            (first.clone(), fs::read_to_string(again).unwrap()),
            (first.clone(), "one".into())
        );
        let second = file(&name, &Key::default().with(2), write("two")).unwrap();
        assert!(!first.exists());
        fs::remove_file(second).unwrap();
    }
}
