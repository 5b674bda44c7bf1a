//! The log file that full mode writes the serial port to.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Follows a log file while it grows.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    file: Option<File>,
    text: String,
    /// How much has been shown; `None` to show nothing.
    shown: Option<usize>,
}

impl Tail {
    /// Follows a file that need not exist yet; if `shown`, each complete line goes to standard error.
    #[must_use]
    pub fn new(path: &Path, show: bool) -> Self {
        Self { path: path.to_owned(), file: None, text: String::new(), shown: show.then_some(0) }
    }

    /// Reads what is new.
    pub fn read(&mut self) {
        if self.file.is_none() {
            self.file = File::open(&self.path).ok();
        }
        let mut bytes = Vec::new();
        // A log that cannot be read is one that says nothing.
        let _ = self.file.as_mut().map(|file| file.read_to_end(&mut bytes));
        self.text.extend(String::from_utf8_lossy(&bytes).chars().filter(|c| *c != '\r'));
        self.show();
    }

    /// Returns all that was read, without carriage returns.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    fn show(&mut self) {
        let Some(shown) = self.shown else { return };
        if let Some(end) = self.text[shown..].rfind('\n') {
            eprintln!("{}", &self.text[shown..shown + end]);
            self.shown = Some(shown + end + 1);
        }
    }
}
