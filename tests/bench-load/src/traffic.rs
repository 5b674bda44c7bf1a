//! What goes through a network interface.

use core::fmt;
use core::str::FromStr;

use crate::Malformed;
use crate::words::number;

/// Packets go to this address, which nobody has: whoever takes them is done with them at once.
pub const NOBODYS_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x63];
/// The same, of the Internet protocol.
pub const NOBODY: [u8; 4] = [10, 0, 0, 99];
/// The port to which packets go, and the guest's that takes bytes and forgets them. (RFC 863)
pub const DISCARD: u16 = 9;
/// The guest's port that sends bytes. (RFC 864)
pub const SOURCE: u16 = 19;

/// The guest's port that serves pages.
pub const HTTP: u16 = 80;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum What {
    /// The guest starts, and answers a ping.
    Boot,
    /// The guest starts, and serves a page.
    Page,
    /// The guest sends packets.
    Transmit,
    /// The same, by a program where there is a kernel.
    Send,
    /// Packets are sent to the guest, which counts them.
    Receive,
    /// The guest is pinged.
    Ping,
    /// The guest takes bytes from a connection.
    TcpIn,
    /// The guest sends bytes over a connection.
    TcpOut,
}

const WORDS: [(What, &str); 8] = [
    (What::Boot, "boot"),
    (What::Page, "page"),
    (What::Transmit, "transmit"),
    (What::Send, "send"),
    (What::Receive, "receive"),
    (What::Ping, "ping"),
    (What::TcpIn, "tcp-in"),
    (What::TcpOut, "tcp-out"),
];

/// Traffic of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Traffic {
    /// Which.
    pub what: What,
    /// The size of a packet with its Ethernet header and without its checksum, or of a piece.
    pub bytes: u32,
    /// How many packets are given to the interface at a time.
    pub burst: u32,
    /// How many packets, pieces or pings there are in all.
    pub count: u64,
}

impl Traffic {
    /// Whether the guest only listens, until it is told to stop.
    #[must_use]
    pub const fn listens(&self) -> bool {
        !matches!(self.what, What::Transmit | What::Send)
    }

    /// All bytes.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.bytes as u64 * self.count
    }
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = WORDS.iter().find(|(what, _)| *what == self.what).map_or("", |(_, word)| word);
        write!(f, "{word} {} {} {}", self.bytes, self.burst, self.count)
    }
}

impl FromStr for Traffic {
    type Err = Malformed;

    fn from_str(line: &str) -> Result<Self, Malformed> {
        let mut words = line.split_whitespace();
        let first = words.next().ok_or(Malformed)?;
        let what = WORDS.iter().find(|(_, word)| *word == first).ok_or(Malformed)?.0;
        let (bytes, burst, count) = (number(&mut words)?, number(&mut words)?, number(&mut words)?);
        if words.next().is_some() || burst == 0 { Err(Malformed) } else { Ok(Self { what, bytes, burst, count }) }
    }
}

#[cfg(test)]
mod tests {
    extern crate alloc;

    use alloc::string::ToString as _;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for (what, word) in WORDS {
            let traffic = Traffic { what, bytes: 60, burst: 32, count: 100 };
            assert_eq!(traffic.to_string(), alloc::format!("{word} 60 32 100"));
            assert_eq!(traffic.to_string().parse(), Ok(traffic));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for line in ["", "transmit", "transmit 60 0 1", "transmit 60 32", "transmit 60 32 1 1", "sent 60 32 1"] {
            assert_eq!(line.parse::<Traffic>(), Err(Malformed), "{line}");
        }
    }
}
