//! A device for tests.

use alloc::string::ToString;

use xen_hypercall::abi::domain::DomId;

use super::tree::Tree;
use super::{Backend, Device, Generation, Name, State};

pub(crate) const DEVICE: &str = "device/vif/0";
const BACKEND: &str = "/local/domain/3/backend/vif/7/0";

pub(crate) fn device() -> Device {
    let backend = Backend { domain: DomId(3), path: BACKEND.into() };
    Device::new(Name::new("vif", 0).unwrap(), backend, Generation(1))
}

/// The device's nodes, as the tools make them.
pub(crate) fn plugged(ours: State, theirs: State) -> Tree {
    let tree = Tree::of(&[("device/vif/0/backend", BACKEND), ("device/vif/0/backend-id", "3")]);
    tree.set(&device().key("state"), ours.0.to_string());
    tree.set(&device().backend_key("state"), theirs.0.to_string());
    tree
}
