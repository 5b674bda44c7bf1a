//! The other end of a guest's TCP connections, in domain 0: what busybox takes minutes for, byte by byte, are seconds here.
//!
//! `bulk send ADDRESS:PORT BYTES` sends so many random bytes, and `bulk receive ADDRESS:PORT` takes what comes. Each prints how
//! many they were, and their SHA-256.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use sha2::{Digest as _, Sha256};

/// Bytes at a time.
const PIECE: usize = 64 * 1024;
/// How long nothing may go on.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().collect();
    let (bytes, hash) = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "send", address, bytes] => send(connect(address)?, bytes.parse().context("BYTES is a number")?)?,
        [_, "receive", address] => receive(connect(address)?)?,
        _ => bail!("usage: bulk send ADDRESS:PORT BYTES | bulk receive ADDRESS:PORT"),
    };
    let hash: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    println!("{bytes} bytes: {hash}");
    Ok(())
}

fn connect(address: &str) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).with_context(|| format!("nobody answers at {address}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Sends, and waits until the other side has closed, too: it has taken everything then.
fn send(mut stream: TcpStream, bytes: u64) -> Result<(u64, Sha256)> {
    let (mut random, mut hash, mut piece) = (ChaCha8Rng::seed_from_u64(bytes), Sha256::new(), vec![0; PIECE]);
    let mut left = bytes;
    while left > 0 {
        piece.truncate(usize::try_from(left).unwrap_or(PIECE));
        random.fill_bytes(&mut piece);
        hash.update(&piece);
        stream.write_all(&piece).with_context(|| format!("{left} of {bytes} bytes were not taken"))?;
        left -= piece.len() as u64;
    }
    stream.shutdown(Shutdown::Write)?;
    stream.read_to_end(&mut Vec::new()).context("the other side does not close")?;
    Ok((bytes, hash))
}

fn receive(mut stream: TcpStream) -> Result<(u64, Sha256)> {
    let (mut came, mut hash, mut piece) = (0, Sha256::new(), vec![0; PIECE]);
    loop {
        match stream.read(&mut piece).with_context(|| format!("no more than {came} bytes came"))? {
            0 => return Ok((came, hash)),
            count => {
                hash.update(&piece[..count]);
                came += count as u64;
            }
        }
    }
}
