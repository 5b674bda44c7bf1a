//! Waiting for an interface.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use xen_xenbus::Store;
use xen_xenbus::bus::{Device, DeviceError, Lookout};

use crate::Platform;
use crate::device::Netfront;
use crate::error::FindError;
use crate::event::Event;
use crate::options::Options;

/// The kind of device that network interfaces are.
pub const KIND: &str = "vif";

/// Which interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one with the lowest number.
    First,
    /// The one with this number: the tools count from 0 on.
    Numbered(u32),
}

impl<P: Platform> Netfront<P> {
    /// Waits for an interface, and until it is connected. For who has one, and no use for those that come and go.
    ///
    /// # Errors
    ///
    /// Those of [`FindError`], no later than after `within` and the time that xenstore takes for its last answer.
    pub fn find(store: &Store<P>, which: Which, options: Options, within: Duration) -> Result<Self, FindError> {
        let until = store.now().saturating_add(within);
        let device = wait_for(store, which, within)?;
        let mut interface = Self::open(store, device, options)?;
        let mut trouble = None;
        loop {
            match interface.poll(store.now()) {
                Some(Event::Connected) => return Ok(interface),
                Some(Event::Trouble(error)) => trouble = Some(error),
                Some(_) => {}
                None if store.now() >= until || interface.wait(until).is_err() || interface.is_ended() => {
                    return Err(not_connected(trouble, within));
                }
                None => {}
            }
        }
    }
}

fn not_connected(trouble: Option<DeviceError>, within: Duration) -> FindError {
    FindError::NotConnected { trouble: trouble.map(Box::new), within }
}

/// Waits until there is such an interface.
fn wait_for<P: Platform>(store: &Store<P>, which: Which, within: Duration) -> Result<Device, FindError> {
    let until = store.now().saturating_add(within);
    let mut lookout = Lookout::new(store, KIND)?;
    let device = lookout.find(store, |device| which.is(device), until)?;
    device.ok_or_else(|| FindError::Missing { wanted: which.to_string(), found: list(lookout.devices()), within })
}

fn list<'d>(interfaces: impl Iterator<Item = &'d Device>) -> String {
    let numbers: Vec<_> = interfaces.map(|device| device.name().id.to_string()).collect();
    if numbers.is_empty() { "none".into() } else { numbers.join(", ") }
}

impl Which {
    const fn is(self, device: &Device) -> bool {
        match self {
            Self::First => true,
            Self::Numbered(number) => number == device.name().id,
        }
    }
}

impl core::fmt::Display for Which {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::First => f.write_str("at all"),
            Self::Numbered(number) => write!(f, "number {number}"),
        }
    }
}
