//! Where things are: the workspace and the folder for everything that this tool makes.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

/// Returns the root of the workspace: the nearest folder above that holds `xtask/Cargo.toml`; where cargo runs a package that lies
/// elsewhere, as one that `cargo xtask new` has made, the workspace in which this program was built.
///
/// # Errors
///
/// When none of them is, since the workspace was moved.
pub fn workspace() -> Result<PathBuf> {
    let built = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let starts = [env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from), env::current_dir().ok(), Some(built)];
    for start in starts.into_iter().flatten() {
        if let Some(root) = start.ancestors().find(|folder| folder.join("xtask/Cargo.toml").is_file()) {
            return Ok(root.to_owned());
        }
    }
    bail!("cannot find the workspace: run this inside its folder, as `cargo xtask ...`")
}

/// Returns cargo's target folder: `CARGO_TARGET_DIR`, else `target` in the workspace.
///
/// # Errors
///
/// When the workspace is not found.
pub fn target() -> Result<PathBuf> {
    let root = workspace()?;
    Ok(match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root.join(folder),
        None => root.join("target"),
    })
}

/// Returns `domu` in the target folder, where packages, images and logs are kept; it exists afterwards.
///
/// The environment variable `DOMU_DIR` names another folder, for instance one that several checkouts share.
///
/// # Errors
///
/// When the folder cannot be made.
pub fn domu() -> Result<PathBuf> {
    let folder = match env::var_os("DOMU_DIR") {
        Some(folder) => workspace()?.join(folder),
        None => target()?.join("domu"),
    };
    make(&folder)?;
    Ok(folder)
}

/// Returns a name that no other thread or process uses, for a file that is not complete yet.
#[must_use]
pub fn unique(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!(".partial-{}-{}-{name}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Makes a folder and those above it.
///
/// # Errors
///
/// When the folder cannot be made.
pub fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))
}
