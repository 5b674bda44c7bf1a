//! A front half that is driven against the model of a tree.

use std::time::Duration;

use xen_hypercall::abi::DomId;
use xen_xenbus::bus::{Backend, Device, End, Event, Frontend, Generation, Limits, Name, Offer, Sight, Step, Written};

use super::tree::Tree;

pub(crate) const FRONT: &str = "device/vif/0";
const BACK: &str = "/local/domain/3/backend/vif/7/0";

fn device(generation: u64) -> Device {
    let backend = Backend { domain: DomId(3), path: BACK.into() };
    Device::new(Name::new("vif", 0).expect("a name"), backend, Generation(generation))
}

/// The tools make a device, at once as they do.
pub(crate) fn plug(tree: &Tree) {
    let (ours, theirs) = (format!("{FRONT}/state"), format!("{BACK}/state"));
    let (backend, domain) = (format!("{FRONT}/backend"), format!("{FRONT}/backend-id"));
    tree.set(&[(&backend, BACK), (&domain, "3"), (&ours, "1"), (&theirs, "2")]);
}

/// A front half with its clock.
pub(crate) struct Front(pub(crate) Frontend, Duration);

impl Front {
    pub(crate) fn new(generation: u64) -> Self {
        Self(Frontend::new(device(generation), Limits::DEFAULT), Duration::ZERO)
    }

    /// Goes on until there is something to tell, or nothing to do. Each step has time for its pauses.
    fn drive(&mut self, tree: &Tree) -> Step {
        loop {
            self.1 += Duration::from_millis(100);
            match self.0.poll(self.1) {
                Step::Look => {
                    let sight = tree.transaction(|nodes| Sight::take(&nodes, self.0.device()));
                    self.0.saw(sight, self.1);
                }
                Step::Write(switch) => {
                    let switched = tree.transaction(|nodes| switch.apply(&nodes));
                    self.0.wrote(Written::Answered(switched), self.1);
                }
                step => return step,
            }
        }
    }

    pub(crate) fn connect(&mut self, tree: &Tree) {
        let Step::Tell(Event::Connect(attempt)) = self.drive(tree) else { panic!("no offer") };
        self.0.offer(attempt, Offer::initialised(), self.1).unwrap();
        assert_eq!(self.drive(tree), Step::Rest);
        tree.set(&[(&format!("{BACK}/state"), "4")]);
        self.0.look_again();
        let Step::Tell(Event::Complete(attempt)) = self.drive(tree) else { panic!("no agreement") };
        self.0.ready(attempt, self.1).unwrap();
        assert_eq!(self.drive(tree), Step::Rest);
        assert!(self.0.is_connected());
    }

    /// Closes, and follows whatever is told.
    pub(crate) fn close(&mut self, tree: &Tree) -> Option<End> {
        self.0.close();
        for _ in 0..8 {
            match self.drive(tree) {
                Step::Tell(Event::Stop(..)) => self.0.stopped(self.1).unwrap(),
                Step::Tell(Event::Release(_)) => self.0.released(self.1).unwrap(),
                Step::Ended(end) => return Some(end),
                _ => return None,
            }
        }
        panic!("it does not end");
    }
}
