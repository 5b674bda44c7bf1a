//! What the toolstack does in xenstore, and what becomes of it at a domain's end and at its migration.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use xen_hypercall::abi::io::xenbus::State;
use xen_hypercall::abi::{DomId, Mfn};
use xen_hypercall::sched;
use xen_sim::{Availability, Device, Machine, Permission, Right};

use crate::common::wire::{Client, guest};

const SECOND: Duration = Duration::from_secs(1);

fn vif(front: &Client) -> Device {
    Device::new("vif", 0, front.domain.id(), DomId(0))
        .front_key("mac", "00:16:3e:00:00:01")
        .back_key("bridge", "xenbr0")
}

fn suspend(client: &Client) {
    client.domain.migrate_on_suspend();
    // SAFETY: nothing else uses what the suspend takes away.
    let answer = unsafe { sched::suspend(&client.domain, Mfn(0)) };
    assert_eq!(answer, Ok(sched::Suspended::Resumed));
    xen_event_channel::resume(&client.domain, xen_event_channel::Preference::TwoLevel).unwrap();
}

#[test]
fn a_domain_finds_its_home_furnished() {
    let machine = Machine::new(1);
    let domain = machine.domain_builder().vcpus(NonZeroUsize::new(2).unwrap()).build();
    machine.xenstore().introduce(&domain);
    let mut client = Client::new(&domain);
    let mut text = |path: &str| String::from_utf8(client.read(path).unwrap()).unwrap();
    assert_eq!(text("name"), "guest-1");
    assert_eq!(text("memory/target"), (256 * 4).to_string());
    assert_eq!([text("cpu/0/availability"), text("cpu/1/availability")], ["online", "online"]);
    assert_eq!(text("store/port"), domain.store().unwrap().1.0.to_string());
    let vm = text("vm");
    assert_eq!(text(&format!("{vm}/name")), "guest-1");
    let list = machine.xenstore().permissions("/local/domain/1/control/shutdown");
    assert_eq!(list, Some(vec![Permission::new(domain.id(), Right::None)]));
}

#[test]
fn the_toolstack_asks_for_things() {
    let (machine, mut client) = guest(2);
    let store = machine.xenstore();
    client.watch("control/shutdown", "s").unwrap();
    client.event().unwrap();
    store.shut_down(&client.domain, "suspend");
    assert_eq!(client.event().unwrap().1, "s");
    assert_eq!(client.read("control/shutdown").as_deref(), Ok(&b"suspend"[..]));
    store.set_memory_target(&client.domain, 512);
    assert_eq!(client.read("memory/target").as_deref(), Ok(&b"512"[..]));
    store.set_vcpu(&client.domain, 0, Availability::Offline);
    assert_eq!(client.read("cpu/0/availability").as_deref(), Ok(&b"offline"[..]));
}

#[test]
fn a_device_comes_and_goes() {
    let (machine, mut client) = guest(3);
    let (store, device) = (machine.xenstore(), vif(&client));
    client.watch("device", "d").unwrap();
    store.plug(&device);
    store.serve(&device);
    assert_eq!(client.read("device/vif/0/mac").as_deref(), Ok(&b"00:16:3e:00:00:01"[..]));
    let back = String::from_utf8(client.read("device/vif/0/backend").unwrap()).unwrap();
    assert_eq!(back, device.back_path());
    assert_eq!(client.read(&format!("{back}/bridge")).as_deref(), Ok(&b"xenbr0"[..]));
    assert_eq!(client.write(&format!("{back}/state"), "6"), Err("EACCES".into()), "the back's are the back's");

    let domain = client.domain.clone();
    let go = |client: &mut Client, front: State, back: State| {
        client.write("device/vif/0/state", &front.0.to_string()).unwrap();
        let path = format!("{}/state", device.back_path());
        assert!(store.wait_for(&domain, &path, &back.0.to_string(), SECOND), "{front:?}");
    };
    go(&mut client, State::INITIALISING, State::INIT_WAIT);
    go(&mut client, State::INITIALISED, State::CONNECTED);
    go(&mut client, State::CONNECTED, State::CONNECTED);
    store.unplug(&device);
    assert_eq!(client.read(&format!("{back}/state")).as_deref(), Ok(&b"5"[..]));
    go(&mut client, State::CLOSING, State::CLOSING);
    client.write("device/vif/0/state", &State::CLOSED.0.to_string()).unwrap();
    let gone = (0..100).any(|_| {
        let _ = domain.now();
        store.list(&device.back_path()).is_none()
    });
    assert!(gone && store.list(&device.front_path()).is_none());
    assert!(!store.wait_for(&domain, &device.front_path(), "", SECOND));
}

