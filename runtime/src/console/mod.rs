//! The guest's console: the ring where there is one, Xen's emergency console before and otherwise.

mod stdout;

use core::convert::Infallible;
use core::fmt::{self, Arguments, Write};
use core::time::Duration;

use log::LevelFilter;
use spin::{Mutex, RwLock};
use xen_console::{Console, EmergencyConsole, Input, Logger, Notify, Patience};
use xen_event_channel::{Channel, Events as _, Stale, WaitError};
use xen_hypercall::abi::frame::PAGE_SIZE;
use xen_hypercall::{Errno, sched};
use xen_shared_ring::{PeerError, SharedMem};

use self::stdout::Stdout;
use crate::boot::{BootInfo, SharedPage};
use crate::clock::Clock;
use crate::events::Events;
use crate::xen::{XEN, Xen};

static CONSOLE: Mutex<Stdout> = Mutex::new(Stdout::Emergency(EmergencyConsole::new(XEN)));
static INPUT: Mutex<Stdin> = Mutex::new(Stdin::Emergency(EmergencyConsole::new(XEN)));
/// Written at boot and after a resume only, when nothing else runs.
static CHANNEL: RwLock<Option<Channel<Xen>>> = RwLock::new(None);
static LOGGER: Logger<Terminal> = Logger::new(Terminal::new(), || Clock::new().now());

/// Where the input comes from.
enum Stdin {
    Emergency(EmergencyConsole<Xen>),
    Ring(Input<Doorbell>),
}

/// Tells the console daemon that there is something to do.
#[derive(Clone, Copy, Debug)]
struct Doorbell;

impl Notify for Doorbell {
    fn notify(&self) {
        // A port that Xen refuses means a daemon that is gone: what is in the ring stays there.
        let _ = CHANNEL.read().as_ref().map(Channel::notify);
    }

    /// Sleeps rather than yields: the daemon reads a busy console in bursts, 200 ms apart, and may need this processor.
    fn relax(&self) {
        let end = Clock::new().now() + MOMENT;
        // An event of any port ends a poll before its time.
        for _ in 0..POLLS {
            if Clock::new().now() >= end || sched::poll(&XEN, &[], Some(XEN.system_time(end))).is_err() {
                return;
            }
        }
    }
}

/// Goes over to the ring, if the toolstack made one, and starts the log.
///
/// The level of the log is the word `log=LEVEL` of the command line, `info` without it.
pub(crate) fn connect(boot: &BootInfo) {
    let adopt = |shared: SharedPage| Some((shared.page, Channel::adopt(&XEN, shared.port).ok()?));
    if let Some((page, channel)) = boot.console.and_then(adopt) {
        *CHANNEL.write() = Some(channel);
        // SAFETY: the platform vouches for the page, and nothing else reaches it.
        let page = unsafe { SharedMem::new(page, PAGE_SIZE) };
        let console = Console::attach(page, Doorbell).expect("a page holds a console");
        let mut output = console.output;
        output.set_patience(PATIENCE);
        *CONSOLE.lock() = Stdout::Ring(output);
        *INPUT.lock() = Stdin::Ring(console.input);
    }
    let level = boot.command_line.value("log").and_then(|level| level.parse().ok());
    log::set_max_level(level.unwrap_or(LevelFilter::Info));
    // It fails if it was done before, which nothing does.
    let _ = log::set_logger(&LOGGER);
}

/// Goes on with the ring after a resume: it is as it was, and the daemon that serves it now has another channel.
pub(crate) fn reconnect(boot: &BootInfo) {
    let channel = boot.console.and_then(|shared| Channel::adopt(&XEN, shared.port).ok());
    // The daemon looks at the ring when it starts, and input may have come before the channel had an owner.
    let _ = channel.as_ref().map(Channel::notify);
    *CHANNEL.write() = channel;
}

/// Prints to the console. What the console daemon does not take within a bounded time is dropped and counted.
#[doc(hidden)]
pub fn print(arguments: Arguments<'_>) {
    stdout::print(&CONSOLE, arguments);
}

/// Waits, for a bounded time, until the console daemon has taken everything.
pub(crate) fn flush() {
    CONSOLE.lock().flush();
}

