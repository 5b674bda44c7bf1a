//! What a backend can read: cases 164 to 170 of the catalogue. At every look, all pages that it could map are searched.

use std::collections::BTreeSet;

use xen_hypercall::abi::grant_table::GrantRef;
use xen_hypercall::abi::io::netif::{ExtraGso, ExtraType, GsoType, RxRequest, TxFlags, TxRequest};
use xen_netfront::{Checksums, Gso, GsoKind, Made, Offer as Yes, Options, Order};
use xen_sim::netback::{Fault, Options as Offer, Packet, Restart, Which};
use xen_sim::{Access, Readable, When};
use zerocopy::FromBytes;

use crate::common::{Rig, SECOND, packet, tcp};
use crate::perils::MS;

/// What no other backend may ever read.
const SECRET: &[u8] = b"nobody else's business";

const OFFLOADS: Options = Options { checksums: Checksums::Offload, segmentation: Yes::Yes, ..Options::DEFAULT };

/// A packet full of it.
fn secret(len: usize) -> Vec<u8> {
    let mut packet = packet(14, 1);
    packet.extend(SECRET.iter().cycle().take(len.saturating_sub(14)));
    packet.truncate(len);
    packet
}

fn pages(rig: &Rig) -> Vec<Readable> {
    let mut seen = BTreeSet::new();
    let mut pages = rig.machine.readable_by(&rig.domain);
    pages.retain(|page| seen.insert(page.gref));
    pages
}

/// A ring's page.
fn ring(rig: &Rig, key: &str) -> Readable {
    let gref = GrantRef(rig.front_number(key));
    pages(rig).into_iter().find(|page| page.gref == gref).expect("it is granted")
}

/// The pages that are no rings.
fn data(rig: &Rig, access: Access) -> Vec<Readable> {
    let rings = ["tx-ring-ref", "rx-ring-ref"].map(|key| GrantRef(rig.front_number(key)));
    pages(rig).into_iter().filter(|page| page.access == access && !rings.contains(&page.gref)).collect()
}

#[test]
fn hc_164_hc_166_a_new_connection_shows_zeros() {
    let rig = Rig::new(1, Options::DEFAULT, Offer::DEFAULT);
    for access in [Access::ReadOnly, Access::ReadWrite] {
        let pages = data(&rig, access);
        assert_eq!(pages.len(), 128);
        assert!(pages.iter().all(|page| page.bytes.iter().all(|byte| *byte == 0)));
    }
    let sends = ring(&rig, "tx-ring-ref");
    // The indices, and where events are wanted.
    assert!(sends.bytes[16..].iter().all(|byte| *byte == 0));
    let receives = ring(&rig, "rx-ring-ref");
    assert!(receives.bytes[16..64].iter().all(|byte| *byte == 0));
    assert!(receives.bytes[64 + 128 * 8..].iter().all(|byte| *byte == 0), "no more than was asked for");
}

/// It sees what it is sent, whole packets, and zeros.
#[test]
fn hc_164_a_backend_sees_what_it_is_sent_and_zeros() {
    for len in [14, 60, 1000, 1514] {
        let mut rig = Rig::new(2, Options::DEFAULT, Offer::DEFAULT);
        rig.control().on(Which::Transmit, When::Always, Fault::Hang);
        let sent = packet(len, 3);
        (0..20).for_each(|_| assert!(rig.send(&sent)));
        rig.pass(MS * 10);
        let pages = data(&rig, Access::ReadOnly);
        let (shown, blank): (Vec<_>, Vec<_>) = pages.iter().partition(|page| page.bytes[..len] == sent);
        assert_eq!(shown.len(), 20);
        assert!(shown.iter().all(|page| page.bytes[len..].iter().all(|byte| *byte == 0)), "{len}");
        assert!(blank.iter().all(|page| page.bytes.iter().all(|byte| *byte == 0)));
    }
}

#[test]
fn hc_165_a_packet_that_is_refused_is_not_left_in_a_page() {
    let mut rig = Rig::new(3, OFFLOADS, Offer { gso_tcpv4: false, ..Offer::DEFAULT });
    let cut = |size| Order { checksum: Made::No, gso: Some(Gso { kind: GsoKind::TcpV4, size }) };
    let mut segments = tcp(1000, 1);
    segments.splice(54.., SECRET.iter().cycle().take(1000).copied());
    for (packet, order) in [
        (secret(13), Order::PLAIN),
        (secret(1519), Order::PLAIN),
        (secret(70_000), Order::PLAIN),
        (segments, cut(500)),
        (secret(1000), cut(500)),
        (secret(1000), cut(0)),
    ] {
        assert!(rig.send_as(&packet, order), "it is taken");
        rig.machine.assert_hidden_from(&rig.domain, SECRET);
        rig.pass(MS);
        rig.machine.assert_hidden_from(&rig.domain, SECRET);
    }
    assert_eq!(rig.front.statistics().sent.refused, 6);
}

