//! The stream port of full mode: guest console bytes and events of domain 0's init, in order.

/// The byte before an event.
const MARK: u8 = 0x1e;
/// No event is longer; what is longer is output that happens to look like one.
const LONGEST: usize = 4096;

/// A piece of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// Console bytes of the guest that runs.
    Guest(Vec<u8>),
    /// An event: its first word and the rest.
    Event(String, String),
}

/// Separates events from console bytes.
///
/// The token is new for each boot, so a guest cannot forge an event.
#[derive(Debug)]
pub struct Parser {
    prefix: Vec<u8>,
    held: Vec<u8>,
}

impl Parser {
    /// Returns a parser for events with this token.
    #[must_use]
    pub fn new(token: &str) -> Self {
        Self { prefix: [&[MARK], token.as_bytes(), b" "].concat(), held: Vec::new() }
    }

    /// Takes bytes from the port; only what may still become an event waits for more.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Item> {
        self.held.extend_from_slice(bytes);
        let mut items = Vec::new();
        while let Some(item) = self.next() {
            items.push(item);
        }
        items
    }

    fn next(&mut self) -> Option<Item> {
        if !self.held.starts_with(&self.prefix) {
            let count = self.output_bytes();
            return (count > 0).then(|| Item::Guest(self.held.drain(..count).collect()));
        }
        match self.held.iter().position(|&byte| byte == b'\n') {
            Some(end) => {
                let line: Vec<u8> = self.held.drain(..=end).collect();
                Some(event(&line[self.prefix.len()..]))
            }
            None if self.held.len() > LONGEST => Some(Item::Guest(std::mem::take(&mut self.held))),
            None => None,
        }
    }

    /// Returns how many bytes come before an event, or before what may become one.
    fn output_bytes(&self) -> usize {
        let may_begin = |at: &usize| {
            let rest = &self.held[*at..];
            rest.starts_with(&self.prefix) || self.prefix.starts_with(rest)
        };
        let marks = (0..self.held.len()).filter(|&at| self.held[at] == MARK);
        marks.into_iter().find(may_begin).unwrap_or(self.held.len())
    }
}

fn event(line: &[u8]) -> Item {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end();
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    Item::Event(word.to_owned(), rest.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(parts: &[&[u8]]) -> (Vec<u8>, Vec<(String, String)>) {
        let mut parser = Parser::new("t0k");
        let (mut output, mut events) = (Vec::new(), Vec::new());
        for item in parts.iter().flat_map(|part| parser.feed(part)) {
            match item {
                Item::Guest(bytes) => output.extend(bytes),
                Item::Event(word, rest) => events.push((word, rest)),
            }
        }
        (output, events)
    }

    #[test]
    fn events_and_output_are_separated_however_they_are_cut() {
        let stream = b"a\n\x1et0k created 1\nb\x1et0 c\x1et0k done\n\x1e\x1et0k x y z\nrest";
        for cut in 0..stream.len() {
            let (output, events) = parse(&[&stream[..cut], &stream[cut..]]);
            assert_eq!(output, b"a\nb\x1et0 c\x1erest");
            let expected = [("created", "1"), ("done", ""), ("x", "y z")];
            assert_eq!(events, expected.map(|(word, rest)| (word.to_owned(), rest.to_owned())));
        }
    }

    #[test]
    fn another_token_is_output() {
        let forged = b"\x1ebad ended 0\n";
        assert_eq!(parse(&[forged]), (forged.to_vec(), Vec::new()));
    }

    #[test]
    fn an_endless_event_is_output() {
        let mut long = b"\x1et0k ".to_vec();
        long.resize(2 * LONGEST, b'x');
        assert_eq!(parse(&[&long]).0, long);
    }
}
