//! What Xen tells about itself, and what it can do.

use core::fmt;

use zerocopy::{FromBytes, FromZeros, IntoBytes};

use crate::abi::Number;
use crate::abi::features::Feature;
use crate::abi::version::{
    CapabilitiesInfo, ChangesetInfo, Command, CommandLine, CompileInfo, DomainHandle, ExtraVersion, FeatureInfo,
    PlatformParameters,
};
use crate::call::command;
use crate::{Errno, Hypercall};

#[inline(always)]
fn ask<H: Hypercall, T: FromBytes + IntoBytes>(xen: &H, what: Command, answer: &mut T) -> Result<usize, Errno> {
    // SAFETY: each command writes at most its own structure, whose type takes any bytes.
    unsafe { command(xen, Number::XEN_VERSION, what.0, core::ptr::from_mut(answer)) }
}

fn answer<H: Hypercall, T: FromBytes + IntoBytes + FromZeros>(xen: &H, what: Command) -> Result<T, Errno> {
    let mut answer = T::new_zeroed();
    ask(xen, what, &mut answer).map(|_| answer)
}

/// The version of a hypervisor, 4.17 for instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// What comes before the dot.
    pub major: u16,
    /// What comes after.
    pub minor: u16,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Xen's version.
///
/// # Errors
///
/// None in today's hypervisors.
///
/// Source: `XENVER_version`, public/version.h
#[inline]
pub fn version<H: Hypercall>(xen: &H) -> Result<Version, Errno> {
    // SAFETY: the command takes no argument.
    let version = unsafe { command::<_, ()>(xen, Number::XEN_VERSION, Command::VERSION.0, core::ptr::null_mut()) }?;
    Ok(Version { major: (version >> 16) as u16, minor: version as u16 })
}

/// What follows the version number, `.5` for instance. Text ends at the first NUL, here and below.
///
/// # Errors
///
/// None in today's hypervisors; a policy may have Xen answer with a placeholder.
///
/// Source: `XENVER_extraversion`, public/version.h
pub fn extra_version<H: Hypercall>(xen: &H) -> Result<ExtraVersion, Errno> {
    answer(xen, Command::EXTRAVERSION)
}

/// Who compiled Xen, with what, and when.
///
/// # Errors
///
/// As for [`extra_version`].
///
/// Source: `XENVER_compile_info`, public/version.h
pub fn compile_info<H: Hypercall>(xen: &H) -> Result<CompileInfo, Errno> {
    answer(xen, Command::COMPILE_INFO)
}

/// The kinds of guests that Xen runs, separated by blanks: `xen-3.0-x86_64 hvm-3.0-x86_64`.
///
/// # Errors
///
/// None in today's hypervisors.
///
/// Source: `XENVER_capabilities`, public/version.h
pub fn capabilities<H: Hypercall>(xen: &H) -> Result<CapabilitiesInfo, Errno> {
    answer(xen, Command::CAPABILITIES)
}

/// The change of Xen's source that it was built from.
///
/// # Errors
///
/// As for [`extra_version`].
///
/// Source: `XENVER_changeset`, public/version.h
pub fn changeset<H: Hypercall>(xen: &H) -> Result<ChangesetInfo, Errno> {
    answer(xen, Command::CHANGESET)
}

/// Where the part of the address space begins that is Xen's.
///
/// # Errors
///
/// None in today's hypervisors.
///
/// Source: `XENVER_platform_parameters`, public/version.h
pub fn platform_parameters<H: Hypercall>(xen: &H) -> Result<PlatformParameters, Errno> {
    answer(xen, Command::PLATFORM_PARAMETERS)
}

/// The features of Xen that this guest can use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features(u32);

impl Features {
    /// Whether Xen offers a feature. `false` for all that the hypervisor has never heard of.
    #[must_use]
    pub const fn contains(self, feature: Feature) -> bool {
        feature.0 < u32::BITS && self.0 >> feature.0 & 1 != 0
    }

    /// The features with a name in this crate, and those without as `Feature(N)`.
    pub fn iter(self) -> impl Iterator<Item = Feature> {
        (0..u32::BITS).map(Feature).filter(move |&feature| self.contains(feature))
    }
}

/// The features that Xen offers this guest.
///
/// # Errors
///
/// None in today's hypervisors.
///
/// Source: `XENVER_get_features`, public/version.h
pub fn features<H: Hypercall>(xen: &H) -> Result<Features, Errno> {
    let mut info = FeatureInfo { submap_idx: 0, submap: 0 };
    ask(xen, Command::GET_FEATURES, &mut info)?;
    Ok(Features(info.submap))
}

/// The size of a page in bytes.
///
/// # Errors
///
/// None in today's hypervisors.
///
/// Source: `XENVER_pagesize`, public/version.h
pub fn page_size<H: Hypercall>(xen: &H) -> Result<usize, Errno> {
    // SAFETY: the command takes no argument.
    unsafe { command::<_, ()>(xen, Number::XEN_VERSION, Command::PAGESIZE.0, core::ptr::null_mut()) }
}

/// The domain's UUID, as the toolstack gave it.
///
/// # Errors
///
/// None in today's hypervisors.
///
/// Source: `XENVER_guest_handle`, public/version.h
pub fn domain_handle<H: Hypercall>(xen: &H) -> Result<DomainHandle, Errno> {
    answer(xen, Command::GUEST_HANDLE)
}

/// Xen's own command line, which only the control domain may see.
///
/// # Errors
///
/// As for [`extra_version`].
///
/// Source: `XENVER_commandline`, public/version.h
pub fn command_line<H: Hypercall>(xen: &H) -> Result<CommandLine, Errno> {
    answer(xen, Command::COMMANDLINE)
}

/// Longest build id that is taken.
const BUILD_ID: usize = 64;

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes)]
#[repr(C)]
struct BuildIdBuffer {
    len: u32,
    bytes: [u8; BUILD_ID],
}

/// The build id of Xen's image: its bytes, and how many there are.
///
/// # Errors
///
/// [`Errno::NODATA`] where the image has none, [`Errno::NOBUFS`] for one longer than 64 bytes.
///
/// Source: `XENVER_build_id`, public/version.h
pub fn build_id<H: Hypercall>(xen: &H) -> Result<([u8; BUILD_ID], usize), Errno> {
    let mut buffer = BuildIdBuffer { len: BUILD_ID as u32, bytes: [0; BUILD_ID] };
    let len = ask(xen, Command::BUILD_ID, &mut buffer)?;
    Ok((buffer.bytes, len.min(BUILD_ID)))
}
