//! 9. Disk. From here on there is nothing of the kernel's own: the drivers have what they need.

use alloc::boxed::Box;
use core::error::Error;
use core::time::Duration;

use xen_blkfront::{Blkfront, KIND, Options, Sector512, Which};
use xen_xenbus::Store;
use xen_xenbus::bus::Enumerator;

use crate::console::println;
use crate::hypercall::Xen;

/// How long a disk may take to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads the first sector of the first disk, and shows the text in it.
pub(crate) fn show(store: &Store<Xen>) -> Result<(), Box<dyn Error>> {
    if Enumerator::of_kind(KIND).look(store)?.is_empty() {
        println!("disk: none");
        return Ok(());
    }
    let mut disk = Blkfront::find(store, Which::First, Options::DEFAULT, PATIENCE)?;
    let mut sector = [0; 512];
    disk.read(Sector512(0), &mut sector)?;
    println!("disk: {}", disk.disk().ok_or("the disk is gone")?);
    println!("disk: the first sector begins with {:?}", crate::text(&sector));
    Ok(())
}
