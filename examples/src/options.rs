//! What the command line says of network interfaces.

use alloc::boxed::Box;
use alloc::format;
use core::error::Error;
use core::time::Duration;

use xen_rt::CommandLine;
use xen_rt::netfront::{Channels, Checksums, Offer, Options};

/// Options as the command line has them, and otherwise as they are: `queues=4`, `channels=one|split`, `scatter=yes|no`,
/// `segments=yes|no`, `offload=yes|no`, `pages=` for each direction, and `hold=`, the seconds for which an interface that has
/// vanished is waited for.
///
/// # Errors
///
/// What stands behind one of these words makes no sense.
pub fn interface_options(line: CommandLine, otherwise: Options) -> Result<Options, Box<dyn Error>> {
    let number = |key: &str, otherwise: u32| number(line, key, otherwise);
    let offer = |key: &str, otherwise| choice(line, key, otherwise, [("yes", Offer::Yes), ("no", Offer::No)]);
    let channels = [("one", Channels::One), ("split", Channels::Split)];
    let checksums = [("yes", Checksums::Offload), ("no", Checksums::Stack)];
    Ok(Options {
        queues: number("queues", otherwise.queues)?,
        channels: choice(line, "channels", otherwise.channels, channels)?,
        scatter_gather: offer("scatter", otherwise.scatter_gather)?,
        segmentation: offer("segments", otherwise.segmentation)?,
        checksums: choice(line, "offload", otherwise.checksums, checksums)?,
        transmit_pages: number("pages", otherwise.transmit_pages)?,
        receive_pages: number("pages", otherwise.receive_pages)?,
        hold: number("hold", otherwise.hold.as_secs() as u32).map(|seconds| Duration::from_secs(seconds.into()))?,
        ..otherwise
    })
}

fn number(line: CommandLine, key: &str, otherwise: u32) -> Result<u32, Box<dyn Error>> {
    let Some(word) = line.value(key) else { return Ok(otherwise) };
    word.parse().map_err(|_| format!("{key}={word} is no number from 0 to {}", u32::MAX).into())
}

fn choice<T: Copy>(line: CommandLine, key: &str, otherwise: T, choices: [(&str, T); 2]) -> Result<T, Box<dyn Error>> {
    let Some(word) = line.value(key) else { return Ok(otherwise) };
    let chosen = choices.iter().find(|(name, _)| *name == word).map(|(_, value)| *value);
    chosen.ok_or_else(|| format!("{key}={word} is neither {} nor {}", choices[0].0, choices[1].0).into())
}
