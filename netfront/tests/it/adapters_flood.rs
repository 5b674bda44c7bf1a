//! What an adapter does with packets without end.

use std::sync::atomic::{AtomicBool, Ordering};

use smoltcp::phy::Device;
use smoltcp::time::Instant;
use xen_netfront::{Checksums, Options, RING_SLOTS};
use xen_sim::netback::{Options as Offer, Packet};

use crate::common::{Rig, tcp};

/// They come as fast as they are dropped: the backend is beside the guest.
#[test]
fn hc_006_wrong_checksums_without_end_do_not_keep_the_owner() {
    let mut rig = Rig::new(1, Options { checksums: Checksums::Offload, ..Options::DEFAULT }, Offer::DEFAULT);
    let mut wrong = tcp(100, 1);
    wrong[60] ^= 1;
    let (mut back, is_over) = (rig.back.take().unwrap(), AtomicBool::new(false));
    let (mut most, mut left) = (0, 10_000);
    let Rig { machine, guest, domain, store, front, port, .. } = &mut rig;
    let run = machine.run(|vcpus| {
        vcpus.spawn(guest, |_| {
            while front.statistics().received.wrong_checksum < 3000 {
                while front.poll(store.now()).is_some() {}
                let before = front.statistics().received.wrong_checksum;
                assert!(Device::receive(front, Instant::ZERO).is_none());
                most = most.max(front.statistics().received.wrong_checksum - before);
            }
            is_over.store(true, Ordering::Release);
        });
        vcpus.spawn(domain, |_| {
            back.serve_until(|back, _| {
                if back.backlog() < 40 && left > 0 {
                    (0..20).for_each(|_| port.send(Packet::new(wrong.clone())));
                    left -= 20;
                }
                is_over.load(Ordering::Acquire)
            });
        });
    });
    assert_eq!(run, Ok(()));
    assert!(most <= u64::from(RING_SLOTS), "{most} in one call");
}
