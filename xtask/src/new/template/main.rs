//! {{NAME}}: a unikernel on Xen.

#![no_std]
#![no_main]

use xen_rt::{Guest, entry, println};

#[entry]
fn main(guest: Guest) {
    let boot = guest.boot();
    println!("Hello from {{NAME}}, on {}!", boot.platform);
    println!("memory: {} KiB, of which {} are free", 4 * boot.pages, 4 * guest.usage().free_pages);
    println!("command line: {:?}", boot.command_line);
    match guest.store() {
        Some(store) => println!("devices: {:?}", store.directory("device").wait().unwrap_or_default()),
        None => println!("devices: none, as there is no xenstore; without --direct there is"),
    }
    println!("next: change src/main.rs; the folder examples of the SDK has disks, networks and more to start from");
}
