//! What a backend writes to xenstore: cases 109 to 127 of the catalogue, as far as a disk reads it.

use std::time::Duration;

use xen_blkfront::{
    Discard, Disk, Done, Event, Flushed, NotDurable, Options, Persistent, Rejection, Request, Sector512, Unknown,
};
use xen_sim::When;
use xen_sim::blkback::{Fault, Options as Offer, Restart, Which};
use xen_xenbus::bus::Problem;

use crate::common;
use crate::common::Rig;
use crate::drivers::MALFORMED;

const SECOND: Duration = Duration::from_secs(1);

/// The backend writes these keys as well; what comes of it.
fn with(options: Options, offer: Offer, keys: &[(&str, &[u8])]) -> Rig {
    let mut rig = Rig::plugged(1, options, offer);
    keys.iter().for_each(|(key, value)| rig.control().set_key(key, value));
    let _ = rig.until(SECOND * 20, |rig| !rig.events.is_empty());
    rig
}

#[track_caller]
fn accepted(options: Options, offer: Offer, keys: &[(&str, &[u8])]) -> (Rig, Disk) {
    let mut rig = with(options, offer, keys);
    let disk = rig.front.disk().cloned().unwrap_or_else(|| panic!("{:?}", rig.events));
    assert_eq!(rig.write(0, 8192, 1), Ok(Done::Transferred));
    (rig, disk)
}

/// The disk is not connected, says why, and is connected when the backend starts again with other keys.
#[track_caller]
fn refused(keys: &[(&str, &[u8])], why: &str) {
    let mut rig = with(Options::DEFAULT, Offer::DEFAULT, keys);
    rig.pass(SECOND / 100);
    assert!(rig.front.disk().is_none() && rig.front.last_known().is_none(), "{keys:?}");
    let Some(Event::Trouble(error)) = rig.events.first() else { panic!("{keys:?}: {:?}", rig.events) };
    assert!(matches!(&error.problem, Problem::Refused(reason) if reason.contains(why)), "{error}");
    let rejected = rig.front.submit(Request::flush(), rig.now()).unwrap_err();
    assert_eq!(rejected.reason, Rejection::NotConnected);
    assert_eq!(rig.count(|event| matches!(event, Event::Connected)), 0);
    rig.control().honest_keys();
    rig.control().restart(Restart::Orderly);
    assert!(rig.until(SECOND * 60, |rig| rig.front.disk().is_some()), "{keys:?}: {:?}", rig.events);
}

#[test]
fn hc_109_keys_that_are_missing_have_their_defaults() {
    let mut rig = Rig::plugged(1, Options { queues: 4, ring_order: 4, ..Options::DEFAULT }, Offer::BARE);
    let keys = [
        "feature-barrier",
        "feature-max-indirect-segments",
        "max-ring-page-order",
        "multi-queue-max-queues",
        "sector-size",
        "physical-sector-size",
        "info",
    ];
    keys.iter().for_each(|key| rig.control().remove_key(key));
    assert!(rig.until(SECOND * 20, |rig| rig.front.disk().is_some()), "{:?}", rig.events);
    let disk = rig.front.disk().unwrap();
    assert_eq!((disk.queues(), disk.ring_slots(), disk.segments()), (1, 32, 11));
    assert_eq!((disk.sector_size(), disk.physical_sector_size(), disk.is_read_only()), (512, 512, false));
    assert!(!disk.has_flush() && !disk.has_barrier() && disk.discard().is_none() && !disk.is_persistent());
    assert_eq!(rig.write(0, 8192, 1), Ok(Done::Transferred));
}

#[test]
fn hc_109_without_a_size_there_is_no_disk() {
    let mut rig = Rig::plugged(1, Options::DEFAULT, Offer::DEFAULT);
    rig.control().remove_key("sectors");
    assert!(rig.until(SECOND * 20, |rig| rig.count(|event| matches!(event, Event::Trouble(_))) == 1));
    assert!(rig.front.disk().is_none() && rig.front.last_known().is_none());
}

#[test]
fn hc_110_111_what_is_no_number_is_not_guessed_at() {
    for value in MALFORMED {
        for key in ["sectors", "sector-size", "info"] {
            refused(&[(key, value)], key);
        }
    }
}

