//! Xenstore on real Xen, against the daemon in C.
//!
//! The scenario `xenbus.sh` plays domain 0: it waits for this guest's lines, and makes what the guest waits for.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use test_guests::{Check, ensure, equal, failed, run};
use xen_hypercall::abi::DomId;
use xen_rt::xenbus::Store;
use xen_rt::xenbus::store::{Call, Permissions, Reason, Rights};
use xen_rt::xenbus::wire::Refusal;
use xen_rt::{ExitCode, Guest, Xen, entry, println};

const CHECKS: &[(&str, Check<String>)] = &[
    ("what was written is read, with typed errors for the rest", read_and_write),
    ("permissions are read and set, and hold", permissions),
    ("hc_142 a transaction that met another one is tried again", conflict),
    ("a watch fires for what domain 0 writes", watch),
    ("a directory longer than a message comes whole", long_directory),
    ("a thousand requests, as many in flight as there is room for, all come back", many_requests),
    ("a request that takes too long ends in its time", deadline),
    ("hc_146 as many watches as the quota allows, and one more is an error", too_many_watches),
];

#[entry]
fn main(guest: Guest) -> ExitCode {
    let status = run(&guest, CHECKS);
    if let Some(store) = guest.store() {
        println!("{:?}", store.statistics());
    }
    status
}

fn store(guest: &Guest) -> Result<Store<Xen>, String> {
    guest.store().ok_or_else(|| "there is no xenstore".into())
}

/// Tells domain 0 that its part has come, and waits until it has played it.
fn play(guest: &Guest, part: &str) -> Result<(), String> {
    let store = store(guest)?;
    let watch = store.watch("data/played").wait().map_err(failed("no watch"))?;
    println!("play {part}");
    let end = store.now() + Duration::from_secs(30);
    while store.read_text("data/played").wait().ok().as_deref() != Some(part) {
        ensure(store.now() < end, "domain 0 does not play")?;
        watch.wait(end).map_err(failed("no wait"))?;
    }
    Ok(())
}

fn read_and_write(guest: &Guest) -> Result<(), String> {
    let store = store(guest)?;
    store.write("data/a", "4711").wait().map_err(failed("write"))?;
    equal("value", store.read("data/a").wait().map_err(failed("read"))?, b"4711".to_vec())?;
    equal("number", store.read_u32("data/a").wait().map_err(failed("read"))?, 4711)?;
    ensure(store.read_mac("data/a").wait().is_err(), "a MAC that is none")?;
    ensure(store.read("data/none").wait().is_err_and(|error| error.is_missing()), "a node that is not there")?;
    let id = DomId(store.read_u32("domid").wait().map_err(failed("domid"))? as u16);
    let path = store.domain_path(id).wait().map_err(failed("domain path"))?;
    equal("own directory", path, format!("/local/domain/{}", id.0))?;
    // Not for guests, as this daemon has it.
    let refused = store.is_introduced(id).wait().expect_err("it is for domain 0");
    ensure(refused.is_refused(Refusal::ACCES), &refused.to_string())?;
    store.mkdir("data/b").wait().map_err(failed("mkdir"))?;
    store.remove("data/b").wait().map_err(failed("remove"))?;
    let denied = store.write("/local/domain/0/x", "y").wait().expect_err("it is domain 0's");
    ensure(denied.is_refused(Refusal::ACCES), &denied.to_string())?;
    ensure(store.write("data/long", [b'x'; 4000]).wait().is_err(), "more than a node may hold")
}

fn permissions(guest: &Guest) -> Result<(), String> {
    let store = store(guest)?;
    let id = DomId(store.read_u32("domid").wait().map_err(failed("domid"))? as u16);
    store.write("data/mine", "x").wait().map_err(failed("write"))?;
    let wanted = Permissions::new(id, Rights::None).and(DomId(0), Rights::Read);
    store.set_permissions("data/mine", &wanted).wait().map_err(failed("set"))?;
    equal("permissions", store.permissions("data/mine").wait().map_err(failed("get"))?, wanted)
}

