//! What the runtime and the hypercalls promise, checked from inside. Runs as a domU and as domain 0.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::hint::black_box;
use core::num::NonZeroUsize;
use core::ptr::NonNull;
use core::time::Duration;

use test_guests::page_tables::{self, FRAME, NO_EXECUTE, WRITABLE};
use test_guests::{Check, run};
use xen_hypercall::abi::elfnote::ElfNote;
use xen_hypercall::abi::features::Feature;
use xen_hypercall::abi::version::Command;
use xen_hypercall::abi::{DomId, Number, Port, VcpuId, Virq};
use xen_hypercall::issue::HypercallPage;
use xen_hypercall::multicall::{Batch, Call};
use xen_hypercall::{Arg, Errno, Frame, Pages, event_channel, sched, version};
use xen_rt::event_channel::{BURST, Channel, Waited};
use xen_rt::{ExitCode, Guest, Xen, entry, println};

const CHECKS: &[(&str, Check<&'static str>)] = &[
    // First, while the domain is younger than Xen's last update of its time.
    ("the clock moves on and never goes back", clock),
    ("the command line is the one given", command_line),
    ("memory adds up to what the domain has", memory),
    ("no page is writable and executable, and none has two addresses", page_tables),
    ("pages come zeroed, are who Xen thinks they are, and go back one by one", pages),
    ("all free memory can be used", heap),
    ("a block of many pages keeps what is written", large_block),
    ("memory that the heap needs no more becomes pages", heap_to_pages),
    ("the wall clock tells a time of this century", wall_clock),
    ("a sleep takes at least its time", sleep),
    ("a wait for an event that does not come ends in time", wait_ends),
    ("an event to oneself is counted once", event),
    ("events while upcalls are held back are not lost", held_back),
    ("what is held back within what is held back stays so", held_back_twice),
    ("what is printed may print itself", print_while_printing),
    ("many events on many ports are counted each", many_events),
    ("an event wakes a poll", poll),
    ("Xen's errors come as what they are", errors),
    ("Xen tells its version and features", features),
    ("a call through the hypercall page is answered like any other", hypercall_page),
    ("each call of a multicall has its answer", multicall),
];

#[entry]
fn main(guest: Guest) -> ExitCode {
    run(&guest, CHECKS)
}

const fn ensure(holds: bool, otherwise: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(otherwise) }
}

fn command_line(guest: &Guest) -> Result<(), &'static str> {
    let line = guest.boot().command_line;
    ensure(line.value("key") == Some("value=1"), "no key=value=1")?;
    ensure(line.words().any(|word| word == "flag"), "no flag")
}

fn memory(guest: &Guest) -> Result<(), &'static str> {
    let mapped: usize = guest.memory().iter().map(|region| region.addresses.len()).sum();
    ensure(mapped <= guest.boot().pages * 4096, "more is mapped than there is")?;
    ensure(mapped + (64 << 10) >= guest.boot().pages * 4096, "more than 64 KiB are missing")
}

/// Walks the page tables that the processor uses.
fn page_tables(guest: &Guest) -> Result<(), &'static str> {
    let pages = page_tables::entries(guest);
    let mut frames: Vec<u64> = pages.iter().map(|page| page.entry & FRAME).collect();
    frames.sort_unstable();
    let count = frames.len();
    frames.dedup();
    // The frames below the guard page and the page for shared info are mapped nowhere.
    ensure(count + 2 + 64 >= guest.boot().pages && count <= guest.boot().pages, "the walk missed pages")?;
    ensure(frames.len() == count, "a page has two addresses")?;
    ensure(
        pages.iter().all(|page| page.entry & WRITABLE == 0 || page.entry & NO_EXECUTE != 0),
        "a page is writable and executable",
    )
}

