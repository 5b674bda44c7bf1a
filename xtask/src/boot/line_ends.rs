//! Line ends as programs here expect them: a terminal would add a second carriage return to the guest's own.

/// Turns `\r\n` into `\n`, however the bytes are cut; a carriage return elsewhere stays.
#[derive(Debug, Default)]
pub(super) struct LineEnds {
    /// A carriage return came last, and what follows decides about it.
    held: bool,
}

impl LineEnds {
    /// Takes bytes and returns those that are decided.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut plain = Vec::with_capacity(bytes.len() + 1);
        for &byte in bytes {
            if self.held && byte != b'\n' {
                plain.push(b'\r');
            }
            self.held = byte == b'\r';
            if !self.held {
                plain.push(byte);
            }
        }
        plain
    }

    /// Ends the stream and returns what was held.
    pub(super) const fn finish(&mut self) -> &'static [u8] {
        let held = self.held;
        self.held = false;
        if held { b"\r" } else { b"" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_return_before_a_newline_goes_however_it_is_cut() {
        let stream = b"a\r\n50 %\r60 %\r\r\n\nb\r";
        for cut in 0..=stream.len() {
            let mut ends = LineEnds::default();
            let parts = [&stream[..cut], &stream[cut..]].map(|part| ends.feed(part));
            let plain = [&parts.concat(), ends.finish()].concat();
            assert_eq!(plain, b"a\n50 %\r60 %\r\n\nb\r");
            assert!(ends.finish().is_empty());
        }
    }
}
