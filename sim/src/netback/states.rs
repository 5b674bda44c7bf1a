//! The device's life in xenstore, as Linux's network backend has it.

use std::time::Duration;

use xen_hypercall::abi::Port;
use xen_hypercall::abi::grant_table::GrantRef;
use xen_hypercall::abi::io::xenbus::State;

use super::Netback;
use super::control::{Own, Vif};
use super::ctrl::ControlRing;
use super::engine::Agreed;
use super::options::{Carrier, Multicast, Options};
use super::queue::{Address, Queue};
use crate::backend::{Backend, Fate, Freshness, Half, Keys, number};
use crate::store::Nodes;

/// What the front has written.
struct Plan {
    queues: Vec<Address>,
    ctrl: Option<(GrantRef, Port)>,
    agreed: Agreed,
}

/// The most room that a front can have before its packets.
///
/// `XEN_NETIF_MAX_XDP_HEADROOM`, which Linux has
const MOST_HEADROOM: u32 = 0x7fff;

impl Backend for Netback {
    type Kind = Vif;

    const READY: &'static [State] = &[State::CONNECTED];

    fn half(&self) -> &Half<Vif> {
        &self.half
    }

    fn half_mut(&mut self) -> &mut Half<Vif> {
        &mut self.half
    }

    fn probe(&mut self) -> Keys {
        let options = self.half.control.options();
        self.engine.options = options.clone();
        self.engine.carrier = options.carrier.unwrap_or_default();
        keys(&options)
    }

    fn connect(&mut self) -> Result<Keys, String> {
        let plan = self.plan()?;
        self.engine.begin(plan.agreed)?;
        for address in &plan.queues {
            self.queues.push(Queue::attach(address, &self.engine)?);
        }
        if let Some((gref, port)) = plan.ctrl {
            self.ctrl = Some(ControlRing::attach(gref, port, &self.engine)?);
        }
        self.engine.statistics.connections += 1;
        Ok(Keys::new())
    }

    fn disconnect(&mut self, _: Fate) {
        let queues = std::mem::take(&mut self.queues);
        queues.into_iter().for_each(|queue| queue.close(&mut self.engine));
        self.ctrl.take().into_iter().for_each(|ctrl| ctrl.close(&mut self.engine));
        self.engine.end();
    }

    fn notice(&mut self, front: State, freshness: Freshness) {
        if self.is_connected() && self.engine.options.multicast == Multicast::Dynamic {
            self.engine.agreed.multicast = self.flag("request-multicast-control");
        }
        if freshness == Freshness::Stale {
            return;
        }
        match (front, self.half.state) {
            (State::RECONFIGURING, State::CONNECTED) => self.reconfigure(),
            (State::CLOSING, State::CONNECTED) => self.disconnect(Fate::Chance),
            // A front that starts anew without a word, for instance after a crash.
            (State::INITIALISING, State::CONNECTED | State::CLOSING) => {
                self.disconnect(Fate::Lost);
                self.half.set_state(State::CLOSING);
                self.half.set_state(State::CLOSED);
            }
            _ => {}
        }
    }

    fn work(&mut self) -> bool {
        self.engine.now = self.half.now;
        let mut worked = self.collect();
        for queue in &mut self.queues {
            worked |= queue.work(&mut self.engine);
        }
        let queues = self.queues.len();
        if let Some(ctrl) = &mut self.ctrl {
            worked |= ctrl.work(queues, &mut self.engine);
        }
        worked
    }

    fn due(&self) -> Option<Duration> {
        if !self.engine.is_enabled() {
            return None;
        }
        self.queues.iter().filter_map(Queue::due).min()
    }

    fn go_on(&mut self) {
        self.engine.now = self.half.now;
        self.queues.iter_mut().for_each(|queue| queue.go_on(&self.engine));
        let queues = self.queues.len();
        if let Some(ctrl) = &mut self.ctrl {
            ctrl.go_on(queues, &mut self.engine);
        }
    }

    fn storm(&self, events: u32) {
        self.queues.iter().for_each(|queue| queue.storm(events));
        self.ctrl.iter().for_each(|ctrl| ctrl.storm(events));
    }

    fn update(&mut self) {
        let Options { latency, order, notify, listen, backlog, patience, piece, offset, .. } =
            self.half.control.options();
        let old = self.engine.options.clone();
        self.engine.options = Options { latency, order, notify, listen, backlog, patience, piece, offset, ..old };
    }

    fn let_go(&mut self) {
        self.engine.let_go();
    }

    fn fulfil(&mut self, wish: Own) {
        match wish {
            Own::Carrier(carrier) => {
                self.engine.carrier = carrier;
                self.half.write_keys(vec![("carrier", Some(carrier_key(carrier)))], None);
            }
            Own::FrontKey(key, value) => {
                self.half.xenstore().write(&format!("{}/{key}", self.half.front_path), value);
            }
            Own::Slots(queue, slots) => {
                self.engine.now = self.half.now;
                if let Some(queue) = self.queues.get_mut(queue) {
                    queue.receive.hold_slots(slots, &self.engine);
                }
            }
        }
    }
}

