//! What a Linux PV guest asks of xenstored to bring a disk to Connected, beside ours. For `docs/costs.md`, by hand:
//! `cargo test -p real-xen-tests --test linux -- --ignored --nocapture`.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use real_xen_tests::{guest, succeeded};
use xtask::boot::{self, GuestSpec};
use xtask::initramfs::Archive;
use xtask::packages::{self, DOM0};
use xtask::paths;
use xtask::progress::Progress;

const TRACE: &str = include_str!("../scenarios/trace.sh");

/// Loads the driver of disks, and waits.
const INIT: &str = "#!/busybox sh
/busybox mount -t devtmpfs dev /dev
/busybox insmod /xen-blkfront.ko
echo ready
while :; do /busybox sleep 1000; done
";

/// The unit in which places in the carrier are told.
const BLOCK: usize = 4096;

#[test]
#[ignore = "a figure for the documentation, and no promise; Linux takes its time to start"]
fn requests_to_connected_of_linux_and_ours() {
    let (carrier, unpack) = carrier();
    let ours = GuestSpec { scenario: Some(unpack + TRACE), ..guest("devices", "") };
    for outcome in boot::full(&[ours, linux(), carrier]).expect("the boot can be tried").iter().take(2) {
        println!("{}", outcome.name);
        succeeded(outcome).said.iter().for_each(|line| println!("  {line}"));
        // What our guest has counted itself, for the device alone.
        outcome.console.lines().filter(|line| line.contains("requests")).for_each(|line| println!("  {line}"));
    }
}

/// Linux, the one of domain 0, in the files that the carrier has brought. For xl, the last line of a name counts.
fn linux() -> GuestSpec {
    GuestSpec {
        name: "linux".to_owned(),
        memory: 128,
        arguments: "console=hvc0 quiet audit=0 cryptomgr.notests".to_owned(),
        config: vec!["kernel = \"/tmp/linux\"".to_owned(), "ramdisk = \"/tmp/linux.cpio\"".to_owned()],
        scenario: Some(TRACE.to_owned()),
        timeout: Duration::from_secs(120),
        ..guest("hello", "")
    }
}

/// A guest that carries Linux into domain 0, behind its own end, as each guest's kernel is a file there; and the commands that
/// unpack it.
fn carrier() -> (GuestSpec, String) {
    let hello = guest("hello", "");
    let mut content = std::fs::read(&hello.elf).expect("it was built");
    let mut unpack = String::new();
    for (name, part) in [("linux", kernel()), ("linux.cpio", ramdisk())] {
        let part = part.expect("it can be made");
        content.resize(content.len().next_multiple_of(BLOCK), 0);
        let (start, count) = (content.len() / BLOCK, part.len().div_ceil(BLOCK));
        let from = "dd if=/domu/guests/002/kernel";
        writeln!(unpack, "{from} of=/tmp/{name} bs={BLOCK} skip={start} count={count}").expect("text can be written");
        content.extend(part);
    }
    let elf = paths::domu().expect("there is a folder").join("carrier");
    std::fs::write(&elf, content).expect("it can be written");
    (GuestSpec { elf, ..hello }, unpack)
}

fn kernel() -> anyhow::Result<Vec<u8>> {
    let tree = packages::ensure(&DOM0, &Progress::quiet())?;
    Ok(std::fs::read(tree.find("boot", |name| name.starts_with("vmlinuz-"))?)?)
}

fn ramdisk() -> anyhow::Result<Vec<u8>> {
    let tree = packages::ensure(&DOM0, &Progress::quiet())?;
    let module = tree.files("xen-blkfront.ko").pop().context("Linux has no xen-blkfront.ko")?;
    let mut archive = Archive::new(Vec::new());
    archive.folder("dev")?;
    archive.copy("busybox", &tree.elf("busybox")?)?;
    archive.copy("xen-blkfront.ko", &module)?;
    archive.file("init", INIT.as_bytes())?;
    archive.finish()
}
