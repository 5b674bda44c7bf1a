//! The server: the connections, and what drives them.

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use smoltcp::iface::SocketSet;
use smoltcp::socket::tcp;

use crate::connection::{Connection, Turn};
use crate::figures::Figures;
use crate::files::Files;
use crate::site::{Counts, Site};

/// Bytes that a socket takes at most before they are looked at.
const RECEIVE: usize = 2 << 10;
/// Bytes that are under way to a client at most.
const SEND: usize = 8 << 10;
/// How many sockets are to be free for the next clients: one in so many, up to [`MOST_SPARE`].
const SPARE_ONE_IN: usize = 4;
const MOST_SPARE: usize = 4;

/// How the server is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The port, which is not 0.
    pub port: u16,
    /// How many connections there are at a time, in 10 KiB of memory each.
    pub connections: usize,
}

impl Options {
    /// Port 80, 64 connections.
    pub const DEFAULT: Self = Self { port: 80, connections: 64 };
}

/// An HTTP server on the sockets of a stack. Everything that it does is done by [`poll`](Self::poll).
pub struct Web<F: Files, G> {
    connections: Vec<Connection<F::File>>,
    site: Site<F, G>,
    port: u16,
    /// There is more to do at once.
    turn: Turn,
}

impl<F: Files, G> Web<F, G> {
    /// A server. Its sockets are among `sockets` from now on, and listen.
    #[must_use]
    pub fn new(sockets: &mut SocketSet<'static>, files: F, figures: G, options: Options) -> Self {
        let connections =
            (0..options.connections).map(|_| Connection::new(sockets.add(listening(options.port)))).collect();
        Self { connections, site: Site::new(files, figures), port: options.port, turn: Turn::Done }
    }

    /// What was done so far.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.site.counts
    }

    /// Serves other files from now on. Answers that are under way end as they began.
    pub fn set_files(&mut self, files: F) {
        self.site.files = files;
    }

    /// Answers what has come. Never waits for anything but files. `now` never goes back, `device` is where figures come from.
    ///
    /// To be called when the stack has taken packets, and before it sends some.
    pub fn poll<D>(&mut self, sockets: &mut SocketSet<'static>, device: &D, now: Duration)
    where
        G: Figures<D>,
    {
        self.site.sample(device, now);
        self.serve(sockets, device, now);
        self.make_room(sockets, now);
    }

    /// When to poll at the latest: `now` where there is more to do.
    #[must_use]
    pub fn next_deadline(&self, now: Duration) -> Duration {
        if self.turn == Turn::More {
            return now;
        }
        self.connections.iter().map(Connection::limit).fold(self.site.next_sample(), Duration::min).max(now)
    }

    fn serve<D>(&mut self, sockets: &mut SocketSet<'static>, device: &D, now: Duration)
    where
        G: Figures<D>,
    {
        for connection in &mut self.connections {
            connection.follow(sockets.get_mut(connection.handle), &mut self.site, self.port, now);
        }
        self.site.counts.open = self.connections.iter().filter(|connection| connection.is_open()).count() as u64;
        self.turn = Turn::Done;
        for connection in &mut self.connections {
            let socket = sockets.get_mut(connection.handle);
            if connection.turn(socket, &mut self.site, device, now) == Turn::More {
                self.turn = Turn::More;
            }
        }
    }

    /// Ends connections whose clients have done nothing for longest, where too few sockets are left for others.
    fn make_room(&mut self, sockets: &mut SocketSet<'static>, now: Duration) {
        let spare = (self.connections.len() / SPARE_ONE_IN).clamp(1, MOST_SPARE);
        let free = self.connections.iter().filter(|connection| connection.is_free(now)).count();
        for _ in free..spare {
            let ranked = self.connections.iter_mut().filter_map(|one| Some((one.rank(now)?, one)));
            let Some((_, connection)) = ranked.min_by_key(|(rank, _)| *rank) else { return };
            self.site.counts.cut += 1;
            connection.evict(sockets.get_mut(connection.handle), now);
        }
    }
}

impl<F: Files, G> core::fmt::Debug for Web<F, G> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Web").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

fn listening(port: u16) -> tcp::Socket<'static> {
    let buffer = |size| tcp::SocketBuffer::new(vec![0; size]);
    let mut socket = tcp::Socket::new(buffer(RECEIVE), buffer(SEND));
    // Answers are written whole, and nobody is to wait for their last piece.
    socket.set_nagle_enabled(false);
    // It is new.
    let _ = socket.listen(port);
    socket
}
