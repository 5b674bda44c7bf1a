//! Xenstored: what guests ask and what it answers, byte by byte.

use xen_hypercall::abi::DomId;
use xen_hypercall::abi::io::xs_wire::MessageType;
use xen_sim::{Machine, Permission, Quota, Right};

use crate::common;
use crate::common::wire::{Client, ended, guest};

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
    assert_eq!(guest.ask(MessageType::IS_DOMAIN_INTRODUCED, &ended("1")), error("EACCES"));
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

#[test]
fn permissions_decide_who_reads_and_writes() {
    let machine = Machine::new(3);
    let (a, b) = common::pair(&machine);
    let store = machine.xenstore();
    [&a, &b].iter().for_each(|domain| store.introduce(domain));
    let (mut first, mut second) = (Client::new(&a), Client::new(&b));
    first.write("data/secret", "x").unwrap();
    assert_eq!(second.read("/local/domain/1/data/secret"), error("EACCES"));
    assert_eq!(second.read("/local/domain/1/data/none"), error("EACCES"), "nor may it know what is there");
    assert_eq!(second.write("/local/domain/1/data/secret", "y"), error("EACCES"));
    assert_eq!(second.ask(MessageType::RM, &ended("/local/domain/1/data/secret")), error("EACCES"));
    assert_eq!(first.write("domid", "9"), error("EACCES"), "its home is not its own");
    assert_eq!(first.write("new", "9"), error("EACCES"));
    assert_eq!(first.write("control/shutdown", "").as_deref(), Ok(&b"OK\0"[..]), "but this is");
    assert_eq!(first.ask(MessageType::GET_PERMS, &ended("data")).as_deref(), Ok(&b"n1\0"[..]));

    let set = |list: &[&str]| [ended("data/secret"), list.iter().flat_map(|entry| ended(entry)).collect()].concat();
    assert_eq!(first.ask(MessageType::SET_PERMS, &set(&["n1", "r2"])).as_deref(), Ok(&b"OK\0"[..]));
    assert_eq!(second.read("/local/domain/1/data/secret").as_deref(), Ok(&b"x"[..]));
    assert_eq!(second.write("/local/domain/1/data/secret", "y"), error("EACCES"), "it may read only");
    let theirs = [ended("/local/domain/1/data/secret"), ended("b2")].concat();
    assert_eq!(second.ask(MessageType::SET_PERMS, &theirs), error("EACCES"), "it is not the owner");
    assert_eq!(first.ask(MessageType::SET_PERMS, &set(&["n1", "b2"])).as_deref(), Ok(&b"OK\0"[..]));
    assert_eq!(second.write("/local/domain/1/data/secret", "y").as_deref(), Ok(&b"OK\0"[..]));
    assert_eq!(second.write("/local/domain/1/data/secret/below", "").as_deref(), Ok(&b"OK\0"[..]));
    let list = store.permissions("/local/domain/1/data/secret/below").unwrap();
    assert_eq!(
        list,
        [Permission::new(b.id(), Right::None), Permission::new(b.id(), Right::Both)],
        "who makes it owns it"
    );
    assert_eq!(first.ask(MessageType::SET_PERMS, &set(&["n2"])), error("EPERM"), "nodes are not given away");
    assert_eq!(first.ask(MessageType::SET_PERMS, &set(&["x1"])), error("EINVAL"));
    assert_eq!(first.ask(MessageType::SET_PERMS, &set(&[])), error("EINVAL"));
}

#[test]
fn watches_tell_nothing_of_what_one_may_not_read() {
    let machine = Machine::new(3);
    let (a, b) = common::pair(&machine);
    let store = machine.xenstore();
    [&a, &b].iter().for_each(|domain| store.introduce(domain));
    let (mut first, mut second) = (Client::new(&a), Client::new(&b));
    second.watch("/local/domain/1", "spy").unwrap();
    second.watch("@releaseDomain", "end").unwrap();
    assert_eq!(second.event().unwrap().0, "/local/domain/1");
    assert_eq!(second.event().unwrap().0, "@releaseDomain");
    first.write("data/x", "1").unwrap();
    store.remove("/local/domain/1/data/x");
    machine.destroy(&a);
    assert_eq!(second.event(), None);
    store.write("/local/domain/1/data/shown", "");
    store.set_permissions("/local/domain/1/data/shown", &[Permission::new(DomId(0), Right::Read)]);
    assert_eq!(second.event(), Some(("/local/domain/1/data/shown".into(), "spy".into())));
    store.remove("/local/domain/1/data/shown");
    assert_eq!(second.event(), Some(("/local/domain/1/data/shown".into(), "spy".into())), "it could read it");
}

