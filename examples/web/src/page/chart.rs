//! Charts of the last minute. The page's script draws them alike.

use alloc::string::String;
use core::fmt::Write as _;

use super::Marked;
use super::number::Amount;
use crate::history::{History, SAMPLES};
use crate::metrics::{METRICS, Reading, Unit, all, index};

/// The size of a chart's field, in its own units.
const WIDTH: usize = 240;
const HEIGHT: u64 = 64;
/// What is left free above the largest value.
const ABOVE: u64 = 3;

/// One or two figures over the last minute.
pub(super) struct Chart {
    pub(super) title: &'static str,
    pub(super) scale: Scale,
    /// Keys of figures of one unit, and what they are called here.
    pub(super) lines: &'static [(&'static str, &'static str)],
}

/// What the top of a chart stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// So much a second: a round number, for all lines.
    PerSecond,
    /// All that there is, for each line its own.
    Share,
}

impl Chart {
    pub(super) fn write(&self, page: &mut String, reading: &Reading<'_>, history: &History) {
        let unit = METRICS[index(self.lines[0].0)].unit;
        let most = self.lines.iter().flat_map(|(key, _)| history.of(index(key))).max().unwrap_or(0);
        let top = top(most.into(), unit);
        let what = if self.scale == Scale::Share { "in use" } else { "per second" };
        let _ = write!(page, "<figure><figcaption><h2>{} <small>{what}</small></h2><p>", self.title);
        for (key, name) in self.lines {
            let amount = Amount(history.last(index(key)).into(), unit);
            let _ = write!(page, "<span><b{}>{amount}</b> ", Marked("r", key, unit));
            if self.scale == Scale::Share {
                let _ = write!(page, "of {} ", Amount(all(key, reading), unit));
            }
            let _ = write!(page, "{name}</span>");
        }
        page.push_str("</p></figcaption><p class=top>");
        let _ = match self.scale {
            Scale::PerSecond => write!(page, "{}", Amount(top, unit)),
            Scale::Share => write!(page, "all"),
        };
        let bytes = if unit == Unit::Bytes { " data-bytes" } else { "" };
        let share = if self.scale == Scale::Share { " data-share" } else { "" };
        let _ = write!(
            page,
            "</p><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=none role=img \
             aria-label=\"{}, the last minute\"{bytes}{share}><path class=grid d=\"M0 3H240M0 33.5H240M0 64H240\"/>",
            self.title,
        );
        for (key, _) in self.lines.iter().rev() {
            let top = if self.scale == Scale::Share { all(key, reading) } else { top };
            let line = Line { values: history.of(index(key)), top: top.max(1) };
            let _ = write!(page, "<path class=area d=\"{line}L240 64L{} 64Z\"/>", line.start());
            let _ = write!(page, "<path class=line data-l={key} d=\"{line}\"/>");
        }
        page.push_str("</svg><p class=axis><span>1 min ago</span><span>now</span></p></figure>");
    }
}

/// The path of a line: its newest value at the right edge.
struct Line<V> {
    values: V,
    top: u64,
}

impl<V: ExactSizeIterator<Item = u32> + Clone> Line<V> {
    fn start(&self) -> usize {
        x(self.values.len(), 0)
    }
}

impl<V: ExactSizeIterator<Item = u32> + Clone> core::fmt::Display for Line<V> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if self.values.len() == 0 {
            return f.write_str("M240 64");
        }
        let count = self.values.len();
        self.values.clone().enumerate().try_for_each(|(place, value)| {
            // In tenths.
            let y = HEIGHT * 10 - u64::from(value).min(self.top) * (HEIGHT - ABOVE) * 10 / self.top;
            write!(f, "{}{} {}.{}", if place == 0 { 'M' } else { 'L' }, x(count, place), y / 10, y % 10)
        })
    }
}

const fn x(count: usize, place: usize) -> usize {
    let after = count.saturating_sub(place + 1);
    WIDTH - after * WIDTH / (SAMPLES - 1)
}

/// The smallest 1, 2 or 5 with zeros, in the unit that fits, that is not below a value.
fn top(value: u64, unit: Unit) -> u64 {
    let base = if unit == Unit::Bytes { 1024 } else { 1000 };
    let mut scale = 1;
    while value / scale >= base {
        scale *= base;
    }
    let steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, base];
    steps.iter().map(|step| step * scale).find(|top| *top >= value).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    #[test]
    fn the_top_of_a_chart_is_a_round_number() {
        let cases = [
            (0, 1),
            (1, 1),
            (3, 5),
            (10, 10),
            (11, 20),
            (501, 1000),
            (1000, 1000),
            (1001, 2000),
            (4_294_967_295, 5_000_000_000),
        ];
        for (value, expected) in cases {
            assert_eq!(top(value, Unit::Number), expected, "{value}");
        }
        assert_eq!(
            [top(1000, Unit::Bytes), top(1025, Unit::Bytes), top(600 << 10, Unit::Bytes)],
            [1024, 2048, 1 << 20]
        );
    }

    #[test]
    fn lines_end_at_the_right_edge() {
        let line = |values: &'static [u32]| Line { values: values.iter().copied(), top: 10 }.to_string();
        assert_eq!(line(&[]), "M240 64");
        assert_eq!(line(&[0, 5, 10]), "M232 64.0L236 33.5L240 3.0");
        assert_eq!(x(SAMPLES, 0), 0);
    }
}
