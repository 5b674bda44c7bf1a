//! Files made from other files, kept until their inputs change.

use std::fs::{self, FileTimes, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

use crate::paths;

/// How long a file is kept that nobody uses.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

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

    /// Returns what stands for all that was added, in its order.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.finish()
    }
}

/// Returns the file `name` made from what `key` describes; `make` writes it when it is not there.
///
/// A file of that name that was not used for a day is removed (another checkout may share the folder), and a file that is
/// only half written is never seen.
///
/// # Errors
///
/// When `make` fails or the file cannot be placed.
pub fn file(name: &str, key: &Key, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let folder = paths::domu()?.join("images");
    paths::make(&folder)?;
    let path = folder.join(format!("{name}-{:016x}", key.value()));
    if let Ok(file) = fs::File::open(&path) {
        // Marks it as used; without that it is only made anew some day. The time of change stays, as it may be in a key.
        let _ = file.set_times(FileTimes::new().set_accessed(SystemTime::now()));
        return Ok(path);
    }
    let partial = folder.join(paths::unique(name));
    make(&partial)?;
    remove_unused(&folder, name, SystemTime::now() - KEPT);
    fs::rename(&partial, &path).with_context(|| format!("cannot place {}", path.display()))?;
    Ok(path)
}

fn remove_unused(folder: &Path, name: &str, since: SystemTime) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.filter_map(Result::ok) {
        let used = entry.metadata().ok().and_then(|data| last_use(&data));
        if is_version(&entry.file_name().to_string_lossy(), name) && used.is_some_and(|used| used < since) {
            // A file that stays costs only space.
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn last_use(data: &Metadata) -> Option<SystemTime> {
    data.accessed().ok().max(data.modified().ok())
}

fn is_version(file: &str, name: &str) -> bool {
    let hash = file.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
    hash.is_some_and(|hash| hash.len() == 16 && hash.chars().all(|c| c.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_made_once_per_key_and_replaces_those_that_nobody_uses() {
        let name = format!("cache-test-{}", std::process::id());
        let write = |text: &'static str| move |path: &Path| Ok(fs::write(path, text)?);
        let make = |key: u32, text| file(&name, &Key::default().with(key), write(text)).unwrap();
        let (first, recent) = (make(1, "one"), make(2, "two"));
        assert_eq!(make(1, "unused"), first);
        assert_eq!(fs::read_to_string(&first).unwrap(), "one");
        let old = SystemTime::now() - 2 * KEPT;
        fs::File::open(&first).unwrap().set_times(FileTimes::new().set_accessed(old).set_modified(old)).unwrap();
        let last = make(3, "three");
        assert!(!first.exists() && recent.exists() && last.exists());
        fs::remove_file(recent).unwrap();
        fs::remove_file(last).unwrap();
    }

    #[test]
    fn the_use_of_a_file_changes_no_key_and_counts_as_use() {
        let name = format!("cache-use-{}", std::process::id());
        let make = || file(&name, &Key::default(), |path| Ok(fs::write(path, "x")?)).unwrap();
        let path = make();
        let old = SystemTime::now() - 2 * KEPT;
        fs::File::open(&path).unwrap().set_times(FileTimes::new().set_accessed(old).set_modified(old)).unwrap();
        let key = || Key::default().with_file(&path).value();
        let before = key();
        assert_eq!(make(), path);
        assert_eq!(key(), before);
        assert!(last_use(&fs::metadata(&path).unwrap()).unwrap() > old + KEPT);
        fs::write(&path, "changed").unwrap();
        assert_ne!(key(), before);
        fs::remove_file(path).unwrap();
    }
}