/// What was one backend's is not shown to the next one.
#[test]
fn hc_165_hc_169_pages_of_one_connection_are_blank_in_the_next() {
    for round in 0..3 {
        let mut rig = Rig::new(4 + round, Options::DEFAULT, Offer::DEFAULT);
        for len in [60, 256, 1514] {
            (0..200).for_each(|_| {
                assert!(rig.sends(&secret(len)).data == secret(len));
                assert!(rig.receives(Packet::new(secret(len))).0 == secret(len));
            });
        }
        let seen = pages(&rig).iter().any(|page| page.find(SECRET).is_some());
        assert!(seen, "the one that it was sent to has it");
        match round {
            0 => rig.replace_backend(Offer::DEFAULT),
            1 => rig.control().restart(Restart::Orderly),
            _ => rig.control().restart(Restart::Abrupt),
        }
        if round == 0 {
            rig.reattach();
        }
        rig.pass(MS * 20);
        rig.connected(2, SECOND * 2);
        rig.machine.assert_hidden_from(&rig.domain, SECRET);
        rig.assert_works();
        rig.machine.assert_hidden_from(&rig.domain, SECRET);
    }
}

/// What a backend has written itself stands in its pages, and nothing of the owner's.
#[test]
fn hc_169_pages_to_receive_into_hold_what_the_backend_wrote() {
    let mut rig = Rig::with_mtu(8, Options::DEFAULT, Offer { offset: 0..100, ..Offer::DEFAULT }, 9000);
    for round in 0..100 {
        let packet = Packet::new(vec![0xaa; 60 + round * 80]);
        assert_eq!(rig.receives(packet).0, vec![0xaa; 60 + round * 80]);
        rig.sends(&secret(1000));
    }
    for page in data(&rig, Access::ReadWrite) {
        assert!(page.bytes.iter().all(|byte| [0, 0xaa].contains(byte)), "{:?}", page.gref);
    }
}

#[test]
fn hc_167_hc_170_requests_have_no_stray_bytes_and_small_numbers() {
    let mut rig = Rig::with_mtu(9, OFFLOADS, Offer::DEFAULT, 9000);
    rig.control().on(Which::Transmit, When::Always, Fault::Hang);
    let large = Order { checksum: Made::No, gso: Some(Gso { kind: GsoKind::TcpV4, size: 1448 }) };
    assert!(rig.send(&packet(100, 1)) && rig.send(&packet(9000, 2)) && rig.send_as(&tcp(5000, 3), large));
    rig.pass(MS * 10);
    let page = ring(&rig, "tx-ring-ref");
    let slots: Vec<_> = page.bytes[64..].chunks_exact(size_of::<TxRequest>()).collect();
    let slot = |place: usize| TxRequest::read_from_bytes(slots[place]).unwrap();
    let own: BTreeSet<_> = data(&rig, Access::ReadOnly).iter().map(|page| page.gref).collect();
    // One, three, and two with what is said of them between.
    let sizes = [100, 9000, 4096, 808, 5054, 0, 958];
    let more = TxFlags::MORE_DATA;
    let blank = TxFlags::CSUM_BLANK | TxFlags::DATA_VALIDATED;
    let flags = [TxFlags::empty(), more, more, TxFlags::empty(), blank | more | TxFlags::EXTRA_INFO];
    for (place, id) in [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (6, 5)] {
        let slot = slot(place);
        assert_eq!((slot.id, slot.offset, slot.size), (id, 0, sizes[place]), "{place}");
        assert_eq!(slot.flags, flags.get(place).copied().unwrap_or_default(), "{place}");
        assert!(own.contains(&slot.gref) && slot.gref.0 > 7 && slot.gref.0 < 1 << 15);
    }
    let (extra, rest) = ExtraGso::read_from_prefix(slots[5]).unwrap();
    assert_eq!((extra.kind, extra.size, extra.gso_type), (ExtraType::GSO, 1448, GsoType::TCPV4));
    assert_eq!((extra._pad, extra.features, rest), (0, 0, [0; 4].as_slice()));
    assert!(slots[7..].iter().all(|slot| slot.iter().all(|byte| *byte == 0)), "no more than was asked");
    let page = ring(&rig, "rx-ring-ref");
    for (place, slot) in page.bytes[64..].chunks_exact(size_of::<RxRequest>()).take(128).enumerate() {
        let slot = RxRequest::read_from_bytes(slot).unwrap();
        assert_eq!((usize::from(slot.id), slot._pad), (place, 0));
        assert!(slot.gref.0 > 7 && slot.gref.0 < 1 << 15);
    }
}

#[test]
fn hc_168_what_is_sent_cannot_be_written() {
    let options = Options { transmit_pages: 40, receive_pages: 50, ..Options::DEFAULT };
    for queues in [1, 3] {
        let mut rig = Rig::new(10, Options { queues, ..options }, Offer::DEFAULT);
        let count = |rig: &Rig, access| pages(rig).iter().filter(|page| page.access == access).count();
        for _ in 0..3 {
            let queues = queues as usize;
            assert_eq!(count(&rig, Access::ReadOnly), 40 * queues);
            assert_eq!(count(&rig, Access::ReadWrite), (50 + 2) * queues);
            rig.assert_works();
        }
    }
}
