//! The tests of this package, in one program: each of its own would be built and linked by itself.

#[cfg(feature = "adapters")]
mod adapters;
#[cfg(feature = "adapters")]
mod adapters_flood;
mod common;
mod corners;
#[path = "../../../xenbus/tests/it/drivers/mod.rs"]
mod drivers;
mod faults;
mod faults_random;
mod faults_scarce;
mod faults_suspended;
mod guests;
#[path = "common/hostile.rs"]
mod hostile;
mod hostile_chance;
mod hostile_events;
mod hostile_keys;
mod hostile_memory;
mod hostile_pages;
mod hostile_receive;
mod hostile_states;
mod hostile_transmit;
mod hotplug;
mod many;
mod multicast;
#[path = "common/perils.rs"]
mod perils;
mod segments;
mod serves;
#[path = "common/shared.rs"]
mod shared;
mod steering;
mod steering_hostile;
#[path = "../../../xenbus/tests/it/suspended/mod.rs"]
mod suspended;
mod tasks;
mod traffic;
mod waits;
#[path = "common/tasks.rs"]
mod world;
