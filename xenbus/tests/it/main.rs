//! The tests of this package, in one program: each of its own would be built and linked by itself.

mod common;
mod connection;
mod devices;
mod devices_suspended;
mod faults;
mod hostile;
mod lookout;
mod pilot;
mod store;
mod suspend;
mod suspended;
mod together;
mod wire;
mod wire_storm;
