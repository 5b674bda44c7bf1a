//! Direct mode: the guest is Xen's domain 0 and shares the serial port with Xen.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::recorder::Recorder;
use super::splitter::{Item, Splitter};
use super::{
    BOOT_LIMIT, DOM0_BEGINS, Ending, FIRST_OUTPUT, GUEST, GuestSpec, Input, Outcome, QEMU, Reason, Session, XEN,
    accelerator, logs,
};
use crate::diagnose;
use crate::qemu::{self, Accelerator, Activity, Machine, Program, Qemu};
use crate::timeline::{Side, Timeline};

/// What Xen needs besides the guest's memory, in mebibytes.
const XEN_MEMORY: u32 = 144;
/// How long the log may go on after a panic of Xen.
const LAST_WORDS: Duration = Duration::from_millis(300);
const TICK: Duration = Duration::from_millis(50);

/// Boots Xen with the guest as domain 0.
pub(super) fn run(guest: &GuestSpec, session: &mut Session<'_>) -> Result<Outcome> {
    let xen = super::xen(&session.progress)?;
    let program = Program::find(&session.progress)?;
    let accelerator = choose(session, &program, &xen)?;
    let folder = logs::folder(&guest.name)?;
    let messages = folder.join("qemu.log");
    let timeline = Timeline::start(QEMU);
    let qemu = Qemu::start(&machine(guest, session, &xen, accelerator, &messages), &program)?;
    let log = File::create(folder.join("xen.log")).context("cannot write the log")?;
    let mut boot = Boot::new(qemu, timeline, accelerator, log, messages, session);
    let ending = boot.watch(guest, session)?;
    boot.timeline.finish();
    Ok(Outcome {
        name: guest.name.clone(),
        console: boot.recorder.text(),
        ending,
        elapsed: boot.recorder.elapsed(),
        xen_log: boot.xen_log,
        logs: folder,
        scenario: None,
        timeline: boot.timeline,
    })
}

fn choose(session: &Session<'_>, program: &Program, xen: &Path) -> Result<Accelerator> {
    if session.icount { Ok(Accelerator::Tcg) } else { accelerator(program, xen) }
}

fn machine<'a>(
    guest: &GuestSpec,
    session: &Session<'_>,
    xen: &'a Path,
    accelerator: Accelerator,
    messages: &'a Path,
) -> Machine<'a> {
    let memory = guest.memory;
    Machine {
        accelerator,
        memory: memory + XEN_MEMORY,
        cpus: 1,
        icount: session.icount,
        kernel: (
            xen,
            format!(
                "console=com1 com1=115200 dom0_mem={memory}M,max:{memory}M loglvl=all guest_loglvl=all {}",
                session.xen_options
            ),
        ),
        modules: vec![(guest.elf.clone(), guest.arguments.clone())],
        com1_log: None,
        devices: Vec::new(),
        messages,
    }
}

/// A boot under way.
struct Boot {
    qemu: Qemu,
    splitter: Splitter,
    recorder: Recorder,
    log: File,
    xen_log: String,
    started: bool,
    reason: Option<Reason>,
    step: Option<crate::progress::Step>,
    timeline: Timeline,
    accelerator: Accelerator,
    /// The file with QEMU's own messages.
    messages: PathBuf,
}

impl Boot {
    fn new(
        qemu: Qemu,
        timeline: Timeline,
        accelerator: Accelerator,
        log: File,
        messages: PathBuf,
        session: &Session<'_>,
    ) -> Self {
        Self {
            qemu,
            timeline,
            splitter: Splitter::default(),
            recorder: Recorder::start(),
            log,
            xen_log: String::new(),
            started: false,
            reason: None,
            step: Some(session.progress.step("xen", "booting")),
            accelerator,
            messages,
        }
    }

    fn watch(&mut self, guest: &GuestSpec, session: &mut Session<'_>) -> Result<Ending> {
        let mut deadline = Instant::now() + BOOT_LIMIT;
        loop {
            let was_started = self.started;
            let activity = self.qemu.next(TICK)?;
            if let Activity::Bytes(bytes) = &activity {
                self.take(bytes, session)?;
            }
            if let Some(ending) = self.ending(&activity, deadline, guest, session)? {
                return Ok(ending);
            }
            if self.started && !was_started {
                deadline = super::deadline(guest.timeout);
                self.type_input(&guest.input);
            }
        }
    }

