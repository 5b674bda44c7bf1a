//! The tests of this package, in one program: each of its own would be built and linked by itself.

mod common;
mod connection;
mod devices;
mod devices_suspended;
mod faults;
mod hostile;
mod hostile_calls;
mod lookout;
mod pilot;
mod store;
mod suspend;
mod suspended;
mod together;
mod wakers;
