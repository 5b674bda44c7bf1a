//! The first disk, as it comes and goes.

use alloc::boxed::Box;
use alloc::string::ToString as _;
use core::error::Error;
use core::time::Duration;

use xen_rt::blkfront::{Blkfront, KIND, Options, SharedDisk, Vanishing, Which};
use xen_rt::xenbus::Store;
use xen_rt::xenbus::bus::{Device, Lookout};
use xen_rt::xenbus::store::StoreError;
use xen_rt::{Xen, println};
use xen_web_example::Ext4Files;

/// How long a disk may take to connect, in a domain 0 that is busy. Nothing is served meanwhile, and one that takes longer is left alone.
const PATIENCE: Duration = Duration::from_secs(30);

/// The disk with the files, if there is one.
pub(crate) struct Disk {
    store: Store<Xen>,
    lookout: Lookout<Xen>,
    /// The first one, whether it can be read or not.
    device: Option<Device>,
    disk: Option<SharedDisk<Xen>>,
}

impl Disk {
    pub(crate) fn new(store: &Store<Xen>) -> Result<Self, StoreError> {
        Ok(Self { store: store.clone(), lookout: Lookout::new(store, KIND)?, device: None, disk: None })
    }

    /// What is to be served from now on, where that has changed: the files of a disk that has come, or none where it has gone.
    pub(crate) fn look(&mut self) -> Option<Option<Ext4Files>> {
        self.lookout.look(&self.store, self.store.now());
        let first = self.lookout.devices().min_by_key(|device| device.name().id);
        if first != self.device.as_ref() {
            self.device = first.cloned();
            return Some(self.take());
        }
        self.has_ended().then(|| {
            self.disk = None;
            None
        })
    }

    /// All devices are others.
    pub(crate) fn resumed(&mut self) {
        self.device = None;
        self.lookout.resumed();
    }

    /// When to look at the latest.
    pub(crate) fn next_deadline(&self) -> Duration {
        let of_disk = self.disk.as_ref().and_then(|disk| disk.with(|disk| disk.next_deadline()));
        [self.lookout.next_deadline(false), of_disk].into_iter().flatten().min().unwrap_or(Duration::MAX)
    }

    /// Goes on with the disk, which domain 0 may want back.
    fn has_ended(&self) -> bool {
        let now = self.store.now();
        self.disk.as_ref().is_some_and(|disk| {
            disk.with(|disk| {
                while disk.poll(now).is_some() {}
                disk.is_ended()
            })
        })
    }

    /// The files of the device that there is now; none where it has none that can be read.
    fn take(&mut self) -> Option<Ext4Files> {
        self.disk = None;
        let device = self.device.as_ref()?;
        match load(&self.store, device) {
            Ok((disk, files)) => {
                println!("disk {}: its files are served", device.name().id);
                self.disk = Some(disk);
                Some(files)
            }
            Err(error) => {
                println!("disk {}: {error}", device.name().id);
                None
            }
        }
    }
}

fn load(store: &Store<Xen>, device: &Device) -> Result<(SharedDisk<Xen>, Ext4Files), Box<dyn Error>> {
    // A disk that is taken away comes back as another one: nobody waits for this one.
    let options = Options { vanished: Vanishing::Fail, ..Options::DEFAULT };
    let number = device.name().id.to_string();
    let disk = SharedDisk::new(Blkfront::find(store, Which::Named(&number), options, PATIENCE)?);
    let files = Ext4Files::load(Box::new(disk.clone()), "")?;
    Ok((disk, files))
}
