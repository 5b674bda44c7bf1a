//! Disks as other crates want them, with file systems on them.

use std::future::Future;
use std::io::Read;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use aligned::{A1, Aligned};
use block_device_driver::BlockDevice;
use embedded_sdmmc::{Block, BlockDevice as _, BlockIdx, Mode, TimeSource, Timestamp, VolumeIdx, VolumeManager};
use ext4_view::Ext4;
use xen_blkfront::{AsyncDisk, Blkfront, Flushed, IoError, Options, Rejection, SharedDisk};
use xen_sim::Domain;
use xen_sim::blkback::{Options as Offer, SimDisk};
use xen_xenbus::Store;

use crate::common::{Rig, SECTORS};

/// Runs a program with a disk that is connected, and its backend beside it.
fn run(
    seed: u64,
    offer: Offer,
    disk: impl FnOnce(&SimDisk),
    program: impl FnOnce(&Store<Domain>, Blkfront<Domain>) + Send,
) -> Rig {
    let mut rig = Rig::new(seed, Options::DEFAULT, offer);
    disk(&rig.disk);
    let mut back = rig.back.take().unwrap();
    let other = Blkfront::open(&rig.store, rig.front.device().clone(), Options::DEFAULT).unwrap();
    let front = std::mem::replace(&mut rig.front, other);
    let (is_over, store) = (AtomicBool::new(false), rig.store.clone());
    let outcome = rig.machine.run(|vcpus| {
        vcpus.spawn(&rig.guest, |_| {
            program(&store, front);
            is_over.store(true, Ordering::Release);
        });
        vcpus.spawn(&rig.domain, |_| back.serve_until(|_, _| is_over.load(Ordering::Acquire)));
    });
    outcome.unwrap();
    rig
}

/// Polls a future, and the disk beside it, until it is ready.
fn block_on<T>(store: &Store<Domain>, disk: &AsyncDisk<Domain>, future: impl Future<Output = T>) -> T {
    let (mut future, mut server, mut daemon) = (pin!(future), pin!(disk.serve()), pin!(store.serve()));
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..1_000_000 {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        assert!(server.as_mut().poll(&mut context).is_pending() && daemon.as_mut().poll(&mut context).is_pending());
    }
    panic!("it never ends");
}

/// What is written in small blocks and in large ones stands there.
async fn exercise<D>(device: &mut D)
where
    D: BlockDevice<512, Align = A1, Error = IoError> + BlockDevice<4096, Align = A1, Error = IoError>,
{
    let blocks: Vec<Aligned<A1, [u8; 512]>> = (0..3000_u32).map(|n| Aligned([n as u8; 512])).collect();
    device.write(7, &blocks).await.unwrap();
    let large = [Aligned([0xEE; 4096]); 2];
    device.write(1, &large).await.unwrap();
    let mut read = vec![Aligned([0; 512]); 3000];
    device.read(7, &mut read).await.unwrap();
    let expected = |n: usize| if (1..17).contains(&n) { 0xEE } else { n as u8 };
    assert!(read.iter().enumerate().all(|(n, block)| **block == [expected(n); 512]));
    assert_eq!(BlockDevice::<512>::size(device).await, Ok(SECTORS * 512));
    let beyond = device.read(u32::MAX, &mut [Aligned([0; 4096])]).await;
    assert!(matches!(beyond, Err(IoError::Rejected(Rejection::BeyondEnd { .. }))));
}

#[test]
fn blocks_of_512_and_4096_bytes_are_awaited() {
    let program = |store: &Store<Domain>, disk| {
        let disk = AsyncDisk::new(disk);
        block_on(store, &disk, async {
            exercise(&mut disk.clone()).await;
            assert_eq!(disk.flush().await, Ok(Flushed::Durable));
        });
    };
    let rig = run(1, Offer::DEFAULT, |_| (), program);
    assert_eq!((rig.on_disk(7, 1), rig.on_disk(8, 1), rig.on_disk(24, 1)), (vec![0], vec![0xEE], vec![17]));
}

struct Then;

impl TimeSource for Then {
    fn get_timestamp(&self) -> Timestamp {
        Timestamp { year_since_1970: 56, zero_indexed_month: 0, zero_indexed_day: 0, hours: 0, minutes: 0, seconds: 0 }
    }
}

/// Where the partition begins, and how many sectors it has.
const PARTITION: (u32, u32) = (2048, 8192);

/// Sectors of one file allocation table, for clusters of one sector.
const TABLE: u16 = 32;

