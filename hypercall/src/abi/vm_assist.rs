//! Help that a guest can switch on or off.

constants! {
    /// Whether `vm_assist` switches the help on or off.
    ///
    /// `VMASST_CMD_*`, public/xen.h
    pub struct Command: u32 {
        /// `VMASST_CMD_enable`, public/xen.h
        ENABLE = 0;
        /// `VMASST_CMD_disable`, public/xen.h
        DISABLE = 1;
    }
}

constants! {
    /// The kind of help: a bit number in `vm_assist` words, an argument of the call.
    ///
    /// `VMASST_TYPE_*`, public/xen.h
    pub struct Type: u32 {
        /// Simulate 4 GiB segment limits for 32-bit x86 guests.
        ///
        /// `VMASST_TYPE_4gb_segments`, public/xen.h
        SEGMENTS_4GB = 0;
        /// Trap whenever [`SEGMENTS_4GB`](Self::SEGMENTS_4GB) had to help.
        ///
        /// `VMASST_TYPE_4gb_segments_notify`, public/xen.h
        SEGMENTS_4GB_NOTIFY = 1;
        /// Emulate writes to entries of the lowest level of page tables.
        ///
        /// `VMASST_TYPE_writable_pagetables`, public/xen.h
        WRITABLE_PAGETABLES = 2;
        /// Let 32-bit PAE guests place their top level above 4 GiB.
        ///
        /// `VMASST_TYPE_pae_extended_cr3`, public/xen.h
        PAE_EXTENDED_CR3 = 3;
        /// Make the virtual I/O privilege level behave as on hardware.
        ///
        /// `VMASST_TYPE_architectural_iopl`, public/xen.h
        ARCHITECTURAL_IOPL = 4;
        /// Mark a vCPU's mapped run-state while Xen updates it.
        ///
        /// `VMASST_TYPE_runstate_update_flag`, public/xen.h
        RUNSTATE_UPDATE_FLAG = 5;
        /// Hide the machine-to-physical table from 64-bit user mode.
        ///
        /// `VMASST_TYPE_m2p_strict`, public/xen.h
        M2P_STRICT = 32;
    }
}
