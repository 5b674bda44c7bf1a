//! The rings of a network device.

use xen_hypercall::abi::io::netif::{
    CtrlRequest, CtrlResponse, ExtraGso, ExtraMcast, RxRequest, RxResponse, TxRequest, TxResponse,
};
use xen_shared_ring::{Prefix, Protocol};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// What is sent. (`DEFINE_RING_TYPES(netif_tx, ...)`, public/io/netif.h)
#[derive(Clone, Copy, Debug)]
pub(crate) enum NetifTx {}

impl Protocol for NetifTx {
    type Request = TxRequest;
    type Response = TxResponse;
}

/// What is received. (`DEFINE_RING_TYPES(netif_rx, ...)`, public/io/netif.h)
#[derive(Clone, Copy, Debug)]
pub(crate) enum NetifRx {}

impl Protocol for NetifRx {
    type Request = RxRequest;
    type Response = RxResponse;
}

/// What is asked for. (`DEFINE_RING_TYPES(xen_netif_ctrl, ...)`, public/io/netif.h)
#[derive(Clone, Copy, Debug)]
pub(crate) enum NetifCtrl {}

impl Protocol for NetifCtrl {
    type Request = CtrlRequest;
    type Response = CtrlResponse;
}

/// A slot of the transmit ring that says how a packet is to be cut.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(transparent)]
pub(crate) struct GsoSlot(pub(crate) ExtraGso);

impl Prefix<TxRequest> for GsoSlot {}

/// A slot of the transmit ring that says which packets are wanted.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(transparent)]
pub(crate) struct GroupSlot(pub(crate) ExtraMcast);

impl Prefix<TxRequest> for GroupSlot {}
