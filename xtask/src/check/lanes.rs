//! Steps in lanes, which run beside each other: while Xen boots, which takes one processor, others build and test.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::{panic, thread};

use anyhow::Result;

use super::stage::{Screen, Stage};
use super::step::{Ended, Lane, Part, Step};
use crate::progress::{self, Progress, Receiver};

/// How much the builds stand back while there are boots, whose limits are in real time.
const COURTESY: i32 = 3;

/// Runs all steps, each lane in their order, and returns what became of them, in their order; and an error if the user interrupts.
pub(super) fn run(steps: Vec<Step>, progress: &Progress) -> (Vec<Ended>, Result<()>) {
    let names: Vec<String> = steps.iter().map(|step| step.name.clone()).collect();
    let ended: Mutex<Vec<Option<Ended>>> = Mutex::new(names.iter().map(|_| None).collect());
    let result = run_all(steps, &ended, progress);
    let ended = ended.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().zip(names);
    (ended.map(|(ended, name)| ended.unwrap_or_else(|| Step::interrupted(name))).collect(), result)
}

fn run_all(steps: Vec<Step>, ended: &Mutex<Vec<Option<Ended>>>, progress: &Progress) -> Result<()> {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let has_boots = steps.iter().any(|step| step.part == Part::Xen);
    let (lanes, rest) = arrange(steps, processors);
    let courtesy = if has_boots && lanes.len() > 1 { COURTESY } else { 0 };
    let screen = Status(progress.status("test", "beginning"));
    let stage = Arc::new(Stage::new(lanes.len(), Box::new(screen)));
    // Before any lane begins, so that who is heard first does not depend on which thread is quicker.
    let has_nothing = |(_, steps): &(usize, &Steps)| steps.is_empty() && rest.is_empty();
    lanes.iter().enumerate().filter(has_nothing).for_each(|(number, _)| stage.close(number));
    let rest = Mutex::new(VecDeque::from(rest));
    thread::scope(|scope| {
        let run = |(number, steps)| {
            let driver = Driver { number, stage: Arc::clone(&stage), progress: progress.clone(), rest: &rest, ended };
            let courtesy = if number == 0 { courtesy } else { 0 };
            scope.spawn(move || driver.drive(steps, courtesy))
        };
        let threads: Vec<_> = lanes.into_iter().enumerate().map(run).collect();
        let results =
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| panic::resume_unwind(panic)));
        // All are waited for, also after one was interrupted.
        results.collect::<Vec<_>>().into_iter().collect()
    })
}

/// The steps of a lane, with their places among all.
type Steps = Vec<(usize, Step)>;

/// Returns the lanes, and what is for any that has done its own: boots above all, which the second lane has from the start. One processor has
/// nothing to gain from a second lane, and with two or three there is none for Miri alone.
fn arrange(steps: Vec<Step>, processors: usize) -> (Vec<Steps>, Steps) {
    let (count, boots, miri) = match processors {
        0..2 => (1, Some(0), Some(0)),
        2..4 => (2, None, None),
        _ => (3, None, Some(2)),
    };
    let (mut lanes, mut rest): (Vec<Steps>, _) = ((0..count).map(|_| Steps::new()).collect(), Steps::new());
    for (place, step) in steps.into_iter().enumerate() {
        let lane = match step.lane() {
            Lane::Builds => Some(0),
            Lane::Boots => boots,
            Lane::Miri => miri,
        };
        lane.map_or(&mut rest, |lane| &mut lanes[lane]).push((place, step));
    }
    (lanes, rest)
}

/// What a lane works with.
struct Driver<'a> {
    number: usize,
    stage: Arc<Stage>,
    progress: Progress,
    /// Steps for whoever has done its own.
    rest: &'a Mutex<VecDeque<(usize, Step)>>,
    /// What became of all steps so far.
    ended: &'a Mutex<Vec<Option<Ended>>>,
}

/// Closes the lane at the end.
struct Closes<'a>(&'a Driver<'a>);

impl Drop for Closes<'_> {
    fn drop(&mut self) {
        self.0.stage.close(self.0.number);
    }
}

