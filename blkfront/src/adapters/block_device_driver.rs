//! `block-device-driver`: its asynchronous `BlockDevice`.

use aligned::{A1, Aligned};
use block_device_driver::BlockDevice;

use crate::asynchronous::AsyncDisk;
use crate::blocking::block;
use crate::error::{IoError, Rejection};
use crate::request::Request;
use crate::sector::SECTOR;
use crate::{Buffer, Platform};

/// Blocks of any multiple of 512 bytes: of 512, of 4096. The disk's own sectors may not be larger. All is copied.
///
/// The trait knows no flush: call [`AsyncDisk::flush`] on another handle, and heed what it says.
///
/// ```
/// use block_device_driver::BlockDevice;
/// use xen_blkfront::{AsyncDisk, Flushed, IoError, Platform};
///
/// async fn clear<D: BlockDevice<512>>(device: &mut D) -> Result<(), D::Error> {
///     let zeros = [aligned::Aligned([0; 512])];
///     device.write(0, &zeros).await
/// }
///
/// async fn run<P: Platform>(disk: &AsyncDisk<P>) -> Result<Flushed, IoError> {
///     clear(&mut disk.clone()).await?;
///     disk.flush().await
/// }
/// ```
impl<P: Platform, const SIZE: usize> BlockDevice<SIZE> for AsyncDisk<P> {
    type Error = IoError;
    /// Copies have no wishes.
    type Align = A1;

    async fn read(&mut self, block_address: u32, data: &mut [Aligned<A1, [u8; SIZE]>]) -> Result<(), IoError> {
        const { assert!(SIZE > 0 && SIZE.is_multiple_of(SECTOR), "blocks are whole sectors") };
        let mut done = 0;
        while let Some(rest) = data.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let (at, memory) = self.piece::<SIZE>(block_address, done, rest.len())?;
            let (result, buffer) = self.read_into(at, memory).await;
            result?;
            let blocks = buffer.len() / SIZE;
            for (offset, block) in (0..buffer.len()).step_by(SIZE).zip(rest) {
                let _ = buffer.copy_out(offset, &mut **block);
            }
            done += blocks;
        }
        Ok(())
    }

    async fn write(&mut self, block_address: u32, data: &[Aligned<A1, [u8; SIZE]>]) -> Result<(), IoError> {
        const { assert!(SIZE > 0 && SIZE.is_multiple_of(SECTOR), "blocks are whole sectors") };
        let mut done = 0;
        while let Some(rest) = data.get(done..).filter(|rest| !rest.is_empty()) {
            let (at, mut memory) = self.piece::<SIZE>(block_address, done, rest.len())?;
            let blocks = memory.len() / SIZE;
            for (offset, block) in (0..memory.len()).step_by(SIZE).zip(rest) {
                memory.copy_in(offset, &**block);
            }
            self.run(Request::write(at, memory)).await.0?;
            done += blocks;
        }
        Ok(())
    }

    async fn size(&mut self) -> Result<u64, IoError> {
        self.last_known().map(|disk| disk.bytes()).ok_or(IoError::Rejected(Rejection::NotConnected))
    }
}

impl<P: Platform> AsyncDisk<P> {
    /// Where the next blocks are, and memory for as many of them as there is.
    fn piece<const SIZE: usize>(
        &self,
        first: u32,
        done: usize,
        left: usize,
    ) -> Result<(crate::Sector512, Buffer<P>), IoError> {
        let mut memory = self.memory(&mut None, left.saturating_mul(SIZE))?;
        memory.set_len(memory.len() / SIZE * SIZE);
        if memory.is_empty() {
            return Err(IoError::NoMemory);
        }
        Ok((block(u64::from(first) + done as u64, SIZE)?, memory))
    }
}
