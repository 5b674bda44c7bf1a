//! `ext4-view`: its `Ext4Read`, for ext2, ext3 and ext4.

use alloc::boxed::Box;
use core::error::Error;

use ext4_view::Ext4Read;

use crate::Platform;
use crate::shared::SharedDisk;

/// Bytes from anywhere, by [`Blkfront::read_bytes`](crate::Blkfront::read_bytes).
///
/// ```
/// use ext4_view::Ext4;
/// use xen_blkfront::{Blkfront, Platform, SharedDisk};
///
/// fn name<P: Platform>(disk: Blkfront<P>) -> Result<String, Box<dyn core::error::Error>> {
///     let files = Ext4::load(Box::new(SharedDisk::new(disk)))?;
///     Ok(files.read_to_string("/etc/hostname")?)
/// }
/// ```
impl<P: Platform> Ext4Read for SharedDisk<P> {
    fn read(&mut self, start_byte: u64, dst: &mut [u8]) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.with(|disk| disk.read_bytes(start_byte, dst)).map_err(|error| Box::new(error).into())
    }
}
