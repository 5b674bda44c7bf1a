//! What is sent for a request.

use alloc::string::String;

use smoltcp::socket::tcp::Socket;

use crate::files::File;
use crate::head::Head;
use crate::request::{Method, Then};

/// An answer on its way.
#[derive(Debug)]
pub(crate) struct Answer<F> {
    /// What goes first.
    text: String,
    /// How much of it has gone.
    gone: usize,
    /// What goes then.
    file: Option<F>,
    /// How many bytes of the file are still to be read.
    left: u64,
    /// How many have been.
    read: u64,
    pub(crate) then: Then,
}

/// How far an answer has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There is no more room for it just now.
    Waits,
    /// The socket has all of it.
    IsDone,
    /// It cannot be gone on with: its length was promised, and the file is at fault.
    Broke,
}

impl<F: File> Answer<F> {
    /// An answer with a text as its content.
    pub(crate) fn text(head: Head, method: Method, then: Then, content: &str) -> Self {
        let mut text = head.field("Content-Length", content.len()).end(then);
        if method != Method::Head {
            text.push_str(content);
        }
        Self { text, gone: 0, file: None, left: 0, read: 0, then }
    }

    /// An answer that has no content, and must not tell a length.
    pub(crate) fn empty(head: Head, then: Then) -> Self {
        Self { text: head.end(then), gone: 0, file: None, left: 0, read: 0, then }
    }

    /// An answer with a file as its content.
    pub(crate) fn file(head: Head, method: Method, then: Then, file: F) -> Self {
        let size = file.size();
        let text = head.field("Content-Length", size).end(then);
        let (file, left) = if method == Method::Head { (None, 0) } else { (Some(file), size) };
        Self { text, gone: 0, file, left, read: 0, then }
    }

    /// How many bytes the socket has been given.
    pub(crate) const fn gone(&self) -> u64 {
        self.gone as u64 + self.read
    }

    /// Gives the socket as much as there is room for.
    pub(crate) fn send(&mut self, socket: &mut Socket<'_>) -> Progress {
        while self.gone < self.text.len() || self.left > 0 {
            if !socket.can_send() {
                return Progress::Waits;
            }
            if self.step(socket).is_none() {
                return Progress::Broke;
            }
        }
        Progress::IsDone
    }

    /// Fills the next adjacent room.
    fn step(&mut self, socket: &mut Socket<'_>) -> Option<()> {
        if let Some(text) = self.text.as_bytes().get(self.gone..).filter(|text| !text.is_empty()) {
            self.gone += socket.send_slice(text).ok()?;
            return Some(());
        }
        let file = self.file.as_mut()?;
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let read = |room: &mut [u8]| {
            let end = room.len().min(most);
            // A file that is shorter than it was said to be reads as nothing.
            let count = file.read(&mut room[..end]).unwrap_or(0).min(end);
            (count, count)
        };
        let count = socket.send(read).ok().filter(|count| *count > 0)?;
        self.left = self.left.saturating_sub(count as u64);
        self.read += count as u64;
        Some(())
    }
}
