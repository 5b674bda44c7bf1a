//! Links of finished pages and of the repository's documents, and whether they lead somewhere.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::{html, markdown, place};

/// A page with its links.
pub(super) struct Page {
    pub(super) path: PathBuf,
    pub(super) targets: Vec<String>,
}

impl Page {
    /// Where a link leads on this machine: the file, and the place in it; `None` for the world outside.
    pub(super) fn destination<'a>(&self, target: &'a str) -> Option<(PathBuf, &'a str)> {
        let (path, anchor) = parts(target)?;
        if path.is_empty() {
            return Some((self.path.clone(), anchor));
        }
        let folder = self.path.parent().unwrap_or(&self.path);
        let mut to = PathBuf::from("/").join(place::follow(&folder.to_string_lossy(), path)?);
        if to.is_dir() && path.ends_with('/') {
            to.push("index.html");
        }
        Some((to, anchor))
    }
}

/// Returns the book's pages with their links.
pub(super) fn of_pages(book: &Path) -> Result<Vec<Page>> {
    let files = place::files(book)?;
    // The list of chapters that stands beside each page is a page, too, whose links hold from the book's root.
    let is_page = |path: &Path| path.extension().is_some_and(|ending| ending == "html");
    files.into_iter().filter(|path| is_page(path)).map(page).collect()
}

fn page(path: PathBuf) -> Result<Page> {
    let text = read(&path)?;
    let targets = ["href", "src"].iter().flat_map(|attribute| html::values(&text, attribute)).collect();
    Ok(Page { path, targets })
}

/// Returns a line for each link that leads nowhere.
pub(super) fn faults(book: &Path, pages: &[Page]) -> Vec<String> {
    let (mut ids, mut faults) = (HashMap::new(), Vec::new());
    for page in pages {
        let name = page.path.strip_prefix(book).unwrap_or(&page.path).display();
        for target in &page.targets {
            let Some((to, anchor)) = page.destination(target) else { continue };
            if let Some(why) = fault(&to, anchor, &mut ids) {
                faults.push(format!("{name}: {target}: {why}"));
            }
        }
    }
    faults.sort();
    faults.dedup();
    faults
}

fn fault(to: &Path, anchor: &str, ids: &mut HashMap<PathBuf, HashSet<String>>) -> Option<&'static str> {
    if !to.is_file() {
        return Some("there is no such file");
    }
    if anchor.is_empty() || to.extension().is_none_or(|ending| ending != "html") {
        return None;
    }
    let known = ids.entry(to.to_owned()).or_insert_with(|| {
        let text = fs::read_to_string(to).unwrap_or_default();
        html::values(&text, "id").into_iter().collect()
    });
    (!known.contains(anchor)).then_some("the file has no such place")
}

/// Returns a line for each link of a document that leads nowhere.
pub(super) fn of_document(root: &Path, document: &Path) -> Result<Vec<String>> {
    let name = document.strip_prefix(root).unwrap_or(document).to_string_lossy().into_owned();
    let text = read(document)?;
    let why = |target: &String| {
        let (path, anchor) = parts(target)?;
        let Some(to) = place::follow(place::folder(&name), path) else { return Some("it leaves the repository") };
        let to = if path.is_empty() { document.to_owned() } else { root.join(to) };
        if !to.exists() {
            return Some("there is no such file");
        }
        let is_document = to.extension().is_some_and(|ending| ending == "md");
        let has = || markdown::anchors(&fs::read_to_string(&to).unwrap_or_default()).iter().any(|one| one == anchor);
        (is_document && !anchor.is_empty() && !has()).then_some("the file has no such place")
    };
    let targets = markdown::links(&text);
    Ok(targets.iter().filter_map(|target| Some(format!("{name}: {target}: {}", why(target)?))).collect())
}

/// The file and the place in it that a target names; `None` for the world outside.
pub(super) fn parts(target: &str) -> Option<(&str, &str)> {
    let is_outside =
        ["http:", "https:", "mailto:", "data:", "javascript:"].iter().any(|scheme| target.starts_with(scheme));
    (!is_outside).then(|| target.split_once('#').unwrap_or((target, "")))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