/// Prints from a guest that is going down, whatever it was doing.
pub(crate) fn print_last_words(words: Arguments<'_>) {
    if CONSOLE.try_lock().is_none() {
        // It went down in the middle of a write, and the ring is not to be trusted.
        let _ = EmergencyConsole::new(XEN).write_fmt(words);
        return;
    }
    stdout::print(&CONSOLE, words);
    flush();
}

/// For how long the guest lets the daemon run at a time, and how often in all before output is dropped: 5 seconds.
const MOMENT: Duration = Duration::from_millis(1);
const POLLS: usize = 1000;
const PATIENCE: Patience = Patience(5000);

/// How often input is looked for where no event tells of it.
const NAP: Duration = Duration::from_millis(10);

/// The guest's console: [`core::fmt::Write`] and [`embedded_io`] for output, [`read`](Self::read) for input.
///
/// Output that the console daemon does not take within a bounded time is dropped and counted, so that writing never
/// fails.
#[derive(Clone, Copy, Debug)]
pub struct Terminal(());

impl Terminal {
    pub(crate) const fn new() -> Self {
        Self(())
    }

    /// Takes what was typed, if anything, and says how many bytes. Never waits.
    ///
    /// # Errors
    ///
    /// [`TerminalError::Peer`] once the console daemon has broken the input, for good; [`TerminalError::Xen`] where Xen
    /// does not let this domain read its console.
    pub fn try_read(&self, buffer: &mut [u8]) -> Result<usize, TerminalError> {
        match &mut *INPUT.lock() {
            Stdin::Ring(input) => input.try_read(buffer).map_err(TerminalError::Peer),
            Stdin::Emergency(console) => console.try_read(buffer).map_err(TerminalError::Xen),
        }
    }

    /// Takes what was typed, and waits for it until `deadline` (system time). 0 bytes mean that nothing came.
    ///
    /// # Errors
    ///
    /// As for [`try_read`](Self::try_read), and [`TerminalError::Wait`] where Xen refuses to set the timer.
    pub fn read(&self, buffer: &mut [u8], deadline: Duration) -> Result<usize, TerminalError> {
        let (events, clock) = (Events::new(), Clock::new());
        loop {
            // Nothing suspends the guest in the meantime: a waker could not.
            let channel = CHANNEL.read();
            let channel = channel.as_ref();
            let seen = channel.map(Channel::count);
            let count = self.try_read(buffer)?;
            if count > 0 || clock.now() >= deadline {
                return Ok(count);
            }
            // The wait also ends a hold of the port, whose events tell of output as well and are not counted against it.
            let waited = match channel.zip(seen) {
                Some((channel, seen)) => events.wait(channel, seen, deadline).map(drop),
                None => Err(Stale.into()),
            };
            match waited {
                // There is no channel, or none any more since the domain was resumed or its channels were reset.
                Err(WaitError::Stale) => clock.sleep(NAP),
                waited => waited,
            }
            .map_err(TerminalError::Wait)?;
        }
    }

    /// How many bytes of output were dropped since boot, because the console daemon did not take them in time or broke
    /// the output.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        CONSOLE.lock().dropped()
    }
}

/// Why there is no input.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TerminalError {
    /// Xen refused a call.
    Xen(Errno),
    /// The wait for it failed.
    Wait(WaitError),
    /// The console daemon broke the input for good.
    Peer(PeerError),
}

impl fmt::Display for TerminalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Xen(error) => write!(f, "no console input: {error}"),
            Self::Wait(error) => write!(f, "no wait for console input: {error}"),
            Self::Peer(error) => write!(f, "the console daemon broke the input: {error}"),
        }
    }
}

impl core::error::Error for TerminalError {}

impl Write for Terminal {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write_fmt(format_args!("{text}"))
    }

    fn write_fmt(&mut self, text: Arguments<'_>) -> fmt::Result {
        print(text);
        Ok(())
    }
}

impl embedded_io::ErrorType for Terminal {
    type Error = Infallible;
}

impl embedded_io::Write for Terminal {
    /// Takes all bytes; those that are not UTF-8 as they are.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        CONSOLE.lock().write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        flush();
        Ok(())
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
