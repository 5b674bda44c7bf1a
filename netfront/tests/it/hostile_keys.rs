//! What a backend and the tools write to xenstore: cases 109 to 111, 119, 121 and 124 to 126 of the catalogue.

use xen_netfront::{Channels, Checksums, Event, Link, Offer as Yes, Options};
use xen_sim::netback::{Carrier, Options as Offer, Restart};
use xen_xenbus::bus::Problem;

use crate::common;
use crate::common::{MAC, Rig, SECOND, SMALL};
use crate::drivers::MALFORMED;
use crate::perils::Traffic;

const ALL: Options =
    Options { queues: 16, checksums: Checksums::Offload, segmentation: Yes::Yes, control_ring: Yes::Yes, ..SMALL };

/// All that a backend says of what it can do.
const FEATURES: [&str; 8] = [
    "feature-sg",
    "feature-gso-tcpv4",
    "feature-gso-tcpv6",
    "feature-no-csum-offload",
    "feature-ipv6-csum-offload",
    "feature-split-event-channels",
    "feature-ctrl-ring",
    "multi-queue-max-queues",
];

/// The backend writes these keys, and the tools those; what comes of it.
fn with(options: Options, back: &[(&str, &[u8])], front: &[(&str, &[u8])]) -> Rig {
    let mut rig = Rig::plugged(1, options, Offer::DEFAULT, |device| device);
    back.iter().for_each(|(key, value)| rig.control().set_key(key, value));
    let path = rig.device.front_path();
    front.iter().for_each(|(key, value)| rig.machine.xenstore().write(&format!("{path}/{key}"), value));
    let _ = rig.until(SECOND * 20, |rig| !rig.events.is_empty());
    rig
}

#[track_caller]
fn accepted(options: Options, back: &[(&str, &[u8])], front: &[(&str, &[u8])]) -> Link {
    let mut rig = with(options, back, front);
    let link = *rig.front.link().unwrap_or_else(|| panic!("{:?}", rig.events));
    rig.assert_works();
    link
}

/// It is not connected, and says why. When the keys are others and the backend starts again, it is.
#[track_caller]
fn refused(back: &[(&str, &[u8])], front: &[(&str, &[u8])], why: &str) {
    let mut rig = with(SMALL, back, front);
    rig.pass(SECOND * 2);
    assert!(rig.front.link().is_none() && rig.front.last_known().is_none(), "{back:?} {front:?}");
    let [Event::Trouble(error)] = rig.events.as_slice() else { panic!("{back:?} {front:?}: {:?}", rig.events) };
    assert!(matches!(&error.problem, Problem::Refused(reason) if reason.contains(why)), "{error}");
    rig.control().honest_keys();
    rig.machine.xenstore().write(&format!("{}/mac", rig.device.front_path()), "00:16:3e:00:00:01");
    rig.control().restart(Restart::Orderly);
    rig.connected(1, SECOND * 20);
    Traffic::default().flows(&mut rig);
    rig.close();
    rig.assert_given_back();
}

#[test]
fn hc_109_each_key_has_its_default() {
    let mut rig = Rig::plugged(1, ALL, Offer::BARE, |device| device);
    FEATURES.iter().for_each(|key| rig.control().remove_key(key));
    rig.connect();
    let link = *rig.front.link().unwrap();
    assert_eq!((link.mac(), link.mtu(), link.queues(), link.channels()), (MAC, 1500, 1, Channels::One));
    assert_eq!(link.carrier(), xen_netfront::Carrier::Up);
    assert!(!link.sends_scattered());
    assert_eq!((link.sends_blank(), link.sends_segments()), ((true, false), (false, false)), "as netif.h has it");
    rig.assert_works();
}

#[test]
fn hc_109_110_111_a_backend_that_does_not_copy_is_refused() {
    refused(&[("feature-rx-copy", b"0")], &[], "feature-rx-copy");
    for value in MALFORMED {
        refused(&[("feature-rx-copy", value)], &[], "feature-rx-copy");
    }
}

