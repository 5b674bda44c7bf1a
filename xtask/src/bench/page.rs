//! All reports as one page.

use std::fmt::Write as _;

use super::csv::Before;
use super::number;
use super::report::{Better, Report, Row};
use super::{summary, svg};
use crate::picture::escaped;

const STYLE: &str = "
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, 'DejaVu Sans', sans-serif; max-width: 1280px; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.9rem } h2 { margin-top: 3rem; border-top: 1px solid #8885; padding-top: 1.5rem }
img { max-width: 100%; height: auto; border: 1px solid #8883; border-radius: 6px }
table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .25rem .9rem .25rem 0; text-align: right; border-bottom: 1px solid #8883 }
td:first-child, th:first-child { text-align: left } .good { color: #1a7f37 } .bad { color: #b3261e }
@media (prefers-color-scheme: dark) { .good { color: #56d364 } .bad { color: #ff7b72 } }
pre { overflow-x: auto; font-size: 13px; line-height: 1.4 } dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.2rem } dt { font-weight: 600 } dd { margin: 0 } .missed { font-weight: 600 }
";

/// Smaller changes are none.
const NOTICED: f64 = 0.01;

/// A table of what tests found, and how to make it anew.
pub(super) struct Check {
    pub(super) title: &'static str,
    pub(super) command: &'static str,
    /// As it was kept.
    pub(super) table: Option<String>,
}

/// Returns the page: what was measured on, a picture of all, each report with its goals, picture, figures and caveats, and what checks
/// found. Beside each report is what was found before.
pub(super) fn text(reports: &[(Report, Before)], checks: &[Check], setting: &[(&str, String)]) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\n\
         <title>domu: benchmarks</title>\n<style>{STYLE}</style>\n<h1>Benchmarks</h1>\n<dl>\n"
    );
    for (name, value) in setting {
        let _ = writeln!(page, "<dt>{}<dd>{}", escaped(name), escaped(value));
    }
    let _ = writeln!(
        page,
        "</dl>\n{}\n<p><a href=summary.svg><img src=summary.svg alt=\"All in one picture\"></a>",
        behind(reports)
    );
    for (report, before) in reports {
        part(&mut page, report, before);
    }
    for Check { title, command, table } in checks {
        let table = table.as_deref().unwrap_or("It has not run here.").trim_end();
        let _ = writeln!(page, "<h2>{title}</h2>\n<p><code>{command}</code>\n<pre>{}</pre>", escaped(table));
    }
    page
}

/// Where we are not where we want to be, first of all.
fn behind(reports: &[(Report, Before)]) -> String {
    let verdicts: Vec<_> = reports.iter().flat_map(|(report, _)| &report.verdicts).collect();
    let missed: Vec<_> = verdicts.iter().filter(|verdict| !verdict.is_met()).collect();
    let mut text = format!("<p>{} of {} goals are met.", verdicts.len() - missed.len(), verdicts.len());
    if !missed.is_empty() {
        let items: String = missed.iter().map(|verdict| format!("<li>{}\n", escaped(&verdict.to_string()))).collect();
        let _ = write!(text, " Those that are not:\n<ul class=missed>\n{items}</ul>");
    }
    text
}

fn part(page: &mut String, report: &Report, before: &Before) {
    let name = report.name;
    let _ = writeln!(
        page,
        "<h2 id={name}>{}</h2>\n<p>{}. <a href={name}/{name}.csv>CSV</a>",
        escaped(&report.title),
        escaped(&report.setting)
    );
    let _ =
        writeln!(page, "<p><a href={name}/{name}.svg><img src={name}/{name}.svg alt=\"The same as a picture\"></a>");
    let guests: String = report.guests.iter().map(|guest| format!("<th>{}", escaped(guest))).collect();
    let _ = writeln!(page, "<table>\n<tr><th>what{guests}<th>ratio<th>before<th>change");
    for row in &report.rows {
        page.push_str(&line(report, row, before));
    }
    page.push_str("</table>\n<ul>\n");
    report.caveats.iter().for_each(|caveat| {
        let _ = writeln!(page, "<li>{}", escaped(caveat));
    });
    page.push_str("</ul>\n");
}

fn line(report: &Report, row: &Row, before: &Before) -> String {
    let mut text = format!("<tr><td>{}: {}", escaped(&row.case), escaped(&row.figure.name));
    for spread in &row.values {
        let figure = spread.map_or_else(|| "n/a".to_owned(), |spread| number::figure(spread.median));
        let _ = write!(text, "<td>{figure}");
    }
    let ratio = row.ratio().map(|ratio| judged(&number::ratio(ratio), row.figure.better.holds(ratio, 1.0)));
    let _ = write!(text, "<td>{}", ratio.unwrap_or_default());
    let (old, now) = (before.median(report, row), row.values.first().copied().flatten());
    let known = old.zip(now).filter(|(old, _)| *old > 0.0);
    let change = known.map(|(old, now)| changed(row.figure.better, now.median / old));
    let old = old.map(number::figure).unwrap_or_default();
    let _ = writeln!(text, "<td>{old}<td>{}", change.unwrap_or_default());
    text
}

fn changed(better: Better, ratio: f64) -> String {
    if (ratio - 1.0).abs() < NOTICED {
        return "±0".to_owned();
    }
    judged(&format!("{:+.0} %", (ratio - 1.0) * 100.0), better.holds(ratio, 1.0))
}

fn judged(text: &str, is_good: bool) -> String {
    format!("<span class={}>{text}</span>", if is_good { "good" } else { "bad" })
}

/// The files beside the page.
pub(super) fn pictures(reports: &[(Report, Before)]) -> Vec<(String, String)> {
    let own = reports.iter().map(|(report, _)| (format!("{0}/{0}.svg", report.name), svg::text(report)));
    own.chain([("summary.svg".to_owned(), summary(reports))]).collect()
}

/// All in one picture.
pub(super) fn summary(reports: &[(Report, Before)]) -> String {
    let all: Vec<Report> = reports.iter().map(|(report, _)| report.clone()).collect();
    summary::text(&all)
}

#[cfg(test)]
mod tests {
    use super::super::goal::{Goal, Verdict};
    use super::super::report::tests::example;
    use super::*;

    fn nothing() -> Before {
        Before::read(std::path::Path::new("/nowhere")).unwrap()
    }

    #[test]
    fn the_page_says_what_is_missed_before_all_else() {
        let mut report = example();
        let goal = |limit| Goal::ratio(Better::More, limit);
        report.verdicts =
            vec![Verdict::of(&report.rows[0], goal(2.0)).unwrap(), Verdict::of(&report.rows[2], goal(1.0)).unwrap()];
        let check = Check { title: "Guards", command: "try", table: Some("a <b> 7\n".into()) };
        let page = text(&[(report, nothing())], &[check], &[("Xen", "4 & more".into())]);
        assert!(page.ends_with("<h2>Guards</h2>\n<p><code>try</code>\n<pre>a &lt;b&gt; 7</pre>\n"), "{page}");
        assert!(page.contains("<dt>Xen<dd>4 &amp; more") && page.contains("1 of 2 goals are met"), "{page}");
        assert!(page.find("NOT MET: large") < page.find("<h2"), "{page}");
        assert!(page.contains("<td>25,000<td>10,000<td><span class=good>2.50</span><td><td>"), "{page}");
    }

    #[test]
    fn a_change_is_judged_by_what_is_better() {
        assert!(changed(Better::Less, 0.9).contains("good>-10 %"));
        assert!(changed(Better::More, 0.9).contains("bad>-10 %"));
        assert_eq!(changed(Better::Less, 1.005), "±0");
    }
}
