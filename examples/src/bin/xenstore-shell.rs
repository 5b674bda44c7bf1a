//! Xenstore by hand: a shell on the guest's console.
//!
//! ```text
//! cargo xtask run xenstore-shell
//! ```

#![no_std]
#![no_main]

extern crate alloc;

use alloc::format;
use alloc::string::String;
use core::time::Duration;

use xen_rt::xenbus::Store;
use xen_rt::xenbus::store::StoreError;
use xen_rt::xenbus::wire::PAYLOAD_MAX;
use xen_rt::{ExitCode, Guest, Xen, entry, print, println};

/// How long the shell waits for a line, and `watch` for a change.
const PATIENCE: Duration = Duration::from_secs(600);

#[entry]
fn main(guest: Guest) -> ExitCode {
    let Some(store) = guest.store() else {
        println!("there is no xenstore here: start the guest as a domU, without --direct");
        return ExitCode::FAILURE;
    };
    println!("xenstore: ls, read, write, mkdir, rm, perms, watch, stat, help, exit");
    let mut lines = Lines { guest: &guest, rest: String::new() };
    while let Some(line) = lines.next() {
        let mut words = line.split_ascii_whitespace();
        let (command, path) = (words.next().unwrap_or_default(), words.next().unwrap_or("."));
        if command == "exit" {
            break;
        }
        let value = words.collect::<alloc::vec::Vec<_>>().join(" ");
        if let Err(error) = obey(&store, &guest, command, path, &value) {
            println!("{error}");
        }
    }
    ExitCode::SUCCESS
}

fn obey(store: &Store<Xen>, guest: &Guest, command: &str, path: &str, value: &str) -> Result<(), StoreError> {
    // The guest's own directory, which has no name of its own in relative paths.
    let path = match path {
        "." => format!("/local/domain/{}", store.read_u32("domid").wait()?),
        path => path.into(),
    };
    match command {
        "" => {}
        "ls" => store.directory(&path).wait()?.iter().for_each(|name| println!("{name}")),
        "read" => println!("{}", store.read(&path).wait()?.escape_ascii()),
        "write" => store.write(&path, value).wait()?,
        "mkdir" => store.mkdir(&path).wait()?,
        "rm" => store.remove(&path).wait()?,
        "perms" => println!("{:?}", store.permissions(&path).wait()?),
        "watch" => watch(store, guest, &path)?,
        "stat" => println!("{:?}", store.statistics()),
        _ => println!(
            "ls [PATH], read PATH, write PATH VALUE, mkdir PATH, rm PATH, perms PATH, stat, exit\n\
             watch PATH shows two changes; a path without a slash in front is below this domain's own directory"
        ),
    }
    Ok(())
}

/// Shows the node each time it may have changed: at first, and once more.
fn watch(store: &Store<Xen>, guest: &Guest, path: &str) -> Result<(), StoreError> {
    let watch = store.watch(path).wait()?;
    for _ in 0..2 {
        let changed = watch.wait(guest.clock().now() + PATIENCE)?;
        let value = store.read(path).wait();
        match value {
            Ok(value) if changed => println!("{path} is {}", value.escape_ascii()),
            Ok(_) => println!("{path} has not changed"),
            Err(error) => println!("{error}"),
        }
    }
    Ok(())
}

/// Lines from the console.
struct Lines<'a> {
    guest: &'a Guest,
    rest: String,
}

impl Lines<'_> {
    /// The next line; `None` when none comes any more.
    fn next(&mut self) -> Option<String> {
        print!("> ");
        loop {
            if let Some((line, rest)) = self.rest.split_once(['\n', '\r']) {
                let line = String::from(line);
                self.rest = rest.into();
                return Some(line);
            }
            // What a terminal sends at the end of the input. No line is longer than a message.
            if self.rest.contains('\u{4}') || self.rest.len() > PAYLOAD_MAX {
                return None;
            }
            let mut bytes = [0; 64];
            let deadline = self.guest.clock().now() + PATIENCE;
            let count = self.guest.console().read(&mut bytes, deadline).ok().filter(|count| *count > 0)?;
            self.rest.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    }
}
