//! When the steps of a boot began, for those who wonder where its seconds go.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::picture::{FAINT, Letters, MARGIN, OCHRE, PLAIN, Picture, RED, SMALL, TEAL, TITLE, WIDTH};

/// Characters that the longest bar of the text takes.
const COLUMNS: usize = 50;
/// Where the bars of the picture begin, their height, and the height of a bar with the gap below it.
const BARS: usize = 300;
const BAR: usize = 18;
const STEP: usize = 28;
/// What is kept free at the right for the duration behind a bar.
const NUMBER: usize = 90;
/// The colours of Xen with domain 0, of the guest, and of moments.
const HOST: &str = TEAL;
const GUEST: &str = OCHRE;
const MOMENT: &str = RED;

/// The steps of a boot, of which each begins when the one before ends, and moments within them.
///
/// Full mode looks at Xen's log 20 times a second; what the log tells, and what follows from it, is no more exact than that.
#[derive(Debug, Clone)]
pub struct Timeline {
    started: Instant,
    steps: Vec<Step>,
    moments: Vec<Moment>,
    end: Option<Duration>,
}

/// A step of a boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// What happens in it.
    pub name: &'static str,
    /// Who does it.
    pub side: Side,
    /// When it began, counted from the start of the boot.
    pub begin: Duration,
}

/// Who does a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// This tool, QEMU, Xen, domain 0.
    Host,
    /// The guest.
    Guest,
}

/// Something that happens at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// What happened.
    pub name: &'static str,
    /// When, counted from the start of the boot.
    pub at: Duration,
}

impl Timeline {
    /// Starts with a first step.
    #[must_use]
    pub fn start(name: &'static str) -> Self {
        let first = Step { name, side: Side::Host, begin: Duration::ZERO };
        Self { started: Instant::now(), steps: vec![first], moments: Vec::new(), end: None }
    }

    /// Ends the step that goes on, and begins the next one.
    pub fn begin(&mut self, name: &'static str, side: Side) {
        let begin = self.started.elapsed();
        self.steps.push(Step { name, side, begin });
    }

    /// Notes a moment, the first of its name.
    pub fn note(&mut self, name: &'static str) {
        if self.moments.iter().all(|moment| moment.name != name) {
            self.moments.push(Moment { name, at: self.started.elapsed() });
        }
    }

    /// Ends the last step.
    pub fn finish(&mut self) {
        self.end = Some(self.started.elapsed());
    }

    /// Forgets all after the last step of this name, which goes on: the next guest begins.
    pub fn back_to(&mut self, name: &str) {
        let kept = self.steps.iter().rposition(|step| step.name == name).map_or(self.steps.len(), |last| last + 1);
        self.steps.truncate(kept);
        self.moments.clear();
        self.end = None;
    }

    /// Returns the name of the step that goes on.
    #[must_use]
    pub fn current(&self) -> &'static str {
        self.steps.last().map_or("", |step| step.name)
    }

    /// Returns the steps.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Returns the moments.
    #[must_use]
    pub fn moments(&self) -> &[Moment] {
        &self.moments
    }

    /// Returns a line for each step and moment, in the order of their times.
    #[must_use]
    pub fn text(&self) -> String {
        let shown = self.shown();
        let column =
            |at: Duration| (at.min(shown).as_secs_f64() / shown.as_secs_f64() * COLUMNS as f64).round() as usize;
        let mut text = String::new();
        for line in self.lines() {
            let (indent, length) = (column(line.begin), column(line.end).saturating_sub(column(line.begin)).max(1));
            let more = if line.end > shown { "…" } else { "" };
            let mark = if line.moment { "◆".to_owned() } else { "█".repeat(length) + more };
            let took =
                if line.moment { String::new() } else { format!("{:.2}", (line.end - line.begin).as_secs_f64()) };
            let begin = line.begin.as_secs_f64();
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {:<28} {begin:>7.2} {took:>7}  {}{mark}", line.name, " ".repeat(indent));
        }
        text
    }

    /// Returns the same as a picture.
    #[must_use]
    pub fn svg(&self, title: &str) -> String {
        let mut picture = Picture::default();
        picture.y = 50;
        picture.write(MARGIN, title, TITLE);
        picture.y += 26;
        let end = if self.end.is_some() { "to the end of the guest" } else { "on, and the guest goes on" };
        let ends = format!("{:.2} s from the start {end}", self.end().as_secs_f64());
        picture.write(MARGIN, &ends, Letters { colour: FAINT, ..PLAIN });
        picture.y += 20;
        picture.rule();
        picture.y += 14;
        let shown = self.shown();
        let scale = (WIDTH - MARGIN - BARS - NUMBER) as f64 / shown.as_secs_f64();
        for line in self.lines() {
            line.draw(&mut picture, shown, |at| BARS + (at.min(shown).as_secs_f64() * scale).round() as usize);
        }
        picture.y += 14;
        picture.finish()
    }

    /// The time that bars can show: a guest that runs for long does not make those of the boot short.
    fn shown(&self) -> Duration {
        let begins = self.steps.iter().map(|step| step.begin).chain(self.moments.iter().map(|moment| moment.at));
        let last = begins.max().unwrap_or_default();
        self.end().min(last + last / 2).max(Duration::from_millis(10))
    }

    fn end(&self) -> Duration {
        self.end.unwrap_or_else(|| self.started.elapsed())
    }

    fn lines(&self) -> Vec<Line> {
        let ends = self.steps.iter().skip(1).map(|step| step.begin).chain([self.end()]);
        let steps = self.steps.iter().zip(ends).map(|(step, end)| {
            let colour = if step.side == Side::Host { HOST } else { GUEST };
            Line { name: step.name, begin: step.begin, end, moment: false, colour }
        });
        let moments = self.moments.iter().map(|moment| Line {
            name: moment.name,
            begin: moment.at,
            end: moment.at,
            moment: true,
            colour: MOMENT,
        });
        let mut lines: Vec<Line> = steps.chain(moments).collect();
        lines.sort_by_key(|line| line.begin);
        lines
    }
}

