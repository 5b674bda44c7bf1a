//! The figures that are shown: on the page, as JSON, and for Prometheus.

use alloc::string::String;
use core::fmt::{self, Write as _};
use core::time::Duration;

use crate::figures::Snapshot;
use crate::history::History;
use crate::page;
use crate::site::Counts;

/// Everything that is known at one time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading<'a> {
    pub(crate) uptime: Duration,
    pub(crate) guest: &'a Snapshot,
    pub(crate) counts: &'a Counts,
}

/// A figure.
pub(crate) struct Metric {
    /// Its name on the page and in JSON.
    pub(crate) key: &'static str,
    /// Its name for Prometheus, with its labels.
    name: &'static str,
    /// What it is.
    pub(crate) help: &'static str,
    pub(crate) kind: Kind,
    pub(crate) unit: Unit,
    pub(crate) value: fn(&Reading<'_>) -> u64,
}

/// How a figure changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It only ever grows.
    Count,
    /// It goes up and down.
    Level,
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Number,
    Bytes,
}

/// All of them. Those of one name stand together.
pub(crate) const METRICS: [Metric; 18] = [
    count("ok", "domu_http_responses_total{code=\"2xx\"}", "HTTP answers", |r| r.counts.succeeded),
    count("redirected", "domu_http_responses_total{code=\"3xx\"}", "HTTP answers", |r| r.counts.redirected),
    count("refused", "domu_http_responses_total{code=\"4xx\"}", "HTTP answers", |r| r.counts.refused),
    count("failed", "domu_http_responses_total{code=\"5xx\"}", "HTTP answers", |r| r.counts.failed),
    count("requests", "domu_http_requests_total", "HTTP requests", |r| r.counts.requests()),
    count("accepted", "domu_http_connections_total", "Connections so far", |r| r.counts.accepted),
    count("cut", "domu_http_connections_cut_total", "Connections cut: too slow, or in others' way", |r| r.counts.cut),
    level("connections", "domu_http_connections", "Connections open", |r| r.counts.open),
    count("packets_in", "domu_network_packets_total{direction=\"received\"}", "Packets", |r| r.guest.received.packets),
    count("packets_out", "domu_network_packets_total{direction=\"sent\"}", "Packets", |r| r.guest.sent.packets),
    bytes(count("bytes_in", "domu_network_bytes_total{direction=\"received\"}", "Bytes", |r| r.guest.received.bytes)),
    bytes(count("bytes_out", "domu_network_bytes_total{direction=\"sent\"}", "Bytes", |r| r.guest.sent.bytes)),
    count("hypercalls", "domu_hypercalls_total", "Hypercalls", |r| r.guest.hypercalls),
    count("events", "domu_events_total", "Events", |r| r.guest.events),
    level("grants", "domu_grants_in_use", "Pages granted to other domains", |r| r.guest.grants.used),
    level("ring", "domu_transmit_ring_slots_in_use", "Slots of the transmit ring in use", |r| r.guest.ring.used),
    bytes(level("memory", "domu_memory_bytes{state=\"used\"}", "Memory", |r| r.guest.memory.used)),
    bytes(level("memory_free", "domu_memory_bytes{state=\"free\"}", "Memory", |r| {
        r.guest.memory.of.saturating_sub(r.guest.memory.used)
    })),
];

impl Metric {
    /// What tells it from others of its name: `, received`.
    pub(crate) fn which(&self) -> Which {
        Which(self.name.split('"').nth(1))
    }
}

/// The value of a label, as the end of a phrase.
pub(crate) struct Which(Option<&'static str>);

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |value| write!(f, ", {value}"))
    }
}

/// Where a figure stands among them.
///
/// # Panics
///
/// There is none of this name: for names that are known when this is compiled.
pub(crate) const fn index(key: &str) -> usize {
    let mut index = 0;
    while index < METRICS.len() {
        if is_same(METRICS[index].key.as_bytes(), key.as_bytes()) {
            return index;
        }
        index += 1;
    }
    panic!("there is no such figure")
}

/// How much there is of something of which a part is in use.
pub(crate) fn all(key: &str, reading: &Reading<'_>) -> u64 {
    match key {
        "memory" => reading.guest.memory.of,
        "grants" => reading.guest.grants.of,
        _ => reading.guest.ring.of,
    }
}

/// As JSON: all totals, and the last minute of what has a chart.
pub(crate) fn json(reading: &Reading<'_>, history: &History) -> String {
    let mut text = String::with_capacity(4096);
    let _ = write!(text, "{{\"uptime_ms\":{},\"of\":{{", reading.uptime.as_millis());
    let guest = reading.guest;
    let _ = write!(text, "\"memory\":{},\"grants\":{},\"ring\":{}", guest.memory.of, guest.grants.of, guest.ring.of);
    text.push_str("},\"now\":{");
    for (index, metric) in METRICS.iter().enumerate() {
        let _ = write!(text, "{}\"{}\":{}", comma(index), metric.key, (metric.value)(reading));
    }
    text.push_str("},\"minute\":{");
    for (number, key) in page::charted().enumerate() {
        let _ = write!(text, "{}\"{key}\":[", comma(number));
        for (place, value) in history.of(index(key)).enumerate() {
            let _ = write!(text, "{}{value}", comma(place));
        }
        text.push(']');
    }
    text.push_str("}}\n");
    text
}

/// In Prometheus' text format, version 0.0.4.
pub(crate) fn prometheus(reading: &Reading<'_>) -> String {
    let mut text = String::with_capacity(3072);
    let _ = write!(
        text,
        "# HELP domu_uptime_seconds Time since the server was started\n# TYPE domu_uptime_seconds gauge\n"
    );
    let (seconds, millis) = (reading.uptime.as_secs(), reading.uptime.subsec_millis());
    let _ = writeln!(text, "domu_uptime_seconds {seconds}.{millis:03}");
    let mut last = "";
    for metric in &METRICS {
        let family = metric.name.split('{').next().unwrap_or_default();
        if family != last {
            let kind = if metric.kind == Kind::Count { "counter" } else { "gauge" };
            let _ = write!(text, "# HELP {family} {}\n# TYPE {family} {kind}\n", metric.help);
        }
        last = family;
        let _ = writeln!(text, "{} {}", metric.name, (metric.value)(reading));
    }
    text
}

const fn count(key: &'static str, name: &'static str, help: &'static str, value: fn(&Reading<'_>) -> u64) -> Metric {
    Metric { key, name, help, kind: Kind::Count, unit: Unit::Number, value }
}

const fn level(key: &'static str, name: &'static str, help: &'static str, value: fn(&Reading<'_>) -> u64) -> Metric {
    Metric { key, name, help, kind: Kind::Level, unit: Unit::Number, value }
}

const fn bytes(metric: Metric) -> Metric {
    Metric { unit: Unit::Bytes, ..metric }
}

const fn comma(index: usize) -> &'static str {
    if index == 0 { "" } else { "," }
}

const fn is_same(left: &[u8], right: &[u8]) -> bool {
    let mut index = 0;
    while index < left.len() && index < right.len() && left[index] == right[index] {
        index += 1;
    }
    index == left.len() && index == right.len()
}
