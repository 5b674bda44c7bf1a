//! Xen's side: what a C compiler makes of the headers.
//!
//! Each question is a constant expression in a function of its own, and the answer an immediate operand that the
//! compiler prints into its assembly: nothing is assembled, linked or run, so that any cross compiler will do.

use crate::{Compiler, View};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fmt::Write;

/// What the compiler answers: a number, or why the headers do not have it.
pub type Answer = Result<i128, String>;

/// Asks for the values of integer constant expressions; answers come in the order of the questions.
///
/// # Errors
///
/// When the compiler cannot be run, or fails for a reason that is not in one of the questions.
pub fn ask(compiler: &Compiler, view: View, questions: &[String]) -> Result<Vec<Answer>> {
    let mut faults = BTreeMap::new();
    // The compiler names the faulty questions of one of its phases at once; without them it gets to the next phase.
    for _ in 0..4 {
        match compiler.compile(view, &program(questions, &faults))? {
            Ok(assembly) => return answers(questions.len(), &assembly, &faults),
            Err(complaints) => collect(&complaints, &mut faults)?,
        }
    }
    anyhow::bail!("the compiler rejects what it had accepted: {faults:?}")
}

const FILE: &str = "question";

fn program(questions: &[String], faults: &BTreeMap<usize, String>) -> String {
    let mut text = String::new();
    for (number, question) in questions.iter().enumerate().filter(|(number, _)| !faults.contains_key(number)) {
        let line = number + 1;
        // In halves with a sign, as x86-64 has no greater immediate operands.
        let _ = writeln!(
            text,
            "#line {line} \"{FILE}\"\n\
             void question{number}(void) {{ __asm__ volatile(\"\\n->{number} %c0 %c1 %c2\" :: \
             \"i\"((int)((unsigned long long)({question}) >> 32)), \
             \"i\"((int)({question})), \"i\"(({question}) < 0)); }}"
        );
    }
    text
}

fn collect(complaints: &str, faults: &mut BTreeMap<usize, String>) -> Result<()> {
    let before = faults.len();
    for complaint in complaints.lines() {
        if let Some((line, text)) = complaint.strip_prefix(FILE).and_then(fault) {
            faults.entry(line - 1).or_insert(text);
        }
    }
    anyhow::ensure!(faults.len() > before, "the compiler rejects Xen's headers:\n{complaints}");
    Ok(())
}

/// Reads `:LINE:COLUMN: error: TEXT`.
fn fault(rest: &str) -> Option<(usize, String)> {
    let mut parts = rest.strip_prefix(':')?.splitn(3, ':');
    let line = parts.next()?.parse().ok()?;
    let text = parts.nth(1)?.trim().strip_prefix("error: ")?;
    Some((line, text.to_owned()))
}

fn answers(count: usize, assembly: &str, faults: &BTreeMap<usize, String>) -> Result<Vec<Answer>> {
    let numbers: BTreeMap<usize, i128> =
        assembly.lines().filter_map(|line| line.strip_prefix("->")).filter_map(answer).collect();
    let one = |number| match (faults.get(&number), numbers.get(&number)) {
        (Some(fault), _) => Ok(Err(fault.clone())),
        (None, answer) => Ok(Ok(*answer.with_context(|| format!("no answer to question {number}"))?)),
    };
    (0..count).map(one).collect()
}

/// Reads `NUMBER UPPER LOWER NEGATIVE`, where the halves of the number have 32 bits and a sign each.
fn answer(line: &str) -> Option<(usize, i128)> {
    let mut parts = line.split_whitespace();
    let number = parts.next()?.parse().ok()?;
    let mut half = || parts.next()?.parse::<i32>().ok().map(|half| u64::from(half.cast_unsigned()));
    let bits = half()? << 32 | half()?;
    let value = if parts.next()? == "1" { bits.cast_signed().into() } else { bits.into() };
    Some((number, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_put_together_and_keeps_its_sign() {
        assert_eq!(answer("3 -1 -1 1"), Some((3, -1)));
        assert_eq!(answer("3 -1 -1 0"), Some((3, i128::from(u64::MAX))));
        assert_eq!(answer("3 1 2 0"), Some((3, 0x1_0000_0002)));
    }

    #[test]
    fn a_complaint_is_ascribed_to_its_question() {
        assert_eq!(fault(":7:9: error: no such thing"), Some((7, "no such thing".to_owned())));
        assert_eq!(fault(":7:9: note: only a note"), None);
    }

    #[test]
    fn a_complaint_about_a_header_is_not_taken_for_an_answer() {
        let mut faults = BTreeMap::new();
        assert!(collect("xen/xen.h:1:1: error: broken", &mut faults).is_err());
    }
}
