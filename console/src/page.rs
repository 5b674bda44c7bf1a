//! The console page and where its parts lie.

use core::mem::offset_of;
use core::ptr::NonNull;

use xen_hypercall::abi::io::console::Interface;
use xen_shared_ring::{ByteRing, Consumer, Producer, RingSize, SharedMem};

use crate::input::Input;
use crate::output::Output;
use crate::wait::Notify;

const INPUT_SIZE: RingSize = RingSize::new(1024).unwrap();
const OUTPUT_SIZE: RingSize = RingSize::new(2048).unwrap();

/// Where the byte `connection` lies, with which Xen 4.21 extended the page.
///
/// Older toolstacks know nothing of it and leave it at zero, which means connected.
/// (`xencons_interface.connection`, public/io/console.h of Xen 4.21)
const CONNECTION: usize = offset_of!(Interface, out_prod) + size_of::<u32>();

/// The PV console: a page that is shared with the console daemon.
///
/// The two directions do not know each other; take them apart as needed. When one is broken by its peer, the
/// other goes on.
#[derive(Debug)]
pub struct Console<N> {
    /// From the guest.
    pub output: Output<N>,
    /// To the guest.
    pub input: Input<N>,
}

impl<N: Notify + Clone> Console<N> {
    /// Takes over both directions of the console at `page`, at the indices that it holds.
    ///
    /// A console that was used before, by a boot loader or by this kernel before a resume, goes on where it
    /// stood; its unread output stays. Indices that are impossible break their direction from the start.
    ///
    /// # Safety
    ///
    /// `page` is the start of a whole page that stays mapped, readable and writable for as long as the console
    /// is used, aligned to four bytes at least; and this domain reaches it through the console only.
    pub unsafe fn attach(page: NonNull<Interface>, notify: N) -> Self {
        // SAFETY: the caller's promise.
        let output = unsafe { output_ring(page) };
        // SAFETY: the caller's promise.
        let input = unsafe { input_ring(page) };
        // SAFETY: the caller's promise; the byte is in the page.
        let connection = unsafe { connection(page) };
        Self {
            output: Output::new(Producer::attach(output), connection, notify.clone()),
            input: Input::new(Consumer::attach(input), notify),
        }
    }
}

/// # Safety
///
/// As for [`Console::attach`].
unsafe fn output_ring(page: NonNull<Interface>) -> ByteRing {
    let at = |offset| part(page, offset);
    let (bytes, consumed, produced) =
        (at(offset_of!(Interface, output)), at(offset_of!(Interface, out_cons)), at(offset_of!(Interface, out_prod)));
    // SAFETY: the parts lie in the page, and the caller promises for it.
    unsafe { ByteRing::new(bytes, OUTPUT_SIZE, consumed.cast(), produced.cast()) }
}

/// # Safety
///
/// As for [`Console::attach`].
unsafe fn input_ring(page: NonNull<Interface>) -> ByteRing {
    let at = |offset| part(page, offset);
    let (bytes, consumed, produced) =
        (at(offset_of!(Interface, input)), at(offset_of!(Interface, in_cons)), at(offset_of!(Interface, in_prod)));
    // SAFETY: the parts lie in the page, and the caller promises for it.
    unsafe { ByteRing::new(bytes, INPUT_SIZE, consumed.cast(), produced.cast()) }
}

/// # Safety
///
/// As for [`Console::attach`].
unsafe fn connection(page: NonNull<Interface>) -> SharedMem {
    // SAFETY: the byte lies in the page, and the caller promises for it.
    unsafe { SharedMem::new(part(page, CONNECTION), 1) }
}

/// The byte at `offset` of the page; an address only, nothing is reached through it here.
fn part(page: NonNull<Interface>, offset: usize) -> NonNull<u8> {
    page.cast::<u8>().map_addr(|start| start.saturating_add(offset))
}
