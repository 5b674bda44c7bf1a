//! The `log` crate's output on a console.

use core::fmt::Write;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;

use log::{LevelFilter, Log, Metadata, Record};
use spin::Mutex;

/// How often a record tries to get the sink before it is left out.
const ATTEMPTS: usize = 10_000;

/// Writes log records to a console, one line each: `[   1.234567] WARN  driver: message`.
///
/// The sink is behind a lock, for which a record waits a bounded number of attempts: a record from an interrupt
/// handler, or from a panic, that came while another was being written is left out and counted, and does not
/// hang.
///
/// ```
/// use core::time::Duration;
/// use log::LevelFilter;
/// use xen_console::Logger;
///
/// static LOGGER: Logger<String> = Logger::new(String::new(), || Duration::from_micros(1_234_567));
///
/// log::set_logger(&LOGGER).unwrap();
/// log::set_max_level(LevelFilter::Info);
/// log::warn!(target: "driver", "message");
/// assert_eq!(LOGGER.with_sink(|text| text.clone()).unwrap(), "[   1.234567] WARN  driver: message\n");
/// ```
#[derive(Debug)]
pub struct Logger<W> {
    sink: Mutex<W>,
    clock: fn() -> Duration,
    level: LevelFilter,
    missed: AtomicUsize,
}

impl<W> Logger<W> {
    /// A logger that writes to `sink`; `clock` tells the time since boot.
    pub const fn new(sink: W, clock: fn() -> Duration) -> Self {
        Self { sink: Mutex::new(sink), clock, level: LevelFilter::Trace, missed: AtomicUsize::new(0) }
    }

    /// Leaves out what is more verbose than `level`, also where `log`'s global maximum would let it pass.
    #[must_use]
    pub const fn with_level(mut self, level: LevelFilter) -> Self {
        self.level = level;
        self
    }

    /// Lends the sink out, or returns `None` when it stayed in use.
    pub fn with_sink<R>(&self, use_it: impl FnOnce(&mut W) -> R) -> Option<R> {
        let mut sink = (0..ATTEMPTS).find_map(|_| {
            core::hint::spin_loop();
            self.sink.try_lock()
        })?;
        Some(use_it(&mut sink))
    }

    /// How many records were left out because the sink stayed in use.
    pub fn missed(&self) -> usize {
        self.missed.load(Ordering::Relaxed)
    }
}

impl<W: Write + Send> Log for Logger<W> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= self.level
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let time = (self.clock)();
        if self.with_sink(|sink| write_record(sink, time, record)).is_none() {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Does nothing: a sink that buffers is flushed by its owner.
    fn flush(&self) {}
}

fn write_record<W: Write>(sink: &mut W, time: Duration, record: &Record<'_>) {
    let (seconds, micros) = (time.as_secs(), time.subsec_micros());
    // There is no place left to report that the log cannot be written.
    let _ = writeln!(sink, "[{seconds:4}.{micros:06}] {:5} {}: {}", record.level(), record.target(), record.args());
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::String;

    use super::*;

    fn logger() -> Logger<String> {
        Logger::new(String::new(), || Duration::from_millis(12_345_060)).with_level(LevelFilter::Info)
    }

    fn record(logger: &Logger<String>, level: log::Level, text: &str) {
        logger.log(&Record::builder().level(level).target("test").args(format_args!("{text}")).build());
    }

    #[test]
    fn a_record_is_a_line() {
        let logger = logger();
        record(&logger, log::Level::Info, "hello");
        record(&logger, log::Level::Debug, "not this");
        record(&logger, log::Level::Error, "bye");
        let text = logger.with_sink(|text| text.clone()).unwrap();
        assert_eq!(text, "[12345.060000] INFO  test: hello\n[12345.060000] ERROR test: bye\n");
    }

    #[test]
    fn a_record_inside_a_record_is_left_out_and_counted() {
        let logger = logger();
        logger.with_sink(|_| record(&logger, log::Level::Error, "from an interrupt"));
        assert_eq!(logger.missed(), 1);
        record(&logger, log::Level::Error, "later");
        assert!(logger.with_sink(|text| text.ends_with("later\n")).unwrap());
        assert_eq!(logger.missed(), 1);
    }
}
