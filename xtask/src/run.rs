//! `cargo xtask run`.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::boot::{self, Ending, GuestSpec, Input, Outcome, Session};
use crate::cli::Run;
use crate::guests::{Guest, Role};
use crate::network::{Network, Outside};
use crate::progress::Progress;
use crate::showcase::{self, Showcase};
use crate::{crash, diagnose, elf, guests};

/// How long a guest may run, in seconds, if nobody says.
const LIMIT: u64 = 60;

/// Runs a guest and returns its exit status.
///
/// # Errors
///
/// When the guest cannot be built or started, or the user interrupts.
pub fn run(options: &Run) -> Result<u8> {
    let progress = Progress::new();
    if options.list {
        return list();
    }
    let guest = guest(options, &progress)?;
    let mut showcase = is_showcase(options).then(|| Showcase::new(&guest, options.smoke, progress.clone()));
    for forward in guest.network.iter().flat_map(|network| &network.forwards) {
        progress.note("network", forward.to_string());
    }
    let mut session = session(options, progress.clone());
    if let Some(showcase) = &mut showcase {
        session.watcher = Box::new(|timeline, logs| showcase.look(timeline, logs));
    }
    let outcome = if options.direct {
        boot::direct_with(&guest, &mut session)?
    } else {
        boot::full_with(std::slice::from_ref(&guest), &mut session)?.swap_remove(0)
    };
    drop(session);
    report(&outcome, &guest.elf, &progress);
    if options.timeline {
        tell_times(&outcome, &progress)?;
    }
    match showcase.filter(|_| options.smoke).map_or(Ok(()), Showcase::verdict) {
        Ok(()) => Ok(outcome.exit_status()),
        Err(error) => {
            progress.note("smoke", format!("FAILED: {error:#}"));
            Ok(outcome.exit_status().max(1))
        }
    }
}

const fn is_showcase(options: &Run) -> bool {
    options.example.is_none() && options.elf.is_none() && !options.direct
}

fn list() -> Result<u8> {
    let guests = guests::list()?;
    if guests.is_empty() {
        bail!("the workspace holds no example yet; `cargo xtask run --elf PATH` boots any PV kernel");
    }
    let (examples, others): (Vec<Guest>, Vec<Guest>) =
        guests.into_iter().partition(|guest| guest.role == Role::Example);
    println!("Examples, for `cargo xtask run NAME`:");
    examples.iter().for_each(list_one);
    if !others.is_empty() {
        println!("\nGuests for tests:");
        others.iter().for_each(list_one);
    }
    Ok(0)
}

fn list_one(guest: &Guest) {
    println!("  {:<22} {}", guest.name, guest.summary);
}

fn guest(options: &Run, progress: &Progress) -> Result<GuestSpec> {
    let (name, path) = match (&options.elf, &options.example) {
        (Some(path), _) => (path.file_stem().unwrap_or_default().to_string_lossy().into_owned(), path.clone()),
        (None, name) => {
            let guest = guests::find(name.as_deref().unwrap_or(showcase::EXAMPLE))?;
            let path = guests::build(&guest, progress)?;
            (guest.name, path)
        }
    };
    elf::check_guest(&path)?;
    let guest = GuestSpec {
        arguments: options.arguments.join(" "),
        memory: options.memory,
        vcpus: options.vcpus,
        timeout: limit(options.timeout.unwrap_or(if is_showcase(options) { 0 } else { LIMIT })),
        input: Input::Stdin,
        network: network(options)?,
        config: options.config.clone(),
        scenario: options.scenario.as_deref().map(scenario).transpose()?,
        ..GuestSpec::new(plain_name(&name), path)
    };
    if is_showcase(options) { showcase::furnish(guest) } else { Ok(guest) }
}

fn scenario(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read the scenario {}", path.display()))
}

/// Returns the network, if an option asks for one.
fn network(options: &Run) -> Result<Option<Network>> {
    if !options.network && !options.outside && options.forward.is_empty() {
        return Ok(None);
    }
    let outside = if options.outside { Outside::Open } else { Outside::Closed };
    Ok(Some(Network { forwards: options.forward.clone(), outside }.with_free_ports()?))
}

/// Returns the limit for a number of seconds, where 0 is for none.
const fn limit(seconds: u64) -> Duration {
    if seconds == 0 { Duration::MAX } else { Duration::from_secs(seconds) }
}

fn session(options: &Run, progress: Progress) -> Session<'static> {
    Session {
        progress,
        output: Box::new(show),
        verbose: options.verbose,
        icount: options.icount,
        timeline: options.timeline || is_showcase(options),
        ..Session::default()
    }
}

/// Shows console bytes at once. Whoever closed our output does not want them.
fn show(bytes: &[u8]) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
}

/// Says how the guest ended and, if badly, everything known about it.
fn report(outcome: &Outcome, elf: &Path, progress: &Progress) {
    if !outcome.console.is_empty() && !outcome.console.ends_with('\n') && std::io::stdout().is_terminal() {
        // The guest left the cursor in the middle of a line.
        eprintln!();
    }
    progress.line("exit", outcome.ending.to_string());
    let failed = outcome.scenario.as_ref().filter(|scenario| !scenario.succeeded());
    if let Some(scenario) = failed {
        paragraph(&format!("{scenario}:\n{}", scenario.trace.join("\n")));
    }
    match &outcome.ending {
        Ending::Exited(_) if failed.is_none() => return,
        Ending::Crashed { report } => paragraph(&crash::explain(report, &outcome.console, elf)),
        Ending::NotStarted(text) => paragraph(&diagnose::explain_refusal(text, &outcome.xen_log)),
        Ending::TimedOut(sign) => paragraph(&format!("{sign}; --timeout SECONDS gives it more time")),
        // After a panic, RIP is in its handler: the message has the place that counts.
        Ending::Exited(_) | Ending::Panicked | Ending::ShutDown(_) | Ending::Killed => {}
    }
    progress.note("logs", outcome.logs.display().to_string());
}

/// Shows when the steps of the boot began, and writes a picture of it to where the logs are.
fn tell_times(outcome: &Outcome, progress: &Progress) -> Result<()> {
    paragraph(outcome.timeline.text().trim_end());
    let file = outcome.logs.join("timeline.svg");
    let title = format!("From the start to the end of {}", outcome.name);
    std::fs::write(&file, outcome.timeline.svg(&title)).with_context(|| format!("cannot write {}", file.display()))?;
    progress.note("written", file.display().to_string());
    Ok(())
}

fn paragraph(text: &str) {
    if !text.is_empty() {
        eprintln!("\n{text}\n");
    }
}

/// Returns a name that xl and file systems take.
fn plain_name(name: &str) -> String {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' }).collect();
    if plain.is_empty() { "guest".into() } else { plain }
}
