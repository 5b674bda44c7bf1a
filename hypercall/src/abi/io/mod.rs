//! Pages and messages that are shared with the tools from the start.

pub mod console;
pub mod xenbus;
pub mod xs_wire;