#[test]
fn hc_110_111_a_feature_whose_key_is_malformed_is_not_offered() {
    for value in MALFORMED {
        let keys = [
            "feature-flush-cache",
            "feature-barrier",
            "feature-discard",
            "feature-persistent",
            "feature-max-indirect-segments",
            "max-ring-page-order",
            "multi-queue-max-queues",
            "physical-sector-size",
            "params",
        ];
        let keys = keys.map(|key| (key, value));
        let options = Options { queues: 4, ring_order: 4, persistent: Persistent::IfOffered, ..Options::DEFAULT };
        // The simulated backend reads its own options, and not its keys: it may agree to what it does not say.
        let (mut rig, disk) = accepted(options, Offer { persistent: false, ..Offer::DEFAULT }, &keys);
        assert!(!disk.has_flush() && !disk.has_barrier() && disk.discard().is_none() && !disk.is_persistent());
        assert_eq!((disk.queues(), disk.ring_slots(), disk.segments()), (1, 32, 11), "{value:?}");
        assert_eq!(disk.physical_sector_size(), disk.sector_size());
        assert_eq!(rig.flush(), Flushed::Unknown(Unknown::NotOffered));
    }
}

#[test]
fn hc_112_a_disk_without_sectors_takes_nothing() {
    let mut rig = with(Options::DEFAULT, Offer::DEFAULT, &[("sectors", b"0")]);
    assert_eq!(rig.front.disk().unwrap().sectors(), 0);
    let buffer = rig.filled(512, 1);
    let rejected = rig.front.submit(Request::write(Sector512(0), buffer), rig.now()).unwrap_err();
    assert_eq!(rejected.reason, Rejection::BeyondEnd { at: 0, sectors: 1, capacity: 0 });
    assert_eq!(rig.flush(), Flushed::Durable);
}

#[test]
fn hc_113_a_size_that_overflows_is_refused() {
    for sectors in [1 << 54, (1 << 54) + 1, 1 << 55, 1 << 63, u64::MAX] {
        refused(&[("sectors", sectors.to_string().as_bytes())], "sectors");
    }
    let most = (1_u64 << 54) - 1;
    let (mut rig, disk) = accepted(Options::DEFAULT, Offer::DEFAULT, &[("sectors", most.to_string().as_bytes())]);
    assert_eq!((disk.sectors(), disk.bytes()), (most, most * 512));
    for at in [most, most - 1, u64::MAX, u64::MAX - 1] {
        let buffer = rig.filled(1024, 1);
        let rejected = rig.front.submit(Request::write(Sector512(at), buffer), rig.now()).unwrap_err();
        assert_eq!(rejected.reason, Rejection::BeyondEnd { at, sectors: 2, capacity: most });
    }
    for (at, sectors) in [(0, u64::MAX), (1, u64::MAX), (u64::MAX, 1), (1, most)] {
        let request = Request::discard(Sector512(at), sectors, Discard::Plain);
        let rejected = rig.front.submit(request, rig.now()).unwrap_err();
        assert_eq!(rejected.reason, Rejection::BeyondEnd { at, sectors, capacity: most });
    }
    assert_eq!(rig.front.pending(), 0);
}

#[test]
fn hc_114_sectors_of_an_impossible_size_are_refused() {
    for size in ["0", "1", "256", "511", "513", "1536", "8192", "65536", "2147483648", "4294967296"] {
        refused(&[("sector-size", size.as_bytes())], "sector-size");
    }
}