#[test]
fn what_breaks_the_rules_is_refused_by_name() {
    let (_machine, mut guest) = guest(4);
    for path in ["", "/a//b", "/a/", "data/ä", "data/a b", &"x".repeat(2049), &format!("/{}", "x".repeat(3072))] {
        assert_eq!(guest.read(path), error("EINVAL"), "{path:?}");
    }
    assert_eq!(guest.ask(MessageType::READ, b"no NUL"), error("EINVAL"));
    assert_eq!(guest.ask(MessageType::WATCH, b"one string\0"), error("EINVAL"));
    assert_eq!(guest.ask(MessageType::RM, b"/\0"), error("EINVAL"));
    assert_eq!(guest.ask(MessageType::TRANSACTION_END, b"X\0"), error("EINVAL"));
    for kind in [MessageType::CONTROL, MessageType::INTRODUCE, MessageType::RELEASE, MessageType::RESUME] {
        assert_eq!(guest.ask(kind, b"1\0"), error("EACCES"), "{kind:?}");
    }
    assert_eq!(guest.ask(MessageType::SET_TARGET, b"1\x002\0"), error("EACCES"));
    for kind in [MessageType::WATCH_EVENT, MessageType::ERROR, MessageType(20), MessageType(99), MessageType::INVALID] {
        assert_eq!(guest.ask(kind, b"1\0"), error("ENOSYS"), "{kind:?}");
    }
}

#[test]
fn a_guest_has_no_more_than_its_quota() {
    let (machine, mut guest) = guest(5);
    let own = 12 + 1; // what the toolstack gives it, and `device/suspend` has none of its own
    machine.xenstore().set_quota(Quota { nodes: own + 2, node_size: 100, permissions: 2, watches: 2, transactions: 2 });
    assert_eq!(guest.write("data/big", &"x".repeat(101)), error("ENOSPC"));
    guest.write("data/a", "").unwrap();
    guest.write("data/b/c/d", "").unwrap_err();
    assert_eq!(guest.read("data/b"), error("ENOENT"), "nothing is made by halves");
    let long = [ended("data/a"), ended("n1"), ended("r2"), ended("r3")].concat();
    assert_eq!(guest.ask(MessageType::SET_PERMS, &long), error("ENOSPC"));
    for token in ["1", "2"] {
        guest.watch("data", token).unwrap();
    }
    assert_eq!(guest.watch("data", "3"), error("E2BIG"));
    let _ = [guest.start(), guest.start()];
    assert_eq!(guest.ask(MessageType::TRANSACTION_START, &[0]), error("ENOSPC"));
    assert_eq!(machine.xenstore().transactions(&guest.domain), 2);
    guest.ask(MessageType::RESET_WATCHES, &[0]).unwrap();
    assert_eq!(machine.xenstore().transactions(&guest.domain), 0);
}

#[test]
fn a_long_directory_comes_in_parts() {
    let (machine, mut guest) = guest(6);
    let store = machine.xenstore();
    let names: Vec<String> = (0..700).map(|number| format!("name-{number}")).collect();
    store.nodes(|nodes| names.iter().for_each(|name| nodes.write(&format!("/local/domain/1/data/{name}"), "")));
    assert_eq!(guest.ask(MessageType::DIRECTORY, &ended("data")), error("E2BIG"));
    let (mut all, mut generations) = (Vec::new(), Vec::new());
    loop {
        let request = [ended("data"), ended(&all.len().to_string())].concat();
        let part = guest.ask(MessageType::DIRECTORY_PART, &request).unwrap();
        assert!(part.len() <= 4096);
        let end = part.iter().position(|byte| *byte == 0).unwrap();
        generations.push(text(part[..end].to_vec()));
        all.extend_from_slice(&part[end + 1..]);
        if all.ends_with(&[0, 0]) || all == [0] {
            break;
        }
    }
    let list: Vec<String> = text(all).trim_end_matches('\0').split('\0').map(str::to_owned).collect();
    assert_eq!(list, names);
    assert!(generations.len() > 1 && generations.iter().all(|generation| *generation == generations[0]));
    store.write("/local/domain/1/data/one-more", "");
    let part = guest.ask(MessageType::DIRECTORY_PART, &[ended("data"), ended("999999")].concat()).unwrap();
    assert!(part.ends_with(&[0, 0]) && !text(part).starts_with(&generations[0]), "another generation, nothing there");
}
