//! A backend that does at random what it should not, in all layouts: what must hold whatever it does.
//!
//! No panic and no violation of Xen's rules; at no look the backend can read anything but packets and zeros in what is shown to it;
//! when it is honest again packets go both ways, and when the interface is closed nothing is left behind. `DOMU_SEEDS` makes it
//! longer, and `DOMU_SEED` other.

use xen_netfront::{Channels, Checksums, HashTypes, Made, Offer as Yes, Options, Order, Steering};
use xen_sim::netback::{Form, NetOracle, Options as Offer, Restart, Way};
use xen_sim::{Access, When};

use crate::common::{MAC, Rig, SECOND, seeds};
use crate::perils::{Chance, MS, Traffic};

const PEER: [u8; 6] = [2, 0, 0, 0, 0, 9];

const fn options(chance: &mut Chance) -> Options {
    Options {
        queues: 1 + chance.below(3) as u32,
        channels: if chance.toss() { Channels::Split } else { Channels::One },
        checksums: if chance.toss() { Checksums::Offload } else { Checksums::Stack },
        segmentation: Yes::Yes,
        control_ring: Yes::Yes,
        transmit_pages: 18 + chance.below(40) as u32,
        receive_pages: 32 + chance.below(40) as u32,
        first_index: u32::MAX - chance.below(40) as u32,
        ..Options::DEFAULT
    }
}

fn send(rig: &mut Rig, oracle: &mut NetOracle, chance: &mut Chance) {
    // The oracle knows checksums as they are made by those who take them blank.
    let takes_blank = rig.front.link().is_some_and(|link| link.sends_blank() == (true, true));
    let forms = [Form::Plain, Form::Ipv4(80), Form::Ipv6(80)];
    let form = forms[chance.below(if takes_blank { 3 } else { 1 }) as usize];
    let len = 100 + chance.below(1400) as usize;
    let packet = oracle.packet(Way::Out, form, len);
    let checksum = if form == Form::Plain { Made::Yes } else { Made::No };
    if !rig.send_as(&packet.data, Order { checksum, gso: None }) {
        oracle.withdraw(&packet);
    }
    rig.port.send(oracle.packet(Way::In, form, len));
}

/// With a key and a mapping that are nothing but zeros, which are all that it may read beside packets.
fn steer(rig: &mut Rig, chance: &mut Chance) {
    let types = HashTypes::from_bits_retain(chance.below(16) as u32);
    let (key, mapping) = (vec![0; chance.below(41) as usize], vec![0; chance.below(200) as usize]);
    rig.front.steer(Steering { types, key, mapping }).expect("there is no more of it than can be told");
}

/// What it may only read holds nothing but what was sent.
#[track_caller]
fn look(rig: &Rig, oracle: &NetOracle) {
    let mut pages = rig.machine.readable_by(&rig.domain);
    pages.retain(|page| page.access == Access::ReadOnly);
    if let Err(findings) = oracle.check_pages(&pages) {
        panic!("{} of {} pages: {}", findings.len(), pages.len(), findings[0]);
    }
}

#[test]
fn whatever_a_backend_does_nothing_leaks_and_nothing_is_left_behind() {
    for seed in seeds(2) {
        let mut chance = Chance::new(seed);
        let options = options(&mut chance);
        let (mut rig, mut oracle) = (Rig::new(seed, options, Offer::DEFAULT), NetOracle::new(MAC, PEER));
        for round in 0..40 {
            rig.control().misbehave(When::PerMille([20, 100, 400][chance.below(3) as usize]));
            if chance.below(4) == 0 {
                steer(&mut rig, &mut chance);
            }
            (0..1 + chance.below(8)).for_each(|_| send(&mut rig, &mut oracle, &mut chance));
            rig.pass(MS * chance.below(4) as u32);
            look(&rig, &oracle);
            if round % 10 == 9 {
                rig.control().restart(if chance.toss() { Restart::Abrupt } else { Restart::Orderly });
            }
            if rig.front.link().is_none() {
                rig.pass(SECOND / 10);
            }
        }
        rig.control().clear();
        rig.control().restart(Restart::Abrupt);
        rig.pass(MS * 10);
        assert!(rig.until(SECOND * 20, |rig| rig.front.link().is_some()), "seed {seed}: {:?}", rig.events.last());
        let _ = (rig.sent(), std::mem::take(&mut rig.received));
        Traffic::default().flows(&mut rig);
        rig.close();
        rig.control().let_go();
        rig.assert_given_back();
    }
}