impl Driver<'_> {
    fn drive(&self, steps: Steps, courtesy: i32) -> Result<()> {
        if courtesy > 0 {
            // It holds for this thread and what it starts. Should the system refuse it, all goes on as well, if less evenly.
            let _ = rustix::process::setpriority_process(None, courtesy);
        }
        let rest = std::iter::from_fn(|| self.next());
        // Also if it panics: others want to be heard.
        let _closes = Closes(self);
        steps.into_iter().chain(rest).try_for_each(|(place, step)| self.step(place, step))
    }

    /// The next of what is for any lane. Who builds comes last, and begins at the end: so all lanes end at about the same time.
    fn next(&self) -> Option<(usize, Step)> {
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        if self.number == 0 { rest.pop_back() } else { rest.pop_front() }
    }

    fn step(&self, place: usize, step: Step) -> Result<()> {
        let name = step.name.clone();
        let beside = |words: &str| format!("  {:<11} {words}", "beside");
        self.stage.begin(self.number, &name, &beside(&format!("{name} has begun; its output comes when it has ended")));
        let (stage, number) = (Arc::clone(&self.stage), self.number);
        let voice = self.progress.to(Receiver::new(move |text| stage.say(number, text)));
        let result = step.run(&voice).map(|ended| self.note(place, ended, &voice));
        let words = result.as_ref().map_or_else(|_| format!("{name} interrupted"), Clone::clone);
        self.stage.end(self.number, &beside(&format!("{words}; its output comes after this step")));
        result.map(drop)
    }

    /// Notes what became of a step, and says so, and how many have ended.
    fn note(&self, place: usize, step: Ended, voice: &Progress) -> String {
        let words = step.words();
        let (done, count) = {
            let mut all = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
            all[place] = Some(step);
            (all.iter().flatten().count(), all.len())
        };
        voice.line("test", format!("{words} ({done} of {count})"));
        words
    }
}

/// Standard error, with what runs in the last line if it is a terminal.
struct Status(progress::Step);

impl Screen for Status {
    fn print(&self, text: &str) {
        self.0.remark(text);
    }

    fn show_running(&self, names: &str) {
        self.0.update(names);
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::super::step::Outcome;
    use super::*;

    fn steps() -> Vec<Step> {
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        };
        vec![
            Step::quiet("lint", shell("exit 1")),
            Step::xen("real Xen", shell("echo booted; exit 3")),
            Step::loud("tests", Command::new("/no/such/program")),
            Step::loud("more tests", shell("echo fine")),
        ]
    }

    #[test]
    fn all_steps_run_and_are_told_in_their_order() {
        let (ended, result) = run(steps(), &Progress::quiet());
        result.unwrap();
        let told: Vec<_> = ended.iter().map(|ended| (ended.name.as_str(), &ended.outcome)).collect();
        let (passed, failed) = (&Outcome::Passed, &Outcome::Failed);
        assert_eq!(told, [("lint", failed), ("real Xen", failed), ("tests", failed), ("more tests", passed)]);
    }

    #[test]
    fn boots_are_for_all_lanes_and_miri_has_one_of_its_own_if_there_are_processors() {
        let places = |processors| -> Vec<Vec<usize>> {
            let mut steps = steps();
            steps.insert(0, Step::miri("Miri", Command::new("true")));
            let (lanes, rest) = arrange(steps, processors);
            lanes.iter().chain([&rest]).map(|lane| lane.iter().map(|(place, _)| *place).collect()).collect()
        };
        // The last are those for any lane.
        assert_eq!(places(1), [vec![0, 1, 2, 3, 4], vec![]]);
        assert_eq!(places(2), [vec![1, 3, 4], vec![], vec![0, 2]]);
        assert_eq!(places(4), [vec![1, 3, 4], vec![], vec![0], vec![2]]);
    }

    #[test]
    fn who_builds_takes_what_is_left_from_the_end() {
        let (rest, ended) = (Mutex::new(VecDeque::from_iter(steps().into_iter().enumerate())), Mutex::new(Vec::new()));
        let stage = Arc::new(Stage::new(2, Box::new(Status(Progress::quiet().status("test", "")))));
        let next = |number| {
            let stage = Arc::clone(&stage);
            let driver = Driver { number, stage, progress: Progress::quiet(), rest: &rest, ended: &ended };
            driver.next().map(|(place, _)| place)
        };
        assert_eq!([next(0), next(1), next(1), next(0), next(0)], [Some(3), Some(0), Some(1), Some(2), None]);
    }

    #[test]
    fn what_is_for_any_lane_runs_once_also_where_there_is_nothing_else() {
        let screen = Status(Progress::quiet().step("test", ""));
        let stage = Arc::new(Stage::new(1, Box::new(screen)));
        let steps: Vec<_> = steps().into_iter().enumerate().collect();
        let (count, rest) = (steps.len(), Mutex::new(VecDeque::from(steps)));
        let ended = Mutex::new((0..count).map(|_| None).collect());
        let driver = Driver { number: 0, stage, progress: Progress::quiet(), rest: &rest, ended: &ended };
        driver.drive(Steps::new(), 0).unwrap();
        assert!(ended.lock().unwrap().iter().all(Option::is_some));
    }
}
