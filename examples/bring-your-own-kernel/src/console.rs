//! 3. Console: Xen's own until there is more, then the ring that the toolstack made.

use core::fmt::{Arguments, Write as _};
use core::time::Duration;

use spin::Mutex;
use xen_console::{Console, CrLf, EmergencyConsole, Notify, Output, Patience};
use xen_hypercall::abi::Port;
use xen_hypercall::abi::x86::start_info::StartInfo;
use xen_hypercall::{Clock as _, event_channel, sched};
use xen_shared_ring::SharedMem;

use crate::hypercall::XEN;
use crate::memory::{self, PAGE};

static RING: Mutex<Option<Output<Daemon>>> = Mutex::new(None);

/// Goes over to the ring. Domain 0 has none, and stays with Xen's console.
///
/// # Safety
///
/// Called once, with the start info as it came.
pub(crate) unsafe fn start(info: &StartInfo) {
    let Some(page) = memory::ring(info, info.console_mfn) else { return };
    // SAFETY: the builder has mapped the page for good, and nothing else reaches it.
    let page = unsafe { SharedMem::new(page.cast(), PAGE) };
    let mut console = Console::attach(page, Daemon(info.console_evtchn)).expect("a page holds a console");
    console.output.set_patience(Patience(5000));
    *RING.lock() = Some(console.output);
}

/// The console daemon, which has to be told, and to be waited for.
#[derive(Clone, Copy)]
struct Daemon(Port);

impl Notify for Daemon {
    fn notify(&self) {
        // Where Xen refuses, there is no daemon any more, and nobody to tell.
        let _ = event_channel::send(&XEN, self.0);
    }

    fn relax(&self) {
        let _ = sched::poll(&XEN, &[], Some(XEN.now() + Duration::from_millis(1)));
    }
}

/// Prints text. What nobody takes is dropped in the end.
pub(crate) fn print(text: Arguments<'_>) {
    // Neither fails for good: see `Output::write_str`.
    let _ = match &mut *RING.lock() {
        Some(ring) => CrLf(ring).write_fmt(text),
        None => EmergencyConsole::new(XEN).write_fmt(text),
    };
}

/// Waits until the daemon has everything, for as long as it has patience.
pub(crate) fn flush() {
    let _ = RING.lock().as_mut().map(Output::flush);
}

/// For a panic: it may have come in the middle of a line, and then the ring is not to be had.
pub(crate) fn last_words(text: Arguments<'_>) {
    if RING.try_lock().is_some() {
        print(text);
        return flush();
    }
    let _ = EmergencyConsole::new(XEN).write_fmt(text);
}

macro_rules! println {
    ($($argument:tt)*) => { $crate::console::print(format_args!("{}\n", format_args!($($argument)*))) };
}

pub(crate) use println;
