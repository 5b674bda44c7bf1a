//! The device's life in xenstore, as Linux's backend has it.

use std::sync::atomic::Ordering;

use xen_event_channel::Channel;
use xen_grant_table::Mapping;
use xen_hypercall::abi::Port;
use xen_hypercall::abi::grant_table::GrantRef;
use xen_hypercall::abi::io::xenbus::State;
use xen_shared_ring::Slots;

use super::Blkback;
use super::control::{Restart, Wish};
use super::options::Options;
use super::queue::{Blk, Fate, Queue, Ring};
use crate::Xenstore;
use crate::store::Nodes;

/// What stands in xenstore now.
struct Seen {
    exists: bool,
    own: State,
    front: State,
    online: bool,
}

/// What the front has written about one queue.
struct Address {
    port: Port,
    grefs: Vec<GrantRef>,
}

/// What the front has written in all.
struct Plan {
    queues: Vec<Address>,
    persistent: bool,
}

impl Blkback {
    /// Looks at the states, and does what they ask for; says whether anything was done.
    pub(super) fn follow(&mut self) -> bool {
        if !self.changed.swap(false, Ordering::Relaxed) {
            return false;
        }
        let seen = self.look();
        if !seen.exists {
            self.leave(State::UNKNOWN);
        } else if seen.own == State::INITIALISING {
            self.leave(State::UNKNOWN);
            self.probe();
        } else {
            self.follow_front(&seen);
        }
        true
    }

    fn follow_front(&mut self, seen: &Seen) {
        let fresh = std::mem::replace(&mut self.front_state, seen.front) != seen.front;
        match (seen.front, self.state) {
            // Somebody else's device until now: that backend is gone.
            (_, State::UNKNOWN) => self.set_state(State::CLOSED),
            (State::INITIALISING, State::CLOSED) => self.probe(),
            (State::INITIALISED | State::CONNECTED, State::INIT_WAIT) => self.connect(),
            (State::CLOSING, State::INIT_WAIT | State::CONNECTED) if fresh => self.set_state(State::CLOSING),
            (State::CLOSED | State::UNKNOWN, State::CLOSED) if !seen.online => self.remove(),
            (State::CLOSED | State::UNKNOWN, State::INIT_WAIT) if !fresh => {}
            (State::CLOSED | State::UNKNOWN, State::INIT_WAIT | State::CONNECTED | State::CLOSING) => {
                self.close_down(seen.online);
            }
            _ => {}
        }
    }

    /// The front has closed.
    fn close_down(&mut self, online: bool) {
        self.disconnect(Fate::Chance);
        self.set_state(State::CLOSED);
        if std::mem::take(&mut self.restarts) && online {
            self.probe();
        }
    }

    fn look(&self) -> Seen {
        let (back, front) = (&self.back_path, &self.front_path);
        self.xenstore().nodes(|nodes| Seen {
            exists: nodes.read(&format!("{back}/state")).is_some(),
            own: nodes.state(back),
            front: nodes.state(front),
            online: nodes.read_text(&format!("{back}/online")).as_deref() == Some("1"),
        })
    }

    /// The device is new: what can be had is written, and a front waited for.
    fn probe(&mut self) {
        let options = self.engine.control.options();
        self.engine.options = options.clone();
        let indirect = (options.indirect_segments > 0).then_some(options.indirect_segments);
        let keys = [
            ("feature-max-indirect-segments", indirect),
            ("multi-queue-max-queues", Some(options.queues)),
            ("max-ring-page-order", Some(options.ring_order)),
        ];
        self.xenstore().nodes(|nodes| {
            for (key, value) in keys {
                self.write_key(nodes, key, value.map(|value| value.to_string()));
            }
            nodes.set_state(&self.back_path, State::INIT_WAIT);
        });
        (self.state, self.front_state) = (State::INIT_WAIT, State::UNKNOWN);
        self.changed.store(true, Ordering::Relaxed);
    }

    /// The front is ready.
    fn connect(&mut self) {
        self.disconnect(Fate::Chance);
        let connected = self.plan().and_then(|plan| self.attach(plan));
        match connected {
            Ok(()) => self.offer(),
            Err(error) => {
                self.disconnect(Fate::Lost);
                self.fail(&error);
            }
        }
    }

    fn fail(&mut self, error: &str) {
        let path =
            self.back_path.split("/backend").next().map(|home| format!("{home}/error/{}/error", self.device_name()));
        self.xenstore().nodes(|nodes| path.iter().for_each(|path| nodes.write(path, error)));
        self.last_error = Some(error.to_owned());
        self.set_state(State::CLOSING);
    }

