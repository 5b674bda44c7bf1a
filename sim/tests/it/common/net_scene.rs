//! A front that sees what a hostile backend does.

pub(crate) use crate::net;

use xen_grant_table::Grant;
use xen_hypercall::abi::io::netif::{
    ExtraFlags, ExtraGso, ExtraInfo, ExtraType, GsoType, RxResponse, Status, TxFlags, TxResponse,
};
use xen_hypercall::abi::io::xenbus::State;
use xen_sim::netback::{Fault, Gso, Misdeed, Options, Packet, Which};
use xen_sim::{Domain, When};

use net::{Front, Rig, Shape, Taken, bytes};

pub(crate) struct Scene {
    pub(crate) rig: Rig,
    pub(crate) front: Front,
    /// Buffers that were taken.
    pub(crate) pages: Vec<Grant<Domain>>,
}

pub(crate) fn scene(seed: u64) -> Scene {
    let mut rig = Rig::new(seed, Options::DEFAULT);
    let front = rig.connect(&Shape::PLAIN);
    Scene { rig, front, pages: Vec::new() }
}

pub(crate) const GSO: Gso = Gso { kind: GsoType::TCPV4, size: 1448 };

pub(crate) const fn extra(kind: u8, flags: ExtraFlags) -> ExtraInfo {
    ExtraInfo { kind: ExtraType(kind), flags, data: [1; 6] }
}

impl Scene {
    /// Transmits a packet of three slots and one extra, and what is answered; and whether the ring is broken.
    pub(crate) fn transmit(&mut self, misdeed: Misdeed) -> (Vec<u16>, Vec<TxResponse>, bool) {
        let gso = ExtraGso { kind: ExtraType::GSO, size: GSO.size, gso_type: GSO.kind, ..ExtraGso::default() };
        let extra: ExtraInfo = zerocopy::transmute!(gso);
        self.rig.back.control().on(Which::Transmit, When::Nth(1), Fault::Misdeed(misdeed));
        let packet = net::tcp(300, 1);
        let ids = self.front.send_as(0, &packet, &[100; 3], TxFlags::CSUM_BLANK, &[extra]);
        self.rig.settle();
        self.rig.back.control().clear();
        let answers = self.front.answers(0);
        assert!(self.rig.back.port().receive().is_some(), "the packet goes out whatever is answered");
        (ids, answers, self.front.queues[0].tx.violation().is_some())
    }

    /// Receives a packet, badly.
    pub(crate) fn receive(&mut self, misdeed: Misdeed, packet: Packet) -> Vec<Taken> {
        self.rig.back.control().on(Which::Receive, When::Nth(1), Fault::Misdeed(misdeed));
        self.rig.back.push_packet(packet);
        self.rig.settle();
        self.rig.back.control().clear();
        self.front.taken(0)
    }

    /// Receives a packet of one slot, badly: the answers, as they are in the ring.
    pub(crate) fn answers(&mut self, misdeed: Misdeed) -> Vec<RxResponse> {
        let taken = self.receive(misdeed, Packet::new(bytes(100, 1)));
        taken
            .into_iter()
            .map(|taken| {
                self.pages.push(taken.page);
                taken.response
            })
            .collect()
    }

    pub(crate) fn broken(&self) -> bool {
        self.front.queues[0].rx.violation().is_some()
    }

    /// All is given back in the end, whatever happened.
    pub(crate) fn end(mut self) {
        self.rig.set_state(State::CLOSING);
        self.rig.set_state(State::CLOSED);
        self.pages.into_iter().for_each(|page| drop(page.revoke().expect("unmapped at the end")));
        self.front.end();
    }
}

/// What an honest answer to a packet of so many bytes says.
pub(crate) fn honest(len: i16) -> RxResponse {
    RxResponse { status: Status(len), ..RxResponse::default() }
}
