//! What TCP connections are for: one port forgets what comes, one sends.

use alloc::vec;

use bench_load::{DISCARD, SOURCE};
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::{ListenError, Socket, SocketBuffer, State};
use xen_examples::Network;

/// Bytes of a socket's buffer, each way.
const BUFFER: usize = 256 * 1024;

/// Both ports, each for one connection at a time.
pub(crate) struct Services {
    discard: SocketHandle,
    source: SocketHandle,
    /// How many bytes a connection gets, and how many of them it has yet to get.
    bytes: u64,
    left: u64,
}

impl Services {
    pub(crate) fn new(network: &mut Network<'_>) -> Result<Self, ListenError> {
        let mut add = |port| {
            let buffer = || SocketBuffer::new(vec![0; BUFFER]);
            let mut socket = Socket::new(buffer(), buffer());
            socket.listen(port)?;
            Ok(network.sockets().add(socket))
        };
        Ok(Self { discard: add(DISCARD)?, source: add(SOURCE)?, bytes: 0, left: 0 })
    }

    /// Each connection gets so many bytes from now on.
    pub(crate) const fn send(&mut self, bytes: u64) {
        (self.bytes, self.left) = (bytes, bytes);
    }

    pub(crate) fn go_on(&mut self, sockets: &mut SocketSet<'_>) {
        forget(sockets.get_mut(self.discard));
        let source = sockets.get_mut::<Socket<'_>>(self.source);
        if source.may_send() {
            give(source, &mut self.left);
        }
        if listen_again(source, SOURCE) {
            self.left = self.bytes;
        }
    }
}

/// Takes what has come, and closes after the other side.
fn forget(socket: &mut Socket<'_>) {
    while socket.can_recv() && socket.recv(|bytes| (bytes.len(), ())).is_ok() {}
    if socket.state() == State::CloseWait {
        socket.close();
    }
    listen_again(socket, DISCARD);
}

/// Sends what there is room for, and closes after all.
fn give(socket: &mut Socket<'_>, left: &mut u64) {
    while *left > 0 && socket.can_send() {
        // What stands in the buffer will do.
        let sent = socket.send(|bytes| {
            let count = bytes.len().min(*left as usize);
            (count, count)
        });
        *left -= sent.unwrap_or(0) as u64;
    }
    if *left == 0 {
        socket.close();
    }
}

/// Has a socket whose connection has ended listen again; whether it was one.
fn listen_again(socket: &mut Socket<'_>, port: u16) -> bool {
    if socket.state() == State::TimeWait {
        // The next one is not to wait for that.
        socket.abort();
    }
    // It is closed, so that it can listen.
    socket.state() == State::Closed && socket.listen(port).is_ok()
}
