//! What the workspace holds, as cargo tells it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{paths, process};

/// The runtime that guests are built on: a program that depends on it is a guest, and so is one whose manifest names the target.
const RUNTIME: &str = "xen-rt";
/// The target that guests run on.
pub const GUEST_TARGET: &str = "x86_64-unknown-none";

/// A package of the workspace.
#[derive(Debug)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// The folder of its manifest.
    pub folder: PathBuf,
    /// Its programs: name and main source file.
    pub programs: Vec<(String, PathBuf)>,
    /// The main source file of its library, if it has one that is not a compiler plug-in.
    pub library: Option<PathBuf>,
    /// The names of its files of tests.
    pub tests: Vec<String>,
    /// The names of the packages that it depends on.
    pub depends: Vec<String>,
    /// Whether it is for others to use.
    published: bool,
    /// The bare targets that it names in `[package.metadata.domu] targets`.
    targets: Option<Vec<String>>,
}

impl Package {
    /// Returns whether the package's programs are guests.
    #[must_use]
    pub fn is_guest(&self) -> bool {
        let names_target = self.targets.iter().flatten().any(|name| name == GUEST_TARGET);
        !self.programs.is_empty() && (names_target || self.depends.iter().any(|name| name == RUNTIME))
    }

    /// Returns whether the package is for others to use, and not for this workspace only.
    #[must_use]
    pub const fn is_published(&self) -> bool {
        self.published
    }

    /// Returns whether the package can be built for a target without an operating system.
    ///
    /// A guest runs on x86 only. A library does where it says `no_std`, unless its manifest names the targets.
    #[must_use]
    pub fn supports(&self, target: &str) -> bool {
        if self.is_guest() {
            return target == GUEST_TARGET;
        }
        match &self.targets {
            Some(targets) => targets.iter().any(|name| name == target),
            None => self.library.as_deref().is_some_and(says_no_std),
        }
    }
}

/// Returns the packages of the workspace.
///
/// # Errors
///
/// When cargo fails.
pub fn packages() -> Result<Vec<Package>> {
    let mut command = cargo()?;
    command.args(["metadata", "--no-deps", "--format-version", "1"]);
    let text = process::output(command).context("cargo cannot read the workspace")?;
    let metadata: Value = serde_json::from_str(&text).context("cannot read cargo's description of the workspace")?;
    Ok(list(&metadata, "packages").map(package).collect())
}

/// Returns a command for the cargo that runs this program, in the root of the workspace.
///
/// # Errors
///
/// When the workspace is not found.
pub fn cargo() -> Result<Command> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(paths::workspace()?);
    // What cargo tells its children is about xtask, not about what they build.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    Ok(command)
}

/// Makes a cargo command build in release, if it does, for running once: optimised, but not across crates.
pub fn build_quickly(command: &mut Command) -> &mut Command {
    command
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
}

fn package(value: &Value) -> Package {
    let of_kind = |kind: &str| {
        let matching = move |target: &&Value| list(target, "kind").any(|value| value == kind);
        let kind = kind.to_owned();
        list(value, "targets")
            .filter(move |target| matching(target) && !kind.is_empty())
            .map(|target| (text(target, "name"), PathBuf::from(text(target, "src_path"))))
            .collect::<Vec<_>>()
    };
    let targets = value.pointer("/metadata/domu/targets").and_then(Value::as_array);
    Package {
        name: text(value, "name"),
        folder: PathBuf::from(text(value, "manifest_path")).parent().map(Path::to_owned).unwrap_or_default(),
        programs: of_kind("bin"),
        library: of_kind("lib").pop().map(|(_, path)| path),
        tests: of_kind("test").into_iter().map(|(name, _)| name).collect(),
        depends: list(value, "dependencies").map(|depend| text(depend, "name")).collect(),
        published: value["publish"].is_null(),
        targets: targets.map(|names| names.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
    }
}

fn says_no_std(source: &Path) -> bool {
    let text = std::fs::read_to_string(source).unwrap_or_default();
    text.lines().any(|line| line.trim_start().starts_with("#!") && line.contains("no_std"))
}

fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value[name].as_array().into_iter().flatten()
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}
