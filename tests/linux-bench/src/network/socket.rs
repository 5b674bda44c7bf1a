//! Packets from a program, by a packet socket. (packet(7))

use std::fs;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use anyhow::{Context as _, Result, ensure};
use bench_load::{NOBODYS_MAC, Traffic};
use libc::{c_int, c_void, iovec, mmsghdr, sockaddr_ll};

/// The kind of a packet of the Internet protocol, as the network has it.
const INTERNET: u16 = (libc::ETH_P_IP as u16).to_be();

/// Sends packets, a burst with each call of the kernel; sleeps while there is no room.
pub(super) fn send(interface: &str, traffic: &Traffic) -> Result<()> {
    let socket = open(interface)?;
    // All zeros, but for where it goes and what it is: nobody looks at more.
    let mut packet = vec![0_u8; traffic.bytes as usize];
    packet[..6].copy_from_slice(&NOBODYS_MAC);
    packet[12..14].copy_from_slice(&INTERNET.to_ne_bytes());
    let mut part = iovec { iov_base: packet.as_mut_ptr().cast::<c_void>(), iov_len: packet.len() };
    // SAFETY: it is plain data, for which zeros are none of it.
    let mut message: mmsghdr = unsafe { std::mem::zeroed() };
    (message.msg_hdr.msg_iov, message.msg_hdr.msg_iovlen) = (&raw mut part, 1);
    let mut burst = vec![message; traffic.burst as usize];
    let mut left = traffic.count;
    while left > 0 {
        let count = left.min(burst.len() as u64) as u32;
        // SAFETY: as many messages are there, and each names one part, which is the packet.
        let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), burst.as_mut_ptr(), count, 0) };
        ensure!(sent > 0, "cannot send: {}", std::io::Error::last_os_error());
        left -= sent as u64;
    }
    Ok(())
}

fn open(interface: &str) -> Result<OwnedFd> {
    let path = format!("/sys/class/net/{interface}/ifindex");
    let index: c_int = fs::read_to_string(&path)?.trim().parse().with_context(|| format!("{path} has no number"))?;
    // SAFETY: it names no memory.
    let socket = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0) };
    ensure!(socket >= 0, "no packet socket: {}", std::io::Error::last_os_error());
    // SAFETY: it was opened just now, and is nobody else's.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: it is plain data, for which zeros are none of it.
    let mut address: sockaddr_ll = unsafe { std::mem::zeroed() };
    (address.sll_family, address.sll_ifindex) = (libc::AF_PACKET as u16, index);
    let (place, size) = ((&raw const address).cast(), size_of::<sockaddr_ll>() as u32);
    // SAFETY: the address is there, and of this size.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), place, size) };
    ensure!(bound == 0, "no packet socket on {interface}: {}", std::io::Error::last_os_error());
    Ok(socket)
}
