//! What Xen's headers define: macros, types, their fields, and enumeration constants.

use crate::{Compiler, View, headers};
use anyhow::Result;
use std::collections::BTreeSet;

/// A name that a header defines.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Defined {
    /// The name; a field as `type.field`.
    pub name: String,
    /// The header that defines it, below `xen/`.
    pub header: String,
}

/// Lists what the covered headers define for a guest, with nothing from the headers that they include besides.
///
/// # Errors
///
/// When the compiler cannot be run or rejects the headers.
pub fn scan(compiler: &Compiler) -> Result<BTreeSet<Defined>> {
    let covered: Vec<_> = headers::covered(compiler.architecture).collect();
    let mut defined = BTreeSet::new();
    for (header, text) in by_header(&compiler.preprocess(View::Guest)?) {
        if covered.contains(&header.as_str()) {
            let names = macros(&text).into_iter().chain(declarations(&text));
            defined.extend(names.map(|name| Defined { name, header: header.clone() }));
        }
    }
    Ok(defined)
}

/// Splits preprocessed text by its line markers, in order, into runs of one header each.
fn by_header(text: &str) -> Vec<(String, String)> {
    let mut runs: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("# ").and_then(marker) {
            Some(header) => runs.push((header, String::new())),
            None => {
                if let Some((_, run)) = runs.last_mut() {
                    run.push_str(line);
                    run.push('\n');
                }
            }
        }
    }
    runs
}

/// Reads `LINE "PATH" FLAGS`.
fn marker(rest: &str) -> Option<String> {
    let path = rest.split('"').nth(1)?;
    let header = path.rsplit_once("/xen/").map_or(path, |(_, header)| header);
    Some(normal(header))
}

/// Resolves `..` in a path of includes.
fn normal(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn macros(text: &str) -> Vec<String> {
    let definitions = text.lines().filter_map(|line| line.strip_prefix("#define "));
    definitions.filter_map(|rest| rest.split(|c: char| !is_word(c)).next()).map(str::to_owned).collect()
}

fn declarations(text: &str) -> Vec<String> {
    let code: String = text.lines().filter(|line| !line.starts_with('#')).flat_map(|line| [line, "\n"]).collect();
    let tokens = tokens(&code);
    let mut reader = Reader { tokens: &tokens, names: Vec::new() };
    while !reader.tokens.is_empty() {
        reader.declaration();
    }
    reader.names
}

const fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Splits C without comments into words and single signs; text in parentheses and brackets is left out.
fn tokens(code: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let (mut depth, mut word) = (0_u32, false);
    for c in code.chars() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            _ if depth > 0 || c.is_whitespace() => {}
            c if is_word(c) && word => tokens.last_mut().expect("a word is open").push(c),
            c => tokens.push(c.into()),
        }
        word = depth == 0 && is_word(c);
    }
    tokens
}

/// Reads declarations from tokens.
struct Reader<'a> {
    tokens: &'a [String],
    names: Vec<String>,
}

impl Reader<'_> {
    /// Reads one declaration: the names it gives to types, their fields and constants.
    fn declaration(&mut self) {
        let is_typedef = self.tokens.first().is_some_and(|token| token == "typedef");
        let (body, declarators) = self.statement();
        let named = declarators.last().filter(|_| is_typedef).cloned();
        self.names.extend(named.clone());
        if let Some(Body { keyword, tag, inner }) = body {
            self.names.extend(tag.clone());
            match (keyword.as_str(), tag.or(named)) {
                ("enum", _) => self.names.extend(constants(&inner)),
                (_, Some(owner)) => {
                    self.names.extend(members(&inner).into_iter().map(|field| format!("{owner}.{field}")))
                }
                (_, None) => {}
            }
        }
    }

    /// Takes one statement: its braces, where it has some, and the words that declare something.
    fn statement(&mut self) -> (Option<Body>, Vec<String>) {
        let (mut body, mut before, mut declarators) = (None, Vec::new(), Vec::new());
        while let Some((token, rest)) = self.tokens.split_first() {
            self.tokens = rest;
            match token.as_str() {
                ";" => break,
                "{" => body = Some(Body::new(&before, self.braces())),
                _ => {
                    let next = self.tokens.first().map(String::as_str);
                    if token.starts_with(is_word) && matches!(next, Some(";" | ",")) {
                        declarators.push(token.clone());
                    }
                    before.push(token.clone());
                }
            }
        }
        (body, declarators)
    }

    /// Takes what is left of a pair of braces.
    fn braces(&mut self) -> Vec<String> {
        let mut depth = 1;
        let end = self.tokens.iter().position(|token| {
            depth += i32::from(token == "{") - i32::from(token == "}");
            depth == 0
        });
        let (inner, rest) = self.tokens.split_at(end.unwrap_or(self.tokens.len()));
        self.tokens = rest.get(1..).unwrap_or_default();
        inner.to_vec()
    }
}

/// The braces of a structure, union or enumeration.
struct Body {
    keyword: String,
    tag: Option<String>,
    inner: Vec<String>,
}

impl Body {
    fn new(before: &[String], inner: Vec<String>) -> Self {
        let keyword = before.iter().rposition(|token| matches!(token.as_str(), "struct" | "union" | "enum"));
        let word = |at: Option<usize>| at.and_then(|at| before.get(at)).cloned();
        Self { keyword: word(keyword).unwrap_or_default(), tag: word(keyword.map(|at| at + 1)), inner }
    }
}

/// The fields of a structure, those of structures within it included.
fn members(inner: &[String]) -> Vec<String> {
    let ends = |token: &String| matches!(token.as_str(), ";" | "," | ":");
    inner.windows(2).filter(|pair| pair[0].starts_with(is_word) && ends(&pair[1])).map(|pair| pair[0].clone()).collect()
}

/// The constants of an enumeration.
fn constants(inner: &[String]) -> Vec<String> {
    inner.split(|token| token == ",").filter_map(|one| one.first()).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_fields_and_constants_are_found() {
        let code = "struct a { int x, y[4]; union { int z; } u; }; typedef struct a a_t; enum e { E_A, E_B = 2 };";
        assert_eq!(declarations(code), ["a", "a.x", "a.y", "a.z", "a.u", "a_t", "e", "E_A", "E_B"]);
        assert_eq!(declarations("typedef struct { int h; } g_t;"), ["g_t", "g_t.h"]);
    }

    #[test]
    fn names_belong_to_the_header_that_defines_them() {
        let runs =
            by_header("# 1 \"/x/xen/hvm/../xen.h\" 1\n#define A 1\n# 2 \"/x/xen/sched.h\" 2\n#define B(x) (x)\n");
        assert_eq!(runs.iter().map(|(header, _)| header.as_str()).collect::<Vec<_>>(), ["xen.h", "sched.h"]);
        assert_eq!(macros(&runs[1].1), ["B"]);
    }
}
