//! Grant tables: leave for other domains to use a page.

mod entry;
mod ops;
mod status;

pub use entry::{
    EntryHeader, EntryV1, EntryV2, EntryV2FullPage, EntryV2SubPage, EntryV2Transitive, GrantFlags, GrantRef,
    GrantStatus, NR_RESERVED_ENTRIES, RESERVED_CONSOLE, RESERVED_XENSTORE,
};
pub use ops::{
    CacheFlush, CacheFlushOp, Copy, CopyFlags, CopyPtr, DumpTable, GetStatusFrames, GetVersion, Handle, MapFlags,
    MapGrantRef, QuerySize, SetVersion, SetupTable, SwapGrantRef, Transfer, UnmapAndReplace, UnmapGrantRef,
};
pub use status::Status;

constants! {
    /// What `grant_table_op` does, each with an array of the argument type of the same name.
    ///
    /// `GNTTABOP_*`, public/grant_table.h
    pub struct Command: u32 {
        /// `GNTTABOP_map_grant_ref`, public/grant_table.h
        MAP_GRANT_REF = 0;
        /// `GNTTABOP_unmap_grant_ref`, public/grant_table.h
        UNMAP_GRANT_REF = 1;
        /// `GNTTABOP_setup_table`, public/grant_table.h
        SETUP_TABLE = 2;
        /// `GNTTABOP_dump_table`, public/grant_table.h
        DUMP_TABLE = 3;
        /// `GNTTABOP_transfer`, public/grant_table.h
        TRANSFER = 4;
        /// `GNTTABOP_copy`, public/grant_table.h
        COPY = 5;
        /// `GNTTABOP_query_size`, public/grant_table.h
        QUERY_SIZE = 6;
        /// `GNTTABOP_unmap_and_replace`, public/grant_table.h
        UNMAP_AND_REPLACE = 7;
        /// `GNTTABOP_set_version`, public/grant_table.h
        SET_VERSION = 8;
        /// `GNTTABOP_get_status_frames`, public/grant_table.h
        GET_STATUS_FRAMES = 9;
        /// `GNTTABOP_get_version`, public/grant_table.h
        GET_VERSION = 10;
        /// `GNTTABOP_swap_grant_ref`, public/grant_table.h
        SWAP_GRANT_REF = 11;
        /// `GNTTABOP_cache_flush`, public/grant_table.h
        CACHE_FLUSH = 12;
    }
}
