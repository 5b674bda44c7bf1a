//! Traits of other crates.

#[cfg(feature = "smoltcp")]
mod smoltcp;
