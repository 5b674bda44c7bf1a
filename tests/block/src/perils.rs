//! What goes wrong around a disk.

use std::time::Duration;

use hostile_tests::Dice;
use xen_blkfront::{Options, Persistent, Trust, Vanishing};
use xen_hypercall::abi::io::blkif::Status;
use xen_sim::blkback::{DiscardOffer, Fault, Loss, Notify, Options as Offer, Order, Restart, Which};
use xen_sim::{EventFault, When};
use xen_xenbus::control::Suspender;

use crate::life::{Finding, Life};
use crate::load::BLOCKS;

const MS: Duration = Duration::from_millis(1);

/// A way for something to go wrong.
pub type Peril = fn(&mut Life<'_>) -> Result<(), Finding>;

/// All of them, by name.
pub const PERILS: [(&str, Peril); 17] = [
    ("restart", restart),
    ("abrupt", abrupt),
    ("crash", crash),
    ("replaced", replaced),
    ("unplugged", unplugged),
    ("hang", hang),
    ("late", late),
    ("errors", errors),
    ("resize", resize),
    ("migrated", migrated),
    ("cancelled", cancelled),
    ("fewer", fewer),
    ("deaf", deaf),
    ("mute", mute),
    ("given-up", given_up),
    ("store-slow", store_slow),
    ("store-silent", store_silent),
];

/// How often each of them is chosen, of a sum.
const WEIGHTS: [u32; PERILS.len()] = [4, 4, 6, 6, 3, 4, 3, 3, 2, 4, 2, 3, 2, 2, 3, 2, 1];

/// Those that make a driver lose something though it has a journal.
const ROUGH: [&str; 2] = ["errors", "resize"];

/// One of them, for a life that is rough, or not.
pub fn any(dice: &mut Dice, rough: bool) -> usize {
    loop {
        let mut left = dice.below(WEIGHTS.iter().sum());
        let chosen = WEIGHTS.iter().position(|weight| {
            let here = left < *weight;
            left = left.wrapping_sub(*weight);
            here
        });
        let chosen = chosen.unwrap_or(0);
        if rough || !ROUGH.contains(&PERILS[chosen].0) {
            return chosen;
        }
    }
}

/// What an owner may want.
pub fn options(dice: &mut Dice, rough: bool) -> Options {
    let vanished = if dice.one_in(8) { Vanishing::Fail } else { Vanishing::Hold(Duration::from_secs(120)) };
    Options {
        queues: dice.pick(&[1, 1, 2, 4]),
        ring_order: dice.below(3),
        segments: dice.pick(&[1, 11, 32, 256]),
        persistent: dice.pick(&[Persistent::Never, Persistent::IfOffered]),
        trust: dice.pick(&[Trust::Untrusted, Trust::Trusted]),
        journal: if rough { dice.pick(&[0, 0, 20_000, 1 << 22]) } else { 1 << 24 },
        depth: dice.pick(&[1, 4, 16, 48]),
        patience: Duration::from_secs(3),
        vanished,
        ..Options::DEFAULT
    }
}

/// What a backend may offer. One that is not rough can always flush, and has no more and no fewer ways to change the disk.
pub fn offer(dice: &mut Dice, rough: bool) -> Offer {
    let discard = Some(DiscardOffer { granularity: 4096, alignment: 0, secure: false });
    Offer {
        queues: 1 + dice.below(4),
        ring_order: dice.below(4),
        indirect_segments: dice.pick(&[0, 12, 64, 256]),
        persistent: dice.one_in(2),
        persistent_pages: dice.pick(&[8, 1056]),
        flush: !(rough && dice.one_in(8)),
        barrier: !(rough && dice.one_in(4)),
        discard: if rough && dice.one_in(4) { None } else { discard },
        latency: Duration::ZERO..MS * dice.pick(&[0, 0, 1, 5]),
        order: dice.pick(&[Order::Kept, Order::Mixed, Order::Bursts(4)]),
        notify: dice.pick(&[Notify::Asked, Notify::EachAnswer, Notify::Always]),
        ..Offer::DEFAULT
    }
}

fn loss(dice: &mut Dice) -> Loss {
    let seed = dice.long();
    dice.pick(&[Loss::All, Loss::Nothing, Loss::After(seed), Loss::Each(seed), Loss::EachSector(seed)])
}

fn restart(life: &mut Life<'_>) -> Result<(), Finding> {
    life.offer_anew();
    life.control(|control| control.restart(Restart::Orderly));
    Ok(())
}

fn abrupt(life: &mut Life<'_>) -> Result<(), Finding> {
    life.offer_anew();
    life.control(|control| control.restart(Restart::Abrupt));
    Ok(())
}

/// The backend loses its cache, and begins anew.
fn crash(life: &mut Life<'_>) -> Result<(), Finding> {
    abrupt(life)?;
    life.control(|control| control.go_on());
    for _ in 0..100 {
        match &mut life.rig.back {
            Some(back) if back.is_connected() => {
                back.step();
            }
            _ => break,
        }
    }
    if life.rig.back.as_ref().is_none_or(|back| !back.is_connected()) {
        let loss = loss(&mut life.dice);
        life.lose(loss);
    }
    Ok(())
}

/// The backend's domain dies, with its cache; another one takes its place, sooner or later.
fn replaced(life: &mut Life<'_>) -> Result<(), Finding> {
    life.rig.kill();
    let loss = loss(&mut life.dice);
    life.lose(loss);
    come_back(life)
}

/// Its nodes are removed by force.
fn unplugged(life: &mut Life<'_>) -> Result<(), Finding> {
    life.rig.unplug();
    come_back(life)
}

fn come_back(life: &mut Life<'_>) -> Result<(), Finding> {
    let pause = MS * life.dice.pick(&[0, 1, 30, 500]);
    life.pass(pause)?;
    life.plug();
    if life.dice.one_in(2) {
        // Before the driver has seen that the old one is gone.
        life.reattach();
    }
    Ok(())
}

fn hang(life: &mut Life<'_>) -> Result<(), Finding> {
    life.control(|control| control.hang());
    let pause = MS * life.dice.pick(&[1, 50, 4000, 12_000]);
    life.pass(pause)?;
    life.control(|control| control.go_on());
    Ok(())
}

fn late(life: &mut Life<'_>) -> Result<(), Finding> {
    let late = Fault::Late(MS * life.dice.below(200));
    let fault = life.dice.pick(&[0, 1]);
    life.control(|control| {
        control.on(Which::All, When::PerMille(200), if fault == 0 { late } else { Fault::Hang });
    });
    let pause = MS * life.dice.below(50);
    life.pass(pause)?;
    life.control(|control| {
        control.clear();
        control.go_on();
    });
    Ok(())
}

fn errors(life: &mut Life<'_>) -> Result<(), Finding> {
    let status = life.dice.pick(&[Status::ERROR, Status::ERROR, Status(-7)]);
    let fault = if life.dice.one_in(2) { Fault::Refuse(status) } else { Fault::Fail(status) };
    let share = life.dice.pick(&[20, 200, 1000]);
    life.control(|control| control.on(Which::All, When::PerMille(share), fault));
    let pause = MS * life.dice.below(100);
    life.burst(20)?;
    life.pass(pause)?;
    life.control(|control| control.clear());
    Ok(())
}

fn resize(life: &mut Life<'_>) -> Result<(), Finding> {
    let sectors = u64::from(BLOCKS) * u64::from(life.dice.below(3)) + u64::from(8 * life.dice.below(BLOCKS / 8));
    life.control(|control| control.resize(sectors));
    life.burst(10)?;
    let pause = MS * life.dice.below(30);
    life.pass(pause)?;
    life.control(|control| control.resize(u64::from(BLOCKS)));
    Ok(())
}

fn migrated(life: &mut Life<'_>) -> Result<(), Finding> {
    let (disk, loss) = (life.rig.disk.clone(), loss(&mut life.dice));
    life.rig.guest.migrate_on_suspend();
    life.suspend(Suspender::LIMIT)?;
    // The old host's cache is not the new one's.
    drop(disk);
    life.lose(loss);
    if life.dice.one_in(2) {
        life.reattach();
    }
    Ok(())
}

/// Without time there is no suspend.
fn cancelled(life: &mut Life<'_>) -> Result<(), Finding> {
    life.suspend(MS / 1000)
}

/// Less is offered from the next connection on.
fn fewer(life: &mut Life<'_>) -> Result<(), Finding> {
    let rough = life.rough;
    let offer =
        Offer { queues: 1, ring_order: 0, indirect_segments: 0, persistent: false, ..offer(&mut life.dice, rough) };
    life.control(|control| control.offer(offer));
    life.control(|control| control.restart(Restart::Orderly));
    Ok(())
}

/// Signals to the backend are lost.
fn deaf(life: &mut Life<'_>) -> Result<(), Finding> {
    life.rig.machine.faults().disturb_events(&life.rig.domain, When::PerMille(300), EventFault::Lose);
    life.burst(10)?;
    life.pass(MS * 20)
}

/// Signals from the backend are.
fn mute(life: &mut Life<'_>) -> Result<(), Finding> {
    let notify = life.dice.pick(&[Notify::Never, Notify::Every(3)]);
    life.control(|control| control.update(|options| options.notify = notify));
    life.burst(10)?;
    life.pass(MS * 300)
}

fn given_up(life: &mut Life<'_>) -> Result<(), Finding> {
    life.control(|control| control.on(Which::All, When::Nth(3), Fault::Hang));
    life.burst(8)?;
    life.pass(MS)?;
    for _ in 0..3 {
        life.abandon()?;
    }
    Ok(())
}

fn store_slow(life: &mut Life<'_>) -> Result<(), Finding> {
    life.rig.machine.xenstore().slow(MS * life.dice.below(20));
    life.rig.machine.xenstore().live_update(MS * life.dice.below(300));
    life.pass(MS * 20)
}

fn store_silent(life: &mut Life<'_>) -> Result<(), Finding> {
    life.rig.machine.xenstore().hang();
    life.control(|control| control.restart(Restart::Abrupt));
    let pause = MS * life.dice.pick(&[1, 6000]);
    life.pass(pause)?;
    life.rig.machine.xenstore().go_on();
    Ok(())
}
