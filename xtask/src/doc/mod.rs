//! `cargo xtask doc`: the API's pages and the book, with every link looked at.

mod cases;
mod features;
mod html;
mod links;
mod markdown;
mod place;
mod preprocess;
mod sources;
mod tests_of;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::cli::Doc;
use crate::progress::Progress;
use crate::workspace::{self, Package};
use crate::{paths, process};

/// What is off by default, and documented.
pub(crate) const FEATURES: &str = "xen-blkfront/adapters,xen-netfront/adapters";
/// The book, from the root of the workspace.
const BOOK: &str = "docs/book";
/// Where a reader begins in the API.
const FIRST_CRATE: &str = "xen_hypercall/index.html";

/// Builds what was asked for and returns 0 if no page and no link has a fault, 1 otherwise.
///
/// # Errors
///
/// When cargo or mdBook cannot be run, or the user interrupts.
pub fn run(options: &Doc) -> Result<u8> {
    if let Some(words) = &options.preprocess {
        preprocess::run(words)?;
        return Ok(0);
    }
    let (progress, pages) = (Progress::new(), paths::target()?.join("doc"));
    if !options.book {
        api(&progress)?;
    }
    let faults = book(&progress)?;
    faults.iter().for_each(|fault| eprintln!("{fault}"));
    if !faults.is_empty() {
        eprintln!("error: {} links lead nowhere", faults.len());
        if options.book {
            eprintln!("without --book the pages of the API are made anew, to which some may lead");
        }
        return Ok(1);
    }
    println!("book  file://{}", pages.join("book/index.html").display());
    println!("API   file://{}", pages.join(FIRST_CRATE).display());
    Ok(0)
}

/// Makes the book, and answers with what is wrong with its links and those of all documents.
///
/// # Errors
///
/// When mdBook cannot be run, or the user interrupts.
fn book(progress: &Progress) -> Result<Vec<String>> {
    let book = paths::target()?.join("doc/book");
    build(&book, progress)?;
    look(&book, progress)
}

/// The pages of what others use.
fn api(progress: &Progress) -> Result<()> {
    let packages = workspace::packages()?;
    let mut command = workspace::cargo()?;
    command.args(["doc", "--no-deps", "--features", FEATURES]).env("RUSTDOCFLAGS", "-D warnings");
    for Package { name, .. } in packages.iter().filter(|package| package.is_published()) {
        command.args(["--package", name]);
    }
    // Pages of what is gone would let links to it pass.
    remove_pages(&paths::target()?.join("doc"))?;
    must("rustdoc", command, progress)?;
    progress.line("API", "of all library crates, without a warning");
    Ok(())
}

/// Removes the pages of our crates; those of the book's builder and of others stay.
fn remove_pages(folder: &Path) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        let is_ours = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("xen_"));
        if is_ours && path.is_dir() {
            std::fs::remove_dir_all(path)?;
        }
    }
    Ok(())
}

/// Has mdBook make the pages of the book; this program is its preprocessor.
fn build(into: &Path, progress: &Progress) -> Result<()> {
    let root = paths::workspace()?;
    let mut command = workspace::cargo()?;
    command.args(["run", "--quiet", "--locked", "--manifest-path", &format!("{BOOK}/builder/Cargo.toml")]);
    command.arg("--target-dir").arg(paths::target()?.join("book-builder")).arg("--");
    command.arg(root.join(BOOK)).arg(into);
    let own = std::env::current_exe()?;
    command.env("MDBOOK_PREPROCESSOR__DOMU__COMMAND", format!("'{}' doc --preprocess", own.display()));
    must("mdBook", command, progress)
}

/// Adds the pages of the repository's files that the book leads to, and looks at all links.
fn look(book: &Path, progress: &Progress) -> Result<Vec<String>> {
    let root = paths::workspace()?;
    let found = links::of_pages(book)?;
    let files = sources::write(&root, book, &found)?;
    let mut faults = links::faults(book, &found);
    let documents = documents(&root)?;
    for document in &documents {
        faults.extend(links::of_document(&root, document)?);
    }
    let (pages, count) = (found.len(), found.iter().map(|page| page.targets.len()).sum::<usize>());
    progress.line("book", format!("{pages} pages, {files} files, {count} links; {} documents", documents.len()));
    Ok(faults)
}

/// The repository's own documents: all that ends in `.md`, but the book's chapters, whose pages are looked at.
fn documents(root: &Path) -> Result<Vec<PathBuf>> {
    let files = place::files(root)?;
    let is_document = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "md");
    Ok(files.into_iter().filter(|path| is_document(path) && !path.starts_with(root.join(BOOK))).collect())
}

/// Runs a command, whose words are of interest only if it fails.
fn must(name: &'static str, command: Command, progress: &Progress) -> Result<()> {
    let _step = progress.step(name, "at work");
    let ended = process::capture(command, None)?;
    if ended.status.success() {
        return Ok(());
    }
    bail!("{name} failed: {}\n{}", ended.status, [ended.stdout, ended.stderr].join("\n").trim());
}
