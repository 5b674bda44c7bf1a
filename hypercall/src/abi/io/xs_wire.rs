//! Xenstore's messages and its ring.

use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

constants! {
    /// What a message asks for or tells.
    ///
    /// `enum xsd_sockmsg_type`, public/io/xs_wire.h
    pub struct MessageType: u32 {
        /// Command to the daemon itself.
        ///
        /// `XS_CONTROL`, public/io/xs_wire.h
        CONTROL = 0;
        /// Lists the children of a node.
        ///
        /// `XS_DIRECTORY`, public/io/xs_wire.h
        DIRECTORY = 1;
        /// Reads a node.
        ///
        /// `XS_READ`, public/io/xs_wire.h
        READ = 2;
        /// Reads who may use a node.
        ///
        /// `XS_GET_PERMS`, public/io/xs_wire.h
        GET_PERMS = 3;
        /// Asks for news of a node and what is below it.
        ///
        /// `XS_WATCH`, public/io/xs_wire.h
        WATCH = 4;
        /// Takes that back.
        ///
        /// `XS_UNWATCH`, public/io/xs_wire.h
        UNWATCH = 5;
        /// Starts a transaction.
        ///
        /// `XS_TRANSACTION_START`, public/io/xs_wire.h
        TRANSACTION_START = 6;
        /// Ends a transaction: commits or drops it.
        ///
        /// `XS_TRANSACTION_END`, public/io/xs_wire.h
        TRANSACTION_END = 7;
        /// Tells the daemon of a new domain. Privileged.
        ///
        /// `XS_INTRODUCE`, public/io/xs_wire.h
        INTRODUCE = 8;
        /// Tells the daemon that a domain is gone. Privileged.
        ///
        /// `XS_RELEASE`, public/io/xs_wire.h
        RELEASE = 9;
        /// Asks where a domain's own nodes are.
        ///
        /// `XS_GET_DOMAIN_PATH`, public/io/xs_wire.h
        GET_DOMAIN_PATH = 10;
        /// Writes a node, and makes it where it is not there.
        ///
        /// `XS_WRITE`, public/io/xs_wire.h
        WRITE = 11;
        /// Makes a node where it is not there.
        ///
        /// `XS_MKDIR`, public/io/xs_wire.h
        MKDIR = 12;
        /// Removes a node and what is below it.
        ///
        /// `XS_RM`, public/io/xs_wire.h
        RM = 13;
        /// Sets who may use a node.
        ///
        /// `XS_SET_PERMS`, public/io/xs_wire.h
        SET_PERMS = 14;
        /// From the daemon: a watched node has changed.
        ///
        /// `XS_WATCH_EVENT`, public/io/xs_wire.h
        WATCH_EVENT = 15;
        /// From the daemon: the request failed; the payload is the error's name.
        ///
        /// `XS_ERROR`, public/io/xs_wire.h
        ERROR = 16;
        /// Asks whether the daemon knows a domain.
        ///
        /// `XS_IS_DOMAIN_INTRODUCED`, public/io/xs_wire.h
        IS_DOMAIN_INTRODUCED = 17;
        /// Tells the daemon that a domain may shut down anew. Privileged.
        ///
        /// `XS_RESUME`, public/io/xs_wire.h
        RESUME = 18;
        /// Gives one domain another's rights. Privileged.
        ///
        /// `XS_SET_TARGET`, public/io/xs_wire.h
        SET_TARGET = 19;
        /// Takes all watches back and drops all transactions.
        ///
        /// `XS_RESET_WATCHES`, public/io/xs_wire.h
        RESET_WATCHES = 21;
        /// Lists some of the children of a node that has too many for one message.
        ///
        /// `XS_DIRECTORY_PART`, public/io/xs_wire.h
        DIRECTORY_PART = 22;
        /// Asks what the daemon can do for a domain.
        ///
        /// `XS_GET_FEATURE`, public/io/xs_wire.h (from Xen 4.21)
        GET_FEATURE = 23;
        /// Sets what the daemon shall do for a domain. Privileged.
        ///
        /// `XS_SET_FEATURE`, public/io/xs_wire.h (from Xen 4.21)
        SET_FEATURE = 24;
        /// Asks how much a domain may use. Privileged.
        ///
        /// `XS_GET_QUOTA`, public/io/xs_wire.h (from Xen 4.21)
        GET_QUOTA = 25;
        /// Sets how much a domain may use. Privileged.
        ///
        /// `XS_SET_QUOTA`, public/io/xs_wire.h (from Xen 4.21)
        SET_QUOTA = 26;
        /// Never a valid type.
        ///
        /// `XS_INVALID`, public/io/xs_wire.h
        INVALID = 0xffff;
    }
}

/// The head of a message, which `len` bytes of payload follow.
///
/// `struct xsd_sockmsg`, public/io/xs_wire.h
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    /// What it asks for or tells.
    ///
    /// C: `type`
    pub kind: MessageType,
    /// A number that the answer repeats.
    pub req_id: u32,
    /// The transaction; zero for none.
    pub tx_id: u32,
    /// Bytes of payload, at most [`PAYLOAD_MAX`].
    pub len: u32,
}