/// An empty FAT16 volume in the only partition.
fn format(disk: &SimDisk) {
    let (first, sectors) = PARTITION;
    let mut master = [0; 512];
    // Type 0x0E: FAT16 by number of the block.
    master[446 + 4] = 0x0E;
    master[446 + 8..446 + 12].copy_from_slice(&first.to_le_bytes());
    master[446 + 12..446 + 16].copy_from_slice(&sectors.to_le_bytes());
    master[510..].copy_from_slice(&[0x55, 0xAA]);
    disk.write(0, &master);
    let mut boot = [0; 512];
    boot[..3].copy_from_slice(&[0xEB, 0x3C, 0x90]);
    boot[3..11].copy_from_slice(b"DOMU    ");
    boot[11..13].copy_from_slice(&512_u16.to_le_bytes());
    // One sector each cluster, one reserved, two tables, 512 entries in the root.
    boot[13..19].copy_from_slice(&[1, 1, 0, 2, 0, 2]);
    boot[19..21].copy_from_slice(&(sectors as u16).to_le_bytes());
    boot[21] = 0xF8;
    boot[22..24].copy_from_slice(&TABLE.to_le_bytes());
    boot[28..32].copy_from_slice(&first.to_le_bytes());
    boot[38] = 0x29;
    boot[43..62].copy_from_slice(b"NO NAME    FAT16   ");
    boot[510..].copy_from_slice(&[0x55, 0xAA]);
    disk.write(first.into(), &boot);
    for table in 0..2 {
        let mut start = [0; 512];
        start[..4].copy_from_slice(&[0xF8, 0xFF, 0xFF, 0xFF]);
        disk.write(u64::from(first) + 1 + table * u64::from(TABLE), &start);
    }
}

#[test]
fn files_are_written_to_fat_and_read_again() {
    let data: Vec<u8> = (0..100_000_u32).map(|index| (index / 7) as u8).collect();
    run(2, Offer::DEFAULT, format, |_, disk| {
        let disk = SharedDisk::new(disk);
        {
            let volumes = VolumeManager::new(disk.clone(), Then);
            let volume = volumes.open_volume(VolumeIdx(0)).unwrap();
            let root = volume.open_root_dir().unwrap();
            root.make_dir_in_dir("LOGS").unwrap();
            let logs = root.open_dir("LOGS").unwrap();
            let file = logs.open_file_in_dir("BOOT.TXT", Mode::ReadWriteCreate).unwrap();
            file.write(&data).unwrap();
            file.close().unwrap();
        }
        assert_eq!(disk.with(Blkfront::flush), Ok(Flushed::Durable));
        let volumes = VolumeManager::new(disk.clone(), Then);
        let volume = volumes.open_volume(VolumeIdx(0)).unwrap();
        let logs = volume.open_root_dir().unwrap().open_dir("LOGS").unwrap();
        let file = logs.open_file_in_dir("BOOT.TXT", Mode::ReadOnly).unwrap();
        let mut read = vec![0; data.len() + 1];
        let mut count = 0;
        while !file.is_eof() {
            count += file.read(&mut read[count..]).unwrap();
        }
        assert_eq!((count, &read[..count]), (data.len(), &data[..]));
        assert_eq!(disk.num_blocks().unwrap().0, SECTORS as u32);
        let mut blocks = vec![Block::new(); 1000];
        disk.read(&mut blocks, BlockIdx(0)).unwrap();
        assert_eq!(blocks[0].contents[510..], [0x55, 0xAA]);
        assert!(matches!(disk.read(&mut blocks, BlockIdx(u32::MAX)), Err(IoError::Rejected(_))));
    });
}

/// Made by `mkfs.ext4 -b 1024 -N 32 -O ^has_journal -d` of e2fsprogs 1.47, from four small files.
fn ext4(disk: &SimDisk) {
    let mut image = Vec::new();
    let packed = include_bytes!("images/ext4.img.gz");
    flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut image).unwrap();
    disk.write(0, &image);
}

#[test]
fn files_of_an_ext4_image_are_read() {
    for sector_size in [512, 4096] {
        run(3, Offer { sector_size, ..Offer::DEFAULT }, ext4, |_, disk| {
            let disk = SharedDisk::new(disk);
            let files = Ext4::load(Box::new(disk.clone())).unwrap();
            assert_eq!(files.read_to_string("/etc/hostname").unwrap(), "domu\n");
            assert_eq!(files.read_to_string("/etc/link").unwrap(), "Hello from the disk.\n");
            let numbers = files.read("/etc/deep/er/numbers.bin").unwrap();
            let expected: Vec<u8> = (0..30_000_u32).flat_map(|n| (n / 100).to_le_bytes()).collect();
            assert!(numbers == expected);
            assert!(files.read("/missing").is_err());
        });
    }
}

#[test]
fn bytes_are_read_from_anywhere() {
    for sector_size in [512, 4096] {
        let fill = |disk: &SimDisk| {
            let data: Vec<u8> = (0..4 << 20).map(|index: u32| (index / 3) as u8).collect();
            disk.write(0, &data);
        };
        run(4, Offer { sector_size, ..Offer::DEFAULT }, fill, |_, mut disk| {
            for (offset, len) in [(0, 1), (1, 1), (511, 2), (512, 512), (4095, 4097), (77, 3 << 20), (5, 0)] {
                let mut read = vec![0; len];
                disk.read_bytes(offset, &mut read).unwrap();
                assert!((offset..).zip(&read).all(|(place, byte)| *byte == (place / 3) as u8), "{offset}, {len}");
            }
            let mut two = [0; 2];
            for offset in [SECTORS * 512 - 1, u64::MAX] {
                assert!(matches!(disk.read_bytes(offset, &mut two), Err(IoError::Rejected(_))), "{offset}");
            }
        });
    }
}