#[test]
fn hc_115_places_are_counted_in_512_bytes_whatever_the_sectors() {
    for sector_size in [512, 1024, 2048, 4096_u32] {
        let mut rig = Rig::new(1, Options::DEFAULT, Offer { sector_size, ..Offer::DEFAULT });
        let (disk, unit) = (rig.front.disk().unwrap(), u64::from(sector_size) / 512);
        assert_eq!((disk.sector_size(), disk.sectors()), (sector_size, common::SECTORS));
        assert_eq!(rig.write(unit, sector_size as usize, 5), Ok(Done::Transferred));
        assert_eq!((rig.on_disk(unit, 1), rig.on_disk(unit - 1, 1)), (vec![5], vec![0]));
        let cases = [(unit, sector_size as usize - 1), (unit, sector_size as usize + 1), (unit, 512), (1, 4096)];
        for (at, bytes) in
            cases.into_iter().filter(|(at, bytes)| sector_size > 512 || bytes % 512 != 0 || at % unit != 0)
        {
            let buffer = rig.filled(bytes, 1);
            let rejected = rig.front.submit(Request::write(Sector512(at), buffer), rig.now()).unwrap_err();
            assert_eq!(rejected.reason, Rejection::Misaligned { sector_size }, "{at} {bytes}");
        }
        let odd = Request::discard(Sector512(unit), unit + 1, Discard::Plain);
        let result = rig.front.submit(odd, rig.now()).map_err(|rejected| rejected.reason);
        assert_eq!(result.is_err(), sector_size > 512);
    }
}

#[test]
fn a_request_about_nothing_is_not_taken() {
    let mut rig = Rig::new(1, Options::DEFAULT, Offer::DEFAULT);
    let requests =
        [Request::read(Sector512(0), rig.front.buffer(0).unwrap()), Request::discard(Sector512(0), 0, Discard::Plain)];
    for request in requests {
        assert_eq!(rig.front.submit(request, rig.now()).unwrap_err().reason, Rejection::Empty);
    }
}

#[test]
fn hc_116_a_disk_may_grow_and_shrink() {
    let mut rig = Rig::new(1, Options::DEFAULT, Offer::DEFAULT);
    for (index, sectors) in [2 << 20, 64].into_iter().enumerate() {
        rig.control().resize(sectors);
        assert!(rig.until(SECOND, |rig| rig.count(|event| matches!(event, Event::Resized)) == index + 1));
        assert_eq!(rig.front.disk().unwrap().sectors(), sectors);
        assert_eq!(rig.write(sectors - 1, 512, 1), Ok(Done::Transferred));
        let buffer = rig.filled(512, 1);
        let rejected = rig.front.submit(Request::write(Sector512(sectors), buffer), rig.now()).unwrap_err();
        assert_eq!(rejected.reason, Rejection::BeyondEnd { at: sectors, sectors: 1, capacity: sectors });
    }
    // A size that makes no sense changes nothing.
    rig.control().set_key("sectors", "-1");
    rig.control().write_state(xen_xenbus::bus::State::CONNECTED);
    rig.pass(SECOND);
    assert_eq!(rig.front.disk().unwrap().sectors(), 64);
    assert_eq!(rig.count(|event| matches!(event, Event::Resized)), 2);
}

#[test]
fn hc_117_a_physical_size_that_makes_no_sense_is_left_out() {
    for (size, physical) in [("0", 512), ("768", 512), ("256", 512), ("65536", 65536), ("4294967296", 512)] {
        let keys: [(&str, &[u8]); 1] = [("physical-sector-size", size.as_bytes())];
        let (_, disk) = accepted(Options::DEFAULT, Offer::DEFAULT, &keys);
        assert_eq!(disk.physical_sector_size(), physical, "{size}");
    }
}

#[test]
fn hc_118_119_rings_and_queues_are_cut_to_what_we_want() {
    let offer = Offer { queues: 16, ring_order: 4, ..Offer::DEFAULT };
    for (order, slots) in [("0", 32), ("1", 64), ("31", 512), ("32", 512), ("64", 512), ("4294967295", 512)] {
        for (queues, count) in [("0", 1), ("1", 1), ("3", 3), ("4294967295", 16)] {
            let options = Options { queues: u32::MAX, ring_order: u32::MAX, segments: 1, ..Options::DEFAULT };
            let keys: [(&str, &[u8]); 2] =
                [("max-ring-page-order", order.as_bytes()), ("multi-queue-max-queues", queues.as_bytes())];
            let (_, disk) = accepted(options, offer.clone(), &keys);
            assert_eq!((disk.ring_slots(), disk.queues()), (slots, count), "{order} {queues}");
        }
    }
}