    fn device_name(&self) -> String {
        self.back_path.split_once("/backend/").map_or_else(String::new, |(_, name)| format!("backend/{name}"))
    }

    /// Reads what the front has written.
    fn plan(&self) -> Result<Plan, String> {
        let (front, options) = (&self.front_path, &self.engine.options);
        self.xenstore().nodes(|nodes| {
            let protocol = nodes.read_text(&format!("{front}/protocol"));
            if !matches!(protocol.as_deref(), None | Some("x86_64-abi" | "arm-abi")) {
                return Err(format!("unknown fe protocol {}", protocol.unwrap_or_default()));
            }
            let persistent = number(nodes, front, "feature-persistent").unwrap_or(0) != 0;
            let count = number(nodes, front, "multi-queue-num-queues").unwrap_or(1);
            if count == 0 || count > options.queues.max(1) {
                let most = options.queues.max(1);
                return Err(format!("guest requested {count} queues, exceeding the maximum of {most}."));
            }
            let path = |queue| if count == 1 { front.clone() } else { format!("{front}/queue-{queue}") };
            let queues =
                (0..count).map(|queue| address(nodes, front, &path(queue), options)).collect::<Result<_, _>>()?;
            Ok(Plan { queues, persistent })
        })
    }

    /// Maps rings, binds ports.
    fn attach(&mut self, plan: Plan) -> Result<(), String> {
        self.engine.persistent = plan.persistent && self.engine.options.persistent;
        for Address { port, grefs } in plan.queues {
            let order = grefs.len().ilog2();
            let slots = Slots::in_pages::<Blk>(order).ok_or("the ring is too large")?;
            let (domain, front) = (self.engine.domain.clone(), self.engine.front);
            let region =
                Mapping::map(domain.clone(), front, &grefs).map_err(|error| format!("mapping ring-ref: {error}"))?;
            let ring = Ring::attach(region, slots).map_err(|_| "the ring has no room")?;
            if let Some(violation) = ring.violation() {
                return Err(violation.to_string());
            }
            let channel = Channel::interdomain(&domain, front, port)
                .map_err(|error| format!("binding port {}: {error}", port.0))?;
            self.queues.push(Queue::new(ring, channel, grefs));
        }
        Ok(())
    }

    /// Writes what the disk is, and that the backend is connected.
    fn offer(&mut self) {
        let keys = self.disk_keys();
        self.xenstore().nodes(|nodes| {
            for (key, value) in keys {
                self.write_key(nodes, key, value);
            }
            nodes.set_state(&self.back_path, State::CONNECTED);
        });
        self.state = State::CONNECTED;
        self.engine.statistics.connections += 1;
    }

    fn disk_keys(&self) -> Vec<(&'static str, Option<String>)> {
        let options = &self.engine.options;
        let flag = |on: bool| Some(u8::from(on).to_string());
        let discard = options.discard;
        vec![
            ("feature-flush-cache", flag(options.flush)),
            ("discard-granularity", discard.map(|offer| offer.granularity.to_string())),
            ("discard-alignment", discard.map(|offer| offer.alignment.to_string())),
            ("discard-secure", discard.map(|offer| u8::from(offer.secure).to_string())),
            ("feature-discard", flag(discard.is_some())),
            ("feature-barrier", flag(options.barrier)),
            ("feature-persistent", flag(options.persistent)),
            ("sectors", Some(self.engine.disk.sectors().to_string())),
            ("info", Some(options.info.bits().to_string())),
            ("sector-size", Some(options.sector_size.to_string())),
            ("physical-sector-size", Some(options.physical_sector_size.to_string())),
        ]
    }

    /// Writes a key as it should be, or as the script says; `None` removes it.
    fn write_key(&self, nodes: &mut Nodes<'_>, key: &str, value: Option<String>) {
        let path = format!("{}/{key}", self.back_path);
        let value = self.engine.control.key(key).unwrap_or_else(|| value.map(String::into_bytes));
        match value {
            Some(value) => nodes.write(&path, value),
            None => nodes.remove(&path),
        }
    }

    pub(super) fn set_state(&mut self, state: State) {
        self.xenstore().nodes(|nodes| nodes.set_state(&self.back_path, state));
        self.state = state;
        self.changed.store(true, Ordering::Relaxed);
    }

