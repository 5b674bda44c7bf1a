//! Pages and messages that are shared with the tools and with backends.

pub mod blkif;
pub mod console;
pub mod xenbus;
pub mod xs_wire;