#[test]
fn hc_118_the_older_key_for_rings_counts_pages() {
    for (pages, slots) in [("0", 32), ("1", 32), ("3", 64), ("16", 512), ("4294967295", 512)] {
        let mut rig = Rig::plugged(1, Options { ring_order: 4, ..Options::DEFAULT }, Offer::DEFAULT);
        rig.control().remove_key("max-ring-page-order");
        rig.control().set_key("max-ring-pages", pages);
        assert!(rig.until(SECOND * 20, |rig| rig.front.disk().is_some()), "{:?}", rig.events);
        assert_eq!(rig.front.disk().unwrap().ring_slots(), slots, "{pages}");
    }
}

#[test]
fn hc_120_segments_are_cut_to_what_we_want() {
    for (offered, wanted, segments) in [
        ("0", 256, 11),
        ("5", 256, 11),
        ("11", 256, 11),
        ("12", 256, 12),
        ("300", 256, 256),
        ("2147483648", u32::MAX, 512),
        ("4294967295", 256, 256),
        ("256", 11, 11),
        ("256", 3, 3),
        ("256", 0, 1),
    ] {
        let options = Options { segments: wanted, ..Options::DEFAULT };
        let offer = Offer { indirect_segments: 512, ..Offer::DEFAULT };
        let (mut rig, disk) = accepted(options, offer, &[("feature-max-indirect-segments", offered.as_bytes())]);
        assert_eq!(disk.segments(), segments, "{offered} {wanted}");
        assert_eq!(rig.write(0, 40 * 4096, 2), Ok(Done::Transferred));
        assert_eq!(rig.on_disk(319, 1), [2]);
    }
}

#[test]
fn hc_120_requests_are_split_anew_where_the_next_connection_takes_less() {
    let mut rig = Rig::new(1, Options::DEFAULT, Offer::DEFAULT);
    rig.control().on(Which::All, When::Always, Fault::Hang);
    let buffers = [1, 2].map(|fill| rig.filled(100 * 4096, fill));
    let [write, barrier] = buffers;
    let write = rig.submit(Request::write(Sector512(0), write));
    let barrier = rig.submit(Request::write_barrier(Sector512(1600), barrier));
    let flush = rig.submit(Request::flush());
    rig.pass(SECOND / 100);
    rig.control().clear();
    rig.control().offer(Offer { indirect_segments: 0, ..Offer::DEFAULT });
    rig.control().restart(Restart::Orderly);
    assert_eq!(rig.finish(write).result, Ok(Done::Transferred));
    assert_eq!(rig.finish(barrier).result, Ok(Done::Transferred));
    assert_eq!(rig.finish(flush).result, Ok(Done::Flushed(Flushed::Durable)));
    assert_eq!((rig.on_disk(799, 1), rig.on_disk(1600 + 799, 1)), (vec![1], vec![2]));
    assert_eq!(rig.front.disk().unwrap().segments(), 11);
}

#[test]
fn hc_121_features_are_agreed_on_anew_at_each_connection() {
    let options = Options { persistent: Persistent::IfOffered, ..Options::DEFAULT };
    let mut rig = Rig::new(1, options, Offer::DEFAULT);
    let offers = [
        Offer { persistent: false, ..Offer::DEFAULT },
        Offer { flush: false, discard: None, ..Offer::DEFAULT },
        Offer { barrier: false, ..Offer::DEFAULT },
        Offer { flush: false, ..Offer::BARE },
    ];
    for (index, offer) in offers.into_iter().enumerate() {
        rig.control().offer(offer.clone());
        rig.control().restart(Restart::Orderly);
        let connected = |rig: &Rig| rig.count(|event| matches!(event, Event::Connected)) == index + 2;
        assert!(rig.until(SECOND * 2, connected), "{index}: {:?} {:?}", rig.front, rig.events);
        let disk = rig.front.disk().unwrap();
        assert_eq!((disk.is_persistent(), disk.has_flush()), (offer.persistent, offer.flush));
        assert_eq!((disk.has_barrier(), disk.discard().is_some()), (offer.barrier, offer.discard.is_some()));
        assert_eq!(rig.write(index as u64 * 64, 8192, index as u8 + 1), Ok(Done::Transferred));
        assert_eq!(rig.read(index as u64 * 64, 8192), Ok(vec![index as u8 + 1; 8192]));
        let expected = if offer.flush { Flushed::Durable } else { Flushed::NotDurable(NotDurable::Withdrawn) };
        // Where the one before did not flush, what it had is lost, for all that is known.
        let said = [rig.flush(), rig.flush()];
        assert!(said[0] == expected || said[0] == Flushed::NotDurable(NotDurable::CacheLost), "{index}: {said:?}");
        assert_eq!(said[1], expected, "{index}");
    }
}

