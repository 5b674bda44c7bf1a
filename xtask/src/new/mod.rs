//! `cargo xtask new`: a unikernel of one's own.

mod name;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use crate::cli::New;
use crate::paths;
use crate::workspace::GUEST_TARGET;

/// The files, and what is in each. `{{NAME}}`, `{{CHECKOUT}}`, `{{XTASK}}` and `{{CHANNEL}}` stand for what a package has in their places.
const FILES: [(&str, &str); 6] = [
    ("Cargo.toml", include_str!("template/Cargo.toml")),
    (".cargo/config.toml", include_str!("template/config.toml")),
    ("rust-toolchain.toml", "[toolchain]\nchannel = \"{{CHANNEL}}\"\ntargets = [\"x86_64-unknown-none\"]\n"),
    ("build.rs", include_str!("template/build.rs")),
    ("src/main.rs", include_str!("template/main.rs")),
    (".gitignore", "/target\n"),
];

/// Makes the package and says how to go on.
///
/// # Errors
///
/// When the name is no crate's, the folder is there already or lies in this checkout, or it cannot be written.
pub fn run(options: &New) -> Result<u8> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let folder = make(&options.folder, &program)?;
    let name = file_name(&folder);
    println!("Made {}, a unikernel that says hello. Next:\n", folder.display());
    println!("  cd {}", options.folder.display());
    println!("  cargo run --release -- --direct\n");
    println!(
        "builds it and boots it on Xen; what follows the two dashes goes to `cargo xtask run`. The same in two steps:\n"
    );
    println!("  cargo build --release");
    println!("  cd {}", paths::workspace()?.display());
    println!("  cargo xtask run --elf {} --direct", elf(&folder, &name).display());
    Ok(0)
}

/// Makes a package in a new folder, whose name is the package's; `program` is this one, by which the package is run. Answers with the
/// folder's whole path.
///
/// # Errors
///
/// As for [`run`].
pub fn make(folder: &Path, program: &Path) -> Result<PathBuf> {
    let checkout = fs::canonicalize(paths::workspace()?)?;
    let name = file_name(folder);
    name::check(&name)?;
    let folder = place(folder, &name, &checkout)?;
    let channel = channel(&checkout)?;
    let checkout_text = text(&checkout)?;
    let program = text(program)?;
    for (file, template) in FILES {
        let content = [("NAME", name.as_str()), ("CHECKOUT", checkout_text), ("XTASK", program), ("CHANNEL", &channel)]
            .into_iter()
            .fold(template.to_owned(), |content, (key, value)| content.replace(&format!("{{{{{key}}}}}"), value));
        write(&folder.join(file), &content)?;
    }
    // The versions of other crates with which this checkout is tested; cargo takes out what is not needed.
    let lock = folder.join("Cargo.lock");
    fs::copy(checkout.join("Cargo.lock"), &lock).with_context(|| format!("cannot write {}", lock.display()))?;
    Ok(folder)
}

/// Where a package in this folder has its program, once it is built.
#[must_use]
pub fn elf(folder: &Path, name: &str) -> PathBuf {
    folder.join("target").join(GUEST_TARGET).join("release").join(name)
}

/// The whole path of a folder that is not there yet, outside of the checkout.
fn place(folder: &Path, name: &str, checkout: &Path) -> Result<PathBuf> {
    let parent = std::path::absolute(folder)?.parent().map(Path::to_owned).unwrap_or_default();
    let parent = fs::canonicalize(&parent).with_context(|| format!("there is no folder {}", parent.display()))?;
    let folder = parent.join(name);
    ensure!(folder.symlink_metadata().is_err(), "{} is there already: choose another name", folder.display());
    if folder.starts_with(checkout) {
        bail!(
            "{} would lie in the SDK's own checkout: `cargo xtask new ../{name}` makes it beside; a guest within is a file such as \
             examples/src/bin/{name}.rs, for `cargo xtask run {name}`",
            folder.display()
        );
    }
    Ok(folder)
}

/// The toolchain of this checkout.
fn channel(checkout: &Path) -> Result<String> {
    let file = checkout.join("rust-toolchain.toml");
    let content = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let table: toml::Table = content.parse().with_context(|| format!("{} is no TOML", file.display()))?;
    let channel = table.get("toolchain").and_then(|toolchain| toolchain.get("channel")?.as_str());
    channel.map(str::to_owned).with_context(|| format!("{} names no channel", file.display()))
}

fn write(file: &Path, content: &str) -> Result<()> {
    file.parent().map_or(Ok(()), paths::make)?;
    fs::write(file, content).with_context(|| format!("cannot write {}", file.display()))
}

fn file_name(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A path as it can stand in a TOML file, between quotes.
fn text(path: &Path) -> Result<&str> {
    let text = path.to_str().filter(|text| !text.contains(['"', '\\', '\n']));
    text.with_context(|| format!("{} cannot be named in a TOML file", path.display()))
}
