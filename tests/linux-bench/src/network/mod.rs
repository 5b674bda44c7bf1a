//! A network interface, from both of its ends.

pub(crate) mod domain0;
pub(crate) mod guest;
mod interface;
mod pktgen;
mod socket;
pub(crate) mod start;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use anyhow::{Context as _, Result};

/// What Linux has counted of an interface.
fn counter(interface: &str, name: &str) -> Result<u64> {
    let path = format!("/sys/class/net/{interface}/statistics/{name}");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    text.trim().parse().with_context(|| format!("{path} has {text:?}"))
}

/// Bytes that are read and written at once.
const PIECE: usize = 64 * 1024;

/// Sends so many bytes, and ends.
fn give(peer: &mut TcpStream, bytes: u64) -> Result<()> {
    let (piece, mut left) = (vec![0xa5; PIECE], bytes);
    while left > 0 {
        let count = left.min(PIECE as u64);
        peer.write_all(&piece[..count as usize])?;
        left -= count;
    }
    Ok(peer.shutdown(Shutdown::Write)?)
}

/// Takes all bytes up to the end, and says how many.
fn take(peer: &mut TcpStream) -> Result<u64> {
    let (mut piece, mut came) = (vec![0; PIECE], 0);
    loop {
        match peer.read(&mut piece)? {
            0 => return Ok(came),
            count => came += count as u64,
        }
    }
}
