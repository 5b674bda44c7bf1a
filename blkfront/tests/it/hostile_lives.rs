//! A backend that misbehaves at the wrong moment: while the disk closes, is replaced, or is dropped.

use std::time::Duration;

use xen_blkfront::{Done, Event, Flushed, IoError, NotDurable, Options, Rejection, Request, Sector512, Vanishing};
use xen_grant_table::{GrantTable, Memory as _};
use xen_hypercall::abi::io::blkif::{Operation, Status};
use xen_sim::When;
use xen_sim::blkback::Restart;
use xen_sim::blkback::{Fault, Misdeed, Options as Offer, Which};
use xen_xenbus::bus::End;
use xen_xenbus::bus::Limits;

use crate::common;
use crate::common::Rig;
use crate::drivers;
use crate::drivers::look;

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
    drivers::assert_given_back(&machine, &guest);
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
    assert_eq!(rig.front.submit(Request::flush(), rig.now()).unwrap_err().reason, Rejection::Full);
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

/// Writes these numbers of bytes, which no flush covers, and has the backend start anew, which fails the first write then, or none.
fn written_again(bytes: &[usize], fails: bool) -> Rig {
    let limits = Limits { stop: SECOND / 20, ..Limits::DEFAULT };
    let mut rig = Rig::new(1, Options { journal: 8192, limits, ..Options::DEFAULT }, Offer::DEFAULT);
    for (index, bytes) in bytes.iter().enumerate() {
        rig.write(index as u64 * 64, *bytes, index as u8 + 1).unwrap();
    }
    rig.control().on(Which::Of(Operation::FLUSH_DISKCACHE), When::Nth(1), Fault::Hang);
    if fails {
        rig.control().on(Which::Of(Operation::WRITE), When::Nth(1), Fault::Refuse(Status::ERROR));
    }
    rig.control().restart(Restart::Orderly);
    assert!(rig.until(SECOND * 20, |rig| rig.count(|event| matches!(event, Event::Connected)) == 2));
    rig
}

#[test]
fn hc_121_what_was_kept_is_written_again_and_covered_by_the_next_flush() {
    let mut rig = written_again(&[512, 1024], false);
    assert_eq!((rig.flush(), rig.front.statistics().replayed), (Flushed::Durable, 2));
    assert_eq!((rig.on_disk(0, 512), rig.on_disk(64, 1024)), (vec![1; 512], vec![2; 1024]));
}

#[test]
fn hc_121_what_cannot_be_written_again_is_lost_and_said_so() {
    // It fails; it is more than is kept, by itself or together with others; what came before it is not kept.
    for (bytes, fails) in [(&[512, 512][..], true), (&[8192], false), (&[4096, 4096], false), (&[8192, 512], false)] {
        let mut rig = written_again(bytes, fails);
        assert_eq!(rig.flush(), Flushed::NotDurable(NotDurable::CacheLost), "{bytes:?}");
        assert_eq!((rig.flush(), rig.front.statistics().replayed), (Flushed::Durable, 0));
    }
}
