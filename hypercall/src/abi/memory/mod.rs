//! Memory of the domain: how much, where, and what it is.

mod physmap;
mod reservation;
mod topology;

pub use physmap::{
    AddToPhysmap, AddToPhysmapBatch, ForeignMemoryMap, MAP_INDEX_GRANT_TABLE_STATUS, MachphysMapping, MachphysMfnList,
    MapSpace, MemoryMap, RemoveFromPhysmap,
};
pub use reservation::{Domain, Exchange, MemFlags, PodTarget, Reservation};
pub use topology::{
    AcquireResource, RESOURCE_GRANT_TABLE_ID_SHARED, RESOURCE_GRANT_TABLE_ID_STATUS, Resource, VmemRange,
    VnumaTopologyInfo,
};

constants! {
    /// What `memory_op` does.
    ///
    /// `XENMEM_*`, public/memory.h
    pub struct Command: u32 {
        /// Adds memory that the guest chooses no place for, see [`Reservation`].
        ///
        /// `XENMEM_increase_reservation`, public/memory.h
        INCREASE_RESERVATION = 0;
        /// Gives memory back, see [`Reservation`].
        ///
        /// `XENMEM_decrease_reservation`, public/memory.h
        DECREASE_RESERVATION = 1;
        /// Returns the greatest machine frame of the host's memory. No argument.
        ///
        /// `XENMEM_maximum_ram_page`, public/memory.h
        MAXIMUM_RAM_PAGE = 2;
        /// Returns how many pages the domain has, see [`Domain`].
        ///
        /// `XENMEM_current_reservation`, public/memory.h
        CURRENT_RESERVATION = 3;
        /// Returns how many pages the domain may have, see [`Domain`].
        ///
        /// `XENMEM_maximum_reservation`, public/memory.h
        MAXIMUM_RESERVATION = 4;
        /// Lists the frames of the machine-to-physical table, see [`MachphysMfnList`].
        ///
        /// `XENMEM_machphys_mfn_list`, public/memory.h
        MACHPHYS_MFN_LIST = 5;
        /// Adds memory at places that the guest chooses, see [`Reservation`].
        ///
        /// `XENMEM_populate_physmap`, public/memory.h
        POPULATE_PHYSMAP = 6;
        /// Places one of Xen's pages, or one of ours, at a guest frame, see [`AddToPhysmap`].
        ///
        /// `XENMEM_add_to_physmap`, public/memory.h
        ADD_TO_PHYSMAP = 7;
        /// Lists the memory map that the domain started with, see [`MemoryMap`].
        ///
        /// `XENMEM_memory_map`, public/memory.h
        MEMORY_MAP = 9;
        /// Lists the host's memory map, see [`MemoryMap`]. Privileged.
        ///
        /// `XENMEM_machine_memory_map`, public/memory.h
        MACHINE_MEMORY_MAP = 10;
        /// Swaps memory for other memory, see [`Exchange`]. PV only.
        ///
        /// `XENMEM_exchange`, public/memory.h
        EXCHANGE = 11;
        /// Returns where the machine-to-physical table is mapped, see [`MachphysMapping`].
        ///
        /// `XENMEM_machphys_mapping`, public/memory.h
        MACHPHYS_MAPPING = 12;
        /// Sets a domain's memory map, see [`ForeignMemoryMap`]. Privileged.
        ///
        /// `XENMEM_set_memory_map`, public/memory.h
        SET_MEMORY_MAP = 13;
        /// Returns the greatest guest frame of the domain, see [`Domain`].
        ///
        /// `XENMEM_maximum_gpfn`, public/memory.h
        MAXIMUM_GPFN = 14;
        /// Removes the page at a guest frame, see [`RemoveFromPhysmap`].
        ///
        /// `XENMEM_remove_from_physmap`, public/memory.h
        REMOVE_FROM_PHYSMAP = 15;
        /// Sets the target of memory that is populated on demand, see [`PodTarget`]. Privileged.
        ///
        /// `XENMEM_set_pod_target`, public/memory.h
        SET_POD_TARGET = 16;
        /// Returns that target, see [`PodTarget`]. Privileged.
        ///
        /// `XENMEM_get_pod_target`, public/memory.h
        GET_POD_TARGET = 17;
        /// Places a batch of pages, see [`AddToPhysmapBatch`].
        ///
        /// `XENMEM_add_to_physmap_batch`, public/memory.h
        ADD_TO_PHYSMAP_BATCH = 23;
        /// Lists the frames of the 32-bit machine-to-physical table, see [`MachphysMfnList`].
        ///
        /// `XENMEM_machphys_compat_mfn_list`, public/memory.h
        MACHPHYS_COMPAT_MFN_LIST = 25;
        /// Returns the virtual NUMA topology, see [`VnumaTopologyInfo`].
        ///
        /// `XENMEM_get_vnumainfo`, public/memory.h
        GET_VNUMAINFO = 26;
        /// Maps the pages of a domain's resource, see [`AcquireResource`]. Privileged.
        ///
        /// `XENMEM_acquire_resource`, public/memory.h
        ACQUIRE_RESOURCE = 28;
    }
}
