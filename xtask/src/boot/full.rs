//! Full mode: Linux as domain 0, guests started by xl.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::logs::Logs;
use super::recorder::Recorder;
use super::{
    BOOT_LIMIT, DOM0_BEGINS, Ending, FIRST_OUTPUT, GUEST, GuestSpec, Input, Order, Outcome, QEMU, Reason, Scenario,
    Session, XEN, accelerator,
};
use crate::channel::{Item, Parser};
use crate::dom0::{self, Dom0};
use crate::network::Uplink;
use crate::progress::Step;
use crate::qemu::{self, Accelerator, Activity, Machine, Program, Qemu};
use crate::timeline::{Side, Timeline};
use crate::{diagnose, interrupt, xen_log};

/// Domain 0's memory in mebibytes.
const DOM0_MEMORY: u32 = 320;
/// What domain 0 needs besides to start a Linux: xl unpacks its kernel.
const FOR_LINUX: u32 = 192;
/// How long domain 0 may take from one guest to the next.
const NEXT_LIMIT: Duration = Duration::from_secs(60);
/// What Xen needs for itself, in mebibytes.
const XEN_MEMORY: u32 = 160;
/// Xen's own, besides those of a session. Without the last one Xen switches the floating-point registers lazily, which goes
/// wrong under translation (QEMU 7.2): beside a guest that uses them, programs of domain 0 fault.
const XEN_OPTIONS: &str = "console=com1 com1=115200 loglvl=all guest_loglvl=all spec-ctrl=eager-fpu";
/// Linux without what costs time and is of no use here.
const LINUX_OPTIONS: &str = "console=hvc0 quiet audit=0 cryptomgr.notests";
const TICK: Duration = Duration::from_millis(50);
/// How long a guest may take to end after it was asked to.
const FAREWELL: Duration = Duration::from_secs(20);
/// A step of the timeline that takes long where other guests come first.
const TURN: &str = "waiting for its turn";

/// What a boot needs besides its guests.
struct Parts {
    xen: PathBuf,
    program: Program,
    accelerator: Accelerator,
    icount: bool,
    dom0: Dom0,
}

/// Runs all guests, in as many boots as it takes: a guest that hangs takes its boot with it.
pub(super) fn run(guests: &[GuestSpec], session: &mut Session<'_>) -> Result<Vec<Outcome>> {
    let parts = Parts::prepare(session)?;
    let mut outcomes: Vec<Outcome> = Vec::new();
    while outcomes.len() < guests.len() {
        let rest = &guests[outcomes.len()..];
        let before = outcomes.len();
        outcomes.extend(Boot::start(&parts, rest, session)?.watch(session)?);
        if outcomes.len() == before {
            bail!("domain 0 ran no guest");
        }
    }
    Ok(outcomes)
}

impl Parts {
    fn prepare(session: &Session<'_>) -> Result<Self> {
        let xen = super::xen(&session.progress)?;
        let dom0 = dom0::prepare(&session.progress)?;
        let program = Program::find(&session.progress)?;
        let accelerator = if session.icount { Accelerator::Tcg } else { accelerator(&program, &xen)? };
        Ok(Self { xen, program, accelerator, icount: session.icount, dom0 })
    }

    /// One processor, unless a guest wants more: translation of several costs three times as much for the same work, as they
    /// wait for each other, and programs in domain 0 have been seen to fault.
    fn cpus(&self, guests: &[GuestSpec]) -> u32 {
        let several = guests.iter().any(|guest| guest.vcpus > 1);
        match self.accelerator {
            Accelerator::Kvm => 2,
            Accelerator::Tcg if several && !self.icount => 2,
            Accelerator::Tcg => 1,
        }
    }

