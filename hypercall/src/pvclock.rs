//! The clock that Xen gives its x86 guests: a page with a scale, to be applied to the processor's own counter.
//!
//! Xen updates the page under a version lock: the version is odd while it writes, and different afterwards. A
//! reader copies the fields between two reads of the same even version.
//!
//! ARM64 guests read the architecture's own counter instead; Xen leaves these fields alone there.

use core::mem::offset_of;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering, fence};
use core::time::Duration;

use volatile::{VolatilePtr, map_field};

use crate::abi::arch::{SharedInfo, VcpuInfo};
use crate::abi::time::VcpuTimeInfo;

/// How often a reader looks again while Xen is writing. Xen writes for a running vCPU only when that vCPU is not
/// running, so that a second look is rare and a third one never seen.
const ATTEMPTS: usize = 64;

/// Xen's system time in nanoseconds, which never goes back: since Xen was started for a PV guest, since the guest was
/// started for others.
///
/// "Never" includes a vCPU that is moved to a processor whose counter lags: [`now`](Self::now) then repeats the last
/// answer until the counter has caught up.
#[derive(Debug)]
pub struct Pvclock {
    time: NonNull<VcpuTimeInfo>,
    last: AtomicU64,
}

// SAFETY: the page is only read, volatile, and `last` is atomic.
unsafe impl Send for Pvclock {}
// SAFETY: as above.
unsafe impl Sync for Pvclock {}

impl Pvclock {
    /// A clock over the time fields of one vCPU.
    ///
    /// # Safety
    ///
    /// `time` must stay mapped and readable for as long as the clock is used, and only the hypervisor may write it.
    #[must_use]
    pub const unsafe fn new(time: NonNull<VcpuTimeInfo>) -> Self {
        Self { time, last: AtomicU64::new(0) }
    }

    /// A clock over what Xen and one vCPU share: for vCPU 0, the start of shared info.
    ///
    /// # Safety
    ///
    /// As for [`new`](Self::new), of the time fields.
    #[must_use]
    pub const unsafe fn of_vcpu(info: NonNull<VcpuInfo>) -> Self {
        // SAFETY: within the structure, which is mapped.
        let time = unsafe { info.byte_add(offset_of!(VcpuInfo, time)) };
        // SAFETY: the caller's promise.
        unsafe { Self::new(time.cast()) }
    }

    /// The system time, from `counter`, which reads the processor's counter (`tsc` on x86-64).
    ///
    /// On a vCPU other than the one whose fields these are, the answer is wrong but still does not go back.
    pub fn now(&self, counter: impl Fn() -> u64) -> u64 {
        let now = (0..ATTEMPTS).find_map(|_| self.try_now(&counter)).unwrap_or(0);
        self.last.fetch_max(now, Ordering::Relaxed).max(now)
    }

    /// Forgets the last answer, after a resume: the fields tell of another machine then, whose time may be an earlier one.
    pub fn restart(&self) {
        self.last.store(0, Ordering::Relaxed);
    }

    /// `None` while Xen is writing.
    fn try_now(&self, counter: &impl Fn() -> u64) -> Option<u64> {
        // SAFETY: mapped and readable, as `new`'s caller promised.
        let time = unsafe { VolatilePtr::new(self.time) };
        let version = map_field!(time.version).read();
        // Pairs with Xen's write barriers around its update; the fields are read between the two versions.
        fence(Ordering::Acquire);
        let scale = Scale {
            timestamp: map_field!(time.tsc_timestamp).read(),
            system_time: map_field!(time.system_time).read(),
            multiplier: map_field!(time.tsc_to_system_mul).read(),
            shift: map_field!(time.tsc_shift).read(),
        };
        let now = scale.nanoseconds(counter());
        fence(Ordering::Acquire);
        (version & 1 == 0 && map_field!(time.version).read() == version).then_some(now)
    }
}

/// How to turn the processor's counter into nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// The counter's value at the last update.
    pub timestamp: u64,
    /// The system time in nanoseconds, at the last update.
    pub system_time: u64,
    /// Nanoseconds for each tick after the shift, times 2^32.
    pub multiplier: u32,
    /// By how many bits to shift the ticks to the left, or to the right where negative.
    pub shift: i8,
}

impl Scale {
    /// The time at which the counter had this value. A value from before the last update counts as the update's own.
    ///
    /// The distance is signed and wraps: in a domain that is younger than Xen's last update, and whose counter Xen
    /// emulates from the domain's creation on, the update lies at a counter below 0.
    #[must_use]
    pub const fn nanoseconds(&self, counter: u64) -> u64 {
        let distance = counter.wrapping_sub(self.timestamp).cast_signed();
        let ticks = if distance < 0 { 0 } else { distance.cast_unsigned() };
        let shift = self.shift.unsigned_abs() as u32;
        let ticks = match self.shift {
            0.. => ticks.unbounded_shl(shift),
            _ => ticks.unbounded_shr(shift),
        };
        let elapsed = (ticks as u128 * self.multiplier as u128) >> 32;
        self.system_time.wrapping_add(elapsed as u64)
    }
}

