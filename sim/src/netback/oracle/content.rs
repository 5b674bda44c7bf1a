//! What stands in a packet: cells of sixteen bytes, each of which says what packet it is of, and where in it.

use super::{Form, Way};
use crate::netback::offload::{ETH_IPV4, ETH_IPV6, Headers, TCP};
use crate::netback::packet::{ETH_HLEN, Mac};

/// Bytes of a cell.
pub(super) const CELL: usize = 16;

/// What each cell begins with, and nothing else has.
const CANARY: [u8; 3] = [0xca, 0x4a, 0x5e];

/// What a packet is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Recipe {
    pub(super) way: Way,
    pub(super) sequence: u32,
    pub(super) form: Form,
    pub(super) len: u16,
    pub(super) to: Mac,
    pub(super) from: Mac,
}

/// What a cell says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) way: Way,
    pub(super) sequence: u32,
    pub(super) index: u16,
    pub(super) len: u16,
}

impl Form {
    /// Bytes before the first cell.
    pub(super) const fn header(self) -> usize {
        match self {
            Self::Plain => ETH_HLEN,
            Self::Ipv4(_) => ETH_HLEN + 20 + 20,
            Self::Ipv6(_) => ETH_HLEN + 40 + 20,
        }
    }

    /// Where the checksums are that others may have made.
    fn checksum(self) -> Option<usize> {
        (self != Self::Plain).then_some(self.header() - 4)
    }
}

impl Recipe {
    /// Makes the packet. A checksum is left blank.
    pub(super) fn make(&self) -> Vec<u8> {
        let (len, header) = (usize::from(self.len), self.form.header());
        let mut bytes = [self.to, self.from].concat();
        match self.form {
            Form::Plain => bytes.extend([0x88, 0xb5]),
            Form::Ipv4(flow) => ipv4(&mut bytes, flow, self.len),
            Form::Ipv6(flow) => ipv6(&mut bytes, flow, self.len),
        }
        let cells = (0..len.saturating_sub(header).div_ceil(CELL)).flat_map(|index| self.cell(index as u16).bytes());
        bytes.extend(cells);
        bytes.truncate(len);
        if let Some(headers) = Headers::of(&bytes) {
            headers.blank(&mut bytes);
        }
        bytes
    }

    const fn cell(&self, index: u16) -> Cell {
        let Self { way, sequence, len, .. } = *self;
        Cell { way, sequence, index, len }
    }

    /// Where in the packet a cell begins.
    pub(super) const fn place(&self, index: u16) -> usize {
        self.form.header() + index as usize * CELL
    }

    /// The first byte that is another than it should be, but for a checksum that others may have made.
    pub(super) fn difference(&self, bytes: &[u8]) -> Option<usize> {
        let (own, checksum) = (self.make(), self.form.checksum());
        let may_differ = |at: usize| checksum.is_some_and(|from| (from..from + 2).contains(&at));
        own.iter().zip(bytes).enumerate().find(|(at, (own, byte))| own != byte && !may_differ(*at)).map(|(at, _)| at)
    }
}

impl Cell {
    pub(super) fn bytes(self) -> [u8; CELL] {
        let mut bytes = [0; CELL];
        bytes[..3].copy_from_slice(&CANARY);
        bytes[3] = self.way as u8;
        bytes[4..8].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[8..10].copy_from_slice(&self.index.to_le_bytes());
        bytes[10..12].copy_from_slice(&self.len.to_le_bytes());
        let check = check(bytes.first_chunk().unwrap_or(&[0; 12]));
        bytes[12..].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    /// Reads a cell, whose check must be right.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; CELL] = bytes.first_chunk()?;
        let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let way = [Way::Out, Way::In].into_iter().find(|way| *way as u8 == bytes[3])?;
        let sequence = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        let cell = Self { way, sequence, index: half(8), len: half(10) };
        (cell.bytes() == *bytes).then_some(cell)
    }

    /// Where a cell may begin.
    pub(super) fn starts(bytes: &[u8]) -> impl Iterator<Item = usize> {
        bytes.windows(CANARY.len()).enumerate().filter(|(_, window)| **window == CANARY).map(|(at, _)| at)
    }

    /// The cells that stand anywhere in some bytes, and where.
    pub(super) fn find(bytes: &[u8]) -> impl Iterator<Item = (usize, Self)> {
        Self::starts(bytes).filter_map(|at| Some((at, Self::read(&bytes[at..])?)))
    }
}

/// The cyclic redundancy check of a cell's bytes, as Ethernet has it.
fn check(bytes: &[u8; 12]) -> u32 {
    let step = |sum: u32, _| (sum >> 1) ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 };
    !bytes.iter().fold(u32::MAX, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), step))
}

fn ipv4(bytes: &mut Vec<u8>, flow: u16, len: u16) {
    bytes.extend(ETH_IPV4);
    bytes.extend([0x45, 0]);
    bytes.extend((len - ETH_HLEN as u16).to_be_bytes());
    bytes.extend([0, 0, 0x40, 0, 64, TCP, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    tcp(bytes, flow);
}

fn ipv6(bytes: &mut Vec<u8>, flow: u16, len: u16) {
    bytes.extend(ETH_IPV6);
    bytes.extend([0x60, 0, 0, 0]);
    bytes.extend((len - ETH_HLEN as u16 - 40).to_be_bytes());
    bytes.extend([TCP, 64]);
    bytes.extend([0xfd; 32]);
    tcp(bytes, flow);
}

fn tcp(bytes: &mut Vec<u8>, flow: u16) {
    bytes.extend(flow.to_be_bytes());
    bytes.extend([0x1b, 0x39, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(form: Form, len: u16) -> Recipe {
        Recipe { way: Way::Out, sequence: 7, form, len, to: [2; 6], from: [4; 6] }
    }

    #[test]
    fn a_check_is_that_of_ethernet() {
        assert_eq!(check(b"123456789abc"), 0xbdb0_c0e4);
    }

    #[test]
    fn cells_are_found_and_every_changed_byte_is() {
        for form in [Form::Plain, Form::Ipv4(5), Form::Ipv6(5)] {
            let recipe = recipe(form, 200);
            let bytes = recipe.make();
            assert_eq!(bytes.len(), 200);
            let cells: Vec<_> = Cell::find(&bytes).collect();
            assert_eq!(cells.len(), (200 - form.header()) / CELL);
            assert!(cells.iter().all(|(at, cell)| *at == recipe.place(cell.index) && cell.sequence == 7));
            for at in 0..bytes.len() {
                let mut bytes = bytes.clone();
                bytes[at] ^= 1;
                let is_checksum = form.checksum().is_some_and(|from| at == from || at == from + 1);
                assert_eq!(recipe.difference(&bytes), (!is_checksum).then_some(at), "byte {at}");
            }
            assert_eq!(Headers::of(&bytes).is_some(), form != Form::Plain);
        }
    }
}
