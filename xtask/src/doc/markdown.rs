//! As much of Markdown as links need: those outside code, headings, and words in code.

/// A stretch of a text.
enum Piece<'a> {
    /// A line of a block of code, or the fence around it.
    Block(&'a str),
    /// A line, or a part of one, without code.
    Words(&'a str),
    /// A word in code, with its backticks.
    Code(&'a str),
}

/// Returns the text with every link's target, outside code, as `map` has it.
pub(super) fn map_links(text: &str, mut map: impl FnMut(&str) -> String) -> String {
    let mut mapped = String::with_capacity(text.len());
    for piece in pieces(text) {
        match piece {
            Piece::Block(piece) | Piece::Code(piece) => mapped.push_str(piece),
            Piece::Words(words) => map_words(words, &mut map, &mut mapped),
        }
    }
    mapped
}

/// Returns the targets of all links outside code.
pub(super) fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    map_links(text, |target| {
        found.push(target.to_owned());
        String::new()
    });
    found
}

/// Returns what stands in backticks, outside blocks of code.
pub(super) fn words_in_code(text: &str) -> impl Iterator<Item = &str> {
    pieces(text).into_iter().filter_map(|piece| match piece {
        Piece::Code(code) => Some(code.trim_matches('`').trim()),
        Piece::Block(_) | Piece::Words(_) => None,
    })
}

/// Returns the names by which headings are linked to, as mdBook and GitHub make them.
pub(super) fn anchors(text: &str) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    let mut anchors = Vec::new();
    for heading in headings(text) {
        let slug = slug(heading);
        let before = seen.iter().filter(|other| **other == slug).count();
        anchors.push(if before == 0 { slug.clone() } else { format!("{slug}-{before}") });
        seen.push(slug);
    }
    anchors
}

fn headings(text: &str) -> impl Iterator<Item = &str> {
    let mut in_block = false;
    text.lines().filter_map(move |line| {
        in_block ^= is_fence(line);
        let heading = line.trim_start_matches('#');
        (!in_block && heading.len() < line.len() && heading.starts_with(' ')).then(|| heading.trim())
    })
}

fn slug(heading: &str) -> String {
    let kept = heading.chars().filter_map(|c| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || "-_".contains(c) => Some(c),
        _ => None,
    });
    kept.flat_map(char::to_lowercase).collect()
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let (mut pieces, mut in_block) = (Vec::new(), false);
    for line in text.split_inclusive('\n') {
        if is_fence(line) {
            in_block = !in_block;
            pieces.push(Piece::Block(line));
        } else if in_block {
            pieces.push(Piece::Block(line));
        } else {
            split_code(line, &mut pieces);
        }
    }
    pieces
}

fn is_fence(line: &str) -> bool {
    line.trim_start().starts_with("```")
}

/// Cuts a line at its backticks.
fn split_code<'a>(line: &'a str, pieces: &mut Vec<Piece<'a>>) {
    let mut rest = line;
    while let Some(start) = rest.find('`') {
        let ticks = rest[start..].len() - rest[start..].trim_start_matches('`').len();
        let (inside, fence) = (start + ticks, &rest[start..start + ticks]);
        let Some(length) = rest[inside..].find(fence) else { break };
        let end = inside + length + ticks;
        pieces.push(Piece::Words(&rest[..start]));
        pieces.push(Piece::Code(&rest[start..end]));
        rest = &rest[end..];
    }
    pieces.push(Piece::Words(rest));
}

fn map_words(words: &str, map: &mut impl FnMut(&str) -> String, mapped: &mut String) {
    let mut rest = words;
    while let Some((start, end, after)) = next_target(rest) {
        mapped.push_str(&rest[..start]);
        mapped.push_str(&map(&rest[start..end]));
        rest = &rest[end..];
        mapped.push_str(&rest[..after]);
        rest = &rest[after..];
    }
    mapped.push_str(rest);
}

/// The next link's target, and how many bytes belong to its end: of `[..](target)`, `src="target"` and `href="target"`.
fn next_target(words: &str) -> Option<(usize, usize, usize)> {
    let of = |open: &str, close: char| {
        let start = words.find(open)? + open.len();
        Some((start, start + words[start..].find(close)?, 1))
    };
    [of("](", ')'), of(" src=\"", '"'), of(" href=\"", '"')].into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# A *b*, c\n[x](y.md#z) and `[no](link)`\n```\n[no](link)\n# none\n```\n![p](q.svg) <img src=\"r.svg\">\n## A b c\n";

    #[test]
    fn links_outside_code_are_found_and_mapped() {
        assert_eq!(links(TEXT), ["y.md#z", "q.svg", "r.svg"]);
        let mapped = map_links(TEXT, |target| format!("../{target}"));
        assert_eq!(mapped, TEXT.replace("y.md", "../y.md").replace("q.svg", "../q.svg").replace("r.svg", "../r.svg"));
    }

    #[test]
    fn headings_have_names_of_their_own() {
        assert_eq!(anchors(TEXT), ["a-b-c", "a-b-c-1"]);
    }

    #[test]
    fn words_in_code_are_found_outside_blocks() {
        assert_eq!(words_in_code("a `b` ``c ` d``\n```\n`e`\n```").collect::<Vec<_>>(), ["b", "c ` d"]);
    }
}
