//! What a backend can read: cases 164 to 170 of the catalogue. At every look, all pages that it could map are searched.

use std::time::Duration;

use xen_blkfront::{Buffer, Discard, Done, IoError, Options, Persistent, Request, Sector512, Trust};
use xen_hypercall::abi::frame::PAGE_SIZE;
use xen_hypercall::abi::io::blkif::{Operation, Request as Slot, RequestDiscard, RequestIndirect, Segment, Status};
use xen_sim::blkback::{Fault, Misdeed, Options as Offer, Which};
use xen_sim::{Access, Domain, When};
use zerocopy::{FromBytes, IntoBytes};

use crate::common::Rig;
use crate::common::hostile::{SECRET, ring};

const SECOND: Duration = Duration::from_secs(1);

const PERSISTENT: Options = Options { persistent: Persistent::IfOffered, ..Options::DEFAULT };

/// Memory for `bytes` bytes of which all pages are full of secrets, to the last byte; then those bytes are no secret.
fn around(rig: &Rig, bytes: usize) -> Buffer<Domain> {
    let mut buffer = full_of_secrets(rig, bytes);
    let public = vec![b'p'; bytes];
    assert_eq!(buffer.copy_in(0, &public), bytes);
    buffer
}

fn full_of_secrets(rig: &Rig, bytes: usize) -> Buffer<Domain> {
    let mut buffer = rig.front.buffer(bytes).expect("there is memory");
    for index in 0..bytes.div_ceil(PAGE_SIZE) {
        buffer
            .page_mut(index)
            .unwrap()
            .iter_mut()
            .zip(SECRET.iter().cycle())
            .for_each(|(byte, secret)| *byte = *secret);
    }
    buffer
}

/// Has requests hang while they are under way, and looks.
#[track_caller]
fn assert_hidden_during(rig: &mut Rig, request: Request<Domain>) {
    rig.control().on(Which::All, When::Always, Fault::Hang);
    let id = rig.submit(request);
    rig.pass(SECOND / 100);
    assert!(rig.back.as_ref().unwrap().unanswered() > 0, "it is under way");
    rig.machine.assert_hidden_from(&rig.domain, SECRET);
    rig.control().clear();
    rig.control().go_on();
    assert!(rig.finish(id).result.is_ok());
    rig.machine.assert_hidden_from(&rig.domain, SECRET);
}

#[test]
fn hc_164_a_backend_sees_what_is_written_and_zeros() {
    for options in [Options::DEFAULT, Options { segments: 3, ..Options::DEFAULT }, PERSISTENT] {
        let mut rig = Rig::new(1, options, Offer::DEFAULT);
        for bytes in [512, 3584, 4096 + 512, 11 * 4096 - 512, 32 * 4096 + 1024] {
            let buffer = around(&rig, bytes);
            assert_hidden_during(&mut rig, Request::write(Sector512(0), buffer));
            assert_eq!(rig.on_disk(0, bytes), vec![b'p'; bytes]);
            let buffer = around(&rig, bytes);
            assert_hidden_during(&mut rig, Request::write_barrier(Sector512(0), buffer));
        }
    }
}

#[test]
fn hc_164_a_page_that_is_read_into_is_cleared_first() {
    for options in [Options::DEFAULT, PERSISTENT] {
        let mut rig = Rig::new(1, options, Offer::DEFAULT);
        for bytes in [512, 4096, 32 * 4096 - 512] {
            let buffer = full_of_secrets(&rig, bytes);
            assert_hidden_during(&mut rig, Request::read(Sector512(0), buffer));
        }
    }
}

#[test]
fn hc_164_pages_that_are_not_the_requests_business_are_not_granted() {
    for options in [Options::DEFAULT, PERSISTENT] {
        let mut rig = Rig::new(1, options, Offer::DEFAULT);
        let before = rig.machine.readable_by(&rig.domain).len();
        let mut buffer = around(&rig, 512);
        let mut pages = buffer.into_pages();
        pages.extend(full_of_secrets(&rig, 5 * 4096).into_pages());
        buffer = Buffer::from_pages(pages);
        buffer.set_len(512);
        rig.control().on(Which::All, When::Always, Fault::Hang);
        rig.submit(Request::write(Sector512(0), buffer));
        // The backend has not mapped it yet.
        assert_eq!(rig.machine.readable_by(&rig.domain).len(), before + 1);
        rig.machine.assert_hidden_from(&rig.domain, SECRET);
    }
}

