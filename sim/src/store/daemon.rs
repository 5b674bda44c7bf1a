//! The daemon at work: when it turns to which guest, and what it does then.

use std::time::Duration;

use rand::RngExt;
use xen_hypercall::abi::DomId;
use xen_hypercall::abi::io::xs_wire::{ConnectionState, MessageType, RingError, ServerFeatures};

use super::connection::{Outgoing, Standing};
use super::message::Message;
use super::request::Outcome;
use super::ring::Word;
use super::script::Reaction;
use super::{Life, Order, Store};
use crate::state::State;
use crate::violation::Violation;

impl State {
    /// Has the daemon do what is due at this step.
    pub(crate) fn serve_store(&mut self) {
        self.store.step = self.step;
        self.store.work(self.clock.now());
        self.follow_store();
    }

    /// Has the daemon do everything for which no time must pass.
    pub(crate) fn settle_store(&mut self) {
        /// A guest and the daemon do not go on for ever without the guest being run.
        const MOST: usize = 1 << 20;
        self.serve_store();
        for _ in 0..MOST {
            let Some(due) = self.store.next_step(self.now()) else { return };
            self.step = self.step.max(due);
            self.serve_store();
        }
    }

    /// What the daemon's work has the machine do: signals, notes, complaints.
    pub(crate) fn follow_store(&mut self) {
        for domain in std::mem::take(&mut self.store.signals) {
            if let Some(port) = self.store.port_of(domain) {
                self.deliver(domain, port);
            }
        }
        for (domain, text) in std::mem::take(&mut self.store.notes) {
            self.note(domain, format!("xenstored: {text}"));
        }
        for (domain, word) in std::mem::take(&mut self.store.changed) {
            self.violation(Violation::StoreWordChanged { domain, word });
        }
    }
}

impl Store {
    /// The step at which the daemon does something by itself, if it does.
    pub(crate) fn next_step(&self, now: Duration) -> Option<u64> {
        let idle = self.life != Life::Runs || self.busy_until.is_some_and(|until| until > now);
        if idle { None } else { self.due() }
    }

    fn due(&self) -> Option<u64> {
        self.connections.values().filter_map(|connection| connection.due).chain(self.handlers.due()).min()
    }

    /// The time at which the daemon does something by itself, if it does.
    pub(crate) fn next_time(&self) -> Option<Duration> {
        if self.life != Life::Runs {
            return None;
        }
        let busy = self.busy_until.filter(|_| self.due().is_some());
        let waits = self.connections.values().flat_map(|connection| {
            let reconnect = match connection.standing {
                Standing::Reconnecting(until) => Some(until),
                Standing::Open | Standing::GivenUp => None,
            };
            connection.later.iter().map(|(at, _)| *at).chain(reconnect)
        });
        let waits = waits.min().map(|at| self.busy_until.map_or(at, |until| at.max(until)));
        [busy, waits].into_iter().flatten().min()
    }

    /// The clock was set back: what takes a time still takes it.
    pub(crate) fn set_back(&mut self, by: Duration) {
        let times = self.connections.values_mut().flat_map(|connection| connection.times_mut());
        for time in times.chain(&mut self.busy_until) {
            *time = time.saturating_sub(by);
        }
    }

    /// A guest has signalled, or something is to go out to it.
    pub(crate) fn wake(&mut self, domain: DomId) {
        let due = self.step + self.rng.random_range(1..=4);
        if let Some(connection) = self.connections.get_mut(&domain) {
            connection.due = Some(connection.due.map_or(due, |before| before.min(due)));
        }
    }

    fn work(&mut self, now: Duration) {
        if self.life != Life::Runs || self.busy_until.is_some_and(|until| until > now) {
            return;
        }
        self.busy_until = None;
        self.run_handlers();
        let current = self.current.take();
        let ids: Vec<DomId> = self.connections.keys().copied().collect();
        for id in ids {
            let Some(connection) = self.connections.get_mut(&id) else { continue };
            if connection.has_come(self.step, now) || current == Some(id) {
                connection.due = None;
                self.turn(id, current == Some(id), now);
            }
        }
    }

    /// Goes on with one connection, by a bit.
    fn turn(&mut self, id: DomId, paid: bool, now: Duration) {
        match self.attend(id, paid, now) {
            Ok(true) => self.wake(id),
            Ok(false) => {}
            Err(error) => self.give_up(id, error),
        }
    }

    fn attend(&mut self, id: DomId, paid: bool, now: Duration) -> Result<bool, RingError> {
        let Self { connections, features, manner, rng, .. } = self;
        let Some(connection) = connections.get_mut(&id) else { return Ok(false) };
        if connection.wants_reset(*features, now) {
            connection.reset();
            self.note(id, "reconnects");
            self.signals.insert(id);
            return Ok(true);
        }
        if connection.standing != Standing::Open {
            return Ok(false);
        }
        self.changed.extend(connection.ring.mend().map(|word| (id, word)));
        connection.send_later(now);
        let read = connection.read(manner.pace, rng)?;
        let handled = self.handle(id, paid, now)?;
        let Self { connections, manner, rng, .. } = self;
        let Some(connection) = connections.get_mut(&id) else { return Ok(false) };
        // Answers can change places while they are not on their way.
        let gather = manner.order == Order::Mixed && (read || handled);
        let wrote = !gather && connection.write(manner.pace, rng)?;
        if read || wrote {
            self.signals.insert(id);
        }
        Ok(read || handled || wrote)
    }

