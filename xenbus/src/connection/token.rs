//! What we call a watch, and get back with each of its events.

use core::fmt::{self, Write};

/// A watch's name on the wire: a small index and the count of its use, never an address. An event for an earlier watch in the
/// same place is so told from one for the present one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    /// Which place in a table of watches.
    pub index: u16,
    /// Which watch in that place.
    pub generation: u32,
}

impl Token {
    /// The token of a payload's string, if it can be one of ours.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(text).ok()?;
        let (index, generation) = text.split_once('-')?;
        let index = u16::try_from(number(index)?).ok()?;
        Some(Self { index, generation: number(generation)? })
    }
}

/// Hexadecimal as we write it: no sign, no capitals, no zero in front.
fn number(text: &str) -> Option<u32> {
    let canonical = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let leading = text.len() > 1 && text.starts_with('0');
    (text.bytes().all(canonical) && !leading).then(|| u32::from_str_radix(text, 16).ok())?
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.index)?;
        f.write_char('-')?;
        write!(f, "{:x}", self.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_token_comes_back_as_it_went_and_nothing_else_is_one() {
        for (index, generation) in [(0, 0), (1, 0xff), (u16::MAX, u32::MAX)] {
            let token = Token { index, generation };
            assert_eq!(Token::parse(token.to_string().as_bytes()), Some(token));
        }
        for text in
            ["", "-", "1", "1-", "-1", "1-2-3", "01-2", "1-02", "+1-2", "1-+2", "A-1", "10000-0", "1-100000000", "1 -2"]
        {
            assert_eq!(Token::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Token::parse(b"1-\xff"), None);
    }
}
