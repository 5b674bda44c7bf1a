//! The book's preprocessor: what leads out of the book is led to where the book has it, and the tables of features and of hostile cases are made.
//!
//! A chapter whose whole text includes one document of the repository *is* that document: links to it lead to the chapter, and its own
//! links hold from where it stands.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::tests_of::Tests;
use super::{BOOK, cases, features, links, markdown, place, sources};
use crate::paths;
use crate::results::Results;

/// What mdBook calls `supports html` on is answered by the exit status alone.
const SUPPORTS: &str = "supports";
/// Where the table of features goes, and that of hostile cases.
const FEATURES: &str = "{{features}}";
const CASES: &str = "{{cases}}";
/// Where rustdoc's pages are, as seen from the repository; the book is in a folder among them.
const API: &str = "target/doc/";
/// What the names of tests begin with that documents name in many places.
const NUMBERED: [&str; 2] = ["hc_", "fault_"];
/// A name of so many words can be that of a test only.
const SENTENCE: usize = 4;

/// Does what mdBook asks for on standard input.
pub(super) fn run(words: &[String]) -> Result<()> {
    if words.first().is_some_and(|word| word == SUPPORTS) {
        return Ok(());
    }
    let input = std::io::read_to_string(std::io::stdin())?;
    let mut pair: Value = serde_json::from_str(&input).context("this is for mdBook; see docs/book/book.toml")?;
    let root = paths::workspace()?;
    let book = pair.get_mut(1).context("mdBook sent no book")?;
    let mut chapters = Vec::new();
    collect(&mut book["items"], &mut chapters)?;
    Editor::new(&root, &chapters)?.edit(chapters)?;
    Ok(std::io::stdout().write_all(&serde_json::to_vec(book)?)?)
}

/// All chapters; none has others below it, as the book's parts are titles.
fn collect<'a>(items: &'a mut Value, chapters: &mut Vec<&'a mut serde_json::Map<String, Value>>) -> Result<()> {
    for item in items.as_array_mut().into_iter().flatten() {
        let Some(chapter) = item.get_mut("Chapter").and_then(Value::as_object_mut) else { continue };
        ensure!(
            chapter["sub_items"].as_array().is_none_or(Vec::is_empty),
            "{}: no chapter is below another",
            chapter["name"]
        );
        chapters.push(chapter);
    }
    Ok(())
}

/// What all chapters have in common.
struct Editor<'a> {
    tests: Tests,
    root: &'a Path,
    /// The chapters that are documents of the repository, by the documents.
    documents: BTreeMap<String, String>,
}

impl<'a> Editor<'a> {
    fn new(root: &'a Path, chapters: &[&mut serde_json::Map<String, Value>]) -> Result<Self> {
        let mut documents = BTreeMap::new();
        for chapter in chapters.iter().filter_map(|chapter| chapter["source_path"].as_str()) {
            if let Some(document) = document(root, chapter)? {
                documents.insert(document, chapter.to_owned());
            }
        }
        Ok(Self { tests: Tests::read(root)?, root, documents })
    }

    fn edit(&self, chapters: Vec<&mut serde_json::Map<String, Value>>) -> Result<()> {
        let mut unknown = Vec::new();
        for chapter in chapters {
            let Some(path) = chapter["source_path"].as_str().map(str::to_owned) else { continue };
            let text = chapter["content"].as_str().unwrap_or_default();
            unknown.extend(self.unknown_tests(text).map(|name| format!("{path}: no test is named {name}")));
            let text = self.text(&path, text)?;
            chapter.insert("content".to_owned(), text.into());
        }
        if !unknown.is_empty() {
            bail!("{}", unknown.join("\n"));
        }
        Ok(())
    }

