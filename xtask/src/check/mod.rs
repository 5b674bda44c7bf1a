//! `cargo xtask test`: everything that must hold.

mod lanes;
mod plan;
mod stage;
mod step;
mod summary;

use anyhow::{Result, bail};

use self::step::{Outcome, Step};
use self::summary::Summary;
use crate::cli::Test;
use crate::progress::Progress;
use crate::{process, results, workspace};

/// Runs the steps and returns 0 if all passed; one that cannot run here is reported, and counts as failed if asked for.
///
/// # Errors
///
/// When cargo cannot tell the packages, no step has the given name, or the user interrupts.
pub fn run(options: &Test) -> Result<u8> {
    let steps = selected(plan::steps(&workspace::packages()?)?, options)?;
    if options.list {
        steps.iter().for_each(|step| println!("{}", step.name));
        return Ok(0);
    }
    if options.means_all() {
        results::forget()?;
    }
    let progress = Progress::new();
    let (ended, result) = lanes::run(steps, &progress);
    let summary = Summary::new(ended, progress.elapsed());
    eprintln!("{summary}");
    result?;
    remake_book(&summary, &progress)?;
    Ok(u8::from(summary.has(&Outcome::Failed) || options.complete && summary.has_gaps()))
}

/// The book was made before the tests of whose verdicts it tells. A program of its own makes it, as in the step: this one's file may be
/// another one by now.
fn remake_book(summary: &Summary, progress: &Progress) -> Result<()> {
    if summary.passed(plan::DOCUMENTATION) && summary.len() > 1 {
        let finished = process::capture(plan::documentation(&["--book"])?, None)?;
        let why = process::last_lines(&finished.stderr, 3);
        progress.note(
            "book",
            match finished.status.success() {
                true => "made again, with marks".to_owned(),
                false => format!("could not be made again, with marks (`cargo xtask doc --book` repeats it): {why}"),
            },
        );
    }
    Ok(())
}

fn selected(mut steps: Vec<Step>, options: &Test) -> Result<Vec<Step>> {
    steps.retain(|step| match step.part {
        step::Part::Host => !options.xen,
        step::Part::Xen => !options.host,
    });
    let holds = |step: &Step, word: &String| step.name.to_lowercase().contains(&word.to_lowercase());
    for word in &options.steps {
        if !steps.iter().any(|step| holds(step, word)) {
            bail!("no step has {word} in its name; `cargo xtask test --list` shows them");
        }
    }
    steps.retain(|step| options.steps.is_empty() || options.steps.iter().any(|word| holds(step, word)));
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};
    use crate::mutants::Share;

    fn names(words: &[&str]) -> Result<Vec<String>> {
        let cli = Cli::try_parse_from(["xtask", "test"].iter().chain(words))?;
        let Command::Test(options) = cli.command else { bail!("another command") };
        let command = || std::process::Command::new("true");
        let steps =
            vec![Step::quiet("clippy, host", command()), Step::mutants(Share::ALL), Step::xen("real Xen", command())];
        Ok(selected(steps, &options)?.into_iter().map(|step| step.name).collect())
    }

    #[test]
    fn words_and_halves_select_steps() {
        assert_eq!(names(&[]).unwrap().len(), 3);
        assert_eq!(names(&["xen", "CLIPPY"]).unwrap(), ["clippy, host", "real Xen"]);
        assert_eq!(names(&["--host"]).unwrap(), ["clippy, host", "mutants, share 1/1"]);
        assert_eq!(names(&["--xen"]).unwrap(), ["real Xen"]);
    }

    #[test]
    fn a_word_that_means_no_step_is_refused_also_beside_one_that_does() {
        let message = names(&["clippy", "lom"]).unwrap_err().to_string();
        assert!(message.contains("lom"), "{message}");
        assert!(names(&["--host", "real"]).is_err());
    }
}