/// A step or a moment, as it is shown.
struct Line {
    name: &'static str,
    begin: Duration,
    end: Duration,
    moment: bool,
    colour: &'static str,
}

impl Line {
    fn draw(&self, picture: &mut Picture, shown: Duration, x: impl Fn(Duration) -> usize) {
        let (left, right) = (x(self.begin), x(self.end));
        // A step that took no time is still to be seen.
        let width = if self.moment { 4 } else { (right - left).max(2) };
        picture.rectangle(left, width, BAR, self.colour);
        picture.y += 14;
        picture.write(MARGIN, self.name, PLAIN);
        let number = if self.moment {
            format!("at {:.2} s", self.begin.as_secs_f64())
        } else {
            let more = if self.end > shown { "… " } else { "" };
            format!("{more}{:.2} s", (self.end - self.begin).as_secs_f64())
        };
        picture.write(left + width + 7, &number, SMALL);
        picture.y += STEP - 14;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Timeline {
        let seconds = Duration::from_secs;
        let step = |name, side, begin| Step { name, side, begin: seconds(begin) };
        Timeline {
            started: Instant::now(),
            steps: vec![step("Xen & co", Side::Host, 0), step("boot", Side::Host, 2), step("guest", Side::Guest, 8)],
            moments: vec![Moment { name: "word", at: seconds(9) }],
            end: Some(seconds(10)),
        }
    }

    #[test]
    fn each_step_has_its_begin_its_time_and_a_bar() {
        let text = example().text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[1].starts_with("  boot") && lines[1].contains(" 2.00    6.00 "), "{text}");
        assert!(lines[1].ends_with(&format!("  {}{}", " ".repeat(10), "█".repeat(30))), "{text}");
        assert!(lines[3].starts_with("  word") && lines[3].ends_with('◆'), "{text}");
    }

    #[test]
    fn a_guest_that_runs_for_long_leaves_room_for_the_boot() {
        let long = Timeline { end: Some(Duration::from_secs(1000)), ..example() };
        let text = long.text();
        let last = text.lines().find(|line| line.starts_with("  guest")).unwrap();
        assert!(last.contains(" 992.00 ") && last.ends_with("█…"), "{text}");
        assert!(text.lines().nth(1).unwrap().matches('█').count() > 20, "{text}");
        assert!(long.svg("").contains(">… 992.00 s<"));
    }

    #[test]
    fn a_picture_has_a_bar_for_each_and_says_how_long() {
        let svg = example().svg("A boot");
        // One is the background.
        assert_eq!(svg.matches("<rect").count(), 1 + 4);
        for text in ["A boot", "Xen &amp; co", ">6.00 s<", ">at 9.00 s<", "10.00 s from the start"] {
            assert!(svg.contains(text), "no {text} in {svg}");
        }
    }

    #[test]
    fn the_next_guest_has_the_same_boot_and_its_own_steps() {
        let mut timeline = Timeline::start("boot");
        timeline.begin("wait", Side::Host);
        timeline.begin("guest", Side::Guest);
        timeline.note("word");
        timeline.note("word");
        assert_eq!(timeline.moments().len(), 1);
        timeline.finish();
        timeline.back_to("wait");
        assert_eq!((timeline.current(), timeline.moments(), timeline.end), ("wait", &[][..], None));
        assert_eq!(timeline.steps().iter().map(|step| step.name).collect::<Vec<_>>(), ["boot", "wait"]);
    }
}
