//! What takes a front half through its store, asked as a driver asks it.

use xen_hypercall::abi::DomId;
use xen_sim::{Domain, Machine};
use xen_xenbus::Store;
use xen_xenbus::bus::{Answer, Change, Chore, Device, Enumerator, Limits, Pilot, Question, Turn};

use crate::common::guest;

/// What this driver wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size;

impl Question for Size {
    fn keys(self, device: &Device) -> Vec<(String, &'static [&'static str])> {
        [(device.backend().path.clone(), ["sectors"].as_slice())].into()
    }

    fn whole(self, device: &Device) -> Option<String> {
        Some(device.backend_key("params"))
    }
}

/// A guest with a device, of which it asks something.
fn asking(params: &[u8]) -> (Machine, Store<Domain>, Device, Pilot<Domain, Size>) {
    let (machine, domain, store) = guest(1);
    let device = xen_sim::Device::new("vbd", 51712, domain.id(), DomId(0)).back_key("sectors", "2048");
    machine.xenstore().plug(&device);
    machine.xenstore().write(&format!("{}/params", device.back_path()), params);
    let Some(Change::Added(device)) = Enumerator::new().look(&store).unwrap().pop() else { panic!("no device") };
    let mut pilot = Pilot::new(&store, device.clone(), Limits::DEFAULT).unwrap();
    pilot.ask(Size);
    (machine, store, device, pilot)
}

fn chore(pilot: &mut Pilot<Domain, Size>, store: &Store<Domain>) -> Chore<Size> {
    match pilot.next(store.now()) {
        Turn::Chore(chore) => chore,
        turn => panic!("there is something to do: {turn:?}"),
    }
}

#[test]
fn a_question_is_answered_with_keys_and_with_a_node_of_any_bytes() {
    let params = [b"\xff\0".as_slice(), &[b'x'; 1000]].concat();
    let (_machine, store, _, mut pilot) = asking(&params);
    let outcome = chore(&mut pilot, &store).run(&store);
    assert!(pilot.is_asking(), "until the answer is taken");
    let Answer { question, keys, whole } = pilot.took(outcome, store.now()).expect("it is for us");
    assert_eq!((question, keys.unwrap()[0].u64("sectors"), whole), (Size, Ok(Some(2048)), Some(params)));
    assert!(!pilot.is_asking());
}

#[test]
fn an_outcome_for_a_front_half_that_has_ended_changes_nothing() {
    for by_resume in [true, false] {
        let (_machine, store, device, mut pilot) = asking(b"/dev/disk");
        let late = chore(&mut pilot, &store).run(&store);
        if by_resume {
            pilot.resumed();
        } else {
            pilot.replace(&store, device, Limits::DEFAULT).unwrap();
            pilot.ask(Size);
        }
        assert!(pilot.took(late, store.now()).is_none());
        assert_eq!(pilot.is_asking(), !by_resume, "the next one's question waits for its own answer");
    }
}
