//! The page of live figures, complete before any script runs.

mod chart;
mod number;

use alloc::string::String;
use core::fmt::Write as _;
use core::time::Duration;

use crate::history::History;
use crate::metrics::{METRICS, Reading, Unit, index};
use crate::status::Status;
use chart::{Chart, Scale};
use number::{Amount, Text};

/// The pages load nothing from anywhere, but for the figures.
pub(crate) const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
     connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

const CHARTS: [Chart; 6] = [
    rates("Requests", &[("requests", "answered")]),
    rates("Packets", &[("packets_in", "received"), ("packets_out", "sent")]),
    rates("Traffic", &[("bytes_in", "received"), ("bytes_out", "sent")]),
    rates("Hypervisor", &[("hypercalls", "hypercalls"), ("events", "events")]),
    shares("Memory", &[("memory", "")]),
    shares("Shared with the backend", &[("grants", "pages"), ("ring", "slots")]),
];

const fn rates(title: &'static str, lines: &'static [(&'static str, &'static str)]) -> Chart {
    Chart { title, scale: Scale::PerSecond, lines }
}

const fn shares(title: &'static str, lines: &'static [(&'static str, &'static str)]) -> Chart {
    Chart { title, scale: Scale::Share, lines }
}

/// The page.
pub(crate) fn status(reading: &Reading<'_>, history: &History) -> String {
    let mut page = String::with_capacity(24 << 10);
    begin(&mut page, "Live figures");
    page.push_str("<noscript><meta http-equiv=refresh content=5></noscript></head><body><main>");
    header(&mut page, reading.uptime);
    tiles(&mut page, reading);
    page.push_str("<section class=charts aria-label=Charts>");
    for chart in &CHARTS {
        chart.write(&mut page, reading, history);
    }
    page.push_str("</section>");
    table(&mut page, reading);
    page.push_str(FOOTER);
    let _ = writeln!(page, "</main><script>{SCRIPT}</script></body></html>");
    page
}

/// The keys of the figures that have a chart.
pub(crate) fn charted() -> impl Iterator<Item = &'static str> {
    CHARTS.iter().flat_map(|chart| chart.lines.iter().map(|(key, _)| *key))
}

/// What a person sees who asked for something that is not to be had.
pub(crate) fn error(status: Status, target: &str) -> String {
    let mut page = String::with_capacity(6 << 10);
    begin(&mut page, status.reason());
    let _ = write!(page, "</head><body><main class=error><p class=code>{}<h1>{}</h1>", status.0, status.reason());
    let _ = write!(page, "<p>{}</p>", status.explanation());
    if !target.is_empty() {
        let _ = write!(page, "<p><code>{}</code></p>", Text(target));
    }
    page.push_str(PLACES);
    page.push_str("</main></body></html>\n");
    page
}

const PLACES: &str = "<p class=muted>What there is:</p><ul><li><a href=/>the first page</a><li><a href=/status>live figures</a>\
     <li><a href=/status.json>the same as JSON</a><li><a href=/metrics>the same for Prometheus</a></ul>";

const FOOTER: &str = "<footer><p>One sample a second, the last minute. Also as <a href=/status.json>JSON</a> and for \
     <a href=/metrics>Prometheus</a>. <a href=/>First page</a></p></footer>";

fn begin(page: &mut String, title: &str) {
    let _ = write!(
        page,
        "<!DOCTYPE html><html lang=en><head><meta charset=utf-8><title>{title}</title>\
         <meta name=viewport content=\"width=device-width,initial-scale=1\">\
         <meta name=color-scheme content=\"light dark\"><link rel=icon href=\"{ICON}\"><style>{STYLE}</style>"
    );
}

const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect width='16' \
     height='16' rx='4' fill='%230f766e'/%3E%3Cpath d='M3 11l3-4 3 2 4-5' stroke='%23fff' stroke-width='1.8' fill='none' \
     stroke-linecap='round' stroke-linejoin='round'/%3E%3C/svg%3E";

fn header(page: &mut String, uptime: Duration) {
    page.push_str(
        "<header><div><h1>Live figures</h1><p class=state id=state><i></i><span>as loaded</span></p></div>\
         <p class=muted>A kernel in Rust, alone on its virtual processor: a guest of Xen without an operating system.</p></header>",
    );
    let _ = write!(page, "<section class=tiles aria-label=Totals><div class=tile><h2>Up for</h2><p id=uptime>");
    let _ = write!(page, "{}</p></div>", number::Uptime(uptime));
}

/// What stands above the charts: totals since the start.
fn tiles(page: &mut String, reading: &Reading<'_>) {
    const TILES: [(&str, &str); 3] =
        [("Requests", "requests"), ("Connections open", "connections"), ("Memory free", "memory_free")];
    for (title, key) in TILES {
        let metric = &METRICS[index(key)];
        let amount = Amount((metric.value)(reading), metric.unit);
        let _ = write!(page, "<div class=tile><h2>{title}</h2><p{}>{amount}</p></div>", Marked("n", key, metric.unit));
    }
    page.push_str("</section>");
}

fn table(page: &mut String, reading: &Reading<'_>) {
    page.push_str("<details><summary>All figures since the start</summary><table>");
    for metric in &METRICS {
        let amount = Amount((metric.value)(reading), metric.unit);
        let mark = Marked("n", metric.key, metric.unit);
        let _ = write!(page, "<tr><th scope=row>{}{}<td{mark}>{amount}", metric.help, metric.which());
    }
    let _ = write!(
        page,
        "<tr><th scope=row>Pages that can be granted<td>{}",
        Amount(reading.guest.grants.of, Unit::Number)
    );
    let _ = write!(page, "<tr><th scope=row>Transmit ring slots<td>{}", Amount(reading.guest.ring.of, Unit::Number));
    page.push_str("</table></details>");
}

/// What the script finds an element by: which figure it shows, and how.
struct Marked(&'static str, &'static str, Unit);

impl core::fmt::Display for Marked {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self(what, key, unit) = self;
        write!(f, " data-{what}={key}{}", if *unit == Unit::Bytes { " data-bytes" } else { "" })
    }
}
