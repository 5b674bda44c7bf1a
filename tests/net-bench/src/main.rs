//! Sends and receives as it is told at the console, and tells what that took: our side of `cargo xtask bench net`.
//!
//! Options of the driver stand on the command line, as [`interface_options`] knows them.

#![no_std]
#![no_main]

extern crate alloc;

mod console;
mod tcp;

use alloc::boxed::Box;
use core::error::Error;
use core::time::Duration;

use bench_load::{END, FAILED, Figures, LISTENING, MARK, NOBODY, NOBODYS_MAC, READY, STOP, Traffic, What};
use xen_examples::{Network, Turn, interface_options};
use xen_packet_blast::{End, packet, receive, transmit};
use xen_rt::hypercall::abi::VcpuId;
use xen_rt::hypercall::vcpu::get_runstate_info;
use xen_rt::netfront::{Checksums, Offer, Options, RING_SLOTS};
use xen_rt::{ExitCode, Guest, entry, println};

use self::console::Console;
use self::tcp::Services;

/// How long the guest sleeps at most before it looks at its console.
const TICK: Duration = Duration::from_millis(20);
/// The guest's address: the one that it is told.
const ADDRESS: [u8; 4] = [10, 0, 0, 15];

/// All that makes the driver quick: pages as many as rings hold, and what domain 0 takes off the stack.
const OPTIONS: Options = Options {
    transmit_pages: RING_SLOTS,
    receive_pages: RING_SLOTS,
    checksums: Checksums::Offload,
    segmentation: Offer::Yes,
    ..Options::DEFAULT
};

type Answer<T> = Result<T, Box<dyn Error>>;

#[entry]
fn main(guest: Guest) -> ExitCode {
    match serve(&guest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            println!("{MARK} {FAILED} {what}");
            ExitCode::FAILURE
        }
    }
}

/// Does what the console says, a line at a time, and answers whoever calls meanwhile.
fn serve(guest: &Guest) -> Answer<()> {
    let mut network = Network::up(guest, interface_options(guest.boot().command_line, OPTIONS)?)?;
    let services = Services::new(&mut network)?;
    let mut bench = Bench { guest, network, services, console: Console::new(guest) };
    println!("{MARK} {READY}");
    loop {
        let line = bench.serve_until_told()?;
        if line == END {
            return Ok(());
        }
        println!("{MARK} {}", bench.measure(&line.parse()?)?);
    }
}

/// What is measured.
struct Bench<'a> {
    guest: &'a Guest,
    network: Network<'a>,
    services: Services,
    console: Console,
}

impl Bench<'_> {
    fn measure(&mut self, traffic: &Traffic) -> Answer<Figures> {
        self.services.send(traffic.total());
        let (clock, ran, called) = (self.guest.clock().now(), self.running()?, self.guest.usage().hypercalls);
        if traffic.listens() {
            println!("{MARK} {LISTENING}");
        }
        let count = self.carry_out(traffic)?;
        let (running, elapsed) = (self.running()? - ran, self.guest.clock().now() - clock);
        Ok(Figures {
            requests: count,
            elapsed: elapsed.as_nanos() as u64,
            running,
            hypercalls: Some(self.guest.usage().hypercalls - called),
        })
    }

    /// How long this processor ran until now, with what Xen did on its behalf.
    fn running(&self) -> Answer<u64> {
        Ok(get_runstate_info(&self.guest.xen(), VcpuId(0))?.time[0])
    }

    /// Answers how many packets there were, where they are counted here.
    fn carry_out(&mut self, traffic: &Traffic) -> Answer<u64> {
        match traffic.what {
            What::Transmit | What::Send => self.transmit(traffic)?,
            What::Receive => return self.receive(),
            What::Boot | What::Page | What::Ping | What::TcpIn | What::TcpOut => {
                let line = self.serve_until_told()?;
                if line != STOP {
                    return Err(line.into());
                }
            }
        }
        Ok(traffic.count)
    }

    fn transmit(&mut self, traffic: &Traffic) -> Answer<()> {
        let interface = self.network.interface_mut().ok_or("the interface is gone")?;
        let mac = interface.link().ok_or("the interface is not connected")?.mac();
        let from = End { mac, address: ADDRESS };
        let packet = packet(from, End { mac: NOBODYS_MAC, address: NOBODY }, traffic.bytes as usize);
        transmit(interface, self.guest.clock(), &packet, (traffic.burst, traffic.count))
    }

    fn receive(&mut self) -> Answer<u64> {
        let interface = self.network.interface_mut().ok_or("the interface is gone")?;
        let goes_on = |_| Ok(self.console.line()?.is_none_or(|line| line != STOP));
        Ok(receive(interface, self.guest.clock(), goes_on)?.0)
    }

    /// Has the stack answer whoever calls, until there is a line at the console.
    fn serve_until_told(&mut self) -> Answer<alloc::string::String> {
        loop {
            if let Some(line) = self.console.line()? {
                return Ok(line);
            }
            if self.network.turn(|_| ())? == Turn::End {
                return Err("the guest was asked to end".into());
            }
            self.services.go_on(self.network.sockets());
            self.network.rest_until(self.guest.clock().now() + TICK)?;
        }
    }
}
