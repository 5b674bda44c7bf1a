//! What is done with the interface: each task is a function that awaits.

use core::cell::Cell;

use smoltcp::wire::{
    ArpOperation, ArpPacket, EthernetAddress, EthernetFrame, EthernetProtocol, Icmpv4Message, Icmpv4Packet, IpProtocol,
    Ipv4Address, Ipv4Packet,
};
use xen_rt::netfront::{AsyncInterface, Carrier, Netfront, SendError, announcement};
use xen_rt::{Xen, println};

/// Answers who asks for the address, and pings.
pub(crate) async fn echo(
    interface: AsyncInterface<Xen>,
    address: Ipv4Address,
    count: &Cell<u64>,
) -> Result<(), SendError> {
    loop {
        let mut packet = interface.receive().await?;
        let Some(link) = interface.with(|interface| interface.link().copied()).flatten() else { continue };
        if answer(&mut packet, EthernetAddress(link.mac()), address).is_some() {
            interface.send(&packet).await?;
            count.set(count.get() + 1);
        }
    }
}

/// Tells of the link, and tells other hosts where the address is whenever it is up.
pub(crate) async fn watch_link(interface: AsyncInterface<Xen>, address: Ipv4Address) -> Result<(), SendError> {
    // With the count of connections: a task sees what is, and not what was and is over when it runs.
    let mut seen = (0, None);
    loop {
        let is_new = |interface: &mut Netfront<Xen>| {
            let now = (interface.statistics().connections, interface.link().map(|link| link.carrier()));
            (now != seen).then_some(now)
        };
        seen = interface.until(is_new).await?;
        match seen.1 {
            None => println!("interface: disconnected"),
            Some(Carrier::Up) => {
                println!("interface: the link is up");
                let link = interface.link_up().await?;
                interface.send(&announcement(link.mac(), address.octets())).await?;
            }
            Some(_) => println!("interface: the link is down"),
        }
    }
}

/// Makes an answer of a packet, where it asks for one.
fn answer(packet: &mut [u8], mac: EthernetAddress, address: Ipv4Address) -> Option<()> {
    let mut frame = EthernetFrame::new_checked(packet).ok()?;
    match frame.ethertype() {
        EthernetProtocol::Arp => answer_arp(frame.payload_mut(), mac, address)?,
        EthernetProtocol::Ipv4 if frame.dst_addr() == mac => answer_ping(frame.payload_mut(), address)?,
        _ => return None,
    }
    frame.set_dst_addr(frame.src_addr());
    frame.set_src_addr(mac);
    Some(())
}

fn answer_arp(payload: &mut [u8], mac: EthernetAddress, address: Ipv4Address) -> Option<()> {
    let mut arp = ArpPacket::new_checked(payload).ok()?;
    let is_ours = arp.target_protocol_addr() == address.octets();
    if arp.operation() != ArpOperation::Request || !is_ours {
        return None;
    }
    let (asker, at) = (arp.source_hardware_addr().to_vec(), arp.source_protocol_addr().to_vec());
    arp.set_operation(ArpOperation::Reply);
    arp.set_target_hardware_addr(&asker);
    arp.set_target_protocol_addr(&at);
    arp.set_source_hardware_addr(mac.as_bytes());
    arp.set_source_protocol_addr(&address.octets());
    Some(())
}

fn answer_ping(payload: &mut [u8], address: Ipv4Address) -> Option<()> {
    let mut ip = Ipv4Packet::new_checked(payload).ok()?;
    let is_whole = ip.frag_offset() == 0 && !ip.more_frags();
    if ip.next_header() != IpProtocol::Icmp || ip.dst_addr() != address || !is_whole || !ip.verify_checksum() {
        return None;
    }
    let mut icmp = Icmpv4Packet::new_checked(ip.payload_mut()).ok()?;
    if icmp.msg_type() != Icmpv4Message::EchoRequest || !icmp.verify_checksum() {
        return None;
    }
    icmp.set_msg_type(Icmpv4Message::EchoReply);
    icmp.fill_checksum();
    ip.set_dst_addr(ip.src_addr());
    ip.set_src_addr(address);
    ip.fill_checksum();
    Some(())
}
