//! Bytes of a peer, to be shown.

use core::fmt;

/// The beginning of something that a peer wrote, as errors and logs show it: at most [`Excerpt::MOST`] bytes, without
/// anything that a terminal obeys.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Excerpt {
    bytes: [u8; Self::MOST],
    kept: u8,
    len: u32,
}

impl Excerpt {
    /// How many bytes are kept.
    pub const MOST: usize = 40;

    /// The beginning of these bytes.
    #[must_use]
    pub fn new(of: &[u8]) -> Self {
        let kept = of.len().min(Self::MOST);
        let mut bytes = [0; Self::MOST];
        for (into, from) in bytes.iter_mut().zip(of) {
            *into = *from;
        }
        Self { bytes, kept: kept as u8, len: u32::try_from(of.len()).unwrap_or(u32::MAX) }
    }

    /// The bytes that were kept.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.kept)).unwrap_or_default()
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_bytes().escape_ascii())?;
        match self.len.saturating_sub(u32::from(self.kept)) {
            0 => Ok(()),
            more => write!(f, " and {more} bytes more"),
        }
    }
}

impl fmt::Debug for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn what_a_terminal_obeys_is_escaped_and_the_rest_cut() {
        assert_eq!(Excerpt::new(b"a\x1b[2J\0").to_string(), r#""a\x1b[2J\x00""#);
        assert_eq!(Excerpt::new(b"").to_string(), "\"\"");
        let long = Excerpt::new(&[b'x'; 4096]);
        assert_eq!(long.as_bytes(), [b'x'; Excerpt::MOST]);
        assert!(long.to_string().ends_with("\" and 4056 bytes more"));
    }
}
