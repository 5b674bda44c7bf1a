//! Who of several that run beside each other may speak: one at a time, so that what a step says stays together.

use std::fmt::{self, Debug, Formatter};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Where lines appear.
pub(super) trait Screen: Send {
    /// Shows whole lines.
    fn print(&self, text: &str);
    /// Shows what runs now, where this can be taken back again.
    fn show_running(&self, names: &str);
}

/// The lanes of a run. The first that is not closed speaks as it likes; of the others each step speaks when it has ended,
/// at the next end of a step of the first.
pub(super) struct Stage(Mutex<Inner>);

struct Inner {
    lanes: Vec<Lane>,
    screen: Box<dyn Screen>,
}

#[derive(Debug, Default)]
struct Lane {
    /// The step that runs.
    running: Option<String>,
    /// What it has said and was not heard.
    unheard: Vec<String>,
    /// The same of those that have ended.
    ended: Vec<String>,
    closed: bool,
}

impl Stage {
    pub(super) fn new(lanes: usize, screen: Box<dyn Screen>) -> Self {
        Self(Mutex::new(Inner { lanes: (0..lanes).map(|_| Lane::default()).collect(), screen }))
    }

    /// A step begins; `notice` is shown if it is not heard as it goes.
    pub(super) fn begin(&self, lane: usize, name: &str, notice: &str) {
        let mut inner = self.inner();
        inner.lanes[lane].running = Some(name.to_owned());
        if !inner.is_heard(lane) {
            inner.screen.print(notice);
        }
        inner.show_running();
    }

    /// The step that runs says something.
    pub(super) fn say(&self, lane: usize, text: &str) {
        let mut inner = self.inner();
        if inner.is_heard(lane) {
            inner.screen.print(text);
        } else {
            inner.lanes[lane].unheard.push(text.to_owned());
        }
    }

    /// The step that runs has ended; `notice` is shown if what it said comes later.
    pub(super) fn end(&self, lane: usize, notice: &str) {
        let mut inner = self.inner();
        let said = std::mem::take(&mut inner.lanes[lane].unheard);
        inner.lanes[lane].ended.extend(said);
        inner.lanes[lane].running = None;
        if inner.is_heard(lane) {
            inner.hear_who_ended();
        } else {
            inner.screen.print(notice);
        }
        inner.show_running();
    }

    /// The lane has no more steps.
    pub(super) fn close(&self, lane: usize) {
        let mut inner = self.inner();
        let was_heard = inner.is_heard(lane);
        inner.lanes[lane].closed = true;
        if was_heard {
            inner.hear_next();
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn is_heard(&self, lane: usize) -> bool {
        self.lanes.iter().position(|lane| !lane.closed) == Some(lane)
    }

    /// Shows what steps said that ended unheard.
    fn hear_who_ended(&mut self) {
        for text in self.lanes.iter_mut().flat_map(|lane| lane.ended.drain(..)) {
            self.screen.print(&text);
        }
    }

    /// Another lane is heard now, from the begin of its step.
    fn hear_next(&mut self) {
        self.hear_who_ended();
        let Some(lane) = self.lanes.iter_mut().find(|lane| !lane.closed) else { return };
        for text in lane.unheard.drain(..) {
            self.screen.print(&text);
        }
    }

    fn show_running(&self) {
        let names: Vec<&str> = self.lanes.iter().filter_map(|lane| lane.running.as_deref()).collect();
        self.screen.show_running(&names.join("; "));
    }
}

impl Debug for Stage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stage").field("lanes", &self.inner().lanes).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[derive(Default, Clone)]
    struct Paper(Arc<Mutex<Vec<String>>>);

    impl Screen for Paper {
        fn print(&self, text: &str) {
            self.0.lock().unwrap().push(text.to_owned());
        }

        fn show_running(&self, _names: &str) {}
    }

    fn stage() -> (Stage, Paper) {
        let paper = Paper::default();
        (Stage::new(2, Box::new(paper.clone())), paper)
    }

    fn lines(paper: &Paper) -> String {
        paper.0.lock().unwrap().join(" ")
    }

    #[test]
    fn the_first_lane_is_heard_and_another_between_its_steps() {
        let (stage, paper) = stage();
        stage.begin(0, "lint", "(lint)");
        stage.begin(1, "boot", "(boot)");
        stage.say(0, "l1");
        stage.say(1, "b1");
        stage.end(1, "(boot ended)");
        stage.begin(1, "boot2", "(boot2)");
        stage.say(1, "c1");
        stage.say(0, "l2");
        assert_eq!(lines(&paper), "(boot) l1 (boot ended) (boot2) l2");
        stage.end(0, "(lint ended)");
        assert_eq!(lines(&paper), "(boot) l1 (boot ended) (boot2) l2 b1");
    }

    #[test]
    fn who_is_left_is_heard_from_the_begin_of_its_step() {
        let (stage, paper) = stage();
        stage.begin(0, "lint", "(lint)");
        stage.begin(1, "boot", "(boot)");
        stage.say(1, "b1");
        stage.end(0, "(lint ended)");
        stage.close(0);
        stage.say(1, "b2");
        stage.end(1, "(boot ended)");
        stage.close(1);
        assert_eq!(lines(&paper), "(boot) b1 b2");
    }

    #[test]
    fn the_first_lane_ends_last_and_nothing_is_lost() {
        let (stage, paper) = stage();
        stage.begin(1, "boot", "(boot)");
        stage.say(1, "b1");
        stage.end(1, "(boot ended)");
        stage.close(1);
        stage.begin(0, "lint", "(lint)");
        stage.say(0, "l1");
        stage.end(0, "(lint ended)");
        stage.close(0);
        assert_eq!(lines(&paper), "(boot) (boot ended) l1 b1");
    }

    #[test]
    fn a_lane_without_steps_silences_nobody() {
        let (stage, paper) = stage();
        stage.close(0);
        stage.begin(1, "boot", "(boot)");
        stage.say(1, "b1");
        assert_eq!(lines(&paper), "b1");
    }
}
