//! Pages and messages that are shared with the tools and with backends.

pub mod blkif;
pub mod console;
pub mod netif;
pub mod xenbus;
pub mod xs_wire;
