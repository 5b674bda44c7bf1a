//! The guest's console: the ring where there is one, Xen's emergency console before and otherwise.

use core::fmt::{self, Arguments, Write};

use log::LevelFilter;
use spin::Mutex;
use xen_console::{Console, CrLf, EmergencyConsole, Input, Logger, Notify, Output};
use xen_hypercall::abi::Port;
use xen_hypercall::{event_channel, sched};

use crate::boot::BootInfo;
use crate::clock::Clock;
use crate::platform::{XEN, Xen};

static CONSOLE: Mutex<Stdout> = Mutex::new(Stdout::Emergency(EmergencyConsole::new(XEN)));
static INPUT: Mutex<Option<Input<Doorbell>>> = Mutex::new(None);
static LOGGER: Logger<Printer> = Logger::new(Printer, || Clock::new().now());

/// Where the output goes.
enum Stdout {
    Emergency(EmergencyConsole<Xen>),
    // A terminal on the ring is in raw mode.
    Ring(CrLf<Output<Doorbell>>),
}

impl Write for Stdout {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        match self {
            Self::Emergency(console) => console.write_str(text),
            Self::Ring(output) => output.write_str(text),
        }
    }
}

/// Tells the console daemon that there is something to do.
#[derive(Clone, Copy, Debug)]
struct Doorbell(Port);

impl Notify for Doorbell {
    fn notify(&self) {
        // A port that Xen refuses means a daemon that is gone: what is in the ring stays there.
        let _ = event_channel::send(&XEN, self.0);
    }

    fn relax(&self) {
        // As above: there is nothing better to do than to go on.
        let _ = sched::yield_now(&XEN);
    }
}

/// Goes over to the ring, if the toolstack made one, and starts the log.
///
/// The level of the log is the word `log=LEVEL` of the command line, `info` without it.
pub(crate) fn connect(boot: &BootInfo) {
    if let Some(shared) = boot.console {
        // SAFETY: the platform vouches for the page, and nothing else reaches it.
        let console = unsafe { Console::attach(shared.page.cast(), Doorbell(shared.port)) };
        *CONSOLE.lock() = Stdout::Ring(CrLf(console.output));
        *INPUT.lock() = Some(console.input);
    }
    let level = boot.command_line.value("log").and_then(|level| level.parse().ok());
    log::set_max_level(level.unwrap_or(LevelFilter::Info));
    // It fails if it was done before, which nothing does.
    let _ = log::set_logger(&LOGGER);
}

/// Takes what was typed on the console, if anything, and says how many bytes. Never waits.
pub fn read(buffer: &mut [u8]) -> usize {
    match &mut *INPUT.lock() {
        // Input that the daemon broke is input that does not come.
        Some(input) => input.try_read(buffer).unwrap_or(0),
        None => EmergencyConsole::new(XEN).try_read(buffer).unwrap_or(0),
    }
}

/// Prints to the console. What the console daemon does not take within a bounded time is dropped and counted.
#[doc(hidden)]
pub fn print(arguments: Arguments<'_>) {
    // The consoles drop what they cannot take, and never fail.
    let _ = CONSOLE.lock().write_fmt(arguments);
}

/// Waits, for a bounded time, until the console daemon has taken everything.
pub(crate) fn flush() {
    if let Stdout::Ring(CrLf(output)) = &mut *CONSOLE.lock() {
        // A daemon that takes nothing cannot be helped.
        let _ = output.flush();
    }
}

/// Prints from a guest that is going down, whatever it was doing.
pub(crate) fn print_last_words(words: Arguments<'_>) {
    let Some(mut console) = CONSOLE.try_lock() else {
        // It went down in the middle of a line, and the ring is not to be trusted.
        let _ = EmergencyConsole::new(XEN).write_fmt(words);
        return;
    };
    let _ = console.write_fmt(words);
    drop(console);
    flush();
}

/// The console as a [`Write`] of no size, for the log.
#[derive(Debug)]
struct Printer;

impl Write for Printer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        CONSOLE.lock().write_str(text)
    }
}

/// Prints to the console.
#[macro_export]
macro_rules! print {
    ($($arguments:tt)*) => { $crate::console::print(::core::format_args!($($arguments)*)) };
}

/// Prints to the console, with a line end.
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($($arguments:tt)*) => { $crate::console::print(::core::format_args!("{}\n", ::core::format_args!($($arguments)*))) };
}
