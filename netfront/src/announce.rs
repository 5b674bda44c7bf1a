//! Telling other hosts where an address is now.

/// Bytes of an announcement.
pub const ANNOUNCEMENT: usize = 42;

/// A gratuitous ARP: the packet by which an interface tells all hosts, and the switches between, that it has this IPv4 address, and
/// where it is. To be sent at [`Event::Connected`](crate::Event::Connected) and [`Event::LinkUp`](crate::Event::LinkUp): after a
/// migration, or when a backend was replaced, they would else send to where it was. (RFC 5227, 3; RFC 826)
///
/// ```
/// let packet = xen_netfront::announcement([2, 0, 0, 0, 0, 1], [10, 0, 0, 15]);
/// assert_eq!(packet[..6], [0xff; 6]);
/// assert_eq!(packet[28..32], packet[38..42], "it asks for its own address");
/// ```
#[must_use]
pub fn announcement(mac: [u8; 6], address: [u8; 4]) -> [u8; ANNOUNCEMENT] {
    let mut packet = [0; ANNOUNCEMENT];
    let parts: [&[u8]; 7] = [
        &[0xff; 6],
        &mac,
        // ARP for IPv4 over Ethernet, a request.
        &[0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1],
        &mac,
        &address,
        &[0; 6],
        &address,
    ];
    packet.iter_mut().zip(parts.into_iter().flatten()).for_each(|(to, from)| *to = *from);
    packet
}