#[test]
fn a_trusted_backend_may_see_more_which_shows_that_these_tests_can_fail() {
    let mut rig = Rig::new(1, Options { trust: Trust::Trusted, ..Options::DEFAULT }, Offer::DEFAULT);
    rig.control().on(Which::All, When::Always, Fault::Hang);
    let sees = |rig: &Rig| rig.machine.readable_by(&rig.domain).iter().any(|page| page.find(SECRET).is_some());
    let buffer = around(&rig, 512);
    rig.submit(Request::write(Sector512(0), buffer));
    assert!(sees(&rig));
    let mut rig = Rig::new(1, Options { trust: Trust::Trusted, ..Options::DEFAULT }, Offer::DEFAULT);
    let buffer = full_of_secrets(&rig, 512);
    rig.submit(Request::read(Sector512(0), buffer));
    assert!(sees(&rig));
}

#[test]
fn hc_165_169_what_a_request_leaves_in_its_pages_is_not_shown_with_the_next_one() {
    for options in [Options::DEFAULT, PERSISTENT] {
        let mut rig = Rig::new(1, options, Offer::DEFAULT);
        // A read that fails half-way.
        rig.control().on(Which::All, When::Nth(1), Fault::Misdeed(Misdeed::Status(-1)));
        let buffer = rig.front.buffer(2 * 4096).unwrap();
        let done = rig.run(Request::read(Sector512(0), buffer));
        assert_eq!(done.result, Err(IoError::Failed));
        // The owner keeps secrets in what came back, and writes the front of it.
        let mut buffer = done.buffer;
        for index in 0..2 {
            let page = buffer.page_mut(index).unwrap();
            page.iter_mut().zip(SECRET.iter().cycle()).for_each(|(byte, secret)| *byte = *secret);
        }
        buffer.set_len(512);
        assert_eq!(buffer.copy_in(0, &[b'p'; 512]), 512);
        rig.control().clear();
        assert_hidden_during(&mut rig, Request::write(Sector512(0), buffer));
    }
}

#[test]
fn hc_166_rings_and_pages_of_segments_are_zero_where_nothing_was_written() {
    for options in [Options::DEFAULT, Options { queues: 4, ring_order: 3, ..Options::DEFAULT }] {
        let mut rig = Rig::new(1, options, Offer::DEFAULT);
        for page in rig.machine.readable_by(&rig.domain) {
            // The indices, and where an event is wanted.
            assert!(page.bytes[16..].iter().all(|byte| *byte == 0), "{:?}", page.gref);
        }
        let rings: Vec<_> = rig.machine.readable_by(&rig.domain).iter().map(|page| page.page).collect();
        let data = rig.filled(20 * 4096, 1);
        rig.write(0, 512, 1).unwrap();
        rig.control().on(Which::All, When::Always, Fault::Hang);
        rig.submit(Request::write(Sector512(0), data));
        let pages = rig.machine.readable_by(&rig.domain);
        let segments = pages.iter().find(|page| !rings.contains(&page.page) && page.bytes[512] != 1);
        let segments = segments.expect("it is indirect");
        assert_eq!(segments.access, Access::ReadOnly);
        assert!(segments.bytes[20 * size_of::<Segment>()..].iter().all(|byte| *byte == 0));
        for segment in segments.bytes[..20 * size_of::<Segment>()].chunks(size_of::<Segment>()) {
            let segment = Segment::read_from_bytes(segment).unwrap();
            assert_eq!((segment.first_sect, segment.last_sect, segment._pad), (0, 7, 0));
        }
    }
}

/// The slots of a ring of one page.
fn slots(rig: &Rig) -> Vec<Slot> {
    let page = ring(rig);
    page.bytes[64..].chunks_exact(size_of::<Slot>()).map(|slot| Slot::read_from_bytes(slot).unwrap()).collect()
}

