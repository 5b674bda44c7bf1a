//! What Xen tells about itself.

use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

constants! {
    /// What `xen_version` is asked for.
    ///
    /// `XENVER_*`, public/version.h
    pub struct Command: u32 {
        /// Returns the major version in the upper, the minor one in the lower 16 bits. No argument.
        ///
        /// `XENVER_version`, public/version.h
        VERSION = 0;
        /// The rest of the version, see [`ExtraVersion`].
        ///
        /// `XENVER_extraversion`, public/version.h
        EXTRAVERSION = 1;
        /// How Xen was compiled, see [`CompileInfo`].
        ///
        /// `XENVER_compile_info`, public/version.h
        COMPILE_INFO = 2;
        /// The kinds of guests that Xen can run, see [`CapabilitiesInfo`].
        ///
        /// `XENVER_capabilities`, public/version.h
        CAPABILITIES = 3;
        /// The source that Xen was built from, see [`ChangesetInfo`].
        ///
        /// `XENVER_changeset`, public/version.h
        CHANGESET = 4;
        /// Where Xen lies in a PV guest's address space, see [`PlatformParameters`].
        ///
        /// `XENVER_platform_parameters`, public/version.h
        PLATFORM_PARAMETERS = 5;
        /// The features that the guest has, see [`FeatureInfo`].
        ///
        /// `XENVER_get_features`, public/version.h
        GET_FEATURES = 6;
        /// Returns the size of the host's pages in bytes. No argument.
        ///
        /// `XENVER_pagesize`, public/version.h
        PAGESIZE = 7;
        /// The domain's unique id, see [`DomainHandle`].
        ///
        /// `XENVER_guest_handle`, public/version.h
        GUEST_HANDLE = 8;
        /// Xen's own command line, see [`CommandLine`].
        ///
        /// `XENVER_commandline`, public/version.h
        COMMANDLINE = 9;
        /// Xen's build id, see [`BuildId`]; returns its length in bytes.
        ///
        /// `XENVER_build_id`, public/version.h
        BUILD_ID = 10;
        /// The rest of the version at any length, see [`VarBuf`]; returns its length in bytes.
        ///
        /// `XENVER_extraversion2`, public/version.h (from Xen 4.20)
        EXTRAVERSION2 = 11;
        /// The kinds of guests at any length, see [`VarBuf`]; returns its length in bytes.
        ///
        /// `XENVER_capabilities2`, public/version.h (from Xen 4.20)
        CAPABILITIES2 = 12;
        /// The source that Xen was built from at any length, see [`VarBuf`]; returns its length in bytes.
        ///
        /// `XENVER_changeset2`, public/version.h (from Xen 4.20)
        CHANGESET2 = 13;
        /// Xen's own command line at any length, see [`VarBuf`]; returns its length in bytes.
        ///
        /// `XENVER_commandline2`, public/version.h (from Xen 4.20)
        COMMANDLINE2 = 14;
    }
}

/// Text that ends at the first zero byte: the rest of the version, such as ".4".
///
/// `xen_extraversion_t`, public/version.h
pub type ExtraVersion = [u8; 16];

/// How Xen was compiled, in texts that end at the first zero byte.
///
/// `struct xen_compile_info`, public/version.h
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CompileInfo {
    /// The compiler.
    pub compiler: [u8; 64],
    /// Who did it.
    pub compile_by: [u8; 16],
    /// In which network domain.
    pub compile_domain: [u8; 32],
    /// When.
    pub compile_date: [u8; 32],
}

/// Text that ends at the first zero byte: the kinds of guests, such as "xen-3.0-x86_64", with spaces between.
///
/// `xen_capabilities_info_t`, public/version.h
pub type CapabilitiesInfo = [u8; 1024];

/// Text that ends at the first zero byte: the source that Xen was built from.
///
/// `xen_changeset_info_t`, public/version.h
pub type ChangesetInfo = [u8; 64];

/// Text that ends at the first zero byte: Xen's own command line.
///
/// `xen_commandline_t`, public/version.h
pub type CommandLine = [u8; 1024];

/// The domain's unique id, as the tools have given it.
///
/// `xen_domain_handle_t`, public/xen.h
pub type DomainHandle = [u8; 16];

/// Where Xen lies in a PV guest's address space.
///
/// `struct xen_platform_parameters`, public/version.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PlatformParameters {
    /// Its first virtual address.
    pub virt_start: u64,
}

/// Asks for 32 of the guest's features.
///
/// `struct xen_feature_info`, public/version.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FeatureInfo {
    /// Which 32: zero for the first.
    pub submap_idx: u32,
    /// Out: a bit per feature, see [`Feature`](super::features::Feature).
    pub submap: u32,
}

/// The head of Xen's build id, which as many bytes as `len` says follow.
///
/// `struct xen_build_id`, public/version.h
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct BuildId {
    /// How many bytes there is room for.
    pub len: u32,
    /// Out: the id.
    pub buf: [u8; 0],
}

/// The head of a buffer, which as many bytes as `len` says follow; they end without a zero byte.
///
/// `struct xen_varbuf`, public/version.h (from Xen 4.20)
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VarBuf {
    /// How many bytes there is room for.
    pub len: u32,
    /// Out: the text.
    pub buf: [u8; 0],
}

const_assert_eq!(size_of::<CompileInfo>(), 144);
const_assert_eq!(size_of::<PlatformParameters>(), 8);
const_assert_eq!(size_of::<FeatureInfo>(), 8);
const_assert_eq!(size_of::<BuildId>(), 4);
const_assert_eq!(size_of::<VarBuf>(), 4);
