//! Xenstored: what guests ask and what it answers, byte by byte.

mod common;

use common::wire::{Client, ended, guest};
use xen_hypercall::abi::DomId;
use xen_hypercall::abi::io::xs_wire::MessageType;
use xen_sim::{Machine, Permission, Right};

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

fn error(name: &str) -> Result<Vec<u8>, String> {
    Err(name.to_owned())
}

#[test]
fn a_guest_reads_and_writes() {
    let (machine, mut guest) = guest(1);
    assert_eq!(text(guest.read("domid").unwrap()), guest.domain.id().to_string());
    assert_eq!(guest.write("data/a/b", "hello").as_deref(), Ok(&b"OK\0"[..]));
    assert_eq!(guest.read("data/a/b").as_deref(), Ok(&b"hello"[..]), "no NUL behind a value");
    assert_eq!(guest.read("/local/domain/1/data/a").as_deref(), Ok(&b""[..]), "parents are made");
    assert_eq!(guest.ask(MessageType::DIRECTORY, &ended("data")).as_deref(), Ok(&b"a\0"[..]));
    assert_eq!(machine.xenstore().read_text("/local/domain/1/data/a/b").as_deref(), Some("hello"));
    assert_eq!(guest.ask(MessageType::MKDIR, &ended("data/c")).as_deref(), Ok(&b"OK\0"[..]));
    assert_eq!(guest.ask(MessageType::RM, &ended("data/a")).as_deref(), Ok(&b"OK\0"[..]));
    assert_eq!(guest.read("data/a/b"), error("ENOENT"));
    assert_eq!(guest.ask(MessageType::RM, &ended("data/a")).as_deref(), Ok(&b"OK\0"[..]), "its parent is there");
    assert_eq!(guest.ask(MessageType::RM, &ended("data/x/y")), error("ENOENT"));
    assert_eq!(guest.ask(MessageType::GET_DOMAIN_PATH, &ended("7")).as_deref(), Ok(&b"/local/domain/7\0"[..]));
    assert_eq!(guest.ask(MessageType::IS_DOMAIN_INTRODUCED, &ended("1")).as_deref(), Ok(&b"T\0"[..]));
    assert_eq!(guest.ask(MessageType::IS_DOMAIN_INTRODUCED, &ended("2")).as_deref(), Ok(&b"F\0"[..]));
}

#[test]
fn a_watch_fires_at_once_and_at_each_change_below() {
    let (machine, mut guest) = guest(1);
    let store = machine.xenstore();
    assert_eq!(guest.watch("data", "token 1").as_deref(), Ok(&b"OK\0"[..]));
    assert_eq!(guest.event(), Some(("data".into(), "token 1".into())));
    store.write("/local/domain/1/data/x/y", "1");
    assert_eq!(guest.event(), Some(("data/x/y".into(), "token 1".into())), "relative, as the watch is");
    assert_eq!(guest.watch("/local/domain/1/data/x/y", "exact").as_deref(), Ok(&b"OK\0"[..]));
    assert_eq!(guest.event(), Some(("/local/domain/1/data/x/y".into(), "exact".into())));
    store.write("/local/domain/1/data/xx", "1");
    assert_eq!(guest.event(), Some(("data/xx".into(), "token 1".into())), "no child of the other watch's node");
    store.remove("/local/domain/1/data/x");
    let mut events = [guest.event().unwrap(), guest.event().unwrap()];
    events.sort();
    let [gone, above] = events;
    assert_eq!(gone, ("/local/domain/1/data/x/y".into(), "exact".into()), "it went with the one above");
    assert_eq!(above, ("data/x".into(), "token 1".into()));
    assert_eq!(guest.watch("data", "token 1"), error("EEXIST"));
    let unwatch = [ended("data"), ended("token 1")].concat();
    assert_eq!(guest.ask(MessageType::UNWATCH, &unwatch).as_deref(), Ok(&b"OK\0"[..]));
    assert_eq!(guest.ask(MessageType::UNWATCH, &unwatch), error("ENOENT"));
    store.write("/local/domain/1/data/z", "1");
    assert_eq!(guest.event(), None);
    assert_eq!(store.watches(&guest.domain), 1);
    guest.ask(MessageType::RESET_WATCHES, &[0]).unwrap();
    assert_eq!(store.watches(&guest.domain), 0);
}

