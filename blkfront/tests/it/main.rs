//! The tests of this package, in one program: each of its own would be built and linked by itself.

#[cfg(feature = "adapters")]
mod adapters;
mod buffers;
mod common;
mod corners;
mod disks;
#[path = "../../../xenbus/tests/it/drivers/mod.rs"]
mod drivers;
mod faults;
mod faults_random;
mod faults_suspended;
mod hostile_answers;
mod hostile_chance;
mod hostile_keys;
mod hostile_lives;
mod hostile_memory;
mod hostile_pages;
mod hostile_states;
mod hostile_statuses;
mod hotplug;
#[path = "common/perils.rs"]
mod perils;
#[path = "../../../xenbus/tests/it/suspended/mod.rs"]
mod suspended;
mod tasks;
#[path = "common/tasks.rs"]
mod world;
