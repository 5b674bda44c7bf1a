//! The runner of mutants itself: a small workspace in which each verdict must come out.

use std::fs;
use std::path::{Path, PathBuf};

use xtask::mutants::{Laboratory, Verdict};
use xtask::progress::Progress;

const MANIFEST: &str = "[workspace]\n[package]\nname = 'small'\nversion = '0.0.0'\nedition = '2024'\n";

const SOURCE: &str = "
pub fn is_inside(index: u32, length: u32) -> bool {
    index < length
}

pub fn steps(mut left: u32) -> u32 {
    let mut steps = 0;
    while left > 0 {
        left -= 1;
        steps = u32::wrapping_add(steps, 1);
    }
    steps
}

#[test]
fn an_index_is_below_the_length() {
    assert!(!is_inside(3, 3));
}

#[test]
fn an_index_is_far_below_the_length() {
    assert!(is_inside(1, 3));
}

#[test]
fn steps_are_counted() {
    assert_eq!(steps(3), 3);
}

#[test]
#[cfg(broken)]
fn this_fails() {
    panic!();
}
";

/// A workspace with one package and a list of mutants, removed when dropped.
struct Small(PathBuf);

impl Small {
    fn new(name: &str, source: &str, mutants: &[[&str; 4]]) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let list: String = mutants.iter().map(entry).collect();
        for (file, text) in [("Cargo.toml", MANIFEST), ("src/lib.rs", source), ("tests/mutants/small.toml", &list)] {
            let path = folder.join("root").join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self(folder)
    }

    /// Tries the mutants and returns what became of each, by its id.
    fn verdicts(&self) -> Vec<(String, Verdict)> {
        let laboratory = Laboratory { root: self.0.join("root"), folder: self.0.join("mutants") };
        let mutants = laboratory.mutants(&[]).unwrap();
        let report = laboratory.judge(&mutants, &Progress::quiet()).unwrap();
        let all_killed = report.trials.iter().all(|trial| trial.verdict == Verdict::Killed);
        assert_eq!(report.passed(), all_killed);
        report.trials.into_iter().map(|trial| (trial.mutant.id.clone(), trial.verdict)).collect()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // What stays is below cargo's folder for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A mutant from its id, what it replaces by what, and its test; an id that starts with `endless` may hang.
fn entry([id, find, replace, test]: &[&str; 4]) -> String {
    let hang = id.starts_with("endless");
    format!(
        "[[mutant]]\nid = '{id}'\nfile = 'src/lib.rs'\nfind = '{find}'\nreplace = '{replace}'\n\
         package = 'small'\ntest = '{test}'\nhang = {hang}\n"
    )
}

fn reason(verdict: &Verdict) -> &str {
    match verdict {
        Verdict::Broken(reason) => reason,
        other => panic!("{other:?} is not broken"),
    }
}

#[test]
fn each_verdict_comes_out() {
    let guard = "index < length";
    let small = Small::new(
        "verdicts",
        SOURCE,
        &[
            ["a-killed", guard, "index <= length", "an_index_is_below"],
            ["b-survived", guard, "index <= length", "an_index_is_far_below"],
            ["c-no-test", guard, "index <= length", "no_such_test"],
            ["d-no-compile", guard, "index < width", "an_index_is_below"],
            ["e-no-text", "index > length", "true", "an_index_is_below"],
            ["endless", "left -= 1", "left |= 1", "steps_are_counted"],
        ],
    );
    let verdicts = small.verdicts();
    let of = |start: &str| &verdicts.iter().find(|(id, _)| id.starts_with(start)).unwrap().1;
    assert_eq!((of("a"), of("b"), of("endless")), (&Verdict::Killed, &Verdict::Survived, &Verdict::Killed));
    assert!(reason(of("c")).contains("no test of small has no_such_test"), "{:?}", of("c"));
    assert!(reason(of("d")).contains("does not compile") && reason(of("d")).contains("width"), "{:?}", of("d"));
    assert!(reason(of("e")).contains("occurs 0 times"), "{:?}", of("e"));
    let source = fs::read_to_string(small.0.join("root/src/lib.rs")).unwrap();
    assert_eq!(source, SOURCE, "the workspace itself was changed");
}

#[test]
fn tests_that_fail_by_themselves_prove_nothing() {
    let source = SOURCE.replace("#[cfg(broken)]", "");
    let mutant = ["index < length", "index <= length"];
    let of = |id, test| [id, mutant[0], mutant[1], test];
    let small = Small::new("failing", &source, &[of("a", "this_fails"), of("b", "an_index_is_below")]);
    let verdicts = small.verdicts();
    assert!(reason(&verdicts[0].1).contains("this_fails fails without it"), "{verdicts:?}");
    assert_eq!(verdicts[1].1, Verdict::Killed, "one bad test does not spoil the others");
}

#[test]
fn a_filter_that_means_no_mutant_is_an_error() {
    let small = Small::new("filter", SOURCE, &[["a", "index < length", "true", "an_index"]]);
    let laboratory = Laboratory { root: small.0.join("root"), folder: small.0.join("mutants") };
    let message = laboratory.mutants(&["ring".into()]).unwrap_err().to_string();
    assert!(message.contains("no mutant has ring"), "{message}");
}
