//! What `docs/simulator.md` shows of xenstored.

use std::time::Duration;

use xen_hypercall::abi::DomId;
use xen_hypercall::abi::io::xs_wire::MessageType;
use xen_sim::{Device, Machine, Message, Reaction, Requests, When, Word};

use crate::common;
use crate::common::wire::Client;

#[test]
fn a_guest_with_a_device() {
    let machine = Machine::new(1);
    let guest = machine.domain();
    let xenstore = machine.xenstore();
    xenstore.introduce(&guest);

    let vif = Device::new("vif", 0, guest.id(), DomId(0)).front_key("mac", "00:16:3e:00:00:01");
    xenstore.plug(&vif);
    xenstore.serve(&vif);

    let (page, port) = guest.store().expect("introduced");
    assert_eq!(page.len(), 4096);
    assert!(guest.open_ports().contains(&port));

    let mut client = Client::new(&guest);
    assert!(client.read("device/vif/0/mac").is_ok());
}

#[test]
fn a_daemon_that_misbehaves() {
    let (machine, mut client) = common::wire::guest(2);
    let (xenstore, guest) = (machine.xenstore(), client.domain.clone());
    xenstore.script(Requests::of(MessageType::TRANSACTION_END), When::Always, Reaction::refuse("EAGAIN"));
    xenstore.script(Requests::of(MessageType::READ), When::Nth(3), Reaction::Ignore);
    let reaction = Reaction::alter(|_, answer| Message { req_id: 0, ..answer }.to_bytes());
    xenstore.script(Requests::of(MessageType::DIRECTORY), When::PerMille(100), reaction);
    xenstore.flood(&guest, "/local/domain/0", b"no token of yours", 1000);
    xenstore.poke(&guest, Word::Error, 77);

    assert!(client.receive_within(Duration::from_secs(1)).is_some());
}
