//! What one guest says, from its first byte to its end.

use std::time::{Duration, Instant};

use super::outcome::{Ending, Reason};
use crate::diagnose;
use crate::status::ExitFilter;

/// Collects a guest's console and passes it on.
#[derive(Debug)]
pub(super) struct Recorder {
    started: Instant,
    last_sign: Instant,
    filter: ExitFilter,
    console: Vec<u8>,
}

impl Recorder {
    pub(super) fn start() -> Self {
        let now = Instant::now();
        Self { started: now, last_sign: now, filter: ExitFilter::default(), console: Vec::new() }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Takes console bytes; `output` gets those that are for the user.
    pub(super) fn feed(&mut self, bytes: &[u8], output: &mut dyn FnMut(&[u8])) {
        self.last_sign = Instant::now();
        let shown = self.filter.feed(bytes);
        self.show(&shown, output);
    }

    /// Ends the console of a domain that shut down, and says what that means.
    pub(super) fn shut_down(&mut self, reason: Reason, xen_log: &str, output: &mut dyn FnMut(&[u8])) -> Ending {
        let (status, held) = std::mem::take(&mut self.filter).finish();
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
            Reason::Crash => Ending::Crashed { report: diagnose::crash_report(xen_log) },
            other => Ending::ShutDown(other),
        }
    }

    /// Ends the console of a domain that came to no end.
    pub(super) fn stop(&mut self, output: &mut dyn FnMut(&[u8])) {
        let (status, held) = std::mem::take(&mut self.filter).finish();
        let line = status.map(|status| format!("domu: exit status {status}\n")).unwrap_or_default();
        self.show(&[line.as_bytes(), &held].concat(), output);
    }

    /// Tells when the guest last said something, and what.
    pub(super) fn last_sign(&self) -> String {
        let text = self.text();
        match text.trim_end().lines().next_back() {
            Some(line) => {
                format!("nothing came for {:.0} s, the last line was {line:?}", self.last_sign.elapsed().as_secs_f32())
            }
            None => "the guest never wrote to its console".to_owned(),
        }
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.console).into_owned()
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
    fn a_crash_after_a_panic_message_is_a_panic() {
        assert_eq!(end("panicked at src/a.rs:1:2:\nno\n", Reason::Crash).0, Ending::Panicked);
        assert_eq!(end("hello\n", Reason::Crash).0, Ending::Crashed { report: String::new() });
    }
}
