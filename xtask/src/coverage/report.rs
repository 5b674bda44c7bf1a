//! The table.

use std::fmt::{self, Display, Formatter};

use super::lines::Lines;

/// A file.
#[derive(Debug)]
pub(super) struct Row {
    name: String,
    lines: usize,
    missed: usize,
    gaps: Vec<(u32, u32)>,
}

/// All files.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) rows: Vec<Row>,
    pub(super) goal: f64,
}

impl Row {
    pub(super) fn new(name: String, lines: &Lines) -> Self {
        Self { name, lines: lines.count(), missed: lines.missed(), gaps: lines.gaps() }
    }

    /// Of a hundred lines, so many ran.
    fn percent(&self) -> f64 {
        if self.lines == 0 {
            return 100.0;
        }
        100.0 * (self.lines - self.missed) as f64 / self.lines as f64
    }
}

impl Report {
    /// Whether enough of all lines ran.
    pub(super) fn passed(&self) -> bool {
        self.total().percent() >= self.goal
    }

    fn total(&self) -> Row {
        let sum = |count: fn(&Row) -> usize| self.rows.iter().map(count).sum();
        let name = format!("all, of which {} must be covered", format_args!("{} %", self.goal));
        Row { name, lines: sum(|row| row.lines), missed: sum(|row| row.missed), gaps: Vec::new() }
    }
}

impl Display for Row {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let covered = self.lines - self.missed;
        write!(f, "\n  {:<40} {:>6} {covered:>8} {:>7.1}", self.name, self.lines, self.percent())?;
        let range = |(first, last): &(u32, u32)| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        };
        let gaps = self.gaps.iter().map(range).collect::<Vec<_>>().join(", ");
        if gaps.is_empty() { Ok(()) } else { write!(f, "   {gaps}") }
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "\n  {:<40} {:>6} {:>8} {:>7}   lines that no test runs", "file", "lines", "covered", "%")?;
        self.rows.iter().try_for_each(|row| row.fmt(f))?;
        self.total().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(lines: usize, missed: usize) -> Row {
        Row { name: "a/src/b.rs".into(), lines, missed, gaps: vec![(3, 3), (7, 9)] }
    }

    #[test]
    fn the_goal_is_for_all_lines_together() {
        let report = |missed| Report { rows: vec![row(10, missed), row(90, 0)], goal: 95.0 };
        assert!(report(5).passed());
        assert!(!report(6).passed());
    }

    #[test]
    fn lines_that_did_not_run_are_named() {
        let text = Report { rows: vec![row(20, 4), row(0, 0)], goal: 95.0 }.to_string();
        assert!(text.contains("20       16    80.0   3, 7-9\n"), "{text}");
        assert!(text.ends_with("20       16    80.0"), "{text}");
    }
}