    /// Carries out the request that waits, if one does and its time has been spent.
    fn handle(&mut self, id: DomId, paid: bool, now: Duration) -> Result<bool, RingError> {
        let Some(connection) = self.connections.get_mut(&id) else { return Ok(false) };
        if !connection.request()? {
            return Ok(false);
        }
        if !self.manner.slow.is_zero() && !paid {
            if self.current.is_none() {
                (self.current, self.busy_until) = (Some(id), Some(now + self.manner.slow));
            }
            return Ok(true);
        }
        if let Some(request) = connection.take_request() {
            self.respond(id, &request, now);
        }
        Ok(true)
    }

    /// Answers a request: honestly, or as the script says.
    fn respond(&mut self, id: DomId, request: &Message, now: Duration) {
        let reaction = self.script.of(id, request, &mut self.rng);
        let answer = match reaction {
            Some(Reaction::Ignore) => return self.note(id, format!("ignores {}", describe(request))),
            Some(Reaction::Refuse(name)) => {
                self.drop_transaction(id, request);
                Outgoing::answer(request.refusal(&name).to_bytes())
            }
            Some(Reaction::Bytes(bytes)) => Outgoing::raw(bytes),
            Some(Reaction::Late(time)) => {
                let answer = Outgoing::answer(self.honest(id, request).to_bytes());
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.later.push((now + time, answer));
                }
                return;
            }
            Some(Reaction::Silent) => return drop(self.honest(id, request)),
            Some(Reaction::Alter(alter)) => Outgoing::raw(alter(request, self.honest(id, request))),
            None => return self.respond_honestly(id, request),
        };
        self.note(id, format!("answers {} as the script says", describe(request)));
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.output.push_back(answer);
        }
    }

    /// A transaction is over at its end, whatever that is.
    fn drop_transaction(&mut self, id: DomId, request: &Message) {
        if request.kind == MessageType::TRANSACTION_END
            && let Some(connection) = self.connections.get_mut(&id)
        {
            connection.transactions.remove(&request.tx_id);
        }
    }

    /// The answer that is due, after its effect.
    fn honest(&mut self, id: DomId, request: &Message) -> Message {
        let Outcome { answer, changes, first_event } = self.carry_out(id, request);
        self.fire(&changes);
        if let (Some(event), Some(connection)) = (first_event, self.connections.get_mut(&id)) {
            connection.send(&event);
        }
        answer
    }

    fn respond_honestly(&mut self, id: DomId, request: &Message) {
        let Outcome { answer, changes, first_event } = self.carry_out(id, request);
        self.note(id, format!("{}: {}", describe(request), outcome(&answer)));
        // Nothing says whether a guest is told of its own change before it has the answer.
        let events_first = self.rng.random_bool(0.5);
        if events_first {
            self.fire(&changes);
        }
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.send(&answer);
            if self.manner.order == Order::Mixed {
                connection.shuffle(&mut self.rng);
            }
            if let Some(event) = first_event {
                connection.send(&event);
            }
        }
        if !events_first {
            self.fire(&changes);
        }
    }

    pub(super) fn give_up(&mut self, id: DomId, error: RingError) {
        let told = self.features.contains(ServerFeatures::ERROR).then_some(error);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.give_up(told);
            self.signals.insert(id);
            self.note(id, format!("gives the ring up: {error:?}"));
        }
    }

    pub(super) fn note(&mut self, domain: DomId, text: impl Into<String>) {
        self.notes.push((domain, text.into()));
    }
}

impl super::Connection {
    fn has_come(&self, step: u64, now: Duration) -> bool {
        let until = match self.standing {
            Standing::Reconnecting(until) => Some(until),
            Standing::Open | Standing::GivenUp => None,
        };
        self.due.is_some_and(|due| due <= step) || self.later.iter().map(|(at, _)| *at).chain(until).any(|at| at <= now)
    }

    fn wants_reset(&self, features: ServerFeatures, now: Duration) -> bool {
        match self.standing {
            Standing::Reconnecting(until) => until <= now,
            Standing::Open | Standing::GivenUp => {
                features.contains(ServerFeatures::RECONNECTION)
                    && self.ring.get(Word::Connection) == ConnectionState::RECONNECT.0
            }
        }
    }

    fn times_mut(&mut self) -> impl Iterator<Item = &mut Duration> {
        let until = match &mut self.standing {
            Standing::Reconnecting(until) => Some(until),
            Standing::Open | Standing::GivenUp => None,
        };
        self.later.iter_mut().map(|(at, _)| at).chain(until)
    }
}

/// A request in words, for the trace.
fn describe(request: &Message) -> String {
    const SHOWN: usize = 60;
    let kind = request.kind.name().unwrap_or("an unknown request");
    let what: String = request.first().chars().take(SHOWN).collect();
    match request.tx_id {
        0 => format!("{kind} {what}"),
        _ => format!("{kind} {what} in a transaction"),
    }
}

fn outcome(answer: &Message) -> String {
    if answer.kind == MessageType::ERROR { answer.first() } else { "done".to_owned() }
}
