//! Pages of the repository's files that the book leads to, so that it is whole without a network.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::links::Page;
use crate::paths;
use crate::picture::escaped;

/// The folder of these pages in the book.
pub(super) const FOLDER: &str = "file";
/// What stands for `.md` in the name of a page.
const DOCUMENT: &str = "-as-text";
/// What browsers show as it is.
const PICTURES: [&str; 2] = ["svg", "png"];

/// Returns where the page of a file stands in the book. mdBook takes a dot before `md` for that of a chapter.
pub(super) fn page_of(file: &str) -> String {
    if is_picture(Path::new(file)) {
        return format!("{FOLDER}/{file}");
    }
    format!("{FOLDER}/{}.html", file.replace(".md", DOCUMENT))
}

/// The file whose page this is.
fn file_of(page: &str) -> String {
    page.strip_suffix(".html").map_or_else(|| page.to_owned(), |file| file.replace(DOCUMENT, ".md"))
}

/// Writes a page for each file that pages lead to, and returns how many.
pub(super) fn write(root: &Path, book: &Path, pages: &[Page]) -> Result<usize> {
    let folder = book.join(FOLDER);
    let wanted = |page: &Page| {
        let all = page.targets.iter().filter_map(|target| page.destination(target)).map(|(to, _)| to);
        all.filter(|to| to.starts_with(&folder)).collect::<Vec<_>>()
    };
    let wanted: BTreeSet<PathBuf> = pages.iter().flat_map(wanted).collect();
    let mut count = 0;
    for to in wanted {
        let file = file_of(&to.strip_prefix(&folder).unwrap_or(&to).to_string_lossy());
        let from = root.join(&file);
        if from.exists() {
            write_one(&from, &file, &to).with_context(|| format!("cannot make a page of {}", from.display()))?;
            count += 1;
        }
    }
    Ok(count)
}

fn write_one(from: &Path, name: &str, to: &Path) -> Result<()> {
    paths::make(to.parent().unwrap_or(to))?;
    if is_picture(to) {
        fs::copy(from, to)?;
        return Ok(());
    }
    let text = if from.is_dir() { listing(from)? } else { fs::read_to_string(from)? };
    let name = escaped(name);
    let lines = text.lines().enumerate();
    let lines: String =
        lines.map(|(at, line)| format!("<span id=\"L{}\">{}</span>\n", at + 1, escaped(line))).collect();
    let page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"color-scheme\" content=\"light dark\">\
         <title>{name}</title>\n<style>:target {{ background: #8884 }}</style>\n<h1>{name}</h1>\n<pre>{lines}</pre></html>\n"
    );
    Ok(fs::write(to, page)?)
}

fn listing(folder: &Path) -> Result<String> {
    let names: Result<BTreeSet<String>, _> = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect();
    Ok(names?.into_iter().collect::<Vec<_>>().join("\n"))
}

fn is_picture(path: &Path) -> bool {
    path.extension().is_some_and(|ending| PICTURES.iter().any(|known| ending == *known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_tells_its_file() {
        for file in ["xtask/src/lib.rs", "fuzz/README.md", "examples/web", "docs/bench.svg"] {
            let page = page_of(file);
            assert_eq!(file_of(page.strip_prefix("file/").unwrap()), file);
            assert!(!page.contains(".md"), "{page}");
        }
    }
}
