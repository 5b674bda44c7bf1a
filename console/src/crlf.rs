//! Line ends for terminals.

use core::fmt::{self, Write};

/// Writes text with each line feed turned into carriage return and line feed.
///
/// The consoles themselves pass bytes on as they are, and the daemon's log file is better without carriage
/// returns; a terminal in raw mode, as `xl console` makes it, needs them.
///
/// ```
/// use core::fmt::Write;
/// let mut text = String::new();
/// writeln!(xen_console::CrLf(&mut text), "one\ntwo").unwrap();
/// assert_eq!(text, "one\r\ntwo\r\n");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct CrLf<W>(pub W);

impl<W: Write> Write for CrLf<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for piece in text.split_inclusive('\n') {
            match piece.strip_suffix('\n') {
                Some(line) => {
                    self.0.write_str(line)?;
                    self.0.write_str("\r\n")?;
                }
                None => self.0.write_str(piece)?,
            }
        }
        Ok(())
    }
}
