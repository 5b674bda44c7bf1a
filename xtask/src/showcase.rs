//! `cargo xtask run` without a name: the example `web`, with a disk, a network and a port of this machine.

use std::path::Path;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::boot::{GuestSpec, Order};
use crate::fetch;
use crate::network::{Forward, Network, Protocol};
use crate::progress::Progress;
use crate::timeline::Timeline;

/// The example.
pub const EXAMPLE: &str = "web";
/// Its disk.
const SITE: &str = include_str!("../../examples/web/guest/web.sh");
/// Where it listens, and where this machine does, if the port is free.
const GUEST_PORT: u16 = 80;
const PORT: u16 = 8080;
/// How long the first answer may take.
const LIMIT: Duration = Duration::from_secs(300);

/// Gives the guest what its command line does not: a disk, a network, a port.
///
/// # Errors
///
/// When no port is free.
pub fn furnish(guest: GuestSpec) -> Result<GuestSpec> {
    let mut network = guest.network.unwrap_or_default();
    if network.forwards.iter().all(|forward| !is_http(forward)) {
        network.forwards.push(forward()?);
    }
    let scenario = guest.scenario.or_else(|| Some(SITE.to_owned()));
    Ok(GuestSpec { network: Some(network), scenario, ..guest })
}

/// The port that everyone expects, or another one.
fn forward() -> Result<Forward> {
    let wanted = Forward { protocol: Protocol::Tcp, host: PORT, guest: GUEST_PORT };
    match (Network { forwards: vec![wanted], ..Network::default() }).with_free_ports() {
        Ok(_) => Ok(wanted),
        Err(_) => Forward::to_tcp(GUEST_PORT),
    }
}

const fn is_http(forward: &Forward) -> bool {
    matches!(forward.protocol, Protocol::Tcp) && forward.guest == GUEST_PORT
}

/// Waits for the first page, and tells.
pub struct Showcase {
    port: u16,
    smoke: bool,
    /// What was found, once.
    page: Option<Receiver<Result<()>>>,
    finding: Option<Result<()>>,
    progress: Progress,
}

impl Showcase {
    /// For a guest that was furnished; with `smoke`, it ends when its pages were looked at.
    #[must_use]
    pub fn new(guest: &GuestSpec, smoke: bool, progress: Progress) -> Self {
        let forwards = guest.network.iter().flat_map(|network| &network.forwards);
        let port = forwards.copied().find(is_http).map_or(PORT, |forward| forward.host);
        Self { port, smoke, page: None, finding: None, progress }
    }

    /// Looks whether the page is there; the first time it is, shows where, and how long everything took.
    pub fn look(&mut self, timeline: &mut Timeline, logs: &Path) -> Option<Order> {
        let (port, smoke) = (self.port, self.smoke);
        let page = self.page.get_or_insert_with(|| ask_in_background(port, smoke));
        let finding = match page.try_recv() {
            Ok(finding) => finding,
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => return None,
        };
        timeline.note("first page");
        self.tell(&finding, timeline, logs);
        self.finding = Some(finding);
        self.smoke.then_some(Order::ShutDown)
    }

    /// What was found: nothing, if there was no page.
    ///
    /// # Errors
    ///
    /// With what was wrong with a page.
    pub fn verdict(self) -> Result<()> {
        self.finding.unwrap_or_else(|| Err(anyhow::anyhow!("the guest has ended before a page came")))
    }

    fn tell(&self, finding: &Result<()>, timeline: &Timeline, logs: &Path) {
        match finding {
            Ok(()) => self.progress.line("page", format!("http://127.0.0.1:{}/ and /status", self.port)),
            Err(error) => self.progress.note("page", format!("{error:#}")),
        }
        self.progress.print(&format!("\n{}\n", timeline.text().trim_end()));
        let file = logs.join("timeline.svg");
        match std::fs::write(&file, timeline.svg("From the start to the first page")) {
            Ok(()) => self.progress.note("written", file.display().to_string()),
            Err(error) => self.progress.note("written", format!("not: {}: {error}", file.display())),
        }
        if !self.smoke {
            self.progress.note("end", "Ctrl-C asks the guest to end");
        }
    }
}

/// Waits for the first page, and with `smoke` looks at all of them.
fn ask_in_background(port: u16, smoke: bool) -> Receiver<Result<()>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let first = fetch::good_page_within(port, "/", LIMIT).with_context(|| format!("no page at port {port}"));
        let finding = first.and_then(|first| if smoke { examine(port, &first) } else { Ok(()) });
        // Who is gone does not want to know.
        let _ = sender.send(finding);
    });
    receiver
}

/// The first page is the disk's, and the figures are those of a guest that runs.
fn examine(port: u16, first: &str) -> Result<()> {
    let file = fetch::body(first)?;
    ensure!(SITE.contains(&format!("/index.html <<'END'\n{file}END\n")), "/ is not the disk's index.html:\n{first}");
    let status = fetch::page_within(port, "/status", LIMIT)?;
    ensure!(fetch::body(&status)?.contains("<svg"), "/status has no chart:\n{status}");
    let (before, after) = (figures(port)?, figures(port)?);
    for key in ["requests", "packets_in", "packets_out", "hypercalls"] {
        ensure!(after.now(key) > before.now(key) && before.now(key) > 0.0, "/status.json: {key} does not move");
    }
    Ok(())
}

fn figures(port: u16) -> Result<Figures> {
    let answer = fetch::page_within(port, "/status.json", LIMIT)?;
    serde_json::from_str(fetch::body(&answer)?).map(Figures).with_context(|| format!("no JSON:\n{answer}"))
}

/// What `/status.json` says.
struct Figures(Value);

impl Figures {
    /// Returns the figure of this name as it is now; one that is not there is less than all.
    fn now(&self, key: &str) -> f64 {
        self.0["now"][key].as_f64().unwrap_or(f64::NEG_INFINITY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_has_what_belongs_to_it_and_keeps_what_it_was_given() {
        let bare = furnish(GuestSpec::new("web", "web")).unwrap();
        assert_eq!(bare.scenario.as_deref(), Some(SITE));
        assert!(bare.network.unwrap().forwards.iter().any(is_http));

        let own = Forward { protocol: Protocol::Tcp, host: 4711, guest: GUEST_PORT };
        let network = Some(Network { forwards: vec![own], ..Network::default() });
        let guest = GuestSpec { network, scenario: Some("true".into()), ..GuestSpec::new("web", "web") };
        let furnished = furnish(guest).unwrap();
        assert_eq!(furnished.network.unwrap().forwards, [own]);
        assert_eq!(furnished.scenario.as_deref(), Some("true"));
    }

    #[test]
    fn a_figure_that_is_missing_does_not_move() {
        let figures = Figures(serde_json::json!({"now": {"requests": 3}}));
        assert!(figures.now("requests") > 2.0 && figures.now("others") < 0.0);
    }

    #[test]
    fn who_ends_before_the_page_came_has_no_page() {
        let guest = furnish(GuestSpec::new("web", "web")).unwrap();
        assert!(Showcase::new(&guest, true, Progress::quiet()).verdict().is_err());
    }
}
