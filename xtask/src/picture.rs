//! Pictures of text and bars, as SVG.

use std::fmt::Write as _;

pub(crate) const WIDTH: usize = 1280;
pub(crate) const MARGIN: usize = 40;

pub(crate) const INK: &str = "#1f2933";
pub(crate) const FAINT: &str = "#616e7c";
pub(crate) const TEAL: &str = "#0f7b8a";
pub(crate) const OCHRE: &str = "#c9a227";
pub(crate) const RED: &str = "#b3261e";
const RULE: &str = "#d9dee4";

pub(crate) const TITLE: Letters = Letters { size: 26, bold: true, colour: INK };
pub(crate) const HEAD: Letters = Letters { size: 18, bold: true, colour: INK };
pub(crate) const PLAIN: Letters = Letters { size: 14, bold: false, colour: INK };
pub(crate) const SMALL: Letters = Letters { size: 13, bold: false, colour: FAINT };

/// A picture that grows downwards.
#[derive(Default)]
pub(crate) struct Picture {
    body: String,
    /// Where the next thing begins.
    pub(crate) y: usize,
}

/// How letters look.
#[derive(Clone, Copy)]
pub(crate) struct Letters {
    pub(crate) size: usize,
    pub(crate) bold: bool,
    pub(crate) colour: &'static str,
}

impl Picture {
    /// Writes a line of text, whose foot is at `y`.
    pub(crate) fn write(&mut self, x: usize, text: &str, letters: Letters) {
        let Letters { size, bold, colour } = letters;
        let weight = if bold { " font-weight=\"bold\"" } else { "" };
        self.line(&format!(
            "<text x=\"{x}\" y=\"{}\" font-size=\"{size}\"{weight} fill=\"{colour}\">{}</text>",
            self.y,
            escaped(text)
        ));
    }

    /// Draws a bar, whose top is at `y`.
    pub(crate) fn rectangle(&mut self, x: usize, width: usize, height: usize, colour: &str) {
        let y = self.y;
        self.line(&format!(
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"2\" fill=\"{colour}\"/>"
        ));
    }

    /// Draws a line from margin to margin.
    pub(crate) fn rule(&mut self) {
        let (y, end) = (self.y, WIDTH - MARGIN);
        self.line(&format!("<line x1=\"{MARGIN}\" y1=\"{y}\" x2=\"{end}\" y2=\"{y}\" stroke=\"{RULE}\"/>"));
    }

    /// Returns the file; the picture ends at `y`.
    pub(crate) fn finish(self) -> String {
        let Self { body, y } = self;
        let mut text = String::new();
        let fonts = "'DejaVu Sans', Verdana, Helvetica, Arial, sans-serif";
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{y}\" viewBox=\"0 0 {WIDTH} {y}\" \
             font-family=\"{fonts}\">"
        );
        let _ = writeln!(text, "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>");
        text + &body + "</svg>\n"
    }

    fn line(&mut self, text: &str) {
        self.body.push_str(text);
        self.body.push('\n');
    }
}

/// Breaks a text between words into lines of so many letters.
pub(crate) fn wrapped(text: &str, letters: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= letters => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_between_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("extraordinary", 7), ["extraordinary"]);
    }
}
