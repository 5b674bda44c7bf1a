//! Parameters of a translated guest.

constants! {
    /// A parameter that a guest reads or sets.
    ///
    /// `HVM_PARAM_*`, public/hvm/params.h
    pub struct ParamIndex: u32 {
        /// How events are delivered, see [`CallbackType`].
        ///
        /// `HVM_PARAM_CALLBACK_IRQ`, public/hvm/params.h
        CALLBACK_IRQ = 0;
        /// Guest frame of the xenstore ring.
        ///
        /// `HVM_PARAM_STORE_PFN`, public/hvm/params.h
        STORE_PFN = 1;
        /// Port of the xenstore ring.
        ///
        /// `HVM_PARAM_STORE_EVTCHN`, public/hvm/params.h
        STORE_EVTCHN = 2;
        /// Guest frame of the console ring.
        ///
        /// `HVM_PARAM_CONSOLE_PFN`, public/hvm/params.h
        CONSOLE_PFN = 17;
        /// Port of the console ring.
        ///
        /// `HVM_PARAM_CONSOLE_EVTCHN`, public/hvm/params.h
        CONSOLE_EVTCHN = 18;
        /// Width of the x87 unit's instruction and data pointers that are kept, in bytes.
        ///
        /// `HVM_PARAM_X87_FIP_WIDTH`, public/hvm/params.h
        X87_FIP_WIDTH = 36;
    }
}

constants! {
    /// How events are delivered: the uppermost eight bits of [`ParamIndex::CALLBACK_IRQ`].
    ///
    /// The whole parameter being zero means not at all. Number two differs by architecture.
    ///
    /// `HVM_PARAM_CALLBACK_TYPE_*`, public/hvm/params.h
    pub struct CallbackType: u8 {
        /// By an interrupt line of the interrupt controller, not zero.
        ///
        /// `HVM_PARAM_CALLBACK_TYPE_GSI`, public/hvm/params.h
        GSI = 0;
        /// By a PCI device's interrupt line.
        ///
        /// `HVM_PARAM_CALLBACK_TYPE_PCI_INTX`, public/hvm/params.h
        PCI_INTX = 1;
        /// By an interrupt vector, see [`Feature::HVM_CALLBACK_VECTOR`](crate::abi::features::Feature::HVM_CALLBACK_VECTOR).
        ///
        /// `HVM_PARAM_CALLBACK_TYPE_VECTOR`, public/hvm/params.h (x86-64)
        VECTOR = 2;
        /// By an interrupt of the vCPU's own, with flags in bits 8 to 15.
        ///
        /// `HVM_PARAM_CALLBACK_TYPE_PPI`, public/hvm/params.h (ARM64)
        PPI = 2;
    }
}

impl CallbackType {
    /// The parameter's value with this type and the detail that the type wants.
    #[must_use]
    pub const fn with(self, detail: u64) -> u64 {
        (self.0 as u64) << CALLBACK_TYPE_MASK.trailing_zeros() | detail & !CALLBACK_TYPE_MASK
    }
}

/// The bits of [`ParamIndex::CALLBACK_IRQ`] that hold the [`CallbackType`].
///
/// `HVM_PARAM_CALLBACK_IRQ_TYPE_MASK`, public/hvm/params.h
pub const CALLBACK_TYPE_MASK: u64 = 0xff00_0000_0000_0000;

/// The bits of [`ParamIndex::CALLBACK_IRQ`] that hold the flags of a [`CallbackType::PPI`].
///
/// `HVM_PARAM_CALLBACK_TYPE_PPI_FLAG_MASK`, public/hvm/params.h (ARM64)
pub const PPI_FLAG_MASK: u64 = 0xff00;

/// Flag of a [`CallbackType::PPI`], before its shift to bit 8: the interrupt is active while low.
///
/// `HVM_PARAM_CALLBACK_TYPE_PPI_FLAG_LOW_LEVEL`, public/hvm/params.h (ARM64)
pub const PPI_FLAG_LOW_LEVEL: u64 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_keeps_its_type_apart_from_its_detail() {
        assert_eq!(CallbackType::VECTOR.with(0xf3), 0x0200_0000_0000_00f3);
        assert_eq!(CallbackType::GSI.with(u64::MAX), 0x00ff_ffff_ffff_ffff);
    }
}
