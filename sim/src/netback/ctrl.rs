//! The control ring.

use xen_hypercall::abi::Port;
use xen_hypercall::abi::frame::PAGE_SIZE;
use xen_hypercall::abi::grant_table::GrantRef;
use xen_hypercall::abi::io::netif::{CtrlRequest, CtrlResponse, CtrlStatus, CtrlType, HashAlgorithm, HashTypes};
use xen_shared_ring::Protocol;
use zerocopy::FromBytes;

use super::control::{Fault, Which};
use super::engine::Engine;
use super::line::{Line, bind};
use super::steering::KEY;
use super::{Listen, hostile};

/// The ring's protocol.
pub(super) enum Ctrl {}

impl Protocol for Ctrl {
    type Request = CtrlRequest;
    type Response = CtrlResponse;
}

/// The control ring, where the front has one.
pub(super) struct ControlRing {
    line: Line<Ctrl>,
    more: bool,
    /// Requests that hang.
    stuck: Vec<CtrlRequest>,
}

/// What a request comes to.
type Outcome = Result<u32, CtrlStatus>;

impl ControlRing {
    pub(super) fn attach(gref: GrantRef, port: Port, engine: &Engine) -> Result<Self, String> {
        let line = Line::attach(gref, bind(port, engine)?, engine)?;
        Ok(Self { line, more: true, stuck: Vec::new() })
    }

    /// Does what can be done now; says whether there was anything.
    pub(super) fn work(&mut self, queues: usize, engine: &mut Engine) -> bool {
        let heard = self.line.ear.heard();
        if !(heard || self.more || engine.options.listen == Listen::Always) {
            return false;
        }
        let mut taken = false;
        // A front that breaks the ring has nothing more done.
        while let Ok(Some(request)) = self.line.ring.pop_or_arm() {
            taken = true;
            self.serve(request.into_unverified(), queues, engine);
        }
        self.more = false;
        if heard {
            self.line.ear.settle(engine.now);
        }
        self.line.show(engine);
        taken
    }

    pub(super) fn go_on(&mut self, queues: usize, engine: &mut Engine) {
        for request in std::mem::take(&mut self.stuck) {
            self.carry_out(&request, queues, engine);
        }
        self.line.show(engine);
    }

    pub(super) fn storm(&self, events: u32) {
        self.line.ear.storm(events);
    }

    /// Ends the connection.
    pub(super) fn close(self, engine: &mut Engine) {
        self.line.close(&mut Vec::new(), engine);
    }

    fn serve(&mut self, request: CtrlRequest, queues: usize, engine: &mut Engine) {
        engine.statistics.controls += 1;
        match engine.fault(Which::Control) {
            Some(Fault::Hang) => self.stuck.push(request),
            Some(Fault::Lose) => {}
            Some(Fault::Refuse(_)) => self.respond(&request, Err(CtrlStatus::NOT_SUPPORTED), engine),
            Some(Fault::Misdeed(misdeed)) => {
                let response = response(&request, outcome(&request, queues, engine));
                hostile::control(&mut self.line, response, &misdeed, engine);
            }
            _ => self.carry_out(&request, queues, engine),
        }
    }

    fn carry_out(&mut self, request: &CtrlRequest, queues: usize, engine: &mut Engine) {
        let outcome = outcome(request, queues, engine);
        self.respond(request, outcome, engine);
    }

    fn respond(&mut self, request: &CtrlRequest, outcome: Outcome, engine: &mut Engine) {
        self.line.push(response(request, outcome), engine);
    }
}

fn response(request: &CtrlRequest, outcome: Outcome) -> CtrlResponse {
    let CtrlRequest { id, kind, .. } = *request;
    let (status, data) = outcome.map_or_else(|status| (status, 0), |data| (CtrlStatus::SUCCESS, data));
    CtrlResponse { id, kind, status, data }
}

/// Does what is asked for.
fn outcome(request: &CtrlRequest, queues: usize, engine: &mut Engine) -> Outcome {
    let [first, second, third] = request.data;
    let (gref, most) = (GrantRef(first), engine.options.hash_mapping);
    let done = |status| if status == CtrlStatus::SUCCESS { Ok(0) } else { Err(status) };
    match request.kind {
        CtrlType::SET_HASH_ALGORITHM => done(engine.steering.set_algorithm(HashAlgorithm(first))),
        CtrlType::GET_HASH_FLAGS => engine.steering.types().map(|types| types.bits()),
        CtrlType::SET_HASH_FLAGS => done(engine.steering.set_types(HashTypes::from_bits_retain(first))),
        CtrlType::SET_HASH_KEY => {
            let key = table(gref, second, 1, KEY, engine)?;
            engine.steering.set_key(&key);
            Ok(0)
        }
        CtrlType::GET_HASH_MAPPING_SIZE => Ok(most as u32),
        CtrlType::SET_HASH_MAPPING_SIZE => done(engine.steering.set_mapping_size(first as usize, most)),
        CtrlType::SET_HASH_MAPPING => {
            let bytes = table(gref, second, 4, most.min(PAGE_SIZE / 4), engine)?;
            let entries: Vec<u32> = bytes.chunks(4).filter_map(|entry| u32::read_from_bytes(entry).ok()).collect();
            done(engine.steering.set_mapping(third as usize, &entries, queues))
        }
        _ => Err(CtrlStatus::NOT_SUPPORTED),
    }
}

/// Copies a table of so many entries out of a page of the front's.
fn table(gref: GrantRef, entries: u32, size: usize, most: usize, engine: &mut Engine) -> Result<Vec<u8>, CtrlStatus> {
    let entries = entries as usize;
    if entries > most {
        return Err(CtrlStatus::BUFFER_OVERFLOW);
    }
    if entries == 0 {
        return Ok(Vec::new());
    }
    let (bytes, results) = engine.fetch(&[(gref, 0, entries * size)]);
    if results.iter().all(Result::is_ok) { Ok(bytes) } else { Err(CtrlStatus::INVALID_PARAMETER) }
}
