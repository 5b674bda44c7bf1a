//! Values as xenstore holds them: text, strictly read.
//!
//! A number is decimal digits and nothing else: no sign, no blank, no zero in front, no overflow. What is not so is
//! [`Reason::Malformed`], with what stood there.

use alloc::string::String;

use super::error::Reason;
use crate::wire::Excerpt;

/// A value that does not say what was expected.
fn malformed(value: &[u8], expected: &'static str) -> Reason {
    Reason::Malformed { found: Excerpt::new(value), expected }
}

/// Printable text: UTF-8 without control characters.
pub(crate) fn text(value: &[u8]) -> Result<String, Reason> {
    let text = core::str::from_utf8(value).ok().filter(|text| !text.chars().any(char::is_control));
    text.map(String::from).ok_or_else(|| malformed(value, "printable text"))
}

/// A decimal number of 64 bits.
pub(crate) fn u64(value: &[u8]) -> Result<u64, Reason> {
    decimal(value).ok_or_else(|| malformed(value, "a decimal number of 64 bits"))
}

/// A decimal number of 32 bits.
pub(crate) fn u32(value: &[u8]) -> Result<u32, Reason> {
    let number = decimal(value).and_then(|number| u32::try_from(number).ok());
    number.ok_or_else(|| malformed(value, "a decimal number of 32 bits"))
}

/// A feature: `0` or `1`.
pub(crate) fn flag(value: &[u8]) -> Result<bool, Reason> {
    match value {
        b"0" => Ok(false),
        b"1" => Ok(true),
        _ => Err(malformed(value, "0 or 1")),
    }
}

/// A station's address on an Ethernet: six pairs of hexadecimal digits with colons between, neither multicast nor all zero.
pub(crate) fn mac(value: &[u8]) -> Result<[u8; 6], Reason> {
    let mac = bytes(value).filter(|mac| *mac != [0; 6] && mac[0] & 1 == 0);
    mac.ok_or_else(|| malformed(value, "the MAC address of one station, such as 00:16:3e:12:34:56"))
}

fn bytes(value: &[u8]) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut groups = value.split(|byte| *byte == b':');
    for byte in &mut mac {
        *byte = match groups.next()? {
            [high, low] => digit(*high)? << 4 | digit(*low)?,
            _ => return None,
        };
    }
    groups.next().is_none().then_some(mac)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

fn decimal(value: &[u8]) -> Option<u64> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let leading = value.len() > 1 && value.starts_with(b"0");
    if !digits || leading {
        return None;
    }
    core::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hc_110_numbers_are_decimal_digits_and_nothing_else() {
        assert_eq!(u64(b"0"), Ok(0));
        assert_eq!(u64(b"18446744073709551615"), Ok(u64::MAX));
        assert_eq!(u32(b"4294967295"), Ok(u32::MAX));
        let odd: [&[u8]; 14] = [
            b"",
            b"-1",
            b"+1",
            b" 1",
            b"1 ",
            b"1\0",
            b"01",
            b"00",
            b"0x10",
            b"1e3",
            b"abc",
            b"\xff",
            b"1\n",
            b"10000000000000000000000000000000000000000",
        ];
        for value in odd {
            assert!(matches!(u64(value), Err(Reason::Malformed { .. })), "{value:?}");
            assert!(matches!(u32(value), Err(Reason::Malformed { .. })), "{value:?}");
        }
        assert!(u64(b"18446744073709551616").is_err(), "2^64");
        assert!(u32(b"4294967296").is_err(), "2^32");
        let Err(Reason::Malformed { found, .. }) = u32(b"0x10") else { panic!() };
        assert_eq!(found.as_bytes(), b"0x10");
    }

    #[test]
    fn hc_124_a_mac_is_that_of_one_station() {
        assert_eq!(mac(b"00:16:3e:12:AB:cd"), Ok([0, 0x16, 0x3e, 0x12, 0xab, 0xcd]));
        let odd: [&[u8]; 9] = [
            b"",
            b"00:16:3e:12:ab",
            b"00:16:3e:12:ab:cd:ef",
            b"00:16:3e:12:ab:zz",
            b"00:16:3e:12:ab:c",
            b"0016:3e:12:ab:cd",
            b"01:16:3e:12:ab:cd",
            b"00:00:00:00:00:00",
            b"00:16:3e:12:ab:+d",
        ];
        for value in odd {
            assert!(mac(value).is_err(), "{value:?}");
        }
    }

    #[test]
    fn text_is_printable_and_a_flag_is_one_digit() {
        assert_eq!(text(b"hello").as_deref(), Ok("hello"));
        assert!(text(b"\xff").is_err() && text(b"a\x1b[2J").is_err() && text(b"a\0").is_err());
        assert_eq!((flag(b"0"), flag(b"1")), (Ok(false), Ok(true)));
        assert!(flag(b"").is_err() && flag(b"2").is_err() && flag(b"01").is_err());
    }
}