fn heap(guest: &Guest) -> Result<(), &'static str> {
    const BLOCK: usize = 32 << 10;
    let free = free_memory(guest);
    let mut blocks = Vec::new();
    loop {
        let mut block = Vec::<u8>::new();
        if blocks.try_reserve(1).is_err() || block.try_reserve_exact(BLOCK).is_err() {
            break;
        }
        block.resize(BLOCK, blocks.len() as u8);
        blocks.push(block);
    }
    ensure(blocks.len() * BLOCK * 10 >= free * 8, "less than 80 % of the free memory could be allocated")?;
    let intact = blocks.iter().enumerate().all(|(index, block)| block.iter().all(|&byte| byte == index as u8));
    ensure(intact, "two blocks share memory")
}

/// Bytes that nothing used when the guest started.
fn free_memory(guest: &Guest) -> usize {
    guest.memory().iter().filter(|region| region.name == "free").map(|free| free.addresses.len()).sum()
}

fn large_block(_: &Guest) -> Result<(), &'static str> {
    let block: Vec<u64> = (0..100_000).collect();
    ensure(block.iter().sum::<u64>() == 100_000 * 99_999 / 2, "it changed")
}

/// Takes runs of pages until there are no more, and gives them back one by one.
fn pages(guest: &Guest) -> Result<(), &'static str> {
    let xen = guest.xen();
    let mut runs = Vec::new();
    runs.try_reserve_exact(guest.boot().pages).map_err(|_| "no room for a list")?;
    while let Some(first) = xen.alloc(RUN) {
        runs.push(first);
    }
    let pages = runs.iter().flat_map(|first| (0..RUN.get()).map(|page| first.as_ptr().wrapping_add(page)));
    let mut good = true;
    for page in pages.clone().filter_map(NonNull::new) {
        let words = page.cast::<[u64; 512]>();
        // SAFETY: the page is this function's.
        good &= unsafe { words.as_ref() }.iter().all(|&word| word == 0);
        // SAFETY: as above.
        unsafe { words.cast::<u64>().write(page.addr().get() as u64) };
        good &= page_tables::address_of(guest, xen.gfn(page).0) == page.addr().get();
    }
    for page in pages.filter_map(NonNull::new) {
        // SAFETY: the page is this function's.
        good &= unsafe { page.cast::<u64>().read() } == page.addr().get() as u64;
        // SAFETY: and nothing uses it any more.
        unsafe { xen.dealloc(page) };
    }
    ensure(good, "a page was not zeroed, was given twice, or has another frame")?;
    let free = free_memory(guest) / 4096;
    ensure(runs.len() * RUN.get() * 10 >= free * 8, "less than 80 % of the free memory came as pages")
}

const RUN: NonZeroUsize = NonZeroUsize::new(7).unwrap();

fn heap_to_pages(guest: &Guest) -> Result<(), &'static str> {
    let half = NonZeroUsize::new(free_memory(guest) / 4096 / 2).ok_or("no memory")?;
    let take = || guest.xen().alloc(half).ok_or("half of the memory is not there as pages");
    let give = |first: NonNull<Frame>| {
        for page in (0..half.get()).filter_map(|page| NonNull::new(first.as_ptr().wrapping_add(page))) {
            // SAFETY: the page was taken below, and nothing uses it.
            unsafe { guest.xen().dealloc(page) };
        }
    };
    give(take()?);
    // The compiler must not see that nobody uses it.
    let block = black_box(Vec::<u8>::with_capacity(half.get() * 4096));
    ensure(guest.xen().alloc(half).is_none(), "the heap's memory is there as pages")?;
    drop(block);
    give(take()?);
    Ok(())
}

fn clock(guest: &Guest) -> Result<(), &'static str> {
    let clock = guest.clock();
    let start = clock.now();
    let mut last = start;
    for _ in 0..100_000 {
        let now = clock.now();
        ensure(now >= last, "it went back")?;
        last = now;
    }
    ensure(last > start, "it stands still")
}

fn wall_clock(guest: &Guest) -> Result<(), &'static str> {
    const YEAR: u64 = 31_556_952;
    let wall = guest.clock().wall().ok_or("Xen does not tell")?;
    ensure((30 * YEAR..130 * YEAR).contains(&wall.as_secs()), "it does not")
}

