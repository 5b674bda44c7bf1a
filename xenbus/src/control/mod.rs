//! What the tools ask of the domain itself: to end, to suspend, to use less memory or fewer vCPUs.
//!
//! As in [`bus`](crate::bus), nothing here does I/O or reads a clock: what was read goes in, what to do comes out.
//!
//! * [`Inbox`] takes requests out of `control/shutdown` and `control/sysrq`; [`advertise`] says which of them are heeded.
//! * [`Suspender`] takes a domain through a suspend, step by step, when its drivers and its store are ready for it.
//! * [`BalloonDriver`] brings the domain's memory to `memory/target`, a bounded step at a time.
//! * [`Availability`] tells which vCPUs are to be on, [`Domain`] who we are.
//!
//! # Promises
//!
//! The tools are trusted to end the domain; and yet nothing that stands in their nodes panics, and a flood of requests costs a
//! bounded amount of work per unit of time. (Tests `hc_156` to `hc_160`, `fault_17`.)

mod balloon;
mod cpu;
mod domain;
mod inbox;
mod memory;
mod suspend;

pub use balloon::{BalloonDriver, Outcome, Progress, STEP};
pub use cpu::{Availability, CpuChange, MOST_VCPUS};
pub use domain::{Domain, Uuid};
pub use inbox::{Command, FEATURES, Inbox, Request, advertise};
pub use memory::{MemoryTarget, pages};
pub use suspend::{Epoch, Ready, Resumable, Resumed, SuspendStep, Suspender};
