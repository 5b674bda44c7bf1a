//! Has packets come on the queues that it wants, and tells of each where it came and with which hash.
//!
//! On the command line: `mapping=2`, or `mapping=0,1,2,3`, the queues of the hashes.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::error::Error;
use core::time::Duration;

use xen_examples::Requests;
use xen_rt::netfront::{Event, HashTypes, Netfront, Offer, Options, Platform, RxToken, Steering, Which};
use xen_rt::{Guest, entry, println};

const PATIENCE: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_secs(1);

/// The guest's own.
const ADDRESS: [u8; 4] = [10, 0, 0, 15];

#[entry]
fn main(guest: Guest) -> Result<(), Box<dyn Error>> {
    let mapping = guest.boot().command_line.value("mapping").ok_or("mapping=0,1 is missing")?;
    let steering = Steering {
        types: HashTypes::IPV4 | HashTypes::IPV4_TCP,
        key: (0..40_u8).map(|byte| byte.wrapping_mul(101) ^ 0x5a).collect(),
        mapping: mapping.split(',').map(str::parse).collect::<Result<_, _>>()?,
    };
    let store = guest.store().ok_or("there is no xenstore here")?;
    let mut requests = Requests::new(&store)?;
    let options = Options { queues: 4, control_ring: Offer::Yes, ..Options::DEFAULT };
    let mut interface = Netfront::find(&store, Which::First, options, PATIENCE)?;
    println!("link: {:?}", interface.link());
    interface.steer(steering.clone())?;
    let mut is_steered = false;
    while requests.command()?.is_none() {
        while let Some(event) = interface.poll(store.now()) {
            println!("{event:?}");
            is_steered |= matches!(event, Event::Steering(Ok(_)));
        }
        while let Some((packet, room)) = interface.receive_and_transmit() {
            if is_steered {
                tell(&packet, &steering);
            }
            if let Some(answer) = packet.consume(answer_arp) {
                room.consume(answer.len(), |into| into.copy_from_slice(&answer));
            }
        }
        interface.flush_notifications();
        interface.wait(store.now() + TICK)?;
        requests.listen();
    }
    Ok(())
}

fn tell<P: Platform>(packet: &RxToken<'_, P>, steering: &Steering) {
    let (queue, mapping) = (packet.queue(), &steering.mapping);
    let expected = |hash: u32| mapping.get(hash as usize % mapping.len()) == Some(&queue);
    let place = |hash| if expected(hash) { "as told" } else { "astray" };
    let Some(hash) = packet.meta().hash else {
        return println!("queue {queue}, {}: no hash", place(0));
    };
    // The addresses of IPv4, and the ports behind a header without options.
    let end = if hash.kind == HashTypes::IPV4_TCP { 38 } else { 34 };
    let flow = packet.bytes().get(26..end).unwrap_or_default();
    let value = if hash.value == steering.hash(flow) { "right" } else { "wrong" };
    println!("queue {queue}, {}: {:?} {:#010x} is {value}", place(hash.value), hash.kind, hash.value);
}

/// Who asks for our address has an answer. (RFC 826)
fn answer_arp(packet: &[u8]) -> Option<Vec<u8>> {
    let asks = packet.get(12..22)? == [0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1] && packet.get(38..42)? == ADDRESS;
    let (own, asker) = ([0x00, 0x16, 0x3e, 0x00, 0x00, 0x0f], packet.get(22..32)?);
    let parts: [&[u8]; 7] =
        [asker.get(..6)?, &own, &[0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 2], &own, &ADDRESS, asker, &[0; 18]];
    asks.then(|| parts.concat())
}