fn sleep(guest: &Guest) -> Result<(), &'static str> {
    let clock = guest.clock();
    let start = clock.now();
    clock.sleep(Duration::from_millis(20)).map_err(|_| "no timer")?;
    let slept = clock.now() - start;
    ensure(slept >= Duration::from_millis(20), "it was shorter")?;
    ensure(slept < Duration::from_secs(5), "it was far longer")
}

fn wait_ends(guest: &Guest) -> Result<(), &'static str> {
    let (hears, _sends) = loopback(guest)?;
    let deadline = guest.clock().now() + Duration::from_millis(20);
    let waited = guest.events().wait(&hears, hears.count(), deadline).map_err(|_| "no timer")?;
    ensure(waited == Waited::TimedOut && guest.clock().now() >= deadline, "an event came, or it ended early")
}

/// A channel to oneself: the end that hears, and the end that sends.
fn loopback(guest: &Guest) -> Result<(Channel<Xen>, Channel<Xen>), &'static str> {
    let hears = Channel::unbound(&guest.xen(), DomId::SELF).map_err(|_| "no port")?;
    let sends = Channel::interdomain(&guest.xen(), DomId::SELF, hears.port()).map_err(|_| "no connection")?;
    Ok((hears, sends))
}

fn event(guest: &Guest) -> Result<(), &'static str> {
    let (hears, sends) = loopback(guest)?;
    let seen = hears.count();
    sends.notify().map_err(|_| "not sent")?;
    let deadline = guest.clock().now() + Duration::from_secs(2);
    let waited = guest.events().wait(&hears, seen, deadline).map_err(|_| "no timer")?;
    ensure(waited == Waited::Counted(seen.wrapping_add(1)), "it did not come, or was counted more than once")?;
    sends.close().map_err(|_| "not closed")
}

fn held_back(guest: &Guest) -> Result<(), &'static str> {
    let (hears, sends) = loopback(guest)?;
    let seen = hears.count();
    let counted = guest.events().held_back(|| (sends.notify(), hears.count()));
    ensure(counted == (Ok(()), seen), "it was not held back")?;
    ensure(hears.count() == seen.wrapping_add(1), "it was lost")
}

fn held_back_twice(guest: &Guest) -> Result<(), &'static str> {
    let (hears, sends) = loopback(guest)?;
    let events = guest.events();
    let seen = hears.count();
    let counted = events.held_back(|| {
        events.held_back(|| ());
        sends.notify().map(|()| hears.count())
    });
    ensure(counted == Ok(seen), "the inner end let upcalls through")?;
    ensure(hears.count() == seen.wrapping_add(1), "it was lost")
}

fn print_while_printing(_: &Guest) -> Result<(), &'static str> {
    struct Talkative;
    impl core::fmt::Display for Talkative {
        fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            println!("a line from within a line");
            f.write_str("talkative")
        }
    }
    println!("a {Talkative} line");
    Ok(())
}

fn many_events(guest: &Guest) -> Result<(), &'static str> {
    const PORTS: usize = 100;
    // As many as a channel that is not settled takes.
    const ROUNDS: u32 = BURST;
    let channels: Vec<_> = (0..PORTS).map(|_| loopback(guest)).collect::<Result<_, _>>()?;
    let before: Vec<_> = channels.iter().map(|(hears, _)| hears.count()).collect();
    for _ in 0..ROUNDS {
        for (_, sends) in &channels {
            sends.notify().map_err(|_| "not sent")?;
        }
    }
    let mut counts = channels.iter().zip(before).map(|((hears, _), before)| hears.count().wrapping_sub(before));
    ensure(counts.all(|count| count == ROUNDS), "a port's count is not the number of its events")
}