/// The processor's counter, not read ahead of what comes before it.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[must_use]
pub fn tsc() -> u64 {
    let (low, high): (u32, u32);
    // Not the intrinsics: the one for `lfence` is a call where the target has no SSE.
    // SAFETY: every x86-64 processor has the instructions, and Xen lets its guests use them.
    unsafe { core::arch::asm!("lfence", "rdtsc", out("eax") low, out("edx") high, options(nostack, nomem)) }
    u64::from(high) << 32 | u64::from(low)
}

/// Time since 1970-01-01 00:00 UTC at which the guest's system time was 0. `None` if Xen does not stop writing.
///
/// # Safety
///
/// `shared` must be mapped and readable, and only the hypervisor may write its time fields.
#[must_use]
pub unsafe fn wall_clock(shared: NonNull<SharedInfo>) -> Option<Duration> {
    // SAFETY: the caller's promise.
    let shared = unsafe { VolatilePtr::new(shared) };
    (0..ATTEMPTS).find_map(|_| try_wall_clock(shared))
}

fn try_wall_clock(shared: VolatilePtr<'_, SharedInfo>) -> Option<Duration> {
    let version = map_field!(shared.wc_version).read();
    // Pairs with Xen's write barriers around its update, as above.
    fence(Ordering::Acquire);
    let high = u64::from(map_field!(shared.wc_sec_hi).read());
    let seconds = high << 32 | u64::from(map_field!(shared.wc_sec).read());
    let nanoseconds = map_field!(shared.wc_nsec).read();
    fence(Ordering::Acquire);
    let unchanged = version & 1 == 0 && map_field!(shared.wc_version).read() == version;
    unchanged.then(|| Duration::new(seconds, nanoseconds % 1_000_000_000))
}

#[cfg(test)]
mod tests {
    use core::cell::Cell;

    use super::*;

    const SCALE: Scale = Scale { timestamp: 1000, system_time: 5_000, multiplier: 1 << 31, shift: 1 };

    #[test]
    fn ticks_become_nanoseconds() {
        assert_eq!(SCALE.nanoseconds(1000), 5_000);
        assert_eq!(SCALE.nanoseconds(1010), 5_010);
        assert_eq!(Scale { shift: -1, ..SCALE }.nanoseconds(1400), 5_100);
        assert_eq!(SCALE.nanoseconds(0), 5_000, "a counter that lags is not before the update");
    }

    #[test]
    fn an_update_from_before_the_domain_was_made_counts() {
        let scale = Scale { timestamp: 0_u64.wrapping_sub(200), ..SCALE };
        assert_eq!(scale.nanoseconds(0), 5_200);
        assert_eq!(scale.nanoseconds(100), 5_300);
    }

    #[test]
    fn no_scale_and_no_counter_overflows() {
        for shift in [i8::MIN, -64, -63, 0, 63, 64, i8::MAX] {
            for counter in [0, 1, u64::MAX / 2, u64::MAX] {
                let scale = Scale { timestamp: 0, system_time: u64::MAX, multiplier: u32::MAX, shift };
                let _ = scale.nanoseconds(counter);
            }
        }
    }

    fn page(version: u32, system_time: u64) -> VcpuTimeInfo {
        VcpuTimeInfo { version, system_time, tsc_to_system_mul: 1 << 31, tsc_shift: 1, ..Default::default() }
    }

    #[test]
    fn the_clock_never_goes_back() {
        let mut page = page(2, 1_000);
        let time = NonNull::from(&mut page);
        // SAFETY: the page outlives the clock.
        let clock = unsafe { Pvclock::new(time) };
        assert_eq!(clock.now(|| 500), 1_500);
        assert_eq!(clock.now(|| 400), 1_500, "the counter went back");
        // SAFETY: the test is the hypervisor, and the only writer.
        unsafe { time.write(self::page(4, 10)) };
        assert_eq!(clock.now(|| 0), 1_500, "the base went back");
        assert_eq!(clock.now(|| 2_000), 2_010);
    }

    #[test]
    fn an_update_in_between_is_not_mixed_in() {
        let mut page = page(2, 1_000);
        let time = NonNull::from(&mut page);
        // SAFETY: the page outlives the clock.
        let clock = unsafe { Pvclock::new(time) };
        let looks = Cell::new(0);
        // The counter is read after the fields: at the first look the hypervisor updates them behind it.
        let now = clock.now(|| {
            looks.set(looks.get() + 1);
            // SAFETY: the test is the hypervisor, and the only writer.
            unsafe { time.write(self::page(4, 7_000)) };
            0
        });
        assert_eq!((now, looks.get()), (7_000, 2));
    }

    #[test]
    fn a_version_that_stays_odd_ends_the_wait() {
        let mut page = page(3, 1_000);
        // SAFETY: the page outlives the clock.
        let clock = unsafe { Pvclock::new(NonNull::from(&mut page)) };
        assert_eq!(clock.now(|| 0), 0);
    }
}