#[test]
fn a_device_is_removed_by_force() {
    let (machine, mut client) = guest(4);
    let (store, device) = (machine.xenstore(), vif(&client));
    store.plug(&device);
    client.watch("device/vif/0/backend", "b").unwrap();
    client.watch(&device.back_path(), "s").unwrap();
    assert_eq!([client.event().unwrap().1, client.event().unwrap().1], ["b", "s"]);
    store.remove_device(&device);
    let mut tokens = [client.event().unwrap().1, client.event().unwrap().1];
    tokens.sort();
    assert_eq!(tokens, ["b", "s"]);
    assert_eq!(client.read("device/vif/0/state"), Err("ENOENT".into()));
}

#[test]
fn a_program_of_domain_0_answers_to_changes() {
    let (machine, mut client) = guest(5);
    machine.xenstore().watch("/local/domain/1/data/question", |nodes, path| {
        if let Some(question) = nodes.read_text(path) {
            nodes.write("/local/domain/1/data/answer", format!("{question}!"));
        }
    });
    client.watch("data/answer", "a").unwrap();
    client.event().unwrap();
    client.write("data/question", "why").unwrap();
    client.event().unwrap();
    assert_eq!(client.read("data/answer").as_deref(), Ok(&b"why!"[..]));
}

#[test]
fn a_migrated_domain_has_a_new_connection() {
    let (machine, mut client) = guest(6);
    let (store, device) = (machine.xenstore(), vif(&client));
    store.plug(&device);
    client.watch("data", "t").unwrap();
    client.start();
    client.write("data/x", "1").unwrap();
    client.write("device/vif/0/state", "4").unwrap();
    store.set_memory_target(&client.domain, 777);
    client.send(xen_hypercall::abi::io::xs_wire::MessageType::READ, 0, b"domid\0");
    store.on_resume(&client.domain, |nodes| nodes.write("/local/domain/1/device/vif/0/mac", "new"));
    suspend(&client);
    assert_eq!((store.watches(&client.domain), store.transactions(&client.domain)), (0, 0));
    let mut client = Client::new(&client.domain);
    let late = client.receive_within(SECOND).map(|answer| answer.payload);
    assert_eq!(late, Some(b"1".to_vec()), "what stood in the ring is carried out there");
    assert_eq!(client.read("data/x"), Err("ENOENT".into()), "another host, other nodes");
    assert_eq!(client.read("device/vif/0/state").as_deref(), Ok(&b"1"[..]));
    assert_eq!(client.read("device/vif/0/mac").as_deref(), Ok(&b"new"[..]));
    assert_eq!(client.read("memory/target").as_deref(), Ok(&b"777"[..]));
    let port = client.domain.store().unwrap().1;
    assert_eq!(client.read("store/port").as_deref(), Ok(port.0.to_string().as_bytes()));
}

#[test]
fn a_destroyed_domain_is_known_no_more() {
    let machine = Machine::new(7);
    // Only domain 0 may ask for others.
    let (a, b) = (machine.domain(), machine.domain_builder().id(DomId(0)).build());
    let store = machine.xenstore();
    [&a, &b].iter().for_each(|domain| store.introduce(domain));
    let mut client = Client::new(&b);
    let mut known = || client.ask(xen_hypercall::abi::io::xs_wire::MessageType::IS_DOMAIN_INTRODUCED, b"1\0");
    assert_eq!(known().as_deref(), Ok(&b"T\0"[..]));
    machine.destroy(&a);
    assert!(a.store().is_none());
    assert_eq!(known().as_deref(), Ok(&b"F\0"[..]));
}

#[test]
fn a_toolstack_runs_beside_its_guest() {
    for seed in 0..10 {
        let (machine, mut client) = guest(seed);
        let (store, domain, tools) = (machine.xenstore(), client.domain.clone(), machine.domain());
        let run = machine.run(|vcpus| {
            vcpus.spawn(&tools, |tools| {
                store.shut_down(&domain, "poweroff");
                assert!(store.wait_for(tools, "/local/domain/1/control/shutdown", "", SECOND));
            });
            vcpus.spawn(&domain, |_| {
                client.watch("control/shutdown", "s").unwrap();
                while client.read("control/shutdown").as_deref() != Ok(b"poweroff") {
                    client.event();
                }
                client.write("control/shutdown", "").unwrap();
            });
        });
        run.unwrap();
    }
}

#[test]
fn programs_of_domain_0_are_told_of_a_domains_end() {
    let (machine, client) = guest(8);
    let store = machine.xenstore();
    let ends = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&ends);
    store.watch("@releaseDomain", move |_, _| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    machine.settle();
    let before = ends.load(Ordering::Relaxed);
    machine.destroy(&client.domain);
    machine.settle();
    assert_eq!((before, ends.load(Ordering::Relaxed)), (1, 2));
}
