//! What `docs/simulator.md` shows of the block backend.

use std::time::Duration;

use xen_hypercall::abi::io::blkif::{Operation, Status};
use xen_hypercall::abi::io::xenbus::State;
use xen_sim::blkback::{
    Blkback, BlockOracle, Fault, Flushed, Loss, Misdeed, Options, Order, Outcome, Restart, SimDisk, Which,
};
use xen_sim::{Device, Domain, Machine, When};

use crate::block::{Rig, SECOND, Shape};

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn a_guest_with_a_disk() {
    let machine = Machine::new(1);
    let (guest, host) = (machine.domain(), machine.domain());
    let vbd = Device::new("vbd", 51712, guest.id(), host.id());
    machine.xenstore().plug(&vbd);

    let disk = SimDisk::new(6 << 30); // sectors: 3 TiB
    let latency = Duration::from_micros(50)..Duration::from_millis(2);
    let options = Options { queues: 2, latency, order: Order::Mixed, ..Options::DEFAULT };
    let mut back = Blkback::new(&machine, &host, &vbd, disk.clone(), options);

    let run = machine.run(|vcpus| {
        vcpus.spawn(&guest, kernel);
        vcpus.spawn(&host, |_| back.serve(SECOND));
    });
    run.unwrap();
    let state = machine.xenstore().read_text(&format!("{}/state", vbd.back_path()));
    assert_eq!(state.as_deref(), Some("2"));
    assert_eq!(disk.sectors(), 6 << 30);
}

fn kernel(guest: &Domain) {
    let _ = xen_hypercall::sched::poll(guest, &[], Some(guest.now() + SECOND));
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn a_backend_with_faults() {
    let mut rig = Rig::new(2, Options::DEFAULT);
    let front = rig.connect(Shape::PLAIN);
    let (back, disk) = (&rig.back, rig.disk.clone());
    let control = back.control();
    control.on(Which::Of(Operation::FLUSH_DISKCACHE), When::Nth(3), Fault::Refuse(Status::EOPNOTSUPP));
    control.on(Which::All, When::PerMille(5), Fault::Late(Duration::from_secs(40)));
    control.on(Which::All, When::Nth(100), Fault::Misdeed(Misdeed::Twice));
    control.set_key("sector-size", "513");
    control.offer(Options { indirect_segments: 16, flush: false, ..Options::DEFAULT });
    control.restart(Restart::Orderly);
    disk.crash(Loss::Each(7)); // the seed

    rig.settle();
    assert_eq!(rig.state(), State::CLOSING);
    drop(front);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of calls")]
fn an_oracle_is_told() {
    let mut rig = Rig::new(3, Options::DEFAULT);
    let mut driver = rig.connect(Shape::PLAIN);
    let Rig { back, disk, .. } = &mut rig;
    let mut oracle = BlockOracle::new(disk, 4096);
    let mut bytes = vec![0; 4096];
    let write = oracle.write(7, &mut bytes);
    let status = driver.io(back, Operation::WRITE, oracle.sector(7), &mut bytes);
    oracle.ended(write, if status == Status::OKAY { Outcome::Done } else { Outcome::Failed });

    let flush = oracle.flush();
    let status = driver.flush(back);
    oracle.flushed(flush, if status == Status::OKAY { Flushed::Durable } else { Flushed::NotDurable });

    disk.crash(Loss::All);
    oracle.assert_disk();
    rig.close(driver);
}
