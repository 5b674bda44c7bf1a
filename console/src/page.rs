//! The console page and where its parts lie.

use core::mem::offset_of;

use static_assertions::const_assert_eq;
use xen_hypercall::abi::io::console::Interface;
use xen_shared_ring::{ByteRing, Consumer, Producer, SharedMem};

use crate::input::Input;
use crate::output::Output;
use crate::wait::Notify;

/// Bytes of each part of the page, in their order.
/// (`struct xencons_interface`, public/io/console.h; the byte `connection`, with which Xen 4.21 extended it, comes next.
/// Older toolstacks know nothing of that one and leave it at zero, which means connected.)
const INPUT: usize = 1024;
const OUTPUT: usize = 2048;
const INDEX: usize = 4;
const CONNECTION: usize = 1;

const_assert_eq!(offset_of!(Interface, output), INPUT);
const_assert_eq!(offset_of!(Interface, in_cons), INPUT + OUTPUT);
const_assert_eq!(offset_of!(Interface, in_prod), INPUT + OUTPUT + INDEX);
const_assert_eq!(offset_of!(Interface, out_cons), INPUT + OUTPUT + 2 * INDEX);
const_assert_eq!(offset_of!(Interface, out_prod), INPUT + OUTPUT + 3 * INDEX);
const_assert_eq!(size_of::<Interface>(), INPUT + OUTPUT + 4 * INDEX);

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
    /// `None` if `page` is too small for a console, or not aligned to four bytes.
    pub fn attach(page: SharedMem, notify: N) -> Option<Self> {
        let (input, rest) = page.split_at(INPUT)?;
        let (output, rest) = rest.split_at(OUTPUT)?;
        let (in_cons, rest) = rest.split_at(INDEX)?;
        let (in_prod, rest) = rest.split_at(INDEX)?;
        let (out_cons, rest) = rest.split_at(INDEX)?;
        let (out_prod, rest) = rest.split_at(INDEX)?;
        let (connection, _rest) = rest.split_at(CONNECTION)?;
        let output = Producer::attach(ByteRing::new(output, out_cons, out_prod)?);
        let input = Consumer::attach(ByteRing::new(input, in_cons, in_prod)?);
        Some(Self { output: Output::new(output, connection, notify.clone()), input: Input::new(input, notify) })
    }
}
