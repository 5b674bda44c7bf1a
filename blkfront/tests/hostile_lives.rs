//! A backend that misbehaves at the wrong moment: while the disk closes, is replaced, or is dropped.

mod common;

use std::time::Duration;

use common::{Rig, look};
use xen_blkfront::{Done, Event, IoError, Options, Request, Sector512, Vanishing};
use xen_grant_table::{GrantTable, Memory as _};
use xen_sim::When;
use xen_sim::blkback::{Fault, Misdeed, Options as Offer, Which};
use xen_xenbus::bus::End;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn hc_159_a_disk_that_is_closing_ends_though_its_backend_misbehaves_and_vanishes() {
    let options = Options { vanished: Vanishing::Hold(SECOND * 1000), ..Options::DEFAULT };
    let mut rig = Rig::new(1, options, Offer::DEFAULT);
    let control = rig.control();
    control.on(Which::All, When::Nth(1), Fault::Hang);
    control.on(Which::All, When::Nth(2), Fault::Misdeed(Misdeed::Twice));
    let buffers = [1, 2].map(|fill| rig.filled(512, fill));
    let ids = buffers.map(|buffer| rig.front.submit(Request::write(Sector512(0), buffer), rig.now()).unwrap());
    rig.front.close();
    rig.front.flush_notifications(rig.now());
    control.hang();
    // It is asked to stop, and has something under way.
    rig.pass(SECOND / 100);
    control.go_on();
    while rig.completions.is_empty() {
        rig.back.as_mut().unwrap().step();
        rig.turn();
    }
    let _ = ids;
    rig.back = None;
    rig.machine.xenstore().nodes(|nodes| nodes.remove_device(&rig.device));
    assert!(rig.until(SECOND * 20, |rig| rig.front.is_ended()), "{:?} {:?}", rig.front, rig.events);
    assert_eq!(rig.count(|event| matches!(event, Event::Detached(_))), 0, "{:?}", rig.events);
    assert_eq!(rig.completions.len(), 2);
}

#[test]
fn hc_161_a_disk_that_is_replaced_at_once_sends_everything_again() {
    let mut rig = Rig::new(1, Options::DEFAULT, Offer::DEFAULT);
    rig.control().hang();
    let buffer = rig.filled(4096, 1);
    let id = rig.submit(Request::write(Sector512(0), buffer));
    rig.pass(SECOND / 100);
    // The tools take the device away and plug it in again before the disk hears of it.
    rig.machine.xenstore().nodes(|nodes| nodes.remove_device(&rig.device));
    rig.back = None;
    rig.machine.xenstore().plug(&rig.device);
    let back = xen_sim::blkback::Blkback::new(&rig.machine, &rig.domain, &rig.device, rig.disk.clone(), Offer::DEFAULT);
    rig.back = Some(back);
    rig.reattach();
    assert_eq!(rig.finish(id).result, Ok(Done::Transferred));
    assert_eq!(rig.on_disk(0, 1), [1]);
    rig.close();
    rig.assert_given_back();
    assert!(look(&mut rig.enumerator, &rig.store).is_none() || rig.front.is_ended());
}

#[test]
fn hc_083_a_disk_that_is_dropped_leaves_what_is_in_use_in_quarantine() {
    let mut rig = Rig::new(1, Options::DEFAULT, Offer::DEFAULT);
    rig.control().on(Which::All, When::Always, Fault::Hang);
    let buffer = rig.filled(40 * 4096, 1);
    rig.submit(Request::write(Sector512(0), buffer));
    rig.pass(SECOND / 100);
    let Rig { machine, guest, front, back, .. } = rig;
    drop(front);
    assert_eq!(guest.grant_table().statistics().quarantined, 41, "a ring, and the data");
    let _ = GrantTable::reap(&guest, u32::MAX);
    assert_eq!(guest.grant_table().statistics().quarantined, 41);
    drop(back);
    machine.settle();
    let _ = GrantTable::reap(&guest, u32::MAX);
    let table = guest.grant_table().statistics();
    assert_eq!((table.quarantined, table.free), (0, table.common));
}

#[test]
fn requests_of_a_disk_that_ends_end_once() {
    let mut rig = Rig::new(1, Options { depth: 64, segments: 1, ..Options::DEFAULT }, Offer::DEFAULT);
    rig.control().on(Which::All, When::Always, Fault::Hang);
    let ids: Vec<_> = (0..64_u64)
        .map(|number| {
            let buffer = rig.filled(512, 1);
            rig.submit(Request::write(Sector512(number * 16), buffer))
        })
        .collect();
    rig.pass(SECOND / 100);
    rig.machine.xenstore().nodes(|nodes| nodes.remove_device(&rig.device));
    rig.back = None;
    rig.front.close();
    assert!(rig.until(SECOND * 20, |rig| rig.front.is_ended()));
    assert!(matches!(rig.events.last(), Some(Event::Ended(End::Vanished(_) | End::Closed))), "{:?}", rig.events);
    let outcomes: Vec<_> = ids.iter().map(|id| common::hostile::take(&mut rig, *id).result).collect();
    assert!(outcomes[..32].iter().all(|result| *result == Err(IoError::OutcomeUnknown)), "they were sent");
    assert!(outcomes[32..].iter().all(|result| *result == Err(IoError::NotSent)), "they were not");
    assert!(rig.completions.is_empty() && rig.front.pending() == 0);
}
