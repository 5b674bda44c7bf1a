//! What other crates want of a disk. Each is behind the feature of its name.

#[cfg(feature = "block-device-driver")]
mod block_device_driver;
#[cfg(feature = "embedded-sdmmc")]
mod embedded_sdmmc;
#[cfg(feature = "ext4-view")]
mod ext4_view;
