//! A simulated Xen hypervisor, to test the drivers of guest kernels on any host.

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
mod oracle;
mod order;
mod run;
mod state;
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
pub use trace::{Event, Trace, What};
pub use violation::Violation;
