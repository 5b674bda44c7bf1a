//! Two guests that reach each other through a switch.

use xen_netfront::{Checksum, Checksums, Event, Gso, GsoKind, Made, Netfront, Offer as Yes, Options, Order};
use xen_sim::netback::{Netback, Options as Offer, Switch};
use xen_sim::{Domain, Machine};
use xen_xenbus::Store;
use xen_xenbus::bus::Enumerator;

use crate::common::{SECOND, kernel, tcp, vif};
use crate::drivers::look;

const OFFLOADS: Options = Options { checksums: Checksums::Offload, segmentation: Yes::Yes, ..Options::DEFAULT };

/// A guest with an interface.
struct Guest {
    store: Store<Domain>,
    back: Netback,
    front: Netfront<Domain>,
    received: Vec<(Vec<u8>, xen_netfront::Meta)>,
}

/// A network of guests. Their backends are in one domain.
struct Network {
    machine: Machine,
    switch: Switch,
    guests: Vec<Guest>,
}

impl Network {
    fn new(seed: u64, guests: &[(Options, Offer)]) -> Self {
        let machine = Machine::new(seed);
        let (domain, switch) = (machine.domain(), Switch::new());
        let guests = guests.iter().zip(0..).map(|((options, offer), number)| {
            let (guest, store) = kernel(&machine);
            let device = vif(number, &guest, &domain);
            machine.xenstore().plug(&device);
            let back = Netback::new(&machine, &domain, &device, offer.clone());
            switch.plug(back.port());
            let found = look(&mut Enumerator::new(), &store).expect("the device is there");
            let front = Netfront::open(&store, found, *options).expect("xenstore answers");
            Guest { store, back, front, received: Vec::new() }
        });
        let guests = guests.collect();
        let mut network = Self { machine, switch, guests };
        network.until("connected", |network| network.guests.iter().all(|guest| guest.front.link().is_some()));
        network
    }

    /// Everybody does what they can.
    fn turn(&mut self) {
        for Guest { store, back, front, received } in &mut self.guests {
            let _ = back.step();
            while let Some(event) = front.poll(store.now()) {
                assert_eq!(event, Event::Connected);
            }
            while let Some(packet) = front.receive() {
                let meta = packet.meta();
                received.push((packet.consume(<[u8]>::to_vec), meta));
            }
            front.flush_notifications();
            let _ = front.prepare_to_wait(store.now());
        }
        self.machine.advance(std::time::Duration::from_micros(100));
    }

    #[track_caller]
    fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let end = self.machine.now() + SECOND * 20;
        while !done(self) {
            let told = || self.guests.iter().map(|guest| guest.front.statistics()).collect::<Vec<_>>();
            assert!(self.machine.now() < end, "not {what}: {:?}", told());
            self.turn();
        }
    }

    fn mac(&self, guest: usize) -> [u8; 6] {
        self.guests[guest].front.link().expect("it is connected").mac()
    }

    /// A packet of TCP from one guest to another.
    fn packet(&self, from: usize, to: usize, payload: usize, seed: usize) -> Vec<u8> {
        let mut packet = tcp(payload, seed);
        packet[..6].copy_from_slice(&self.mac(to));
        packet[6..12].copy_from_slice(&self.mac(from));
        packet
    }

    fn send(&mut self, from: usize, packet: &[u8], order: Order) -> bool {
        let front = &mut self.guests[from].front;
        let room = if order.gso.is_some() { front.transmit_to_cut() } else { front.transmit() };
        let Some(room) = room else { return false };
        room.consume_as(packet.len(), order, |into| into.copy_from_slice(packet));
        true
    }
}

#[test]
fn two_guests_exchange_packets_in_order_and_none_is_lost() {
    let options = [
        (Options::DEFAULT, Offer { backlog: 1000, ..Offer::DEFAULT }),
        (Options { queues: 2, ..OFFLOADS }, Offer { backlog: 1000, queues: 2, ..Offer::DEFAULT }),
    ];
    let mut network = Network::new(1, &options);
    let mut sent = [0, 0];
    while sent != [500, 500] {
        for from in [0, 1] {
            while sent[from] < 500 && network.guests[1 - from].back.backlog() < 500 {
                let packet = network.packet(from, 1 - from, sent[from] % 1400, sent[from]);
                if !network.send(from, &packet, Order::PLAIN) {
                    break;
                }
                sent[from] += 1;
            }
        }
        network.turn();
    }
    network.until("received", |network| network.guests.iter().all(|guest| guest.received.len() == 500));
    for to in [0, 1] {
        let expected: Vec<_> = (0..500).map(|number| network.packet(1 - to, to, number % 1400, number)).collect();
        let received = network.guests[to].received.iter().map(|(data, _)| data);
        assert!(received.eq(&expected), "of one flow, in order");
    }
    // Where the second guest was, nobody knew before it had sent something.
    let (known, flooded) = network.switch.counts();
    assert!(known + flooded == 1000 && flooded < 500, "{known} {flooded}");
}

/// What one guest leaves to others, the other one can take, or the backend makes it.
#[test]
fn what_a_guest_leaves_blank_or_uncut_comes_as_the_other_one_takes_it() {
    let plain = Options { scatter_gather: Yes::No, ..Options::DEFAULT };
    let guests = [OFFLOADS, OFFLOADS, Options::DEFAULT, plain].map(|options| (options, Offer::DEFAULT));
    let mut network = Network::new(2, &guests);
    let order = Order { checksum: Made::No, gso: Some(Gso { kind: GsoKind::TcpV4, size: 1000 }) };
    for to in 1..4 {
        let whole = network.packet(0, to, 10_000, to);
        // Its address is known from then on.
        let hello = network.packet(to, 0, 10, 1);
        assert!(network.send(to, &hello, Order::PLAIN));
        network.until("known", |network| network.guests[0].received.len() == to);
        // What came before went to nobody in particular.
        network.guests[to].received.clear();
        assert!(network.send(0, &whole, order));
        let pieces = if to == 1 { 1 } else { 10 };
        network.until("received", |network| network.guests[to].received.len() == pieces);
        let received = &network.guests[to].received;
        let payload: Vec<u8> = received.iter().flat_map(|(data, _)| data[54..].iter().copied()).collect();
        assert!(payload == whole[54..], "guest {to}");
        for (data, meta) in received {
            let transport = xen_netfront::Transport::find(data).expect("it is TCP");
            if to == 1 {
                assert_eq!((meta.checksum, meta.gso), (Checksum::Blank, order.gso));
            } else {
                assert!(transport.is_right(data) && meta.gso.is_none(), "guest {to}");
            }
        }
    }
    // A packet to nobody in particular goes to all but the sender.
    let before: Vec<_> = network.guests.iter().map(|guest| guest.received.len()).collect();
    let all = xen_netfront::announcement(network.mac(2), [10, 0, 0, 2]);
    assert!(network.send(2, &all, Order::PLAIN));
    network.until("flooded", |network| {
        [0, 1, 3].iter().all(|guest| network.guests[*guest].received.len() > before[*guest])
    });
    assert_eq!(network.guests[2].received.len(), before[2]);
    assert!([0, 1, 3].iter().all(|guest| network.guests[*guest].received.last().is_some_and(|(data, _)| *data == all)));
}
