//! 10. Network: tells everybody where the kernel is, and answers the first ping, by a few lines instead of a stack.

use alloc::boxed::Box;
use core::error::Error;
use core::net::Ipv4Addr;
use core::time::Duration;

use xen_hypercall::Clock as _;
use xen_netfront::{Event, KIND, Netfront, Options, Which, announcement};
use xen_xenbus::Store;
use xen_xenbus::bus::Enumerator;

use crate::console::println;
use crate::hypercall::{XEN, Xen};

/// How long an interface may take to come, and then a ping.
const PATIENCE: Duration = Duration::from_secs(30);

/// Answers who asks for the address `ip=` of the command line, until it was pinged.
pub(crate) fn serve(store: &Store<Xen>, line: &str) -> Result<(), Box<dyn Error>> {
    if Enumerator::of_kind(KIND).look(store)?.is_empty() {
        println!("network: none");
        return Ok(());
    }
    let address = address(line).ok_or("the command line has no ip=10.0.0.15/24")?;
    let mut interface = Netfront::find(store, Which::First, Options::DEFAULT, PATIENCE)?;
    let link = *interface.link().ok_or("the interface is gone")?;
    println!("network: {link}");
    if let Some(room) = interface.transmit() {
        let packet = announcement(link.mac(), address.octets());
        room.consume(packet.len(), |into| into.copy_from_slice(&packet));
    }
    println!("network: waiting {} s for a ping of {address}", PATIENCE.as_secs());
    let pinged = answer(&mut interface, Host { mac: link.mac(), address: address.octets() })?;
    println!("network: {}", if pinged { "pinged" } else { "nobody has pinged" });
    // What was sent is waited for, no longer than the limits of the options.
    interface.close();
    loop {
        match interface.poll(XEN.now()) {
            Some(Event::Ended(_)) => return Ok(()),
            Some(_) => {}
            None => interface.wait(XEN.now() + PATIENCE)?,
        }
    }
}

fn address(line: &str) -> Option<Ipv4Addr> {
    let word = line.split_ascii_whitespace().find_map(|word| word.strip_prefix("ip="))?;
    word.split('/').next()?.parse().ok()
}

/// Answers until it was pinged, and says whether it was.
fn answer(interface: &mut Netfront<Xen>, host: Host) -> Result<bool, Box<dyn Error>> {
    let (end, mut pinged) = (XEN.now() + PATIENCE, false);
    while !pinged && XEN.now() < end {
        while let Some(event) = interface.poll(XEN.now()) {
            println!("network: {event:?}");
        }
        // A backend may have packets without end.
        while !pinged
            && XEN.now() < end
            && let Some((packet, room)) = interface.receive_and_transmit()
        {
            let mut packet = packet.consume(<[u8]>::to_vec);
            let Some(question) = host.answer(&mut packet) else { continue };
            room.consume(packet.len(), |into| into.copy_from_slice(&packet));
            println!("network: answered {question:?}");
            pinged |= question == Question::Ping;
        }
        // One signal for all of it.
        interface.flush_notifications();
        if !pinged {
            interface.wait(end)?;
        }
    }
    Ok(pinged)
}

/// Who answers.
struct Host {
    mac: [u8; 6],
    address: [u8; 4],
}

#[derive(Debug, PartialEq, Eq)]
enum Question {
    Arp,
    Ping,
}

impl Host {
    /// Makes an answer of a question for this host: whose address is this (RFC 826), is somebody there (RFC 792). Of anything else,
    /// what a hostile host sends included, it makes nothing.
    fn answer(&self, packet: &mut [u8]) -> Option<Question> {
        // Both have 42 bytes of headers.
        let head: &mut [u8; 42] = packet.first_chunk_mut()?;
        let question = match (&head[12..14], &head[20..22]) {
            ([0x08, 0x06], [0, 1]) if head[38..42] == self.address => Question::Arp,
            // A header of five words, ICMP, an echo request, and no fragment.
            ([0x08, 0x00], [0 | 0x40, 0])
                if (head[14], head[23], head[34]) == (0x45, 1, 8) && head[30..34] == self.address =>
            {
                Question::Ping
            }
            _ => return None,
        };
        match question {
            Question::Arp => {
                head[21] = 2;
                head.copy_within(22..32, 32);
                head[22..28].copy_from_slice(&self.mac);
                head[28..32].copy_from_slice(&self.address);
            }
            Question::Ping => {
                head.copy_within(26..30, 30);
                head[26..30].copy_from_slice(&self.address);
                head[34] = 0;
                // The sum has lost an 8 in its upper half. (RFC 1624)
                let (sum, carry) = u16::from_be_bytes([head[36], head[37]]).overflowing_add(0x0800);
                head[36..38].copy_from_slice(&(sum + u16::from(carry)).to_be_bytes());
            }
        }
        head.copy_within(6..12, 0);
        head[6..12].copy_from_slice(&self.mac);
        Some(question)
    }
}
