//! What one guest says, from its first byte to its end.

use std::time::{Duration, Instant};

use super::line_ends::LineEnds;
use super::outcome::{Ending, Reason};
use crate::status::ExitFilter;
use crate::{crash, diagnose};

/// A guest that printed within this time is one that goes on.
const BUSY: Duration = Duration::from_millis(1500);

/// Collects a guest's console and passes it on.
#[derive(Debug)]
pub(super) struct Recorder {
    started: Instant,
    last_sign: Instant,
    line_ends: LineEnds,
    filter: ExitFilter,
    console: Vec<u8>,
}

impl Recorder {
    pub(super) fn start() -> Self {
        let now = Instant::now();
        Self {
            started: now,
            last_sign: now,
            line_ends: LineEnds::default(),
            filter: ExitFilter::default(),
            console: Vec::new(),
        }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Takes console bytes; `output` gets those that are for the user, with `\n` at the end of lines.
    pub(super) fn feed(&mut self, bytes: &[u8], output: &mut dyn FnMut(&[u8])) {
        self.last_sign = Instant::now();
        let shown = self.filter.feed(&self.line_ends.feed(bytes));
        self.show(&shown, output);
    }

    /// Ends the console of a domain that shut down, and says what that means.
    pub(super) fn shut_down(&mut self, reason: Reason, xen_log: &str, output: &mut dyn FnMut(&[u8])) -> Ending {
        let (status, held) = self.finish();
        if let (Some(status), Reason::Poweroff) = (status, reason) {
            return Ending::Exited(status);
        }
        if let Some(status) = status {
            // It was no farewell after all.
            self.show(format!("domu: exit status {status}\n").as_bytes(), output);
        }
        self.show(&held, output);
        match reason {
            Reason::Poweroff => Ending::Exited(0),
            Reason::Crash if diagnose::panic_message(&self.text()).is_some() => Ending::Panicked,
            Reason::Crash => Ending::Crashed { report: crash::report(xen_log) },
            other => Ending::ShutDown(other),
        }
    }

    /// Ends the console of a domain that came to no end.
    pub(super) fn stop(&mut self, output: &mut dyn FnMut(&[u8])) {
        let (status, held) = self.finish();
        let line = status.map(|status| format!("domu: exit status {status}\n")).unwrap_or_default();
        self.show(&[line.as_bytes(), &held].concat(), output);
    }

    /// Tells when the guest last said something, and what; `limit` is the one that is over.
    pub(super) fn last_sign(&self, limit: Duration) -> String {
        let text = self.text();
        let silence = self.last_sign.elapsed();
        if silence < BUSY && !text.is_empty() {
            return format!("the guest was still running and printing when its {} s were over", limit.as_secs());
        }
        match text.trim_end().lines().next_back() {
            Some(line) => {
                format!("nothing came for {:.0} s, the last line was {line:?}", silence.as_secs_f32())
            }
            None => "the guest never wrote to its console".to_owned(),
        }
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.console).into_owned()
    }

    /// Ends the stream: the status, if its last line told one, and the bytes that are still to show.
    fn finish(&mut self) -> (Option<u8>, Vec<u8>) {
        let mut shown = self.filter.feed(self.line_ends.finish());
        let (status, held) = std::mem::take(&mut self.filter).finish();
        shown.extend(held);
        (status, shown)
    }

    fn show(&mut self, bytes: &[u8], output: &mut dyn FnMut(&[u8])) {
        if !bytes.is_empty() {
            self.console.extend_from_slice(bytes);
            output(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(console: &str, reason: Reason) -> (Ending, String) {
        let mut recorder = Recorder::start();
        recorder.feed(console.as_bytes(), &mut |_| ());
        let ending = recorder.shut_down(reason, "", &mut |_| ());
        (ending, recorder.text())
    }

    #[test]
    fn a_status_counts_only_with_power_off() {
        let text = "a\ndomu: exit status 3\n";
        assert_eq!(end(text, Reason::Poweroff), (Ending::Exited(3), "a\n".into()));
        assert_eq!(end(text, Reason::Reboot), (Ending::ShutDown(Reason::Reboot), text.into()));
        assert_eq!(end("a\n", Reason::Poweroff), (Ending::Exited(0), "a\n".into()));
    }

    #[test]
    fn lines_end_as_everywhere() {
        assert_eq!(end("a\r\ndomu: exit status 3\r\n", Reason::Poweroff), (Ending::Exited(3), "a\n".into()));
        assert_eq!(end("50 %\r", Reason::Poweroff), (Ending::Exited(0), "50 %\r".into()));
    }

    #[test]
    fn a_guest_that_goes_on_printing_is_told_from_one_that_stopped() {
        let mut recorder = Recorder::start();
        let sign = |recorder: &Recorder| recorder.last_sign(Duration::from_secs(7));
        assert!(sign(&recorder).contains("never wrote"));
        recorder.feed(b"tick\n", &mut |_| ());
        assert_eq!(sign(&recorder), "the guest was still running and printing when its 7 s were over");
        recorder.last_sign -= 2 * BUSY;
        assert_eq!(sign(&recorder), "nothing came for 3 s, the last line was \"tick\"");
    }

    #[test]
    fn a_crash_after_a_panic_message_is_a_panic() {
        assert_eq!(end("panicked at src/a.rs:1:2:\nno\n", Reason::Crash).0, Ending::Panicked);
        assert_eq!(end("hello\n", Reason::Crash).0, Ending::Crashed { report: String::new() });
    }
}
