//! What the SDK adds to Xen's own cost, in instructions.
//!
//! Only meaningful under `-icount shift=0`, where the processor's counter counts instructions: of the guest and of
//! Xen together, exactly and repeatably. Each figure is the difference of two loops that differ in one thing.

#![no_std]
#![no_main]

use core::arch::{asm, naked_asm};
use core::hint::black_box;
use core::sync::atomic::{AtomicPtr, Ordering};
use core::time::Duration;

use xen_hypercall::abi::arch::SharedInfo;
use xen_hypercall::abi::callback::{Flags, Type};
use xen_hypercall::abi::version::Command;
use xen_hypercall::abi::{DomId, Number, Port, event_channel as abi};
use xen_hypercall::pvclock::tsc;
use xen_hypercall::{callback, event_channel, version};
use xen_rt::event_channel::{Channel, Found};
use xen_rt::grant_table::{Access, Account, Limits, Page};
use xen_rt::{ExitCode, Guest, Xen, entry, println};

/// What a wrapper may cost beyond the bare instructions.
const WRAPPER: i64 = 2;
/// What the way from the upcall's entry to its return may cost.
const UPCALL: i64 = 60;

#[entry]
fn main(guest: Guest) -> ExitCode {
    let xen = guest.xen();
    let bare = cost(|| _ = black_box(bare_page_size()));
    let wrapped = cost(|| {
        let Ok(size) = version::page_size(&xen) else { refused() };
        black_box(size);
    });
    let mut good = report("xen_version", bare, wrapped, WRAPPER);

    let (hears, sends) = loopback(&guest);
    let port = black_box(sends.port());
    // Held back, so that the two calls differ in nothing but the way they are made: the port stays pending.
    let (bare, wrapped) = guest.events().held_back(|| {
        let bare = cost(|| bare_send(port));
        let wrapped = cost(|| {
            let Ok(()) = event_channel::send(&xen, port) else { refused() };
        });
        (bare, wrapped)
    });
    good &= report("evtchn_send", bare, wrapped, WRAPPER);

    let seen = hears.count();
    // A port whose owner never settles would be masked in the end.
    let settle = || _ = hears.settle(Found::Work, Duration::ZERO);
    let ours = cost_after(settle, || _ = black_box(event_channel::send(&xen, port)));
    let came = hears.count().wrapping_sub(seen) as usize;
    let shortest = cost_with_shortest_handler(&guest, port);
    let upcall = ours - shortest + SHORTEST;
    println!(
        "upcall: {upcall} instructions from entry to return, one port (send and upcall together: {ours}, {shortest} with the shortest handler)"
    );
    good &= upcall <= UPCALL && came == BATCHES * CALLS;
    good &= grants(&guest);
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Tells what a grant and its end cost. There is no hypercall in it.
fn grants(guest: &Guest) -> bool {
    let limits = Limits::exactly(8);
    // To a domain that does not exist; nobody looks.
    let Ok(account) = Account::open(guest.xen(), DomId(7), limits) else { return false };
    let mut page = Page::alloc(guest.xen());
    let count = cost(|| {
        let granted = page.take().and_then(|page| page.grant(&account, Access::ReadWrite).ok());
        page = granted.and_then(|grant| grant.revoke().ok());
    });
    println!("grant and revoke: {count} instructions");
    page.is_some()
}

const BATCHES: usize = 50;
const CALLS: usize = 20;

/// Instructions of one call: the smallest batch, since Xen's timer adds to some.
fn cost(call: impl FnMut()) -> i64 {
    cost_after(|| (), call)
}

/// As [`cost`], with something before each batch that is not counted.
#[inline(never)]
fn cost_after(mut prepare: impl FnMut(), mut call: impl FnMut()) -> i64 {
    let batch = |_| {
        prepare();
        let start = tsc();
        let mut left = CALLS;
        // The compiler must not see how often, or it unrolls one loop and not the other.
        while black_box(left) != 0 {
            call();
            left -= 1;
        }
        tsc() - start
    };
    (0..BATCHES).map(batch).min().unwrap_or(0) as i64 / CALLS as i64
}

fn report(what: &str, bare: i64, wrapped: i64, limit: i64) -> bool {
    let extra = wrapped - bare;
    println!("{what}: {bare} instructions bare, {wrapped} through the wrapper, {extra:+}");
    // A bare call that costs nothing means that the counter does not count.
    (..=limit).contains(&extra) && bare > 100
}

#[inline(always)]
fn bare_page_size() -> usize {
    let size;
    // SAFETY: the command takes no argument.
    unsafe {
        asm!(
            "mov eax, {number}",
            "mov edi, {command}",
            "xor esi, esi",
            "syscall",
            number = const Number::XEN_VERSION.0,
            command = const Command::PAGESIZE.0,
            out("rax") size, out("rdi") _, out("rsi") _, out("rcx") _, out("r11") _,
            options(nostack),
        );
    }
    size
}

#[inline(always)]
fn bare_send(port: Port) {
    let mut send = abi::Send { port };
    // SAFETY: Xen reads the structure.
    unsafe {
        asm!(
            "mov eax, {number}",
            "mov edi, {command}",
            "syscall",
            number = const Number::EVENT_CHANNEL_OP.0,
            command = const abi::Command::SEND.0,
            inlateout("rsi") &raw mut send => _,
            out("rax") _, out("rdi") _, out("rcx") _, out("r11") _,
            options(nostack),
        );
    }
}

#[cold]
fn refused() -> ! {
    panic!("Xen refuses a call that cannot fail")
}

fn loopback(guest: &Guest) -> (Channel<Xen>, Channel<Xen>) {
    let hears = Channel::unbound(&guest.xen(), DomId::SELF).expect("no port");
    let sends = Channel::interdomain(&guest.xen(), DomId::SELF, hears.port()).expect("no connection");
    assert!(hears.port().0 < u64::BITS, "the shortest handler knows the first word of ports only");
    (hears, sends)
}

static SHARED: AtomicPtr<SharedInfo> = AtomicPtr::new(core::ptr::null_mut());

/// Instructions of [`shortest`].
const SHORTEST: i64 = 12;

/// The least that a handler can do: forget that there was an event, and return.
#[unsafe(naked)]
unsafe extern "C" fn shortest() -> ! {
    naked_asm!(
        "pop rcx",
        "pop r11",
        "or byte ptr [rsp + 8], 3",
        "or byte ptr [rsp + 32], 3",
        "push rax",
        "mov rax, [rip + {shared}]",
        "mov byte ptr [rax], 0",
        "mov qword ptr [rax + 8], 0",
        "mov qword ptr [rax + 2048], 0",
        "mov byte ptr [rax + 1], 0",
        "pop rax",
        "iretq",
        shared = sym SHARED,
    )
}

/// As the loop with the runtime's handler, with the shortest one in its place. There is no way back.
fn cost_with_shortest_handler(guest: &Guest, port: Port) -> i64 {
    let xen = guest.xen();
    SHARED.store(guest.shared_info().as_ptr(), Ordering::Relaxed);
    // SAFETY: the handler keeps every register.
    unsafe { callback::register(&xen, Type::EVENT, Flags::empty(), shortest as *const () as u64) }
        .expect("no callback");
    cost(|| _ = black_box(event_channel::send(&xen, port)))
}
