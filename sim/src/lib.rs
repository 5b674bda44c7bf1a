//! A simulated Xen hypervisor, to test the drivers of guest kernels on any host.
//!
//! A [`Machine`] has Xen on it, and any number of domains. A [`Domain`] is what a kernel's drivers are generic over: it
//! implements [`Hypercall`], [`Pages`], [`Memory`] and [`Events`]. The simulator decodes the raw arguments of each
//! hypercall, follows Xen's headers in what it checks and answers, and keeps grant tables, event channels (2-level and
//! FIFO), memory and timers. Both halves of a split driver run in one process, under Miri too.
//!
//! `docs/simulator.md` in the repository shows how to test one's own driver with it.
//!
//! * **Stricter than Xen.** A mistake that real Xen lets pass fails the test, with a report: see [`Violation`]. Freed
//!   pages are poisoned, frame numbers are in no order, arguments are overwritten, unmapped pages come back late.
//! * **Replayable.** Everything that is left to chance follows from the machine's seed: who runs next, what a fault
//!   strikes, what a hostile domain does. [`Machine::run`] runs each vCPU on its own thread, one at a time.
//! * **Never for ever.** When all sleep, the clock moves to the next timer; when there is none, that is a
//!   [`RunError::Deadlock`] which names who waits for what. A run without end is [`RunError::OutOfFuel`].
//! * **As bad as it gets.** [`Machine::faults`] has calls and elements of batches fail, resources run out, events get lost;
//!   [`Machine::hostile`] does what a hostile kernel could do on real Xen, and nothing else.
//! * **Xenstore.** [`Machine::xenstore`] is a daemon that guests speak with over their rings, with a toolstack, faults and lies.
//! * **A block backend.** [`blkback`] has the back half of a disk, honest, failing or lying, and knows what the disk must hold.
//! * **A network backend.** [`netback`] has the back half of an interface, honest, failing or lying, and a switch that guests reach each
//!   other by; it knows what packets must be when they arrive.
//! * **Oracles.** [`Machine::readable_by`] is every byte of others that a domain can read now; [`Ledger`] counts that
//!   requests complete once; [`Machine::assert_no_leaks_since`] compares what domains have.
//!
//! ```
//! use std::time::Duration;
//! use xen_event_channel::{Channel, Waited};
//! use xen_grant_table::{Access, Account, Limits, Page, ReadMapping};
//! use xen_sim::Machine;
//!
//! let machine = Machine::new(42);
//! let (front, back) = (machine.domain(), machine.domain());
//!
//! let account = Account::open(front.clone(), back.id(), Limits::exactly(8)).unwrap();
//! let mut page = Page::alloc(front.clone()).unwrap();
//! page.fill(b"hello").unwrap();
//! let grant = page.grant(&account, Access::ReadOnly).unwrap();
//! let channel = Channel::unbound(&front, back.id()).unwrap();
//! let (gref, port) = (grant.gref(), channel.port());
//!
//! machine.run(|vcpus| {
//!     vcpus.spawn(&front, |front| {
//!         let deadline = front.now() + Duration::from_secs(1);
//!         let waited = channel.wait_poll(0, deadline, || front.now()).unwrap();
//!         assert_eq!(waited, Waited::Counted(1));
//!     });
//!     vcpus.spawn(&back, |back| {
//!         let mapping = ReadMapping::map(back.clone(), front.id(), &[gref]).unwrap();
//!         let mut bytes = [0; 5];
//!         mapping.read(0, &mut bytes);
//!         assert_eq!(&bytes, b"hello");
//!         Channel::interdomain(back, front.id(), port).unwrap().notify().unwrap();
//!     });
//! }).unwrap();
//!
//! // The back has unmapped the page when its mapping was dropped; that is seen some steps later.
//! machine.settle();
//! assert!(grant.revoke().is_ok());
//! ```
//!
//! # What is simulated
//!
//! | hypercall | what of it |
//! |---|---|
//! | `grant_table_op` | all but `transfer`, `unmap_and_replace` and `cache_flush`; versions 1 and 2 |
//! | `event_channel_op` | all; a domain has no physical interrupts |
//! | `sched_op` | `yield`, `block`, `poll`, `shutdown` (a suspend is cancelled, or [ends elsewhere]) |
//! | `set_timer_op`, `vcpu_op` | timers, `register_vcpu_info`, `is_up`, the run-state of one who runs |
//! | `memory_op` | reservations of single pages, `add_to_physmap` for the shared info and the grant table |
//! | `xen_version`, `console_io`, `multicall`, `vm_assist` | what guests use |
//!
//! Everything else answers `-ENOSYS`.
//!
//! Outside of Xen there is xenstored: all requests of a guest, transactions with their conflicts, permissions, quotas, watches,
//! reconnection; see [`Xenstore`].
//!
//! # What differs from real Xen
//!
//! * There are no page tables. A foreign page that is mapped is reached where [`Memory::mapped`] says; a mapping of
//!   several pages needs pages that their owner allocated together.
//! * Frame numbers are the machine's, as in PV. A domain starts with upcalls unmasked.
//! * Time passes with calls, one microsecond each, and when a test says so. A loop that makes no call stands still.
//! * What a destroyed domain has mapped stays mapped until the test drops it; what others have mapped of a domain that is
//!   migrated stays the domain's memory until it gives the page back. See [`Machine::destroy`], [`Domain::migrate_on_suspend`].
//! * A domain can map what it granted to itself, as on Xen. Its own code then has two ways to the same page, and must not use
//!   the granted page as its own before the mapping is gone.
//! * A FIFO port that is closed while it is linked into a queue is given out again at once. Xen waits until the guest has
//!   taken it out of the queue.
//! * Xenstored is no domain: it has no part in a run but works by itself, between two calls of guests. Its quotas are those of the
//!   daemon in C; it has no depth of watches and no per-domain features. The ring page is no page of the domain's allocator.
//! * A page that was given up by `decrease_reservation` comes back at its frame by `populate_physmap`, empty.
//! * In a vCPU's info the processor's counter has the frequency zero: a guest's clock tells the machine's time exactly.
//!
//! [`Hypercall`]: xen_hypercall::Hypercall
//! [`Pages`]: xen_hypercall::Pages
//! [`Memory`]: xen_grant_table::Memory
//! [`Memory::mapped`]: xen_grant_table::Memory::mapped
//! [`Events`]: xen_event_channel::Events
//! [ends elsewhere]: Domain::migrate_on_suspend

mod backend;
pub mod blkback;
mod builder;
mod domain;
mod event;
mod fault;
mod faults;
mod grant;
mod hostile;
mod hypercall;
mod leaks;
mod machine;
mod memory;
pub mod netback;
mod oracle;
mod order;
mod run;
mod state;
mod store;
mod time;
mod trace;
mod violation;

pub use builder::{Builder, DomainBuilder, Leniency};
pub use domain::Domain;
pub use fault::{EventFault, Limit, Target, When};
pub use faults::Faults;
pub use hostile::{Held, Hostile, Reachable};
pub use leaks::Checkpoint;
pub use machine::Machine;
pub use oracle::{Access, Fuel, Ledger, Readable};
pub use run::{RunError, Scope};
pub use store::{
    Availability, Device, Introduction, Message, Nodes, Pace, Permission, Quota, Reaction, Requests, Right, Word,
    Xenstore,
};
pub use trace::{Event, Trace, What};
pub use violation::Violation;
