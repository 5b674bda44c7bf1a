//! The distribution's packages through apt, with a private state: no root, nothing installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{interrupt, paths, process};

/// A private view of the distribution's archive.
#[derive(Debug)]
pub struct Apt {
    folder: PathBuf,
}

impl Apt {
    /// Opens the private state under `folder`.
    ///
    /// # Errors
    ///
    /// When the machine has no apt-get or dpkg-deb, or the folder cannot be made.
    pub fn open(folder: &Path) -> Result<Self> {
        for program in ["apt-get", "apt-cache", "dpkg-deb"] {
            if process::find(program).is_none() {
                bail!(
                    "{program} is missing: Xen, Linux and QEMU are taken from Debian's packages. Run this on Debian or a \
                     relative of it, for instance in a container (no privileges are needed)"
                );
            }
        }
        for sub in ["state/lists/partial", "cache/archives/partial"] {
            paths::make(&folder.join(sub))?;
        }
        // With an empty status file nothing depends on what happens to be installed.
        fs::write(folder.join("state/status"), "")?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Fetches the package lists unless they are there.
    ///
    /// # Errors
    ///
    /// When they cannot be fetched.
    pub fn need_lists(&self) -> Result<()> {
        if self.has_lists()? { Ok(()) } else { self.update() }
    }

    /// Fetches the package lists.
    ///
    /// # Errors
    ///
    /// When apt-get fails or fetches nothing; the message says what to check.
    pub fn update(&self) -> Result<()> {
        let advice = "cannot fetch the package lists: check the network and the machine's apt sources (the first run \
                      needs both, later runs work offline)";
        self.run("apt-get", &["update"]).context(advice)?;
        // Without a network apt-get only warns.
        if !self.has_lists()? {
            bail!(advice);
        }
        Ok(())
    }

    /// Returns the packages that a package depends on, without alternatives that are virtual.
    ///
    /// # Errors
    ///
    /// When the package is unknown.
    pub fn depends(&self, package: &str) -> Result<Vec<String>> {
        let text = self.run("apt-cache", &["depends", "--important", package]).with_context(|| {
            format!("the apt sources have no package {package}: is this Debian 12 or later, with the component main?")
        })?;
        Ok(parse_depends(&text))
    }

    /// Returns those of `packages` that are in the section for shared libraries.
    ///
    /// # Errors
    ///
    /// When apt-cache fails.
    pub fn libraries(&self, packages: &[String]) -> Result<Vec<String>> {
        let mut arguments = vec!["show", "--no-all-versions"];
        arguments.extend(packages.iter().map(String::as_str));
        Ok(parse_libraries(&self.run("apt-cache", &arguments)?))
    }

    /// Downloads packages into a folder; lists that are out of date are fetched again, once.
    ///
    /// # Errors
    ///
    /// When a package cannot be downloaded.
    pub fn download(&self, packages: &[String], folder: &Path) -> Result<()> {
        if self.try_download(packages, folder).is_ok() {
            return Ok(());
        }
        interrupt::check()?;
        self.update()?;
        self.try_download(packages, folder)
            .with_context(|| format!("cannot download {}: check the network", packages.join(", ")))
    }

    fn try_download(&self, packages: &[String], folder: &Path) -> Result<()> {
        let mut command = self.command("apt-get");
        command.arg("download").args(packages).current_dir(folder);
        process::output_as("apt-get download", command).map(drop)
    }

    fn has_lists(&self) -> Result<bool> {
        let entries = fs::read_dir(self.folder.join("state/lists"))?;
        Ok(entries.filter_map(Result::ok).any(|entry| entry.file_name().to_string_lossy().contains("_Packages")))
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let mut command = self.command(program);
        command.args(arguments);
        // The options for the private state would hide what matters.
        process::output_as(&format!("{program} {}", arguments.join(" ")), command)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let folder = self.folder.display();
        command.env("LC_ALL", "C").arg("-q");
        for option in [
            format!("Dir::State={folder}/state"),
            format!("Dir::State::lists={folder}/state/lists"),
            format!("Dir::State::status={folder}/state/status"),
            format!("Dir::Cache={folder}/cache"),
            // Container images switch these off, which makes every call slow.
            "Dir::Cache::pkgcache=pkgcache.bin".into(),
            "Dir::Cache::srcpkgcache=srcpkgcache.bin".into(),
            "Acquire::Languages=none".into(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".into(),
            "Acquire::Retries=2".into(),
            // Root needs no other user for the download; an ordinary user has none.
            "APT::Sandbox::User=root".into(),
        ] {
            command.arg("-o").arg(option);
        }
        command
    }
}

/// Reads the output of `apt-cache depends`: `  Depends: name`, `|` before an alternative, `<name>` for a virtual one.
fn parse_depends(text: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for line in text.lines().skip(1) {
        let line = line.trim().trim_start_matches('|');
        let name = line.split_once("Depends: ").map_or(line, |(_, name)| name);
        if !name.starts_with('<') && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

fn parse_libraries(text: &str) -> Vec<String> {
    let field = |stanza: &str, name: &str| {
        let found = stanza.lines().find_map(|line| line.strip_prefix(name).map(|value| value.trim().to_owned()));
        found.unwrap_or_default()
    };
    text.split("\n\n")
        .filter(|stanza| field(stanza, "Section:").ends_with("libs"))
        .map(|stanza| field(stanza, "Package:"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depends_are_listed_without_virtual_packages() {
        let text = "xen\n  Depends: libc6\n |Depends: <virtual>\n    real\n  PreDepends: libz\n  Depends: libc6\n";
        assert_eq!(parse_depends(text), ["libc6", "real", "libz"]);
    }

    #[test]
    fn only_the_section_libs_counts() {
        let text =
            "Package: zlib1g\nSection: libs\n\nPackage: python3\nSection: python\n\nPackage: old\nSection: oldlibs\n";
        assert_eq!(parse_libraries(text), ["zlib1g", "old"]);
    }
}