    fn machine<'a>(
        &'a self,
        guests: &[GuestSpec],
        uplink: Option<&Uplink>,
        session: &Session<'_>,
        logs: &'a Logs,
    ) -> Machine<'a> {
        let largest = guests.iter().map(|guest| guest.memory).max().unwrap_or(0);
        let linux = guests.iter().any(|guest| guest.ramdisk.is_some());
        let domain0 = if linux { DOM0_MEMORY + FOR_LINUX } else { DOM0_MEMORY };
        Machine {
            accelerator: self.accelerator,
            memory: domain0 + XEN_MEMORY + largest,
            cpus: self.cpus(guests),
            icount: self.icount,
            kernel: (&self.xen, format!("{XEN_OPTIONS} dom0_mem={domain0}M,max:{domain0}M {}", session.xen_options)),
            modules: vec![
                (self.dom0.kernel.clone(), LINUX_OPTIONS.to_owned()),
                (logs.initramfs.clone(), String::new()),
            ],
            com1_log: Some(&logs.xen),
            devices: uplink.into_iter().flat_map(Uplink::arguments).collect(),
            messages: &logs.qemu,
        }
    }
}

/// What domain 0's init is told, by the names of files.
fn words<'a>(token: &'a str, uplink: Option<&Uplink>, session: &Session<'_>) -> Vec<(&'static str, &'a str)> {
    let mut words = vec![("token", token)];
    words.extend(uplink.map(|uplink| ("uplink", uplink.word())));
    words.extend(session.timeline.then_some(("ping", "")));
    words
}

/// A boot under way.
struct Boot<'a> {
    guests: &'a [GuestSpec],
    accelerator: Accelerator,
    logs: Logs,
    qemu: Qemu,
    parser: Parser,
    log: xen_log::Tail,
    step: Option<Step>,
    deadline: Instant,
    /// The guest that runs.
    running: Option<Recorder>,
    asked_to_end: bool,
    /// Where in Xen's log the time of the current guest begins.
    log_start: usize,
    /// What came of the current guest's scenario so far.
    scenario: Scenario,
    /// What xl said about a guest that it refused.
    refusal: Vec<String>,
    outcomes: Vec<Outcome>,
    timeline: Timeline,
    done: bool,
}

impl<'a> Boot<'a> {
    fn start(parts: &Parts, guests: &'a [GuestSpec], session: &Session<'_>) -> Result<Self> {
        let logs = Logs::new(guests.first().map_or("none", |guest| guest.name.as_str()))?;
        let token = format!("{:016x}", RandomState::new().build_hasher().finish());
        let mut timeline = Timeline::start("files of domain 0");
        let uplink = Uplink::of(guests)?;
        let words = words(&token, uplink.as_ref(), session);
        dom0::write_initramfs(&parts.dom0.base, guests, &words, &logs.initramfs)?;
        timeline.begin(QEMU, Side::Host);
        let qemu = Qemu::start(&parts.machine(guests, uplink.as_ref(), session, &logs), &parts.program)?;
        Ok(Self {
            guests,
            accelerator: parts.accelerator,
            parser: Parser::new(&token),
            log: xen_log::Tail::new(&logs.xen, session.verbose),
            logs,
            qemu,
            step: Some(session.progress.step("xen", "booting Xen and Linux")),
            deadline: Instant::now() + BOOT_LIMIT,
            running: None,
            asked_to_end: false,
            log_start: 0,
            scenario: Scenario::default(),
            refusal: Vec::new(),
            outcomes: Vec::new(),
            timeline,
            done: false,
        })
    }

    fn watch(mut self, session: &mut Session<'_>) -> Result<Vec<Outcome>> {
        while !self.done && self.outcomes.len() < self.guests.len() {
            self.obey_user(session);
            let activity = self.qemu.next(TICK)?;
            self.log.read();
            self.look_at_xen();
            match activity {
                Activity::Bytes(bytes) => self.take(&bytes, session)?,
                Activity::Quiet => {}
                Activity::Ended => self.gone(session)?,
            }
            self.check(session)?;
        }
        self.qemu.end();
        Ok(self.outcomes)
    }