    fn text(&self, chapter: &str, text: &str) -> Result<String> {
        let own = format!("{BOOK}/src/{chapter}");
        let from = document(self.root, chapter)?.unwrap_or(own);
        let text = markdown::map_links(text, |target| self.target(chapter, place::folder(&from), target));
        if !text.contains(FEATURES) && !text.contains(CASES) {
            return Ok(text);
        }
        let results = Results::kept()?;
        let text = text.replace(CASES, &cases::table(&self.tests, &results));
        Ok(text.replace(FEATURES, &features::table(self.root, &self.tests, &results)?))
    }

    /// Where a link of a chapter leads, whose text stands in a folder of the repository.
    fn target(&self, chapter: &str, folder: &str, target: &str) -> String {
        let known = links::parts(target).filter(|(path, _)| !path.is_empty());
        let Some((path, anchor)) = known else { return target.to_owned() };
        let Some(place) = place::follow(folder, path) else { return target.to_owned() };
        let to = self.in_book(&place);
        let anchor = if anchor.is_empty() { String::new() } else { format!("#{anchor}") };
        place::way(place::folder(chapter), &to) + &anchor
    }

    /// Where the book has what stands somewhere in the repository.
    fn in_book(&self, place: &str) -> String {
        if let Some(chapter) = self.documents.get(place) {
            return chapter.clone();
        }
        if let Some(own) = place.strip_prefix(BOOK).and_then(|rest| rest.strip_prefix("/src/")) {
            return own.to_owned();
        }
        place.strip_prefix(API).map_or_else(|| sources::page_of(place), |page| format!("../{page}"))
    }

    fn unknown_tests<'t>(&'t self, text: &'t str) -> impl Iterator<Item = &'t str> {
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let is_test = move |word: &&str| {
            let numbered = NUMBERED.iter().any(|start| word.starts_with(start));
            word.chars().all(is_name) && (numbered || word.matches('_').count() >= SENTENCE)
        };
        markdown::words_in_code(text).filter(is_test).filter(|word| !self.tests.has(word))
    }
}

/// Returns the document that a chapter is, if it includes one and says nothing else.
fn document(root: &Path, chapter: &str) -> Result<Option<String>> {
    let path = format!("{BOOK}/src/{chapter}");
    let text = fs::read_to_string(root.join(&path)).with_context(|| format!("cannot read {path}"))?;
    let included = text.trim().strip_prefix("{{#include ").and_then(|rest| rest.strip_suffix(".md}}"));
    let included = included.filter(|name| !name.contains('\n')).map(|name| format!("{name}.md"));
    Ok(included.and_then(|name| place::follow(place::folder(&path), &name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn editor(root: &Path) -> Editor<'_> {
        let documents = [("docs/costs.md".to_owned(), "reference/costs.md".to_owned())].into();
        Editor { tests: Tests::read(&root.join("xtask/src/doc")).unwrap(), root, documents }
    }

    #[test]
    fn links_lead_to_where_the_book_has_it() {
        let root = paths::workspace().unwrap();
        let editor = editor(&root);
        let from_chapter = |target| editor.target("first-boot.md", "docs/book/src", target);
        assert_eq!(from_chapter("../../costs.md#disks"), "reference/costs.md#disks");
        assert_eq!(from_chapter("pictures/ring.svg"), "pictures/ring.svg");
        assert_eq!(from_chapter("../../../target/doc/xen_rt/index.html"), "../xen_rt/index.html");
        assert_eq!(from_chapter("../../../xtask/src/diagnose.rs#L1"), "file/xtask/src/diagnose.rs.html#L1");
        assert_eq!(from_chapter("https://xenproject.org"), "https://xenproject.org");
        assert_eq!(editor.target("reference/costs.md", "docs", "bench-net.svg"), "../file/docs/bench-net.svg");
    }

    #[test]
    fn a_test_that_is_gone_is_noticed() {
        let root = paths::workspace().unwrap();
        let text = "`hc_999`, `fault_` and `a_test_that_is_gone_is_noticed`\n";
        assert_eq!(editor(&root).unknown_tests(text).collect::<Vec<_>>(), ["hc_999", "fault_"]);
    }
}