fn conflict(guest: &Guest) -> Result<(), String> {
    let store = store(guest)?;
    store.write("data/count", "1").wait().map_err(failed("write"))?;
    let mut tries = 0;
    let done = store.transaction(|t| {
        let count = t.read_u32("data/count").wait()?;
        tries += 1;
        if tries == 1 {
            // Outside of the transaction.
            if let Err(what) = play(guest, "conflict") {
                println!("{what}");
            }
        }
        t.write("data/count", (count + 1).to_string()).wait()
    });
    done.map_err(failed("transaction"))?;
    equal("attempts", tries, 2)?;
    equal("what came of it", store.read_u32("data/count").wait().map_err(failed("read"))?, 101)
}

fn watch(guest: &Guest) -> Result<(), String> {
    let store = store(guest)?;
    let watch = store.watch("data/watched").wait().map_err(failed("no watch"))?;
    let soon = || store.now() + Duration::from_secs(10);
    ensure(watch.wait(soon()).map_err(failed("wait"))?, "a new watch has not fired")?;
    play(guest, "watch")?;
    ensure(watch.wait(soon()).map_err(failed("wait"))?, "it has not fired")?;
    equal("the value", store.read_text("data/watched/below").wait().map_err(failed("read"))?, "news".to_string())?;
    let quiet = watch.wait(store.now() + Duration::from_millis(100)).map_err(failed("wait"))?;
    ensure(!quiet, "it has fired for nothing")
}

fn long_directory(guest: &Guest) -> Result<(), String> {
    play(guest, "directory")?;
    let names = store(guest)?.directory("data/many").wait().map_err(failed("list"))?;
    let bytes: usize = names.iter().map(|name| name.len() + 1).sum();
    equal("children", names.len(), 300)?;
    ensure(bytes > 4096, "they fit into one message")?;
    ensure((1..=300).all(|i| names.contains(&format!("a-rather-long-name-{i}"))), "one is missing")
}

fn many_requests(guest: &Guest) -> Result<(), String> {
    const BATCH: usize = 50;
    let store = store(guest)?;
    let before = (store.statistics(), store.now());
    for batch in 0..20 {
        let writes: Vec<Call<Xen, ()>> =
            (0..BATCH).map(|i| store.write(&format!("data/r/{i}"), (batch * BATCH + i).to_string())).collect();
        writes.into_iter().try_for_each(Call::wait).map_err(failed("write"))?;
    }
    let together = store.now() - before.1;
    for i in 0..BATCH {
        let value = store.read_u32(&format!("data/r/{i}")).wait().map_err(failed("read"))?;
        equal("the last value", value as usize, 19 * BATCH + i)?;
    }
    let start = store.now();
    for _ in 0..200 {
        store.read("domid").wait().map_err(failed("read"))?;
    }
    let single = store.now() - start;
    let rate = |count: u128, time: Duration| count * 1_000_000_000 / time.as_nanos().max(1);
    println!("requests per second: {} one by one, {} in batches of {BATCH}", rate(200, single), rate(1000, together));
    let after = store.statistics();
    equal("answers", after.answers - before.0.answers, 1250)?;
    equal("lost", after.timed_out, before.0.timed_out)
}

fn deadline(guest: &Guest) -> Result<(), String> {
    let store = store(guest)?;
    let (start, time) = (store.now(), Duration::from_nanos(1));
    let error = store.read("domid").within(time).wait().expect_err("no daemon is so fast");
    equal("reason", error.reason, Reason::TimedOut(time))?;
    ensure(store.now() - start < Duration::from_secs(1), "it took too long")?;
    store.read("domid").wait().map(drop).map_err(failed("the late answer disturbs the next call"))
}

fn too_many_watches(guest: &Guest) -> Result<(), String> {
    let store = store(guest)?;
    let mut watches = Vec::new();
    let refused = loop {
        match store.watch(&format!("data/w{}", watches.len())).wait() {
            Ok(watch) => watches.push(watch),
            Err(error) => break error,
        }
        ensure(watches.len() < 1000, "there is no end")?;
    };
    println!("{} watches, and then: {refused}", watches.len());
    drop(watches);
    store.watch("data").wait().map(drop).map_err(failed("not even one after they were dropped"))
}
