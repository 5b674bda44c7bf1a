//! What the book's driver lives through.

// ANCHOR: scene
use std::time::Duration;

use book_tests::{ReadError, Reader};
use xen_event_channel::Channel;
use xen_grant_table::{GrantTable, Memory as _};
use xen_hypercall::abi::io::blkif::Status;
use xen_sim::blkback::{Blkback, Control, Fault, Misdeed, Options, SimDisk, Which};
use xen_sim::{Device, Domain, EventFault, Machine, When};
use xen_xenbus::Store;

const SECOND: Duration = Duration::from_secs(1);
const PATH: &str = "device/vbd/51712";

/// Runs a guest with a disk, whose backend is told beforehand what to do. Whatever that is, at the end nothing is left.
fn scene(machine: &Machine, tell: impl FnOnce(Control), mut kernel: impl FnMut(&Domain, &mut Reader<Domain>) + Send) {
    let (guest, host) = (machine.domain(), machine.domain());
    machine.xenstore().introduce(&guest);
    let (page, port) = guest.store().unwrap();
    let store = Store::attach(page, Channel::adopt(&guest, port).unwrap(), guest.clone()).unwrap();

    let vbd = Device::new("vbd", 51712, guest.id(), host.id());
    machine.xenstore().plug(&vbd);
    let disk = SimDisk::new(2048);
    disk.write(0, &[7; 4096]);
    let latency = Duration::from_micros(50)..Duration::from_millis(2);
    let mut back = Blkback::new(machine, &host, &vbd, disk, Options { latency, ..Options::DEFAULT });
    tell(back.control());

    let run = machine.run(|vcpus| {
        vcpus.spawn(&guest, |guest| {
            let mut disk = Reader::connect(guest, &store, PATH, 10 * SECOND).unwrap();
            kernel(guest, &mut disk);
        });
        vcpus.spawn(&host, |_| back.serve(2 * SECOND));
    });
    run.unwrap();
    drop(back);
    machine.settle();
    let _ = GrantTable::reap(&guest, u32::MAX);
    assert_eq!(guest.grant_table().statistics().quarantined, 0);
    assert_eq!(guest.open_ports().len(), 1, "that of the store");
}
// ANCHOR_END: scene

// ANCHOR: honest
#[test]
fn an_honest_backend_reads() {
    scene(
        &Machine::from_env(1),
        |_| {},
        |guest, disk| {
            assert_eq!(*disk.read(0, guest.now() + SECOND).unwrap(), [7; 4096]);
            assert_eq!(*disk.read(8, guest.now() + SECOND).unwrap(), [0; 4096]);
            // Beyond its end.
            assert_eq!(disk.read(2048, guest.now() + SECOND), Err(ReadError::Failed(Status::ERROR)));
        },
    );
}
// ANCHOR_END: honest

// ANCHOR: faults
#[test]
fn a_read_that_fails_or_hangs_ends_in_time() {
    let tell = |control: Control| {
        control.on(Which::All, When::Nth(2), Fault::Refuse(Status::ERROR));
        control.on(Which::All, When::Nth(3), Fault::Late(40 * SECOND));
    };
    scene(&Machine::from_env(2), tell, |guest, disk| {
        assert!(disk.read(0, guest.now() + SECOND).is_ok());
        assert_eq!(disk.read(0, guest.now() + SECOND), Err(ReadError::Failed(Status::ERROR)));
        assert_eq!(disk.read(0, guest.now() + SECOND), Err(ReadError::TimedOut));
        // Others go on meanwhile.
        assert!(disk.read(0, guest.now() + SECOND).is_ok());
    });
}
// ANCHOR_END: faults

// ANCHOR: lost
#[test]
fn lost_events_cost_a_few_milliseconds() {
    let machine = Machine::from_env(4);
    let lose = |guest: &Domain| machine.faults().disturb_events(guest, When::Always, EventFault::Lose);
    scene(
        &machine,
        |_| {},
        |guest, disk| {
            lose(guest);
            let before = guest.now();
            assert!(disk.read(0, before + SECOND).is_ok());
            assert!(guest.now() < before + SECOND / 100);
        },
    );
}
// ANCHOR_END: lost

// ANCHOR: broken
#[test]
fn what_breaks_the_protocol_ends_the_connection() {
    let misdeeds = [Misdeed::Id(u64::MAX), Misdeed::Twice, Misdeed::Unpublished, Misdeed::Producer(1 << 20)];
    for misdeed in misdeeds {
        let tell = |control: Control| control.on(Which::All, When::Nth(2), Fault::Misdeed(misdeed));
        scene(&Machine::from_env(5), tell, |guest, disk| {
            let last = (0..3).map(|_| disk.read(0, guest.now() + SECOND).map(drop)).last();
            assert!(matches!(last, Some(Err(ReadError::Broken(_)))), "{misdeed:?}: {last:?}");
        });
    }
}
// ANCHOR_END: broken

// ANCHOR: misdeeds
#[test]
fn each_misdeed_harms_one_read_at_most_or_ends_the_connection() {
    for misdeed in Misdeed::ALL {
        let tell = |control: Control| control.on(Which::All, When::Nth(2), Fault::Misdeed(misdeed));
        scene(&Machine::from_env(3), tell, |guest, disk| {
            assert!(disk.read(0, guest.now() + SECOND).is_ok(), "nothing has happened yet");
            let results: Vec<_> = (0..4).map(|_| disk.read(0, guest.now() + SECOND).map(drop)).collect();
            let broken = results.iter().position(|result| matches!(result, Err(ReadError::Broken(_))));
            let then = broken.map_or(&[][..], |at| &results[at..]);
            assert!(then.iter().all(|result| matches!(result, Err(ReadError::Broken(_)))), "{misdeed:?}: {results:?}");
        });
    }
}
// ANCHOR_END: misdeeds

// ANCHOR: chance
#[test]
fn nothing_that_a_backend_does_at_random_outlasts_it() {
    for seed in 0..50 {
        let tell = |control: Control| control.misbehave(When::PerMille(200));
        scene(&Machine::from_env(seed), tell, |guest, disk| {
            for sector in 0..40 {
                let before = guest.now();
                // An error, or even wrong bytes: all of it is allowed. A panic, a hang, a leak is not.
                let _ = disk.read(8 * sector, before + SECOND / 10);
                assert!(guest.now() < before + SECOND, "it ends in time");
            }
        });
    }
}
// ANCHOR_END: chance
