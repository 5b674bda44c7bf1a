//! The tests of this package, in one program: each of its own would be built and linked by itself.

mod balloon;
mod blkback;
mod blkback_faults;
mod blkback_hostile;
mod blkback_page;
#[path = "common/block.rs"]
mod block;
mod common;
#[path = "common/device.rs"]
mod device;
#[path = "../../examples/squares/driver.rs"]
#[allow(unreachable_pub, reason = "as in a driver's own crate")]
mod driver;
mod ends;
mod events;
mod faults;
mod guide;
mod hostile;
#[path = "common/net.rs"]
mod net;
mod netback;
mod netback_faults;
mod netback_features;
mod netback_hostile;
mod netback_oracle;
mod netback_page;
mod netback_slots;
#[path = "../../examples/squares/scenarios.rs"]
#[allow(unreachable_pub, reason = "as in a driver's own crate")]
mod scenarios;
#[path = "common/net_scene.rs"]
mod scene;
mod schedule;
mod strict;
mod system;
mod xenstore;
mod xenstore_page;
mod xenstore_ring;
mod xenstore_script;
mod xenstore_storm;
mod xenstore_tools;
