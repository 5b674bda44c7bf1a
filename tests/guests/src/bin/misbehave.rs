//! A guest that goes wrong in the way that its command line names.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use core::arch::asm;
use core::hint::black_box;
use core::time::Duration;

use test_guests::own_domain;
use test_guests::page_tables::{self, Mapped};
use xen_hypercall::abi::sched::ShutdownReason;
use xen_hypercall::sched::{self, WatchdogId};
use xen_rt::grant_table::{Access, Account, Limits, Page, ReadMapping};
use xen_rt::{ExitCode, Guest, entry, println};

#[entry]
fn main(guest: Guest) -> ExitCode {
    let how = guest.boot().command_line.as_str();
    println!("going to: {how}");
    match how {
        "panic" => panic!("as asked"),
        "panic-in-panic" => panic!("{}", Explosive),
        "exit" => return ExitCode::from(42),
        "error" => return xen_rt::Termination::report(Err::<(), _>("as asked")),
        "poweroff" => drop(sched::shutdown(&guest.xen(), ShutdownReason::POWEROFF)),
        "reboot" => drop(sched::shutdown(&guest.xen(), ShutdownReason::REBOOT)),
        "crash" => drop(sched::shutdown(&guest.xen(), ShutdownReason::CRASH)),
        "overflow" => {
            let guard = guest.memory().iter().find(|region| region.name == "stack guard");
            println!("guard page {:x?}", guard.map(|guard| &guard.addresses));
            black_box(dig(0));
        }
        "hang" => hang(),
        "watchdog" => {
            let bites = sched::start_watchdog(&guest.xen(), Duration::from_secs(1));
            println!("watchdog {:?}", bites.map(WatchdogId::get));
            hang();
        }
        "spin" => spin(),
        "flood" => flood(),
        "write-foreign" | "execute-foreign" => foreign(&guest, how),
        _ => wild(how),
    }
    ExitCode::FAILURE
}

/// Uses memory and the processor as they are not meant to be used. Each of these must be caught.
fn wild(how: &str) {
    match how {
        "null" => read(8),
        "write-text" => write(main as *const () as *mut u8),
        "write-constant" => write(b"constant".as_ptr().cast_mut()),
        "execute-stack" => execute(black_box([RETURN; 16]).as_ptr()),
        "execute-heap" => execute(black_box(Box::new([RETURN; 16])).as_ptr()),
        // SAFETY: none. This is an error of the guest, which the trap handlers are there for; so are those below.
        "undefined" => unsafe { asm!("ud2") },
        // SAFETY: as above.
        "divide" => unsafe {
            asm!("xor edx, edx", "xor ecx, ecx", "div ecx", out("eax") _, out("edx") _, out("ecx") _)
        },
        // SAFETY: as above.
        "privileged" => unsafe { asm!("mov cr3, {zero}", zero = in(reg) 0_u64) },
        // SAFETY: as above. Xen finds no stack for the frame of the fault: all it can do is to end the domain.
        "no-stack" => unsafe { asm!("mov rsp, 16", "ud2") },
        _ => println!("not a way to go wrong: {how}"),
    }
}

/// The instruction `ret`.
const RETURN: u8 = 0xc3;

fn read(address: usize) {
    // SAFETY: see `wild`.
    black_box(unsafe { (black_box(address) as *const u8).read_volatile() });
}

fn write(address: *mut u8) {
    // SAFETY: see `wild`.
    unsafe { address.write_volatile(0x90) }
}

fn execute(address: *const u8) {
    // SAFETY: see `wild`.
    let function: extern "C" fn() = unsafe { core::mem::transmute(address) };
    function();
}

struct Explosive;

impl core::fmt::Display for Explosive {
    fn fmt(&self, _: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        panic!("while a panic is printed")
    }
}

#[expect(unconditional_recursion, reason = "this is the point")]
fn dig(depth: usize) -> usize {
    let hole = black_box([depth; 64]);
    dig(depth + 1) + hole[depth % 64]
}

/// Waits for an event that never comes.
/// Writes to, or executes, a page that is granted and mapped for reading.
fn foreign(guest: &Guest, how: &str) {
    let before = page_tables::entries(guest);
    let account = own_domain(guest).ok().and_then(|me| Account::open(guest.xen(), me, Limits::exactly(1)).ok());
    let page = Page::alloc(guest.xen());
    let Some((account, grant)) = account.zip(page).and_then(|(account, page)| {
        let grant = page.grant(&account, Access::ReadOnly).ok()?;
        Some((account, grant))
    }) else {
        return;
    };
    let mapping = ReadMapping::map(guest.xen(), account.peer(), &[grant.gref()]);
    let new = |page: &&Mapped| before.iter().all(|before| before.address != page.address);
    // The last one: the table's own frame is mapped before the page.
    let address = page_tables::entries(guest).iter().rfind(new).map_or(0, |page| page.address);
    println!("mapped {:?} at {address:#x}", mapping.is_ok());
    if how == "write-foreign" { write(address as *mut u8) } else { execute(address as *const u8) }
}

fn hang() {
    let _ = sched::poll(&xen_rt::Xen::default(), &[], None);
    loop {
        let _ = sched::block(&xen_rt::Xen::default());
    }
}

/// Works for ever.
fn spin() {
    loop {
        core::hint::spin_loop();
    }
}

/// Prints more than the ring holds, many times over.
fn flood() {
    for line in 0..2000 {
        println!("line {line:05} of a flood");
    }
    xen_rt::exit(ExitCode::SUCCESS)
}
