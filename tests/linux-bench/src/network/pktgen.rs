//! The packet generator of Linux's kernel. (linux/Documentation/networking/pktgen.rst)

use std::fs;

use anyhow::{Context as _, Result, ensure};
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

    /// Returns when all is sent.
    pub(crate) fn start(&self) -> Result<()> {
        write("pgctrl", "start")?;
        let path = format!("{FOLDER}/{}", self.interface);
        let said = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        ensure!(said.contains("\nResult: OK"), "pktgen says {said}");
        Ok(())
    }
}

fn write(file: &str, line: &str) -> Result<()> {
    fs::write(format!("{FOLDER}/{file}"), line).with_context(|| format!("pktgen does not take {line:?} in {file}"))
}