    /// Sorts what came on the serial port.
    fn take(&mut self, bytes: &[u8], session: &mut Session<'_>) -> Result<()> {
        self.log.write_all(bytes)?;
        if self.timeline.current() == QEMU {
            self.timeline.begin(XEN, Side::Host);
        }
        for item in self.splitter.feed(bytes) {
            match item {
                Item::Guest(bytes) if self.started => {
                    self.timeline.note(FIRST_OUTPUT);
                    self.recorder.feed(&bytes, &mut session.output);
                }
                Item::Guest(bytes) => self.xen_log.push_str(&String::from_utf8_lossy(&bytes)),
                Item::Xen(line) => self.take_line(&line, session),
            }
        }
        Ok(())
    }

    fn take_line(&mut self, line: &str, session: &Session<'_>) {
        self.xen_log.push_str(line);
        self.xen_log.push('\n');
        if session.verbose {
            eprintln!("{line}");
        }
        if !self.started && line.contains(DOM0_BEGINS) {
            self.started = true;
            self.timeline.begin(GUEST, Side::Guest);
            self.recorder = Recorder::start();
            let text = format!(
                "{} in QEMU ({}), the guest is domain 0",
                diagnose::xen_version(&self.xen_log),
                self.accelerator
            );
            self.step.take().into_iter().for_each(|step| step.done(&text));
        }
        self.reason = self.reason.or_else(|| shutdown_reason(line));
    }

    fn ending(
        &mut self,
        activity: &Activity,
        deadline: Instant,
        guest: &GuestSpec,
        session: &mut Session<'_>,
    ) -> Result<Option<Ending>> {
        if let Some(reason) = self.reason {
            self.qemu.end();
            return Ok(Some(self.recorder.shut_down(reason, &self.xen_log, &mut session.output)));
        }
        let ending = if let Some(panic) = diagnose::xen_panic(&self.xen_log) {
            self.hear_out(session)?;
            Ending::NotStarted(format!("Xen panicked: {panic}"))
        } else if matches!(activity, Activity::Ended) {
            self.gone()
        } else if Instant::now() >= deadline {
            Ending::TimedOut(self.last_sign(guest.timeout))
        } else {
            return Ok(None);
        };
        self.recorder.stop(&mut session.output);
        Ok(Some(ending))
    }

    fn last_sign(&self, limit: Duration) -> String {
        if self.started { self.recorder.last_sign(limit) } else { diagnose::last_line(&self.xen_log) }
    }

    /// Says why QEMU ended by itself.
    fn gone(&mut self) -> Ending {
        let why = self.qemu.why_ended();
        if self.started {
            return Ending::Crashed { report: why };
        }
        let messages = std::fs::read_to_string(&self.messages).unwrap_or_default();
        Ending::NotStarted(format!("{why}, before Xen had booted\n{}", messages.trim_end()))
    }

    /// Collects the rest of a message.
    fn hear_out(&mut self, session: &mut Session<'_>) -> Result<()> {
        while let Activity::Bytes(bytes) = self.qemu.next(LAST_WORDS)? {
            self.take(&bytes, session)?;
        }
        Ok(())
    }

    fn type_input(&mut self, input: &Input) {
        let Some(port) = self.qemu.take_input() else { return };
        match input {
            Input::None => {}
            Input::Stdin => qemu::send_in_background(port, std::io::stdin()),
            Input::Bytes(bytes) => qemu::send_in_background(port, std::io::Cursor::new(bytes.clone())),
        }
    }
}

/// Reads what Xen says when its domain 0 shuts down.
fn shutdown_reason(line: &str) -> Option<Reason> {
    let (_, text) = line.split_once("Hardware Dom0 ")?;
    [
        ("halted", Reason::Poweroff),
        ("crashed", Reason::Crash),
        ("shutdown: watchdog", Reason::Watchdog),
        ("shutdown: rebooting", Reason::Reboot),
        ("did unsupported soft reset", Reason::SoftReset),
    ]
    .into_iter()
    .find_map(|(start, reason)| text.starts_with(start).then_some(reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_shut_down_is_recognised() {
        assert_eq!(shutdown_reason("(XEN) Hardware Dom0 halted: halting machine"), Some(Reason::Poweroff));
        assert_eq!(
            shutdown_reason("(XEN) Hardware Dom0 crashed: rebooting machine in 5 seconds."),
            Some(Reason::Crash)
        );
        assert_eq!(shutdown_reason("(XEN) Hardware Dom0 shutdown: rebooting machine"), Some(Reason::Reboot));
        assert_eq!(shutdown_reason("(XEN) Domain 1 crashed"), None);
    }
}