#[test]
fn hc_110_111_a_feature_whose_key_is_malformed_is_not_offered() {
    for value in MALFORMED {
        let link = accepted(ALL, &FEATURES.map(|key| (key, value)), &[]);
        assert_eq!((link.queues(), link.channels(), link.mtu()), (1, Channels::One, 1500), "{value:?}");
        assert!(!link.sends_scattered() && !link.steers());
        assert_eq!((link.sends_blank(), link.sends_segments()), ((false, false), (false, false)), "{value:?}");
        // Of a link that nothing sensible is said of it is up.
        assert_eq!(accepted(ALL, &[("carrier", value)], &[]).carrier(), xen_netfront::Carrier::Up);
    }
}

#[test]
fn hc_119_queues_are_cut_to_what_we_want() {
    for (offered, wanted, queues) in [
        ("0", 4, 1),
        ("1", 4, 1),
        ("3", 4, 3),
        ("4", 0, 1),
        ("4", 2, 2),
        ("4", 4, 4),
        ("4", u32::MAX, 4),
        ("4294967295", 4, 4),
        ("4294967296", 4, 1),
    ] {
        let options = Options { queues: wanted, ..SMALL };
        let link = accepted(options, &[("multi-queue-max-queues", offered.as_bytes())], &[]);
        assert_eq!(link.queues(), queues, "{offered} {wanted}");
    }
    let mut rig =
        Rig::plugged(1, Options { queues: u32::MAX, ..SMALL }, Offer { queues: 99, ..Offer::DEFAULT }, |device| device);
    rig.control().set_key("multi-queue-max-queues", "4294967295");
    rig.connect();
    assert_eq!(rig.front.link().unwrap().queues(), 16);
}

/// All that may differ from one connection to the next, one by one, back and forth.
#[test]
fn hc_121_features_are_agreed_upon_anew_at_each_connection() {
    let all = Offer { carrier: Some(Carrier::Up), ..Offer::DEFAULT };
    let offers = [
        Offer::BARE,
        Offer { sg: false, ..all.clone() },
        Offer { csum: false, ..all.clone() },
        Offer { ipv6_csum: false, ..all.clone() },
        Offer { gso_tcpv4: false, ..all.clone() },
        Offer { gso_tcpv6: false, ..all.clone() },
        Offer { ctrl_ring: false, ..all.clone() },
        Offer { queues: 2, split_event_channels: false, ..all.clone() },
        Offer { carrier: Some(Carrier::Down), ..all.clone() },
    ];
    let mut rig = Rig::new(1, ALL, all.clone());
    let (mut traffic, mut round) = (Traffic::default(), 1);
    for other in offers {
        for offer in [other, all.clone()] {
            rig.control().offer(offer.clone());
            rig.control().restart(Restart::Orderly);
            round += 1;
            rig.connected(round, SECOND * 20);
            let link = *rig.front.link().unwrap();
            let channels = if offer.split_event_channels { Channels::Split } else { Channels::One };
            assert_eq!((link.queues(), link.channels()), (offer.queues, channels));
            assert_eq!((link.sends_scattered(), link.steers()), (offer.sg, offer.ctrl_ring));
            let (v4, v6) = (offer.csum, offer.ipv6_csum);
            assert_eq!(link.sends_blank(), (v4, v6));
            let segments = (v4 && offer.sg && offer.gso_tcpv4, v6 && offer.sg && offer.gso_tcpv6);
            assert_eq!(link.sends_segments(), segments);
            let is_up = offer.carrier != Some(Carrier::Down);
            assert_eq!(link.carrier() == xen_netfront::Carrier::Up, is_up);
            if is_up {
                traffic.flows(&mut rig);
            }
        }
    }
    let back = rig.back().statistics();
    assert_eq!((back.unagreed, back.refused, back.fatal), (0, 0, 0), "it was given nothing that it does not take");
}