    /// The first Ctrl-C asks the guest to end, as `xl shutdown` does; the next one ends all.
    fn obey_user(&mut self, session: &mut Session<'_>) {
        if self.running.is_none() {
            return;
        }
        if !self.asked_to_end && interrupt::take() {
            session.progress.note("xl", "shutdown; Ctrl-C again ends it at once");
            self.shut_down();
        }
        if (session.watcher)(&mut self.timeline, &self.logs.folder) == Some(Order::ShutDown) {
            self.shut_down();
        }
    }

    fn shut_down(&mut self) {
        self.asked_to_end = true;
        self.deadline = self.deadline.min(Instant::now() + FAREWELL);
        self.qemu.order("shutdown");
    }

    fn take(&mut self, bytes: &[u8], session: &mut Session<'_>) -> Result<()> {
        for item in self.parser.feed(bytes) {
            match item {
                Item::Guest(bytes) => {
                    if let Some(recorder) = &mut self.running {
                        self.timeline.note(FIRST_OUTPUT);
                        recorder.feed(&bytes, &mut session.output);
                    }
                }
                Item::Event(word, text) => self.event(&word, &text, session)?,
            }
        }
        Ok(())
    }

    fn event(&mut self, word: &str, text: &str, session: &mut Session<'_>) -> Result<()> {
        match word {
            "booted" => self.booted(text, session),
            "toolstack" => {
                self.timeline.begin(TURN, Side::Host);
                self.finish_step("xenstored, xenconsoled up");
            }
            "answered" => self.timeline.note("first answered ping"),
            "starting" => self.starting(session),
            "created" => self.created(text),
            "refused" => self.refusal.push(text.to_owned()),
            "failed" if self.refusal.is_empty() => bail!(self.explain(&format!("domain 0: {text}"))),
            "failed" => {
                let text = std::mem::take(&mut self.refusal).join("\n");
                self.conclude(Ending::NotStarted(format!("xl did not create the domain\n{text}")));
            }
            "said" => {
                session.progress.note("scenario", text);
                self.scenario.said.push(text.to_owned());
            }
            "traced" => self.scenario.trace.push(text.to_owned()),
            "scenario" => self.scenario.status = Some(text.parse().unwrap_or(i32::MAX)),
            "ended" => self.ended(text.parse().unwrap_or(u32::MAX), session),
            "destroyed" => self.stopped(Ending::Killed, session),
            "done" => self.done = true,
            _ => session.progress.note("dom0", format!("{word} {text}")),
        }
        Ok(())
    }

    fn booted(&mut self, release: &str, session: &Session<'_>) {
        self.timeline.begin("xenstored, xenconsoled", Side::Host);
        let xen = diagnose::xen_version(self.log.text());
        let linux = release.split('-').next().unwrap_or(release);
        self.finish_step(&format!("{xen} in QEMU ({}), dom0 Linux {linux}", self.accelerator));
        self.step = Some(session.progress.step("toolstack", "starting xenstored and xenconsoled"));
    }

    /// From here on, what Xen logs is about the next guest: it may run, and crash, before it is known to be created.
    fn starting(&mut self, session: &Session<'_>) {
        self.log_start = self.log.text().len();
        self.timeline.begin("xl create", Side::Host);
        let text = format!("xl creates {:?}", self.guest().name);
        self.step = Some(session.progress.step("domain", text));
    }

    fn created(&mut self, domain: &str) {
        self.timeline.begin(GUEST, Side::Guest);
        let guest = self.guest();
        let text = format!("{domain} {:?} created, {} MB", guest.name, guest.memory);
        self.finish_step(&text);
        self.deadline = super::deadline(self.guest().timeout);
        self.running = Some(Recorder::start());
        self.asked_to_end = false;
        self.type_input();
    }

    fn ended(&mut self, code: u32, session: &mut Session<'_>) {
        let Some(recorder) = &mut self.running else {
            return;
        };
        let log = &self.log.text()[self.log_start..];
        let ending = recorder.shut_down(Reason::from_code(code), log, &mut session.output);
        self.conclude(ending);
    }

