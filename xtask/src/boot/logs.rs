//! Where the logs of a boot are kept.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::paths;

/// How many boots keep their logs.
const KEPT: usize = 50;

/// Makes a new folder for the logs of a boot, and removes the oldest ones.
pub(super) fn folder(name: &str) -> Result<PathBuf> {
    let logs = paths::domu()?.join("logs");
    paths::make(&logs)?;
    let numbered = numbered(&logs)?;
    for (_, old) in numbered.iter().rev().skip(KEPT) {
        // What cannot be removed costs only space.
        let _ = fs::remove_dir_all(old);
    }
    let first = numbered.last().map_or(1, |(number, _)| number + 1);
    // Another process may take a number at the same time.
    let free = (first..first + 100).find_map(|number| {
        let folder = logs.join(format!("{number:04}-{name}"));
        let taken = numbered.iter().any(|(used, _)| *used == number);
        (!taken && fs::create_dir(&folder).is_ok()).then_some(folder)
    });
    free.with_context(|| format!("cannot make a folder in {}", logs.display()))
}

/// Returns the folders of earlier boots, oldest first.
fn numbered(logs: &Path) -> Result<Vec<(u32, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(logs)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(number) = name.split_once('-').and_then(|(number, _)| number.parse().ok()) {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found)
}

/// The files of a boot in full mode.
pub(super) struct Logs {
    pub(super) folder: PathBuf,
    pub(super) xen: PathBuf,
    pub(super) qemu: PathBuf,
    pub(super) initramfs: PathBuf,
}

impl Logs {
    pub(super) fn new(name: &str) -> Result<Self> {
        let folder = folder(name)?;
        let file = |name| folder.join(name);
        Ok(Self { xen: file("xen.log"), qemu: file("qemu.log"), initramfs: file("dom0.cpio"), folder })
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        // It is large, and made anew for each boot.
        let _ = std::fs::remove_file(&self.initramfs);
    }
}
