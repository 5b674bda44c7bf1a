//! Memory for requests, as its owner has it in hand.

use xen_blkfront::Buffer;
use xen_sim::Machine;

#[test]
fn bytes_go_in_and_out_as_far_as_the_request_goes() {
    let machine = Machine::new(1);
    let mut buffer = Buffer::alloc(&machine.domain(), 4096 + 512).unwrap();
    assert_eq!((buffer.len(), buffer.capacity(), buffer.is_empty()), (4608, 8192, false));
    let data: Vec<u8> = (0..5000_u32).map(|byte| byte as u8).collect();
    assert_eq!(buffer.copy_in(0, &data), 4608);
    assert_eq!(buffer.page(1).unwrap()[512], 0, "beyond the request");
    let mut out = vec![0; 5000];
    assert_eq!(buffer.copy_out(0, &mut out), 4608);
    assert_eq!(out[..4608], data[..4608]);
    assert_eq!((buffer.copy_out(4000, &mut out[..300]), &out[..300]), (300, &data[4000..4300]));
    assert_eq!(
        (buffer.copy_in(4600, &data), buffer.copy_in(4608, &data), buffer.copy_in(usize::MAX, &data)),
        (8, 0, 0)
    );
    assert_eq!((buffer.copy_out(4600, &mut out), buffer.copy_out(usize::MAX, &mut out)), (8, 0));
}

#[test]
fn a_request_is_about_no_more_than_there_is() {
    let machine = Machine::new(1);
    let mut buffer = Buffer::alloc(&machine.domain(), 512).unwrap();
    buffer.set_len(4096);
    assert_eq!(buffer.len(), 4096);
    buffer.set_len(4097);
    assert_eq!(buffer.len(), 4096);
    assert!(buffer.page(1).is_none() && buffer.page_mut(1).is_none());
    assert_eq!(buffer.into_pages().len(), 1);
    assert_eq!((Buffer::<xen_sim::Domain>::empty().len(), Buffer::<xen_sim::Domain>::empty().is_empty()), (0, true));
}

#[test]
fn memory_that_there_is_not_is_not_had() {
    let machine = Machine::new(1);
    let domain = machine.domain();
    assert!(Buffer::alloc(&domain, 1 << 30).is_none());
    assert!(Buffer::alloc(&domain, 4096).is_some(), "what there was is given back");
}