fn poll(guest: &Guest) -> Result<(), &'static str> {
    let (hears, sends) = loopback(guest)?;
    let clock = guest.clock();
    guest.events().held_back(|| {
        let deadline = clock.now() + Duration::from_millis(10);
        // An event of another port, the console's for instance, ends a poll as well.
        let mut polls = 0;
        while clock.now() < deadline {
            sched::poll(&guest.xen(), &[hears.port()], Some(deadline)).map_err(|_| "no poll")?;
            polls += 1;
        }
        ensure(polls < 20, "polls without an event do not sleep")?;
        sends.notify().map_err(|_| "not sent")?;
        let start = clock.now();
        sched::poll(&guest.xen(), &[hears.port()], Some(start + Duration::from_secs(5))).map_err(|_| "no poll")?;
        ensure(clock.now() < start + Duration::from_secs(4), "a poll slept through its event")
    })
}

fn errors(guest: &Guest) -> Result<(), &'static str> {
    let xen = guest.xen();
    ensure(event_channel::send(&xen, Port(4000)) == Err(Errno::INVAL), "a port that is not open")?;
    let again = event_channel::bind_virq(&xen, Virq::TIMER, VcpuId(0));
    ensure(again == Err(Errno::EXIST), "an interrupt that is bound already")?;
    let nobody = event_channel::bind_virq(&xen, Virq::TIMER, VcpuId(4000));
    ensure(nobody == Err(Errno::NOENT), "a vCPU that does not exist")
}

fn features(guest: &Guest) -> Result<(), &'static str> {
    let version = version::version(&guest.xen()).map_err(|_| "no version")?;
    ensure(version.major >= 4, "a version before 4")?;
    let features = version::features(&guest.xen()).map_err(|_| "no features")?;
    ensure(features.contains(Feature::DOM0) == guest.boot().control_domain, "the feature dom0 does not fit")
}

// A page of the text that Xen fills with calls, since the note below names it.
core::arch::global_asm!(
    ".pushsection .text.hypercall_page, \"ax\", @progbits",
    ".balign 4096",
    ".globl hypercall_page",
    "hypercall_page:",
    ".fill 4096, 1, 0xcc",
    ".popsection",
);

unsafe extern "C" {
    #[link_name = "hypercall_page"]
    static HYPERCALL_PAGE: [[u8; 32]; 128];
}

#[repr(C, packed(4))]
struct Note(u32, u32, u32, [u8; 4], &'static [[u8; 32]; 128]);

#[used]
#[unsafe(link_section = ".note.Xen")]
// SAFETY: only the address is taken.
static NOTE: Note = Note(4, 8, ElfNote::HYPERCALL_PAGE.0, *b"Xen\0", unsafe { &HYPERCALL_PAGE });

fn hypercall_page(guest: &Guest) -> Result<(), &'static str> {
    // SAFETY: the note has Xen fill the page, which is mapped and executable for good.
    let page = unsafe { HypercallPage::new(NonNull::from_ref(&HYPERCALL_PAGE)) };
    let (here, there) = (version::version(&guest.xen()), version::version(&page));
    ensure(here.is_ok() && here == there, "the version is another one")?;
    ensure(version::extra_version(&guest.xen()) == version::extra_version(&page), "the extra version is another one")?;
    ensure(event_channel::send(&page, Port(4000)) == Err(Errno::INVAL), "an error is not told")
}

/// Enters Xen once for three questions, of which it knows two.
fn multicall(guest: &Guest) -> Result<(), &'static str> {
    let mut batch = Batch::<3>::new();
    for command in [Command::VERSION, Command::PAGESIZE, Command(1000)] {
        let call = Call::new(Number::XEN_VERSION, [Arg::value(command.0 as usize), Arg::value(0)]);
        batch.push(call).map_err(|_| "no room for three calls")?;
    }
    // SAFETY: none of the commands takes a pointer.
    let answers = unsafe { batch.issue(&guest.xen()) }.map_err(|_| "the batch was refused")?;
    ensure(matches!(answers.get(0), Some(Ok(version)) if version >> 16 == 4), "no version")?;
    ensure(answers.get(1) == Some(Ok(4096)), "no page size")?;
    ensure(answers.get(2) == Some(Err(Errno::NOSYS)), "an unknown command was answered")
}
