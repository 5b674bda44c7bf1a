//! The packet generator of Linux's kernel. (linux/Documentation/networking/pktgen.rst)

use std::fs;

use anyhow::{Context as _, Result};
use bench_load::Traffic;

/// Its files.
const FOLDER: &str = "/proc/net/pktgen";
const THREAD: &str = "kpktgend_0";

/// How many times one packet is sent before the next one is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Copies {
    /// As often as one likes: it costs least.
    All,
    /// Once, for a driver that keeps each packet in a list.
    One,
}

/// The generator, set up for an interface.
pub(crate) struct Generator {
    interface: String,
}

impl Generator {
    pub(crate) fn prepare(interface: &str, traffic: &Traffic, copies: Copies) -> Result<Self> {
        write(THREAD, "rem_device_all")?;
        write(THREAD, &format!("add_device {interface}"))?;
        let [a, b, c, d, e, f] = bench_load::NOBODYS_MAC;
        let [i, j, k, l] = bench_load::NOBODY;
        for setting in [
            format!("count {}", traffic.count),
            format!("pkt_size {}", traffic.bytes),
            "delay 0".to_owned(),
            format!("dst {i}.{j}.{k}.{l}"),
            format!("dst_mac {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}"),
            format!("clone_skb {}", if copies == Copies::All { traffic.count } else { 0 }),
            format!("burst {}", traffic.burst),
        ] {
            write(interface, &setting)?;
        }
        Ok(Self { interface: interface.to_owned() })
    }

    /// Sends all: whole bursts, and so a few more. Answers how many packets that were, and how long it took, in nanoseconds, until
    /// the driver was done with the last one.
    ///
    /// That is the generator's own time: it is woken late, and looked after in steps of a tenth of a second.
    pub(crate) fn run(&self) -> Result<(u64, u64)> {
        write("pgctrl", "start")?;
        let path = format!("{FOLDER}/{}", self.interface);
        let said = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        result(&said).with_context(|| format!("pktgen says {said}"))
    }
}

/// `Result: OK: 62884(c57818+d5066) usec, 1280 (60byte,0frags)`
fn result(said: &str) -> Option<(u64, u64)> {
    let (time, rest) = said.split_once("\nResult: OK: ")?.1.split_once('(')?;
    let (count, _) = rest.split_once(" usec, ")?.1.split_once(' ')?;
    Some((count.parse().ok()?, time.parse::<u64>().ok()? * 1000))
}

fn write(file: &str, line: &str) -> Result<()> {
    // The last byte is taken for the end of the line, whatever it is.
    let text = format!("{line}\n");
    fs::write(format!("{FOLDER}/{file}"), text).with_context(|| format!("pktgen does not take {line:?} in {file}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_has_a_time_and_a_count() {
        let said = "Params: count 1250\nCurrent:\n     pkts-sofar: 1280\nResult: OK: 62884(c57818+d5066) usec, 1280 (60byte,0frags)\n";
        assert_eq!(result(said), Some((1280, 62_884_000)));
        assert_eq!(result("Params: count 1250\nResult: Idle\n"), None);
    }
}
