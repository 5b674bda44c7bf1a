//! The beginning of an answer.

use alloc::string::String;
use core::fmt::{self, Write as _};
use core::time::Duration;

use crate::date::Date;
use crate::request::Then;
use crate::status::Status;

/// The lines before an answer's content, as they are being written.
#[derive(Debug)]
pub(crate) struct Head(String);

impl Head {
    /// With the date, which a server that knows the time has to tell: RFC 9110, section 6.6.1.
    pub(crate) fn new(status: Status, wall: Option<Duration>) -> Self {
        let mut text = String::with_capacity(384);
        // Writing into a string does not fail.
        let _ = write!(text, "HTTP/1.1 {} {}\r\n", status.0, status.reason());
        let head = Self(text).field("X-Content-Type-Options", "nosniff");
        wall.into_iter().fold(head, |head, wall| head.field("Date", Date(wall)))
    }

    pub(crate) fn field(mut self, name: &str, value: impl fmt::Display) -> Self {
        let _ = write!(self.0, "{name}: {value}\r\n");
        self
    }

    pub(crate) fn end(self, then: Then) -> String {
        let mut text = self.field("Connection", then.name()).0;
        text.push_str("\r\n");
        text
    }
}
