//! What the driver is put through.

use std::time::Duration;

use xen_grant_table::{Account, GrantTable, Limits};
use xen_hypercall::event_channel;
use xen_sim::{EventFault, Fuel, Limit, Machine, When};

use crate::driver::{Back, Front};

/// A scenario runs with a seed, and tells how many events its trace has.
pub type Scenario = fn(u64) -> usize;

pub const ALL: [(&str, Scenario); 4] =
    [("honest", honest), ("lossy", lossy), ("hostile", hostile), ("exhausted", exhausted)];

const SECOND: Duration = Duration::from_secs(1);

// honest
pub fn honest(seed: u64) -> usize {
    let machine = Machine::new(seed);
    let (front, back) = (machine.domain(), machine.domain());
    let account = Account::open(front.clone(), back.id(), Limits::exactly(8)).unwrap();
    let before = machine.checkpoint();
    let mut driver = Front::connect(&front, &account).unwrap();
    let mut peer = Back::connect(&back, front.id(), driver.address()).unwrap();

    let run = machine.run(|vcpus| {
        vcpus.spawn(&front, |front| {
            for number in 0..20 {
                let square = driver.square(number, front.now() + SECOND, || front.now()).unwrap();
                assert_eq!(square, u64::from(number).pow(2));
            }
        });
        vcpus.spawn(&back, |back| peer.serve(SECOND, || back.now()).unwrap());
    });

    run.unwrap();
    drop((peer, driver));
    machine.settle();
    let _ = GrantTable::reap(&front, 8);
    machine.assert_no_leaks_since(&before);
    machine.trace().iter().len()
}
// end

// lossy
pub fn lossy(seed: u64) -> usize {
    let machine = Machine::new(seed);
    let (front, back) = (machine.domain(), machine.domain());
    let account = Account::open(front.clone(), back.id(), Limits::exactly(8)).unwrap();
    let mut driver = Front::connect(&front, &account).unwrap();
    let mut peer = Back::connect(&back, front.id(), driver.address()).unwrap();

    machine.faults().disturb_events(&front, When::PerMille(300), EventFault::Lose);
    machine.faults().disturb_events(&front, When::Every(3), EventFault::Delay(20));

    let run = machine.run(|vcpus| {
        vcpus.spawn(&front, |front| {
            for number in 0..20 {
                assert!(driver.square(number, front.now() + SECOND, || front.now()).is_ok());
            }
        });
        vcpus.spawn(&back, |back| peer.serve(SECOND, || back.now()).unwrap());
    });
    run.unwrap();
    machine.trace().iter().len()
}
// end

// hostile
pub fn hostile(seed: u64) -> usize {
    let machine = Machine::new(seed);
    let (front, back) = (machine.domain(), machine.domain());
    let account = Account::open(front.clone(), back.id(), Limits::exactly(8)).unwrap();
    let before = machine.checkpoint();
    let mut driver = Front::connect(&front, &account).unwrap();
    let (_, port) = driver.address();
    let theirs = event_channel::bind_interdomain(&back, front.id(), port).unwrap();

    let run = machine.run(|vcpus| {
        vcpus.spawn(&front, |front| {
            let mut fuel = Fuel::new(1000);
            for number in 0..40 {
                fuel.burn();
                // Wrong squares, errors: all of it is allowed. A panic, a hang, a leak is not.
                let deadline = front.now() + Duration::from_millis(5);
                let _ = driver.square(number, deadline, || front.now());
            }
        });
        vcpus.spawn(&back, |back| machine.hostile(back).misbehave(300));
    });

    run.unwrap();
    drop(driver);
    event_channel::close(&back, theirs).unwrap();
    machine.settle();
    let _ = GrantTable::reap(&front, 8);
    machine.assert_no_leaks_since(&before);
    machine.trace().iter().len()
}
// end

// exhausted
pub fn exhausted(seed: u64) -> usize {
    let machine = Machine::new(seed);
    let (front, back) = (machine.domain(), machine.domain());
    let account = Account::open(front.clone(), back.id(), Limits::exactly(8)).unwrap();
    let before = machine.checkpoint();
    machine.faults().limit(&front, Limit::Ports(0));
    assert!(Front::connect(&front, &account).is_err());
    machine.assert_no_leaks_since(&before);
    machine.trace().iter().len()
}
// end