#[test]
fn hc_124_what_is_no_address_of_a_station_is_refused() {
    let malformed: [&[u8]; 12] = [
        b"",
        b"00:16:3e:00:00",
        b"00:16:3e:00:00:01:02",
        b"zz:16:3e:00:00:01",
        b"00-16-3e-00-00-01",
        b"0:16:3e:00:00:01",
        b"00:16:3e:00:00:001",
        b"00:16:3e:00:00:01 ",
        b"01:16:3e:00:00:01",
        b"ff:ff:ff:ff:ff:ff",
        b"00:00:00:00:00:00",
        b"\xff\xfe",
    ];
    for mac in malformed {
        refused(&[], &[("mac", mac)], "mac");
    }
    for (text, mac) in
        [("00:16:3e:00:00:7f", [0, 0x16, 0x3e, 0, 0, 0x7f]), ("02:AB:cd:Ef:00:01", [2, 0xab, 0xcd, 0xef, 0, 1])]
    {
        assert_eq!(accepted(SMALL, &[], &[("mac", text.as_bytes())]).mac(), mac);
    }
}

#[test]
fn hc_125_an_mtu_that_makes_no_sense_is_one_that_does() {
    let cases: [(&[u8], u16); 14] = [
        (b"0", 68),
        (b"67", 68),
        (b"68", 68),
        (b"1280", 1280),
        (b"1500", 1500),
        (b"9000", 9000),
        (b"65517", 65517),
        (b"65518", 65517),
        (b"65536", 65517),
        (b"4294967295", 65517),
        (b"4294967296", 1500),
        (b"-1", 1500),
        (b"", 1500),
        (b"1500x", 1500),
    ];
    for (text, mtu) in cases {
        let link = accepted(SMALL, &[], &[("mtu", text)]);
        assert_eq!(link.mtu(), mtu, "{:?}", text.escape_ascii().to_string());
        // Longer ones take scatter-gather.
        let link = accepted(SMALL, &[("feature-sg", b"0")], &[("mtu", text)]);
        assert_eq!(link.mtu(), mtu.min(1500));
    }
}

#[test]
fn hc_125_the_largest_packets_go_both_ways() {
    for mtu in [68, 65517] {
        let mut rig = Rig::with_mtu(1, SMALL, Offer::DEFAULT, mtu);
        let largest = common::packet(mtu as usize + 18, 1);
        assert!(rig.sends(&largest).data == largest);
        assert!(rig.receives(xen_sim::netback::Packet::new(largest.clone())).0 == largest);
        let room = rig.front.transmit().expect("there is some");
        assert_eq!(room.capacity(), largest.len());
    }
}

#[test]
fn hc_126_keys_that_change_while_it_connects_change_nothing() {
    let mut rig =
        Rig::plugged(1, Options { queues: 2, ..ALL }, Offer::DEFAULT, |device| device.front_key("mtu", "9000"));
    let state = format!("{}/state", rig.device.front_path());
    let offered = |rig: &Rig| rig.machine.xenstore().read_text(&state).as_deref() == Some("4");
    assert!(rig.until(SECOND, offered), "{:?}", rig.events);
    // After our offer, and before the backend agrees.
    FEATURES.iter().for_each(|key| rig.control().set_key(key, "0"));
    rig.control().set_key("feature-rx-copy", "0");
    rig.machine.xenstore().write(&format!("{}/mtu", rig.device.front_path()), "100");
    rig.connect();
    let link = *rig.front.link().unwrap();
    assert_eq!((link.mtu(), link.queues(), link.channels()), (9000, 2, Channels::Split));
    assert_eq!((link.sends_scattered(), link.sends_segments()), (true, (true, true)));
    // Nor do they when it is connected.
    FEATURES.iter().for_each(|key| rig.control().set_key(key, "x"));
    rig.machine.xenstore().write(&format!("{}/mac", rig.device.front_path()), "zz");
    rig.pass(SECOND / 10);
    assert_eq!(rig.front.link(), Some(&link));
    Traffic::default().flows(&mut rig);
}