#[test]
fn hc_167_170_requests_have_no_stray_bytes_and_small_numbers() {
    let mut rig = Rig::new(1, Options::DEFAULT, Offer::DEFAULT);
    rig.control().on(Which::All, When::Always, Fault::Hang);
    for pages in [1, 3, 11, 20] {
        let buffer = rig.filled(pages * 4096, 1);
        rig.submit(Request::write(Sector512(8), buffer));
    }
    rig.submit(Request::discard(Sector512(8), 16, Discard::Plain));
    rig.submit(Request::flush());
    rig.pass(SECOND / 100);
    let slots = slots(&rig);
    let [one, three, eleven, indirect, discard, rest @ ..] = slots.as_slice() else { panic!("there are 32") };
    for (number, slot) in (0_u64..).zip(&slots[..5]) {
        let id = match slot.operation {
            Operation::INDIRECT => {
                RequestIndirect::ref_from_bytes(&slot.as_bytes()[..size_of::<RequestIndirect>()]).unwrap().id
            }
            _ => slot.id,
        };
        assert!(id & 0xffff < 32 && id >> 16 == number, "a place and a count: {id:#x}");
    }
    for (slot, pages) in [(one, 1), (three, 3), (eleven, 11)] {
        assert_eq!((slot.operation, slot.nr_segments, slot.sector_number), (Operation::WRITE, pages, 8));
        assert_eq!(slot._pad, 0);
        for segment in &slot.seg[..pages.into()] {
            assert_eq!((segment.first_sect, segment.last_sect, segment._pad), (0, 7, 0));
            assert!(segment.gref.0 > 7 && segment.gref.0 < 1 << 16, "{:?}", segment.gref);
        }
        assert!(slot.seg[pages.into()..].iter().all(|segment| segment.as_bytes().iter().all(|byte| *byte == 0)));
    }
    let bytes = indirect.as_bytes();
    let request = RequestIndirect::ref_from_bytes(&bytes[..size_of::<RequestIndirect>()]).unwrap();
    assert_eq!(
        (request.operation, request.indirect_op, request.nr_segments),
        (Operation::INDIRECT, Operation::WRITE, 20)
    );
    assert!(request.indirect_grefs[1..].iter().all(|gref| gref.0 == 0));
    let request = RequestDiscard::ref_from_bytes(&discard.as_bytes()[..size_of::<RequestDiscard>()]).unwrap();
    assert_eq!((request.operation, request.nr_sectors, request._pad), (Operation::DISCARD, 16, 0));
    // The flush waits for the writes.
    assert!(rest.iter().all(|slot| slot.as_bytes().iter().all(|byte| *byte == 0)), "no more than was asked");
}

#[test]
fn hc_168_what_is_written_is_granted_read_only() {
    let requests = [Request::write, Request::write_barrier];
    for (request, (pages, granted)) in requests.into_iter().zip([(20, 21), (3, 3)]) {
        let mut rig = Rig::new(1, Options::DEFAULT, Offer::DEFAULT);
        let rings = rig.machine.readable_by(&rig.domain).len();
        rig.control().on(Which::All, When::Always, Fault::Hang);
        let buffer = rig.filled(pages * 4096, 1);
        rig.submit(request(Sector512(0), buffer));
        let all = rig.machine.readable_by(&rig.domain);
        let writable = all.iter().filter(|page| page.access == Access::ReadWrite).count();
        assert_eq!((writable, all.len() - writable), (rings, granted), "its data, and segments that do not fit");
    }
}

#[test]
fn hc_170_a_trusting_disk_works_as_well() {
    let mut rig = Rig::new(1, Options { trust: Trust::Trusted, ..Options::DEFAULT }, Offer::DEFAULT);
    assert_eq!(rig.write(0, 5 * 512, 3), Ok(Done::Transferred));
    assert_eq!(rig.read(0, 5 * 512), Ok(vec![3; 5 * 512]));
    rig.control().on(Which::All, When::Nth(1), Fault::Refuse(Status::ERROR));
    assert_eq!(rig.write(0, 512, 3), Err(IoError::Failed));
}
