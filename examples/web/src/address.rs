//! Which address the server has.

use core::error::Error;
use core::fmt;

use smoltcp::wire::{Ipv4Address, Ipv4Cidr};

/// Where the server's address comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// DHCP.
    Dhcp,
    /// It is given.
    Static {
        /// With the length of the network's prefix.
        address: Ipv4Cidr,
        /// Who forwards to other networks.
        gateway: Option<Ipv4Address>,
    },
}

impl Address {
    /// What two words of a command line say: `ip=10.0.0.2/24` or `ip=dhcp`, and `gw=10.0.0.1`. DHCP where the first is missing.
    ///
    /// # Errors
    ///
    /// Which of them cannot be understood.
    pub fn read(ip: Option<&str>, gateway: Option<&str>) -> Result<Self, AddressError> {
        let Some(ip) = ip.filter(|ip| *ip != "dhcp") else { return Ok(Self::Dhcp) };
        let gateway = gateway.map(|gateway| gateway.parse().map_err(|_| AddressError::Gateway)).transpose()?;
        Ok(Self::Static { address: ip.parse().map_err(|_| AddressError::Ip)?, gateway })
    }
}

/// Which word cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// The address.
    Ip,
    /// The gateway.
    Gateway,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ip => "the address is to be as in `ip=10.0.0.2/24`, or `ip=dhcp`",
            Self::Gateway => "the gateway is to be as in `gw=10.0.0.1`",
        })
    }
}

impl Error for AddressError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_command_line_are_read() {
        let address = Ipv4Cidr::new(Ipv4Address::new(10, 0, 0, 2), 24);
        let gateway = Some(Ipv4Address::new(10, 0, 0, 1));
        assert_eq!(Address::read(None, None), Ok(Address::Dhcp));
        assert_eq!(Address::read(Some("dhcp"), Some("nonsense")), Ok(Address::Dhcp));
        assert_eq!(Address::read(Some("10.0.0.2/24"), Some("10.0.0.1")), Ok(Address::Static { address, gateway }));
        for ip in ["10.0.0.2", "10.0.0.2/33", "10.0.0/24", "", "/"] {
            assert_eq!(Address::read(Some(ip), None), Err(AddressError::Ip), "{ip}");
        }
        assert_eq!(Address::read(Some("10.0.0.2/24"), Some("10.0.0")), Err(AddressError::Gateway));
    }
}
