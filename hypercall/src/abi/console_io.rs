//! Commands of the emergency console's hypercall.

constants! {
    /// What `console_io` shall do with its buffer.
    ///
    /// `CONSOLEIO_*`, public/xen.h
    pub struct Command: u32 {
        /// Writes the buffer to Xen's console.
        ///
        /// From an unprivileged domain only printable characters get through, perhaps not before a line
        /// is complete.
        ///
        /// `CONSOLEIO_write`, public/xen.h
        WRITE = 0;
        /// Reads what has been typed into Xen's console, up to the size of the buffer.
        ///
        /// `CONSOLEIO_read`, public/xen.h
        READ = 1;
    }
}
