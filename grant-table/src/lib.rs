//! Pages that a guest grants to other domains, and those that they grant to it.

#![no_std]

mod platform;
mod table;

pub use platform::{Memory, TableFrame};
pub use table::GrantTable;
