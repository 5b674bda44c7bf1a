//! Faults in the middle of others. `DOMU_SEEDS` makes it longer, and `DOMU_SEED` other.

use std::time::Duration;

use xen_netfront::{Channels, Checksums, Offer as Yes, Options};
use xen_sim::netback::{Carrier, Options as Offer, Restart};

use crate::common::{Rig, SECOND, seeds};
use crate::perils::{Chance, MS, Traffic};

/// One of the faults that end a connection.
fn strike(rig: &mut Rig, chance: &mut Chance) {
    match chance.below(6) {
        0 => rig.control().restart(Restart::Orderly),
        1 => rig.control().restart(Restart::Abrupt),
        2 => {
            rig.replace_backend(offer(chance));
            // The owner's enumerator may see it before the driver does.
            rig.reattach();
        }
        3 => {
            // It dies in silence, and is there again after a while.
            rig.unplug_by_force();
            rig.pass(MS * chance.below(20) as u32);
            rig.plug_again(offer(chance));
            rig.reattach();
        }
        4 => {
            let offer = offer(chance);
            rig.control().offer(offer);
            rig.control().restart(Restart::Orderly);
        }
        _ => rig.migrate(),
    }
}

fn offer(chance: &mut Chance) -> Offer {
    Offer {
        latency: Duration::ZERO..MS * chance.below(3) as u32,
        queues: 1 + chance.below(4) as u32,
        sg: chance.toss(),
        csum: chance.toss(),
        split_event_channels: chance.toss(),
        carrier: chance.toss().then_some(Carrier::Up),
        ..Offer::DEFAULT
    }
}

const fn options(chance: &mut Chance) -> Options {
    Options {
        queues: 1 + chance.below(4) as u32,
        channels: if chance.toss() { Channels::Split } else { Channels::One },
        checksums: if chance.toss() { Checksums::Offload } else { Checksums::Stack },
        scatter_gather: if chance.toss() { Yes::Yes } else { Yes::No },
        transmit_pages: 20 + chance.below(30) as u32,
        receive_pages: 32 + chance.below(20) as u32,
        first_index: u32::MAX - chance.below(40) as u32,
        ..Options::DEFAULT
    }
}

/// Faults in pairs, the second one at any moment of what follows the first: four for each seed.
#[test]
fn fault_26_a_backend_that_dies_while_it_is_connected_to_again() {
    for seed in seeds(5) {
        let mut chance = Chance::new(seed);
        let (options, first) = (options(&mut chance), offer(&mut chance));
        let (mut rig, mut traffic) = (Rig::new(seed, options, first), Traffic::default());
        for round in 0..4 {
            traffic.send(&mut rig, 1 + chance.below(20) as u32);
            rig.pass(MS * chance.below(3) as u32);
            traffic.check(&mut rig);
            strike(&mut rig, &mut chance);
            traffic.send(&mut rig, chance.below(4) as u32);
            rig.pass(Duration::from_micros(chance.below(30_000)));
            traffic.check(&mut rig);
            strike(&mut rig, &mut chance);
            let start = rig.now();
            rig.pass(MS * 10);
            assert!(
                rig.until(SECOND * 15, |rig| rig.front.link().is_some()),
                "seed {seed}, round {round}: {:?} {:?}",
                rig.front,
                rig.events
            );
            assert!(rig.now() - start < SECOND * 15, "seed {seed}: {:?}", rig.now() - start);
            traffic.flows(&mut rig);
            rig.events.clear();
        }
        rig.close();
        rig.assert_given_back();
        assert_eq!(rig.machine.xenstore().watches(&rig.guest), 2, "seed {seed}");
    }
}
