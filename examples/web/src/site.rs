//! What there is under which name.

use core::time::Duration;

use crate::answer::Answer;
use crate::date::Date;
use crate::figures::Figures;
use crate::files::{File, Files, OpenError};
use crate::head::Head;
use crate::history::{History, STEP};
use crate::metrics::{self, Reading};
use crate::request::{Method, Request, Then};
use crate::status::Status;
use crate::{kinds, page, path};

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answers with what was asked for.
    pub succeeded: u64,
    /// Answers that something is elsewhere, or as the client knows it.
    pub redirected: u64,
    /// Answers that the request is at fault.
    pub refused: u64,
    /// Answers that the server is at fault.
    pub failed: u64,
    /// Connections that were accepted.
    pub accepted: u64,
    /// Connections that were cut: too slow, or in others' way.
    pub cut: u64,
    /// Connections that are open.
    pub open: u64,
}

impl Counts {
    /// Requests that were answered.
    #[must_use]
    pub const fn requests(&self) -> u64 {
        self.succeeded + self.redirected + self.refused + self.failed
    }

    const fn note(&mut self, status: Status) {
        match status.0 {
            200..300 => self.succeeded += 1,
            300..400 => self.redirected += 1,
            400..500 => self.refused += 1,
            _ => self.failed += 1,
        }
    }
}

/// The files and the figures.
#[derive(Debug)]
pub(crate) struct Site<F, G> {
    pub(crate) files: F,
    figures: G,
    pub(crate) counts: Counts,
    history: History,
    /// When the first look was taken.
    started: Option<Duration>,
    /// The time since 1970, and the server's, when the last sample was taken.
    wall: Option<(Duration, Duration)>,
}

impl<F: Files, G> Site<F, G> {
    pub(crate) fn new(files: F, figures: G) -> Self {
        Self { files, figures, counts: Counts::default(), history: History::new(), started: None, wall: None }
    }

    /// Takes a sample of the figures if it is time for one.
    pub(crate) fn sample<D>(&mut self, device: &D, now: Duration)
    where
        G: Figures<D>,
    {
        if now < self.next_sample() {
            return;
        }
        let guest = self.figures.read(device);
        self.wall = guest.wall.map(|wall| (wall, now));
        let uptime = self.uptime(now);
        self.history.take(&Reading { uptime, guest: &guest, counts: &self.counts }, now);
    }

    /// When the next sample is to be taken.
    pub(crate) fn next_sample(&self) -> Duration {
        self.history.due()
    }

