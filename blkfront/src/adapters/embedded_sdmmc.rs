//! `embedded-sdmmc`: its `BlockDevice`, for FAT.

use embedded_sdmmc_types::{Block, BlockCount, BlockDevice, BlockIdx};

use crate::Platform;
use crate::blocking::block;
use crate::error::{IoError, Rejection};
use crate::request::Request;
use crate::shared::SharedDisk;

/// Blocks of 512 bytes: a disk with larger sectors rejects them as [misaligned](Rejection::Misaligned). All is copied.
///
/// The trait knows no flush: call [`Blkfront::flush`](crate::Blkfront::flush) by another handle, and heed what it says.
///
/// ```
/// use embedded_sdmmc::{Mode, TimeSource, Timestamp, VolumeIdx, VolumeManager};
/// use xen_blkfront::{Blkfront, Flushed, Platform, SharedDisk};
///
/// struct Then;
///
/// impl TimeSource for Then {
///     fn get_timestamp(&self) -> Timestamp {
///         Timestamp { year_since_1970: 56, zero_indexed_month: 0, zero_indexed_day: 0, hours: 0, minutes: 0, seconds: 0 }
///     }
/// }
///
/// fn log<P: Platform>(disk: Blkfront<P>) -> Result<Flushed, Box<dyn core::error::Error>> {
///     let disk = SharedDisk::new(disk);
///     let volumes = VolumeManager::new(disk.clone(), Then);
///     let volume = volumes.open_volume(VolumeIdx(0)).map_err(|error| format!("{error:?}"))?;
///     let root = volume.open_root_dir().map_err(|error| format!("{error:?}"))?;
///     let file = root.open_file_in_dir("LOG.TXT", Mode::ReadWriteCreateOrAppend).map_err(|error| format!("{error:?}"))?;
///     file.write(b"it has booted\n").map_err(|error| format!("{error:?}"))?;
///     file.close().map_err(|error| format!("{error:?}"))?;
///     Ok(disk.with(|disk| disk.flush())?)
/// }
/// ```
impl<P: Platform> BlockDevice for SharedDisk<P> {
    type Error = IoError;

    fn read(&self, blocks: &mut [Block], start_block_idx: BlockIdx) -> Result<(), IoError> {
        self.with(|disk| {
            let mut done = 0;
            while let Some(rest) = blocks.get_mut(done..).filter(|rest| !rest.is_empty()) {
                let at = block(u64::from(start_block_idx.0) + done as u64, Block::LEN)?;
                let buffer = disk.take_buffer(rest.len().saturating_mul(Block::LEN))?;
                let completion = disk.run(Request::read(at, buffer))?;
                let read = completion.result.map(|_| completion.buffer.len() / Block::LEN);
                for (offset, block) in (0..completion.buffer.len()).step_by(Block::LEN).zip(rest) {
                    let _ = completion.buffer.copy_out(offset, &mut block.contents);
                }
                disk.spare = Some(completion.buffer);
                done += progress(read)?;
            }
            Ok(())
        })
    }

    fn write(&self, blocks: &[Block], start_block_idx: BlockIdx) -> Result<(), IoError> {
        self.with(|disk| {
            let mut done = 0;
            while let Some(rest) = blocks.get(done..).filter(|rest| !rest.is_empty()) {
                let at = block(u64::from(start_block_idx.0) + done as u64, Block::LEN)?;
                let mut buffer = disk.take_buffer(rest.len().saturating_mul(Block::LEN))?;
                for (offset, block) in (0..buffer.len()).step_by(Block::LEN).zip(rest) {
                    buffer.copy_in(offset, &block.contents);
                }
                let written = buffer.len() / Block::LEN;
                let completion = disk.run(Request::write(at, buffer))?;
                disk.spare = Some(completion.buffer);
                done += progress(completion.result.map(|_| written))?;
            }
            Ok(())
        })
    }

    fn num_blocks(&self) -> Result<BlockCount, IoError> {
        let sectors = self.with(|disk| disk.last_known().map(crate::Disk::sectors));
        let sectors = sectors.ok_or(IoError::Rejected(Rejection::NotConnected))?;
        // What lies beyond cannot be named.
        Ok(BlockCount(u32::try_from(sectors).unwrap_or(u32::MAX)))
    }
}

/// A piece without a block would be made for ever.
fn progress(blocks: Result<usize, IoError>) -> Result<usize, IoError> {
    match blocks? {
        0 => Err(IoError::NoMemory),
        blocks => Ok(blocks),
    }
}
