//! Virtual interrupts.

constants! {
    /// A virtual interrupt that Xen can raise.
    ///
    /// Some exist once per vCPU and stay bound to it, others once per domain, bound to vCPU 0 first. Most
    /// of the second kind are given to the control domain only.
    ///
    /// `VIRQ_*`, public/xen.h
    pub struct Virq: u32 {
        /// Time was updated, or a timer that the vCPU asked for has expired. Per vCPU.
        ///
        /// `VIRQ_TIMER`, public/xen.h
        TIMER = 0;
        /// The guest is asked to print its debug information. Per vCPU.
        ///
        /// `VIRQ_DEBUG`, public/xen.h
        DEBUG = 1;
        /// Bytes have arrived on the emergency console. Control domain.
        ///
        /// `VIRQ_CONSOLE`, public/xen.h
        CONSOLE = 2;
        /// A domain has met an exceptional event. Control domain.
        ///
        /// `VIRQ_DOM_EXC`, public/xen.h
        DOM_EXC = 3;
        /// The trace buffer has records. Control domain.
        ///
        /// `VIRQ_TBUF`, public/xen.h
        TBUF = 4;
        /// A domain has stopped for its debugger. Control domain.
        ///
        /// `VIRQ_DEBUGGER`, public/xen.h
        DEBUGGER = 6;
        /// The profiler has a new sample. Per vCPU.
        ///
        /// `VIRQ_XENOPROF`, public/xen.h
        XENOPROF = 7;
        /// Bytes have arrived in Xen's console ring. Control domain.
        ///
        /// `VIRQ_CON_RING`, public/xen.h
        CON_RING = 8;
        /// A physical CPU has changed its state. Control domain.
        ///
        /// `VIRQ_PCPU_STATE`, public/xen.h
        PCPU_STATE = 9;
        /// A memory event has occurred. Control domain.
        ///
        /// `VIRQ_MEM_EVENT`, public/xen.h
        MEM_EVENT = 10;
        /// An Argo message has arrived. Per domain.
        ///
        /// `VIRQ_ARGO`, public/xen.h
        ARGO = 11;
        /// Xen's heap is short of memory. Control domain.
        ///
        /// `VIRQ_ENOMEM`, public/xen.h
        ENOMEM = 12;
        /// A performance counter has overflowed. Per vCPU.
        ///
        /// `VIRQ_XENPMU`, public/xen.h
        XENPMU = 13;
        /// First interrupt whose meaning the architecture gives.
        ///
        /// `VIRQ_ARCH_0`, public/xen.h
        ARCH_0 = 16;
        /// `VIRQ_ARCH_1`, public/xen.h
        ARCH_1 = 17;
        /// `VIRQ_ARCH_2`, public/xen.h
        ARCH_2 = 18;
        /// `VIRQ_ARCH_3`, public/xen.h
        ARCH_3 = 19;
        /// `VIRQ_ARCH_4`, public/xen.h
        ARCH_4 = 20;
        /// `VIRQ_ARCH_5`, public/xen.h
        ARCH_5 = 21;
        /// `VIRQ_ARCH_6`, public/xen.h
        ARCH_6 = 22;
        /// `VIRQ_ARCH_7`, public/xen.h
        ARCH_7 = 23;
    }
}

/// How many virtual interrupts there are: every [`Virq`] is below it.
///
/// `NR_VIRQS`, public/xen.h
pub const COUNT: u32 = 24;
