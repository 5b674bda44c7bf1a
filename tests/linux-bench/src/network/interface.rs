//! Bringing an interface up.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd as _;

use anyhow::{Context as _, Result, bail, ensure};
use libc::{c_char, ifreq, sockaddr, sockaddr_in};
use rustix::net::{AddressFamily, SocketType, socket};

/// Gives an interface an address in a network of 256, and takes it up.
pub(crate) fn up(name: &str, address: Ipv4Addr) -> Result<()> {
    // The kernel asks for routers otherwise, each time.
    let _ = fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
    set(name, libc::SIOCSIFADDR, |request| request.ifr_ifru.ifru_addr = ip(address))?;
    set(name, libc::SIOCSIFNETMASK, |request| request.ifr_ifru.ifru_netmask = ip(Ipv4Addr::new(255, 255, 255, 0)))?;
    set(name, libc::SIOCSIFFLAGS, |request| request.ifr_ifru.ifru_flags = libc::IFF_UP as i16)
}

fn ip(address: Ipv4Addr) -> sockaddr {
    let internet = sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: 0,
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) },
        sin_zero: [0; 8],
    };
    // SAFETY: both are plain bytes, and of the same size: the one is the other's form for the Internet.
    unsafe { std::mem::transmute(internet) }
}

fn set(name: &str, what: libc::c_ulong, fill: impl FnOnce(&mut ifreq)) -> Result<()> {
    // SAFETY: it is plain bytes.
    let mut request: ifreq = unsafe { std::mem::zeroed() };
    ensure!(name.len() < request.ifr_name.len(), "{name} is too long");
    request.ifr_name.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from as c_char);
    fill(&mut request);
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None).context("no socket")?;
    // SAFETY: the kernel reads the structure that belongs to this number.
    if unsafe { libc::ioctl(socket.as_raw_fd(), what, &raw const request) } != 0 {
        bail!("cannot set up {name}: {}", std::io::Error::last_os_error());
    }
    Ok(())
}

/// Whether the kernel has this interface.
pub(crate) fn exists(name: &str) -> bool {
    File::open(format!("/sys/class/net/{name}/ifindex")).is_ok()
}
