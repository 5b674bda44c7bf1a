//! The serial port of direct mode, which Xen and the guest share.

const PREFIX: &[u8] = b"(XEN) ";

/// A piece of the serial port's stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A line of Xen's, without its end.
    Xen(String),
    /// Bytes of the guest's, with the carriage returns removed that Xen adds.
    Guest(Vec<u8>),
}

/// Separates Xen's lines, which begin with `(XEN) `, from what domain 0 writes through Xen's console.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    held: Vec<u8>,
}

impl Splitter {
    /// Takes bytes from the port; an incomplete line of Xen's waits for its end, the guest's bytes do not wait.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Vec<Item> {
        self.held.extend(bytes.iter().filter(|&&byte| byte != b'\r'));
        let mut items = Vec::new();
        while let Some(item) = self.next() {
            items.push(item);
        }
        items
    }

    fn next(&mut self) -> Option<Item> {
        if self.held.starts_with(PREFIX) {
            let end = self.held.iter().position(|&byte| byte == b'\n')?;
            let line: Vec<u8> = self.held.drain(..=end).collect();
            return Some(Item::Xen(String::from_utf8_lossy(&line).trim_end().to_owned()));
        }
        let count = guest_bytes(&self.held);
        (count > 0).then(|| Item::Guest(self.held.drain(..count).collect()))
    }
}

/// Returns how many bytes come before Xen's prefix, or before what may become it.
fn guest_bytes(bytes: &[u8]) -> usize {
    let here = |at: &usize| {
        let rest = &bytes[*at..];
        rest.starts_with(PREFIX) || PREFIX.starts_with(rest)
    };
    (0..bytes.len()).find(here).unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_separated_however_they_are_cut() {
        let stream = b"(XEN) one\r\nhello\r\nwor(XEN) two\r\nld (X\n";
        for cut in 0..stream.len() {
            let mut splitter = Splitter::default();
            let items: Vec<Item> =
                [&stream[..cut], &stream[cut..]].iter().flat_map(|part| splitter.feed(part)).collect();
            let mut guest = Vec::new();
            let mut xen = Vec::new();
            for item in items {
                match item {
                    Item::Xen(line) => xen.push(line),
                    Item::Guest(bytes) => guest.extend(bytes),
                }
            }
            assert_eq!((xen, guest), (vec!["(XEN) one".into(), "(XEN) two".into()], b"hello\nworld (X\n".to_vec()));
        }
    }
}
