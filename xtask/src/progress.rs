//! Steps, shown on standard error with the time since the start.

use std::fmt::{self, Debug, Formatter};
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shows steps: a spinner on a terminal, plain lines elsewhere.
#[derive(Debug, Clone)]
pub struct Progress {
    started: Instant,
    style: Style,
}

#[derive(Debug, Clone)]
enum Style {
    Terminal,
    Lines,
    Quiet,
    To(Receiver),
}

/// Takes the lines instead of standard error, one or more whole ones at a time.
#[derive(Clone)]
pub struct Receiver(Arc<dyn Fn(&str) + Send + Sync>);

impl Receiver {
    /// Makes one that calls a function.
    #[must_use]
    pub fn new(take: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }
}

impl Debug for Receiver {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

impl Progress {
    /// Shows steps on standard error.
    #[must_use]
    pub fn new() -> Self {
        let style = if std::io::stderr().is_terminal() { Style::Terminal } else { Style::Lines };
        Self { started: Instant::now(), style }
    }

    /// Shows nothing.
    #[must_use]
    pub fn quiet() -> Self {
        Self { started: Instant::now(), style: Style::Quiet }
    }

    /// Returns one with the same start whose lines go to a receiver.
    #[must_use]
    pub const fn to(&self, receiver: Receiver) -> Self {
        Self { started: self.started, style: Style::To(receiver) }
    }

    /// Returns the time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Begins to show on a terminal what goes on; plain output has nothing of it.
    #[must_use]
    pub fn status(&self, name: &'static str, text: impl Into<String>) -> Step {
        let bar = match &self.style {
            Style::Terminal => spinner(name, text.into()),
            Style::Lines | Style::Quiet | Style::To(_) => ProgressBar::hidden(),
        };
        Step { progress: self.clone(), name, bar, patience: None }
    }

    /// Begins a step; it disappears without a line unless [`Step::done`] is called.
    #[must_use]
    pub fn step(&self, name: &'static str, text: impl Into<String>) -> Step {
        let text = text.into();
        let mut step = self.status(name, text.clone());
        step.patience = matches!(self.style, Style::Lines).then(|| Patience::begin(self.clone(), name, text));
        step
    }

    /// Prints a finished step.
    pub fn line(&self, name: &str, text: impl AsRef<str>) {
        self.print(&format!("  {name:<11} {:<52} {:>6.1} s", text.as_ref(), self.elapsed().as_secs_f32()));
    }

    /// Prints another program's words, if there are any.
    pub fn text(&self, text: &str) {
        if !text.is_empty() {
            self.print(text);
        }
    }

    /// Prints a remark without a time.
    pub fn note(&self, name: &str, text: impl AsRef<str>) {
        self.print(&format!("  {name:<11} {}", text.as_ref()));
    }

    /// Prints lines as they are.
    pub fn print(&self, text: &str) {
        match &self.style {
            Style::Terminal | Style::Lines => eprintln!("{text}"),
            Style::Quiet => {}
            Style::To(Receiver(take)) => take(text),
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

/// A step under way.
#[derive(Debug)]
pub struct Step {
    progress: Progress,
    name: &'static str,
    bar: ProgressBar,
    /// Where there is no terminal.
    patience: Option<Patience>,
}

/// Says what a step does once it takes long; while it is there, the step goes on.
#[derive(Debug)]
struct Patience {
    /// What it does now; nothing, if that was said already.
    text: Sender<Option<String>>,
}

/// How long a step may take until something is said.
const LONG: Duration = Duration::from_secs(4);

impl Patience {
    fn begin(progress: Progress, name: &'static str, mut text: String) -> Self {
        let (sender, texts) = mpsc::channel();
        // It ends by itself, soon after the step.
        thread::spawn(move || {
            let end = Instant::now() + LONG;
            loop {
                match texts.recv_timeout(end.saturating_duration_since(Instant::now())) {
                    Ok(Some(next)) => text = next,
                    Ok(None) => return,
                    Err(RecvTimeoutError::Timeout) => return progress.note(name, format!("{text} ...")),
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        });
        Self { text: sender }
    }
}

impl Step {
    /// Says what the step does now; plain output shows the end of a step, and once what one does that takes long.
    pub fn update(&self, text: impl Into<String>) {
        let text = text.into();
        if let Some(patience) = &self.patience {
            // Who has spoken is gone.
            let _ = patience.text.send(Some(text.clone()));
        }
        self.bar.set_message(text);
    }

    /// Says something that plain output shows as well, because it takes long.
    pub fn announce(&self, text: impl AsRef<str>) {
        match &self.progress.style {
            Style::Terminal => self.update(text.as_ref()),
            Style::Lines | Style::Quiet | Style::To(_) => {
                self.progress.note(self.name, text);
                let _ = self.patience.as_ref().map(|patience| patience.text.send(None));
            }
        }
    }

    /// Prints a line above the step, which goes on.
    pub fn remark(&self, text: &str) {
        self.bar.suspend(|| self.progress.print(text));
    }

    /// Ends the step with a line.
    pub fn done(self, text: impl AsRef<str>) {
        self.bar.finish_and_clear();
        self.progress.line(self.name, text);
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn spinner(name: &'static str, text: String) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {prefix:<11} {msg} {elapsed:.dim}");
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
        .with_prefix(name)
        .with_message(text);
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