    /// Ends the connection.
    pub(super) fn disconnect(&mut self, fate: Fate) {
        for queue in self.queues.drain(..) {
            queue.close(&mut self.engine, fate);
        }
    }

    /// Nothing is left of the device.
    pub(super) fn leave(&mut self, state: State) {
        self.disconnect(Fate::Lost);
        (self.state, self.front_state, self.restarts) = (state, State::UNKNOWN, false);
    }

    /// The device was unplugged and both halves have closed: the toolstack's part.
    fn remove(&mut self) {
        self.leave(State::UNKNOWN);
        let device = &self.device;
        self.xenstore().nodes(|nodes| nodes.remove_device(device));
    }

    pub(super) fn xenstore(&self) -> Xenstore<'_> {
        Xenstore::of(self.engine.domain.machine())
    }
}

/// What a test wants done.
impl Blkback {
    /// Does one thing; says whether there was one.
    pub(super) fn fulfil(&mut self) -> bool {
        let Some(wish) = self.engine.control.next_wish() else { return false };
        match wish {
            Wish::Restart(Restart::Orderly) => {
                self.restarts = true;
                self.set_state(State::CLOSING);
            }
            Wish::Restart(Restart::Abrupt) => {
                self.disconnect(Fate::Chance);
                self.set_state(State::CLOSED);
            }
            Wish::Close => self.set_state(State::CLOSING),
            Wish::Resize(sectors) => self.resize(sectors),
            Wish::Keys => self.rewrite_keys(),
            Wish::GoOn => self.queues.iter_mut().for_each(Queue::go_on),
            Wish::Storm(events) => self.storm(events),
            Wish::State(state) => self.xenstore().write(&format!("{}/state", self.back_path), state.0.to_string()),
            Wish::Toggle(times) => self.toggle(times),
            Wish::Update => self.update(),
            Wish::LetGo => self.engine.let_go(),
        }
        true
    }

    fn resize(&mut self, sectors: u64) {
        self.engine.disk.resize(sectors);
        let (state, path) = (self.state, format!("{}/state", self.back_path));
        self.xenstore().nodes(|nodes| {
            self.write_key(nodes, "sectors", Some(sectors.to_string()));
            nodes.write(&path, state.0.to_string());
        });
    }

    fn rewrite_keys(&self) {
        let keys = self.engine.control.keys();
        self.xenstore().nodes(|nodes| keys.iter().for_each(|key| self.write_key(nodes, key, None)));
    }

    fn storm(&self, events: u32) {
        for queue in &self.queues {
            queue.signal(events);
        }
    }

    fn toggle(&self, times: u32) {
        let path = format!("{}/state", self.back_path);
        for _ in 0..times {
            for state in [State::CLOSING, self.state] {
                self.xenstore().write(&path, state.0.to_string());
            }
        }
    }

    /// Options that need no agreement.
    fn update(&mut self) {
        let Options { latency, order, notify, listen, .. } = self.engine.control.options();
        let options = &mut self.engine.options;
        (options.latency, options.order, options.notify, options.listen) = (latency, order, notify, listen);
    }

    /// Keys of what turned out not to be there.
    pub(super) fn withdraw_keys(&mut self) {
        let keys = std::mem::take(&mut self.engine.withdrawn);
        self.xenstore().nodes(|nodes| {
            keys.iter().for_each(|key| self.write_key(nodes, key, Some("0".to_owned())));
        });
    }
}

fn number(nodes: &mut Nodes<'_>, path: &str, key: &str) -> Option<u32> {
    nodes.read_text(&format!("{path}/{key}"))?.parse().ok()
}

/// Where a queue is, as the front wrote it.
fn address(nodes: &mut Nodes<'_>, front: &str, path: &str, options: &Options) -> Result<Address, String> {
    let need = |value: Option<u32>, key: &str| value.ok_or_else(|| format!("reading {path}/{key}"));
    let port = need(number(nodes, path, "event-channel"), "event-channel").map(Port)?;
    let Some(order) = number(nodes, front, "ring-page-order") else {
        let gref = need(number(nodes, path, "ring-ref"), "ring-ref")?;
        return Ok(Address { port, grefs: vec![GrantRef(gref)] });
    };
    if order > options.ring_order {
        return Err(format!("{path}/request {order} ring page order exceed max:{}", options.ring_order));
    }
    let refs = (0..1u32 << order).map(|page| {
        let key = format!("ring-ref{page}");
        need(number(nodes, path, &key), &key).map(GrantRef)
    });
    Ok(Address { port, grefs: refs.collect::<Result<_, _>>()? })
}