impl Netback {
    /// The front wants room before its packets.
    fn reconfigure(&mut self) {
        let path = &self.half.front_path;
        let headroom = self.half.xenstore().nodes(|nodes| number(nodes, path, "xdp-headroom")).unwrap_or(0);
        self.engine.agreed.headroom = headroom.min(MOST_HEADROOM) as u16;
        let path = format!("{}/state", self.half.back_path);
        self.half.xenstore().write(&path, State::RECONFIGURED.0.to_string());
    }

    fn flag(&self, key: &str) -> bool {
        let path = &self.half.front_path;
        self.half.xenstore().nodes(|nodes| flag(nodes, path, key))
    }

    /// Reads what the front has written.
    fn plan(&self) -> Result<Plan, String> {
        let (front, options) = (&self.half.front_path, &self.engine.options);
        self.half.xenstore().nodes(|nodes| {
            let (count, most) = (number(nodes, front, "multi-queue-num-queues").unwrap_or(1), options.queues.max(1));
            if count == 0 || count > most {
                return Err(format!("guest requested {count} queues, exceeding the maximum of {most}."));
            }
            if !flag(nodes, front, "request-rx-copy") {
                return Err(format!("reading {front}/request-rx-copy"));
            }
            let ctrl = if options.ctrl_ring { ctrl(nodes, front)? } else { None };
            let path = |queue| if count == 1 { front.clone() } else { format!("{front}/queue-{queue}") };
            let queues = (0..count).map(|queue| address(nodes, &path(queue))).collect::<Result<_, _>>()?;
            Ok(Plan { queues, ctrl, agreed: agreed(nodes, front, options) })
        })
    }
}

fn keys(options: &Options) -> Keys {
    let flag = |on: bool| Some(u8::from(on).to_string());
    let multicast = options.multicast;
    vec![
        ("feature-sg", flag(options.sg)),
        ("feature-gso-tcpv4", flag(options.gso_tcpv4)),
        ("feature-gso-tcpv6", flag(options.gso_tcpv6)),
        ("feature-no-csum-offload", if options.csum { None } else { flag(true) }),
        ("feature-ipv6-csum-offload", flag(options.ipv6_csum)),
        ("feature-rx-copy", flag(options.rx_copy)),
        ("feature-rx-flip", flag(false)),
        ("feature-rx-notify", if options.rx_notify { flag(true) } else { None }),
        ("feature-multicast-control", flag(multicast != Multicast::Flooded)),
        ("feature-dynamic-multicast-control", flag(multicast == Multicast::Dynamic)),
        ("feature-split-event-channels", flag(options.split_event_channels)),
        ("multi-queue-max-queues", Some(options.queues.to_string())),
        ("feature-ctrl-ring", flag(options.ctrl_ring)),
        ("feature-xdp-headroom", flag(options.xdp_headroom)),
        ("carrier", options.carrier.map(carrier_key)),
    ]
}

fn carrier_key(carrier: Carrier) -> String {
    u8::from(carrier == Carrier::Up).to_string()
}

fn flag(nodes: &mut Nodes<'_>, path: &str, key: &str) -> bool {
    number(nodes, path, key).unwrap_or(0) != 0
}

fn agreed(nodes: &mut Nodes<'_>, front: &str, options: &Options) -> Agreed {
    let mut is = |key: &str| flag(nodes, front, key);
    Agreed {
        sg: is("feature-sg"),
        gso_tcpv4: is("feature-gso-tcpv4"),
        gso_tcpv6: is("feature-gso-tcpv6"),
        csum: !is("feature-no-csum-offload"),
        ipv6_csum: is("feature-ipv6-csum-offload"),
        rx_notify: is("feature-rx-notify"),
        multicast: is("request-multicast-control") && options.multicast != Multicast::Flooded,
        headroom: 0,
    }
}

fn need(nodes: &mut Nodes<'_>, path: &str, key: &str) -> Result<u32, String> {
    number(nodes, path, key).ok_or_else(|| format!("reading {path}/{key}"))
}

fn ctrl(nodes: &mut Nodes<'_>, front: &str) -> Result<Option<(GrantRef, Port)>, String> {
    let Some(gref) = number(nodes, front, "ctrl-ring-ref") else { return Ok(None) };
    let port = need(nodes, front, "event-channel-ctrl")?;
    Ok(Some((GrantRef(gref), Port(port))))
}

/// Where a queue is, as the front wrote it.
fn address(nodes: &mut Nodes<'_>, path: &str) -> Result<Address, String> {
    let tx_ring = need(nodes, path, "tx-ring-ref").map(GrantRef)?;
    let rx_ring = need(nodes, path, "rx-ring-ref").map(GrantRef)?;
    let mut port = |key: &str| number(nodes, path, key).map(Port);
    let (tx, rx, both) = (port("event-channel-tx"), port("event-channel-rx"), port("event-channel"));
    let (tx_port, rx_port) = match (tx, rx, both) {
        (Some(tx), Some(rx), _) => (tx, Some(rx).filter(|rx| *rx != tx)),
        (_, _, Some(both)) => (both, None),
        _ => return Err(format!("reading {path}/event-channel(-tx/rx)")),
    };
    Ok(Address { tx_ring, rx_ring, tx_port, rx_port })
}
