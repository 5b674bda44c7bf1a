//! Numbers as people read them. The page's script writes them alike.

use core::fmt::{self, Write as _};
use core::time::Duration;

use crate::metrics::Unit;

/// How much of something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Amount(pub(super) u64, pub(super) Unit);

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Unit::Number => grouped(self.0, f),
            Unit::Bytes => bytes(self.0, f),
        }
    }
}

/// In groups of three.
fn grouped(number: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if number < 1000 {
        return write!(f, "{number}");
    }
    grouped(number / 1000, f)?;
    write!(f, "\u{202f}{:03}", number % 1000)
}

/// In the largest unit of which there is one, with a decimal place where there are less than a hundred.
fn bytes(number: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = (1..UNITS.len()).take_while(|unit| number >> (10 * unit) > 0).last().unwrap_or(0);
    let whole = number >> (10 * unit);
    write!(f, "{whole}")?;
    if unit > 0 && whole < 100 {
        // Cut off and not rounded, so that 1023 of one unit are not 1024.
        let rest = (number >> (10 * (unit - 1))) & 1023;
        write!(f, ".{}", rest * 10 / 1024)?;
    }
    write!(f, " {}", UNITS[unit])
}

/// For how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Uptime(pub(super) Duration);

impl fmt::Display for Uptime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let days = seconds / 86_400;
        if days > 0 {
            write!(f, "{days} d ")?;
        }
        write!(f, "{:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
    }
}

/// Text of others, as part of a page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'a>(pub(super) &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|letter| match letter {
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '&' => f.write_str("&amp;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            letter => f.write_char(letter),
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    #[test]
    fn numbers_are_readable() {
        let number = |number| Amount(number, Unit::Number).to_string();
        assert_eq!([number(0), number(999), number(1000)], ["0", "999", "1\u{202f}000"]);
        assert_eq!(number(12_345_678), "12\u{202f}345\u{202f}678");
        let bytes = |number| Amount(number, Unit::Bytes).to_string();
        assert_eq!([bytes(0), bytes(1023), bytes(1024), bytes(1536)], ["0 B", "1023 B", "1.0 KiB", "1.5 KiB"]);
        assert_eq!([bytes(102_400), bytes((1 << 20) - 1), bytes(1 << 20)], ["100 KiB", "1023 KiB", "1.0 MiB"]);
        assert_eq!(bytes(u64::MAX), "16777215 TiB");
        let uptime = |seconds| Uptime(Duration::from_secs(seconds)).to_string();
        assert_eq!([uptime(59), uptime(3_661), uptime(90_061)], ["00:00:59", "01:01:01", "1 d 01:01:01"]);
    }

    #[test]
    fn what_others_wrote_is_no_markup() {
        assert_eq!(Text("<a b=\"c\" d='e'>&").to_string(), "&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp;");
    }
}