#[test]
fn hc_122_without_flushes_durability_is_unknown() {
    let (mut rig, _) = accepted(Options::DEFAULT, Offer { barrier: false, ..Offer::BARE }, &[]);
    assert_eq!(rig.flush(), Flushed::Unknown(Unknown::NotOffered));
    assert_eq!(rig.flush(), Flushed::Unknown(Unknown::NotOffered));
}

#[test]
fn hc_123_bits_that_nobody_knows_are_left_alone() {
    let (_, disk) = accepted(Options::DEFAULT, Offer::DEFAULT, &[("info", b"4294967288")]);
    assert!(!disk.is_read_only() && !disk.is_removable() && !disk.is_cdrom());
}

#[test]
fn hc_123_a_disk_may_become_read_only() {
    let mut rig = Rig::new(1, Options::DEFAULT, Offer::DEFAULT);
    rig.write(0, 512, 1).unwrap();
    rig.control().set_key("info", "4");
    rig.control().write_state(xen_xenbus::bus::State::CONNECTED);
    assert!(rig.until(SECOND, |rig| rig.count(|event| matches!(event, Event::Resized)) == 1));
    assert!(rig.front.disk().unwrap().is_read_only());
    let buffers = [1, 2].map(|fill| rig.filled(512, fill));
    let [write, barrier] = buffers;
    let requests = [
        Request::write(Sector512(0), write),
        Request::write_barrier(Sector512(0), barrier),
        Request::discard(Sector512(0), 8, Discard::Plain),
    ];
    for request in requests {
        assert_eq!(rig.front.submit(request, rig.now()).unwrap_err().reason, Rejection::ReadOnly);
    }
    assert_eq!(rig.read(0, 512), Ok(vec![1; 512]));
}

#[test]
fn hc_126_keys_that_change_later_change_nothing_until_it_is_said() {
    let mut rig = Rig::plugged(1, Options { ring_order: 2, queues: 2, ..Options::DEFAULT }, Offer::DEFAULT);
    let state = format!("{}/state", rig.device.front_path());
    let offered = |rig: &Rig| rig.machine.xenstore().read_text(&state).as_deref() == Some("3");
    assert!(rig.until(SECOND, offered), "{:?}", rig.events);
    // After our offer, and before the backend agrees.
    let keys = ["max-ring-page-order", "multi-queue-max-queues", "max-ring-pages"];
    keys.iter().for_each(|key| rig.control().set_key(key, "0"));
    assert!(rig.until(SECOND * 20, |rig| rig.front.disk().is_some()));
    let disk = rig.front.disk().unwrap().clone();
    assert_eq!((disk.ring_slots(), disk.queues()), (128, 2));
    for (key, value) in [("sectors", "8"), ("sector-size", "4096"), ("info", "4"), ("feature-flush-cache", "0")] {
        rig.control().set_key(key, value);
    }
    rig.pass(SECOND / 10);
    assert_eq!(rig.front.disk(), Some(&disk));
    assert_eq!(rig.write(512, 512, 1), Ok(Done::Transferred));
    assert_eq!(rig.flush(), Flushed::Durable);
}

#[test]
fn hc_127_discards_in_impossible_units_are_not_offered() {
    for (granularity, alignment) in [("0", "0"), ("3", "0"), ("4097", "0"), ("4096", "4096"), ("4096", "-1")] {
        let keys: [(&str, &[u8]); 2] =
            [("discard-granularity", granularity.as_bytes()), ("discard-alignment", alignment.as_bytes())];
        let (mut rig, disk) = accepted(Options::DEFAULT, Offer::DEFAULT, &keys);
        assert_eq!(disk.discard(), None, "{granularity} {alignment}");
        let request = Request::discard(Sector512(0), 8, Discard::Plain);
        let rejected = rig.front.submit(request, rig.now()).unwrap_err();
        assert_eq!(rejected.reason, Rejection::Unsupported { what: "to discard" });
    }
}