    /// The answer to a request.
    pub(crate) fn answer<D>(&mut self, request: &Request<'_>, device: &D, now: Duration) -> Answer<F::File>
    where
        G: Figures<D>,
    {
        match request.method {
            Method::Get | Method::Head => {}
            Method::Other => return self.refuse(Status::METHOD_NOT_ALLOWED, request, now),
            Method::Unknown => return self.refuse(Status::NOT_IMPLEMENTED, request, now),
        }
        let Some(path) = path::decode(request.target) else {
            return self.refuse(Status::BAD_REQUEST, request, now);
        };
        match path.as_str() {
            "/status" | "/status.json" | "/metrics" => self.figures(request, &path, device, now),
            _ => self.file(request, &path, now),
        }
    }

    /// The answer to what is no request. Nobody knows where the next one would begin.
    pub(crate) fn reject(&mut self, status: Status, now: Duration) -> Answer<F::File> {
        self.refuse(status, &Request { method: Method::Get, target: "", none_match: None, then: Then::Close }, now)
    }

    fn refuse(&mut self, status: Status, request: &Request<'_>, now: Duration) -> Answer<F::File> {
        let head = self.head(status, now).field("Content-Type", kinds::HTML).field("Cache-Control", "no-store");
        let head = if status == Status::METHOD_NOT_ALLOWED { head.field("Allow", "GET, HEAD") } else { head };
        let head = head.field("Content-Security-Policy", page::POLICY);
        Answer::text(head, request.method, request.then, &page::error(status, request.target))
    }

    fn figures<D>(&mut self, request: &Request<'_>, path: &str, device: &D, now: Duration) -> Answer<F::File>
    where
        G: Figures<D>,
    {
        // First, so that it counts this one too.
        let head = self.head(Status::OK, now).field("Cache-Control", "no-store");
        let guest = self.figures.read(device);
        let reading = Reading { uptime: self.uptime(now), guest: &guest, counts: &self.counts };
        let (kind, text) = match path {
            "/status.json" => (kinds::JSON, metrics::json(&reading, &self.history)),
            "/metrics" => (kinds::METRICS, metrics::prometheus(&reading)),
            _ => (kinds::HTML, page::status(&reading, &self.history)),
        };
        let head = head.field("Content-Type", kind);
        let head = if kind == kinds::HTML { head.field("Content-Security-Policy", page::POLICY) } else { head };
        Answer::text(head, request.method, request.then, &text)
    }

    fn file(&mut self, request: &Request<'_>, path: &str, now: Duration) -> Answer<F::File> {
        let index;
        let name = if path.ends_with('/') {
            index = alloc::format!("{path}index.html");
            &*index
        } else {
            path
        };
        match self.files.open(name) {
            Ok(file) => self.send(request, name, file, now),
            Err(OpenError::IsFolder) if !path.ends_with('/') => {
                let target = path::raw(request.target).unwrap_or_default();
                self.lead(Status::MOVED_PERMANENTLY, request, format_args!("{target}/"), now)
            }
            Err(OpenError::Failed) => self.refuse(Status::INTERNAL_SERVER_ERROR, request, now),
            Err(_) if path == "/" => self.lead(Status::FOUND, request, format_args!("/status"), now),
            Err(_) => self.refuse(Status::NOT_FOUND, request, now),
        }
    }

    fn send(&mut self, request: &Request<'_>, name: &str, file: F::File, now: Duration) -> Answer<F::File> {
        let tag = alloc::format!("\"{:x}-{:x}\"", file.tag(), file.size());
        let is_known = request.none_match.is_some_and(|tags| lists(tags, &tag));
        let status = if is_known { Status::NOT_MODIFIED } else { Status::OK };
        let head = self.head(status, now).field("ETag", &tag).field("Cache-Control", "no-cache");
        let head = file.modified().into_iter().fold(head, |head, time| head.field("Last-Modified", Date(time)));
        if is_known {
            return Answer::empty(head, request.then);
        }
        let head = head.field("Content-Type", kinds::of(name));
        Answer::file(head, request.method, request.then, file)
    }

    /// An answer that it is elsewhere.
    fn lead(
        &mut self,
        status: Status,
        request: &Request<'_>,
        to: core::fmt::Arguments<'_>,
        now: Duration,
    ) -> Answer<F::File> {
        Answer::text(self.head(status, now).field("Location", to), request.method, request.then, "")
    }

    fn head(&mut self, status: Status, now: Duration) -> Head {
        self.counts.note(status);
        let wall = self.wall.filter(|(_, at)| now.saturating_sub(*at) < 2 * STEP);
        Head::new(status, wall.map(|(wall, at)| wall.saturating_add(now.saturating_sub(at))))
    }

    fn uptime(&mut self, now: Duration) -> Duration {
        now.saturating_sub(*self.started.get_or_insert(now))
    }
}

/// Whether a tag is in a list of those that a client knows: RFC 9110, section 13.1.2. Weak ones count.
fn lists(tags: &[u8], tag: &str) -> bool {
    let is_it = |one: &[u8]| {
        let one = one.trim_ascii();
        one == b"*" || one.strip_prefix(b"W/").unwrap_or(one) == tag.as_bytes()
    };
    tags.split(|byte| *byte == b',').any(is_it)
}