#[test]
fn a_transaction_is_seen_when_it_ends_and_fails_where_it_conflicts() {
    let (machine, mut guest) = guest(1);
    let store = machine.xenstore();
    store.write("/local/domain/1/data/a", "0");
    let end = |guest: &mut Client, id, how: &str| guest.ask_in(id, MessageType::TRANSACTION_END, &ended(how));
    let write = |guest: &mut Client, id, value: &str| {
        guest.ask_in(id, MessageType::WRITE, &[ended("data/a"), value.into()].concat()).unwrap();
    };

    let id = guest.start();
    write(&mut guest, id, "1");
    assert_eq!(guest.read("data/a").as_deref(), Ok(&b"0"[..]), "not yet");
    assert_eq!(guest.ask_in(id, MessageType::READ, &ended("data/a")).as_deref(), Ok(&b"1"[..]));
    assert_eq!(end(&mut guest, id, "T").as_deref(), Ok(&b"OK\0"[..]));
    assert_eq!(guest.read("data/a").as_deref(), Ok(&b"1"[..]));
    assert_eq!(end(&mut guest, id, "T"), error("ENOENT"), "it is over");

    let id = guest.start();
    write(&mut guest, id, "2");
    assert_eq!(end(&mut guest, id, "F").as_deref(), Ok(&b"OK\0"[..]));
    assert_eq!(guest.read("data/a").as_deref(), Ok(&b"1"[..]), "dropped");

    let id = guest.start();
    write(&mut guest, id, "3");
    store.write("/local/domain/1/data/elsewhere", "x");
    store.write("/local/domain/1/data/a", "4");
    assert_eq!(end(&mut guest, id, "T"), error("EAGAIN"), "a node that it wrote has changed");
    let id = guest.start();
    assert_eq!(guest.ask_in(id, MessageType::READ, &ended("data/b")), error("ENOENT"));
    store.write("/local/domain/1/data/b", "5");
    assert_eq!(end(&mut guest, id, "T"), error("EAGAIN"), "a node that it looked for is there now");
    let id = guest.start();
    write(&mut guest, id, "6");
    store.write("/local/domain/1/control/sysrq", "x");
    assert_eq!(end(&mut guest, id, "T").as_deref(), Ok(&b"OK\0"[..]), "other nodes are no conflict");
    assert_eq!(guest.ask_in(77, MessageType::READ, &ended("data/a")), error("ENOENT"), "no such transaction");
    assert_eq!(guest.ask_in(77, MessageType::TRANSACTION_START, &[0]), error("EBUSY"));
}

#[test]
fn guests_speak_with_it_side_by_side() {
    let machine = Machine::new(7);
    let (a, b) = common::pair(&machine);
    let store = machine.xenstore();
    [&a, &b].iter().for_each(|domain| store.introduce(domain));
    store.write("/shared", "");
    store.set_permissions("/shared", &[Permission::new(DomId(0), Right::Both)]);
    let mut clients = [&a, &b].map(Client::new);
    let [first, second] = &mut clients;
    let run = machine.run(|vcpus| {
        vcpus.spawn(&a, |_| {
            first.watch("/shared/b", "t").unwrap();
            let mut last = String::new();
            while last != "9" {
                first.event().unwrap();
                last = first.read("/shared/b").map_or_else(|_| String::new(), text);
            }
        });
        vcpus.spawn(&b, |_| (0..10).for_each(|n| drop(second.write("/shared/b", &n.to_string()).unwrap())));
    });
    run.unwrap();
}