    /// Ends a guest that did not shut down.
    fn stopped(&mut self, ending: Ending, session: &mut Session<'_>) {
        if let Some(recorder) = &mut self.running {
            recorder.stop(&mut session.output);
        }
        self.conclude(ending);
    }

    fn conclude(&mut self, ending: Ending) {
        let ran = self.running.is_some() && self.guest().scenario.is_some();
        let scenario = std::mem::take(&mut self.scenario);
        let recorder = self.running.take().unwrap_or_else(Recorder::start);
        self.timeline.finish();
        self.outcomes.push(Outcome {
            name: self.guest().name.clone(),
            console: recorder.text(),
            ending,
            elapsed: recorder.elapsed(),
            xen_log: self.log.text()[self.log_start..].to_owned(),
            logs: self.logs.folder.clone(),
            scenario: ran.then_some(scenario),
            timeline: self.timeline.clone(),
        });
        self.timeline.back_to(TURN);
        self.step = None;
        self.deadline = Instant::now() + NEXT_LIMIT;
    }

    /// Xen and domain 0 begin when Xen's log says so.
    fn look_at_xen(&mut self) {
        match self.timeline.current() {
            QEMU if !self.log.text().is_empty() => self.timeline.begin(XEN, Side::Host),
            XEN if self.log.text().contains(DOM0_BEGINS) => self.timeline.begin("domain 0's Linux", Side::Host),
            _ => {}
        }
    }

    /// Looks for a panic of Xen and for a limit that has passed.
    fn check(&mut self, session: &mut Session<'_>) -> Result<()> {
        if let Some(reason) = diagnose::xen_panic(self.log.text()) {
            return self.broken(&format!("Xen panicked: {reason}"), session);
        }
        if Instant::now() < self.deadline {
            return Ok(());
        }
        let Some(recorder) = &self.running else {
            let last = diagnose::last_line(self.log.text());
            return self.broken(&format!("domain 0 did not get on in time: {last}"), session);
        };
        let sign = recorder.last_sign(self.guest().timeout) + self.scenario.hint();
        self.done = true;
        let ending = if self.asked_to_end {
            session.progress.note("xl", format!("the guest has not ended {} s after shutdown", FAREWELL.as_secs()));
            Ending::Killed
        } else {
            Ending::TimedOut(sign)
        };
        self.stopped(ending, session);
        Ok(())
    }

    fn gone(&mut self, session: &mut Session<'_>) -> Result<()> {
        let messages = std::fs::read_to_string(&self.logs.qemu).unwrap_or_default();
        let why = self.qemu.why_ended();
        self.broken(format!("{why}\n{messages}").trim_end(), session)
    }

    /// The boot is lost, and with it the guest that runs; between guests, another boot goes on with the next one.
    fn broken(&mut self, why: &str, session: &mut Session<'_>) -> Result<()> {
        if self.running.is_some() {
            self.stopped(Ending::Crashed { report: why.to_owned() }, session);
        } else if self.outcomes.is_empty() {
            bail!(self.explain(why));
        } else {
            session.progress.note("dom0", format!("{why}; starting it again"));
        }
        self.done = true;
        Ok(())
    }

    fn explain(&self, why: &str) -> String {
        format!("{why}\n{}\nlogs: {}", diagnose::xen_tail(self.log.text()), self.logs.folder.display())
    }

    fn guest(&self) -> &'a GuestSpec {
        &self.guests[self.outcomes.len()]
    }

    /// Passes on what is typed here; bytes that are known beforehand are in domain 0 already.
    fn type_input(&mut self) {
        if self.guest().input == Input::Stdin {
            let port = self.qemu.take_input();
            port.into_iter().for_each(|port| qemu::send_in_background(port, std::io::stdin()));
        }
    }

    fn finish_step(&mut self, text: &str) {
        self.step.take().into_iter().for_each(|step| step.done(text));
    }
}
