//! The device's life in xenstore, as Linux's block backend has it.

use std::time::Duration;

use xen_event_channel::Channel;
use xen_grant_table::Mapping;
use xen_hypercall::abi::Port;
use xen_hypercall::abi::grant_table::GrantRef;
use xen_hypercall::abi::io::xenbus::State;
use xen_shared_ring::Slots;

use super::Blkback;
use super::control::{Disk, Resize};
use super::options::Options;
use super::queue::{Blk, Queue, Ring};
use crate::backend::{Backend, Fate, Half, Keys, number};
use crate::store::Nodes;

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

impl Backend for Blkback {
    type Kind = Disk;

    const READY: &'static [State] = &[State::INITIALISED, State::CONNECTED];

    fn half(&self) -> &Half<Disk> {
        &self.half
    }

    fn half_mut(&mut self) -> &mut Half<Disk> {
        &mut self.half
    }

    fn probe(&mut self) -> Keys {
        let options = self.half.control.options();
        self.engine.options = options.clone();
        let indirect = (options.indirect_segments > 0).then_some(options.indirect_segments);
        let keys = [
            ("feature-max-indirect-segments", indirect),
            ("multi-queue-max-queues", Some(options.queues)),
            ("max-ring-page-order", Some(options.ring_order)),
        ];
        keys.into_iter().map(|(key, value)| (key, value.map(|value| value.to_string()))).collect()
    }

    fn connect(&mut self) -> Result<Keys, String> {
        let plan = self.plan()?;
        self.attach(plan)?;
        self.engine.statistics.connections += 1;
        Ok(self.disk_keys())
    }

    fn disconnect(&mut self, fate: Fate) {
        for queue in self.queues.drain(..) {
            queue.close(&mut self.engine, fate);
        }
    }

    fn work(&mut self) -> bool {
        self.engine.now = self.half.now;
        let mut worked = false;
        for queue in &mut self.queues {
            worked |= queue.work(&mut self.engine);
        }
        self.withdraw_keys();
        worked
    }

    fn due(&self) -> Option<Duration> {
        self.queues.iter().filter_map(Queue::due).min()
    }

    fn go_on(&mut self) {
        self.queues.iter_mut().for_each(Queue::go_on);
    }

    fn storm(&self, events: u32) {
        self.queues.iter().for_each(|queue| queue.signal(events));
    }

    fn update(&mut self) {
        let Options { latency, order, notify, listen, .. } = self.half.control.options();
        let options = &mut self.engine.options;
        (options.latency, options.order, options.notify, options.listen) = (latency, order, notify, listen);
    }

    fn let_go(&mut self) {
        self.engine.let_go();
    }

    fn fulfil(&mut self, Resize(sectors): Resize) {
        self.engine.disk.resize(sectors);
        let (half, path) = (&self.half, format!("{}/state", self.half.back_path));
        half.xenstore().nodes(|nodes| {
            half.write_key(nodes, "sectors", Some(sectors.to_string()));
            nodes.write(&path, half.state.0.to_string());
        });
    }
}

impl Blkback {
    /// Reads what the front has written.
    fn plan(&self) -> Result<Plan, String> {
        let (front, options) = (&self.half.front_path, &self.engine.options);
        self.half.xenstore().nodes(|nodes| {
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

    /// What the disk is.
    fn disk_keys(&self) -> Keys {
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

    /// Keys of what turned out not to be there.
    fn withdraw_keys(&mut self) {
        let keys = std::mem::take(&mut self.engine.withdrawn);
        if !keys.is_empty() {
            self.half.write_keys(keys.into_iter().map(|key| (key, Some("0".to_owned()))).collect(), None);
        }
    }
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
