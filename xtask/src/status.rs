//! The guest's last word: `domu: exit status N`, kept from the user and given to the caller.

const MARK: &[u8] = b"domu: exit status ";

/// Passes a guest's console through, except for a last line that tells the exit status.
///
/// Such a line is held back; when more output follows, it was not the last word and is passed on.
#[derive(Debug, Default)]
pub struct ExitFilter {
    /// The current line, while it may still turn out to be the mark, or a complete status line.
    held: Vec<u8>,
    inside_line: bool,
    status: Option<u8>,
}

impl ExitFilter {
    /// Takes console bytes and returns those to show.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut shown = Vec::with_capacity(bytes.len());
        bytes.iter().for_each(|&byte| self.push(byte, &mut shown));
        shown
    }

    /// Ends the console: returns the status, if the last line told one, and the bytes that are still to show.
    #[must_use]
    pub fn finish(self) -> (Option<u8>, Vec<u8>) {
        match self.status.or_else(|| parse(&self.held)) {
            Some(status) => (Some(status), Vec::new()),
            None => (None, self.held),
        }
    }

    fn push(&mut self, byte: u8, shown: &mut Vec<u8>) {
        if self.status.take().is_some() {
            shown.append(&mut self.held);
        }
        if self.inside_line {
            shown.push(byte);
            self.inside_line = byte != b'\n';
            return;
        }
        self.held.push(byte);
        if byte == b'\n' {
            self.status = parse(&self.held);
        }
        if self.status.is_none() && !may_be_mark(&self.held) {
            shown.append(&mut self.held);
            self.inside_line = byte != b'\n';
        }
    }
}

/// Returns whether a line without its end may become a status line.
fn may_be_mark(line: &[u8]) -> bool {
    if line.ends_with(b"\n") {
        return false;
    }
    match line.strip_prefix(MARK) {
        Some(rest) => rest.len() <= 4 && rest.iter().all(|b| b.is_ascii_digit() || *b == b'\r'),
        None => MARK.starts_with(line),
    }
}

fn parse(line: &[u8]) -> Option<u8> {
    let number = std::str::from_utf8(line.strip_prefix(MARK)?).ok()?;
    number.trim_end().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(chunks: &[&str]) -> (Option<u8>, String) {
        let mut filter = ExitFilter::default();
        let mut shown: Vec<u8> = chunks.iter().flat_map(|chunk| filter.feed(chunk.as_bytes())).collect();
        let (status, rest) = filter.finish();
        shown.extend(rest);
        (status, String::from_utf8(shown).unwrap())
    }

    #[test]
    fn the_last_line_is_the_status_however_it_is_cut() {
        assert_eq!(run(&["hi\ndomu: exit status 7\r\n"]), (Some(7), "hi\n".into()));
        assert_eq!(run(&["hi\ndomu: ex", "it status 2", "55", "\n"]), (Some(255), "hi\n".into()));
        assert_eq!(run(&["domu: exit status 0"]), (Some(0), String::new()));
    }

    #[test]
    fn a_line_in_the_middle_is_output() {
        let text = "domu: exit status 1\nmore\n";
        assert_eq!(run(&[text]), (None, text.into()));
        assert_eq!(run(&["domu: exit status 1\ndomu: exit status 2\n"]), (Some(2), "domu: exit status 1\n".into()));
    }

    #[test]
    fn what_only_looks_like_a_status_is_output() {
        for text in ["domu: exit status 256\n", "domu: exit status x\n", " domu: exit status 1\n", "domu: exit", "a"] {
            assert_eq!(run(&[text]), (None, text.into()));
        }
    }
}