constants! {
    /// Which of the texts in a watch's payload is which.
    ///
    /// `enum xs_watch_type`, public/io/xs_wire.h
    pub struct WatchPart: u32 {
        /// The path that has changed.
        ///
        /// `XS_WATCH_PATH`, public/io/xs_wire.h
        PATH = 0;
        /// What the watcher called the watch.
        ///
        /// `XS_WATCH_TOKEN`, public/io/xs_wire.h
        TOKEN = 1;
    }
}

/// Size of each of the two byte rings.
///
/// `XENSTORE_RING_SIZE`, public/io/xs_wire.h
pub const RING_SIZE: usize = 1024;

/// The page of xenstore's ring: two byte rings, whose indices run freely and wrap at 32 bits.
///
/// `struct xenstore_domain_interface`, public/io/xs_wire.h (may grow)
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct DomainInterface {
    /// Requests to the daemon.
    pub req: [u8; RING_SIZE],
    /// Answers and watch events from the daemon.
    pub rsp: [u8; RING_SIZE],
    /// How far the daemon has read; the daemon writes it.
    pub req_cons: u32,
    /// How far the guest has written; the guest writes it.
    pub req_prod: u32,
    /// How far the guest has read; the guest writes it.
    pub rsp_cons: u32,
    /// How far the daemon has written; the daemon writes it.
    pub rsp_prod: u32,
    /// What the daemon can do, see [`ServerFeatures`].
    pub server_features: u32,
    /// State of the connection, see [`ConnectionState`].
    pub connection: u32,
    /// Why the daemon has given up, see [`RingError`].
    pub error: u32,
}

flags! {
    /// What the daemon can do.
    ///
    /// `XENSTORE_SERVER_FEATURE_*`, public/io/xs_wire.h
    pub struct ServerFeatures: u32 {
        /// Reconnect the ring.
        ///
        /// `XENSTORE_SERVER_FEATURE_RECONNECTION`, public/io/xs_wire.h
        RECONNECTION = 1 << 0;
        /// Tell errors in [`DomainInterface::error`].
        ///
        /// `XENSTORE_SERVER_FEATURE_ERROR`, public/io/xs_wire.h
        ERROR = 1 << 1;
        /// Watch a limited number of levels below a node.
        ///
        /// `XENSTORE_SERVER_FEATURE_WATCHDEPTH`, public/io/xs_wire.h (from Xen 4.22)
        WATCHDEPTH = 1 << 2;
        /// Give rights to [`DomId::ANY`](crate::abi::DomId::ANY).
        ///
        /// `XENSTORE_SERVER_FEATURE_DOMID_ANY`, public/io/xs_wire.h (from Xen 4.22)
        DOMID_ANY = 1 << 3;
    }
}

constants! {
    /// State of the connection.
    ///
    /// `XENSTORE_*`, public/io/xs_wire.h
    pub struct ConnectionState: u32 {
        /// It works.
        ///
        /// `XENSTORE_CONNECTED`, public/io/xs_wire.h
        CONNECTED = 0;
        /// The guest asks for a reconnect; the daemon sets it back.
        ///
        /// `XENSTORE_RECONNECT`, public/io/xs_wire.h
        RECONNECT = 1;
    }
}

constants! {
    /// Why the daemon has given the ring up.
    ///
    /// `XENSTORE_ERROR_*`, public/io/xs_wire.h
    pub struct RingError: u32 {
        /// It has not.
        ///
        /// `XENSTORE_ERROR_NONE`, public/io/xs_wire.h
        NONE = 0;
        /// It could not use the ring.
        ///
        /// `XENSTORE_ERROR_COMM`, public/io/xs_wire.h
        COMM = 1;
        /// The guest's indices are impossible.
        ///
        /// `XENSTORE_ERROR_RINGIDX`, public/io/xs_wire.h
        RINGIDX = 2;
        /// The guest's message breaks the rules.
        ///
        /// `XENSTORE_ERROR_PROTO`, public/io/xs_wire.h
        PROTO = 3;
    }
}

/// Greatest payload of a message, in bytes; a longer one breaks the connection.
///
/// `XENSTORE_PAYLOAD_MAX`, public/io/xs_wire.h
pub const PAYLOAD_MAX: usize = 4096;

/// Greatest length of an absolute path, in bytes; a longer one is an error.
///
/// `XENSTORE_ABS_PATH_MAX`, public/io/xs_wire.h
pub const ABS_PATH_MAX: usize = 3072;

/// Greatest length of a relative path, in bytes; a longer one is an error.
///
/// `XENSTORE_REL_PATH_MAX`, public/io/xs_wire.h
pub const REL_PATH_MAX: usize = 2048;

const_assert_eq!(size_of::<Header>(), 16);
const_assert_eq!(size_of::<DomainInterface>(), 2076);
