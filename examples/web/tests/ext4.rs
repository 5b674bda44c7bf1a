//! Files that lie in an ext4 file system.

mod support;

use std::cell::Cell;
use std::error::Error;
use std::io::Read as _;
use std::rc::Rc;

use ext4_view::Ext4Read;
use support::Lab;
use xen_web_example::{Ext4Files, Options};

#[test]
fn files_of_an_ext4_image_are_served() {
    let (mut lab, _) = lab();
    let name = lab.get("/hostname");
    assert_eq!((name.status, name.text()), (200, "domu\n"));
    assert_eq!(lab.get("/link").text(), "Hello from the disk.\n");
    let numbers = lab.get("/deep/er/numbers.bin");
    let expected: Vec<u8> = (0..30_000_u32).flat_map(|number| (number / 100).to_le_bytes()).collect();
    assert!(numbers.body == expected && numbers.field("Content-Type") == Some("application/octet-stream"));
    let folder = lab.get("/deep");
    assert_eq!((folder.status, folder.field("Location")), (301, Some("/deep/")));
    for missing in ["/deep/", "/missing", "/hostname/x", &format!("/{}", "x".repeat(300)), "/etc/hostname"] {
        assert_eq!(lab.get(missing).status, 404, "{missing}");
    }
}

#[test]
fn a_file_that_was_not_changed_is_not_sent_again() {
    let (mut lab, _) = lab();
    let first = lab.get("/hostname");
    let tag = first.field("ETag").unwrap();
    assert!(first.field("Last-Modified").unwrap().ends_with(" GMT"));
    let again = lab.ask(&format!("GET /hostname HTTP/1.1\r\nHost: test\r\nIf-None-Match: {tag}\r\n\r\n"));
    assert_eq!((again.status, again.field("Last-Modified")), (304, first.field("Last-Modified")));
}

#[test]
fn a_disk_that_cannot_be_read_is_told() {
    let (mut lab, state) = lab();
    state.set(State::Broken);
    assert_eq!(lab.get("/deep/er/numbers.bin").status, 500);
    state.set(State::Well);
    assert_eq!(lab.get("/hostname").status, 200);
}

fn lab() -> (Lab<Ext4Files>, Rc<Cell<State>>) {
    let packed = include_bytes!("../../../blkfront/tests/it/images/ext4.img.gz");
    let (mut image, state) = (Vec::new(), Rc::new(Cell::new(State::Well)));
    flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut image).unwrap();
    let disk = Disk { image, state: Rc::clone(&state) };
    let files = Ext4Files::load(Box::new(disk), "/etc").unwrap();
    (Lab::serving(files, support::fixed(), Options::DEFAULT), state)
}

/// A disk in memory.
struct Disk {
    image: Vec<u8>,
    state: Rc<Cell<State>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Well,
    Broken,
}

impl Ext4Read for Disk {
    fn read(&mut self, start_byte: u64, dst: &mut [u8]) -> Result<(), Box<dyn Error + Send + Sync>> {
        let start = usize::try_from(start_byte)?;
        let bytes = self.image.get(start..).and_then(|bytes| bytes.get(..dst.len()));
        let bytes = bytes.filter(|_| self.state.get() == State::Well).ok_or("the disk is broken")?;
        dst.copy_from_slice(bytes);
        Ok(())
    }
}
