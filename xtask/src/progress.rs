//! Steps, shown on standard error with the time since the start.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shows steps: a spinner on a terminal, plain lines elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    started: Instant,
    style: Style,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Terminal,
    Lines,
    Quiet,
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

    /// Returns the time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Begins a step; it disappears without a line unless [`Step::done`] is called.
    #[must_use]
    pub fn step(&self, name: &'static str, text: impl Into<String>) -> Step {
        let bar = match self.style {
            Style::Terminal => spinner(name, text.into()),
            Style::Lines | Style::Quiet => ProgressBar::hidden(),
        };
        Step { progress: *self, name, bar }
    }

    /// Prints a finished step.
    pub fn line(&self, name: &str, text: impl AsRef<str>) {
        if self.style != Style::Quiet {
            eprintln!("  {name:<11} {:<52} {:>6.1} s", text.as_ref(), self.elapsed().as_secs_f32());
        }
    }

    /// Prints another program's words, if there are any.
    pub fn text(&self, text: &str) {
        if self.style != Style::Quiet && !text.is_empty() {
            eprintln!("{text}");
        }
    }

    /// Prints a remark without a time.
    pub fn note(&self, name: &str, text: impl AsRef<str>) {
        if self.style != Style::Quiet {
            eprintln!("  {name:<11} {}", text.as_ref());
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
}

impl Step {
    /// Says what the step does now; plain output shows only the end of a step.
    pub fn update(&self, text: impl Into<String>) {
        self.bar.set_message(text.into());
    }

    /// Says something that plain output shows as well, because it takes long.
    pub fn announce(&self, text: impl AsRef<str>) {
        match self.progress.style {
            Style::Terminal => self.update(text.as_ref()),
            Style::Lines | Style::Quiet => self.progress.note(self.name, text),
        }
    }

    /// Prints a line above the step, which goes on.
    pub fn remark(&self, text: &str) {
        if self.progress.style != Style::Quiet {
            self.bar.suspend(|| eprintln!("{text}"));
        }
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
