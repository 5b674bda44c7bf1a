//! Xen's error numbers.

constants! {
    /// Why Xen refused a call: a positive error number.
    ///
    /// Numbers that this list does not know are values like any other and print as they are. The numbers are
    /// Xen's own; they do not follow the guest's or any C library's.
    ///
    /// `enum xen_errno`, public/errno.h
    pub struct Errno: u32 {
        /// Operation not permitted.
        ///
        /// `XEN_EPERM`, public/errno.h
        PERM = 1;
        /// No such file or directory.
        ///
        /// `XEN_ENOENT`, public/errno.h
        NOENT = 2;
        /// No such process.
        ///
        /// `XEN_ESRCH`, public/errno.h
        SRCH = 3;
        /// I/O error.
        ///
        /// `XEN_EIO`, public/errno.h
        IO = 5;
        /// No such device or address.
        ///
        /// `XEN_ENXIO`, public/errno.h
        NXIO = 6;
        /// Arg list too long.
        ///
        /// `XEN_E2BIG`, public/errno.h
        E2BIG = 7;
        /// Exec format error.
        ///
        /// `XEN_ENOEXEC`, public/errno.h
        NOEXEC = 8;
        /// Bad file number.
        ///
        /// `XEN_EBADF`, public/errno.h
        BADF = 9;
        /// No child processes.
        ///
        /// `XEN_ECHILD`, public/errno.h
        CHILD = 10;
        /// Try again.
        ///
        /// `XEN_EAGAIN`, public/errno.h
        AGAIN = 11;
        /// Operation would block. Aliases EAGAIN.
        ///
        /// `XEN_EWOULDBLOCK`, public/errno.h
        WOULDBLOCK = 11;
        /// Out of memory.
        ///
        /// `XEN_ENOMEM`, public/errno.h
        NOMEM = 12;
        /// Permission denied.
        ///
        /// `XEN_EACCES`, public/errno.h
        ACCES = 13;
        /// Bad address.
        ///
        /// `XEN_EFAULT`, public/errno.h
        FAULT = 14;
        /// Device or resource busy.
        ///
        /// `XEN_EBUSY`, public/errno.h
        BUSY = 16;
        /// File exists.
        ///
        /// `XEN_EEXIST`, public/errno.h
        EXIST = 17;
        /// Cross-device link.
        ///
        /// `XEN_EXDEV`, public/errno.h
        XDEV = 18;
        /// No such device.
        ///
        /// `XEN_ENODEV`, public/errno.h
        NODEV = 19;
        /// Not a directory.
        ///
        /// `XEN_ENOTDIR`, public/errno.h
        NOTDIR = 20;
        /// Is a directory.
        ///
        /// `XEN_EISDIR`, public/errno.h
        ISDIR = 21;
        /// Invalid argument.
        ///
        /// `XEN_EINVAL`, public/errno.h
        INVAL = 22;
        /// File table overflow.
        ///
        /// `XEN_ENFILE`, public/errno.h
        NFILE = 23;
        /// Too many open files.
        ///
        /// `XEN_EMFILE`, public/errno.h
        MFILE = 24;
        /// No space left on device.
        ///
        /// `XEN_ENOSPC`, public/errno.h
        NOSPC = 28;
        /// Read-only file system.
        ///
        /// `XEN_EROFS`, public/errno.h
        ROFS = 30;
        /// Too many links.
        ///
        /// `XEN_EMLINK`, public/errno.h
        MLINK = 31;
        /// Math argument out of domain of func.
        ///
        /// `XEN_EDOM`, public/errno.h
        DOM = 33;
        /// Math result not representable.
        ///
        /// `XEN_ERANGE`, public/errno.h
        RANGE = 34;
        /// Resource deadlock would occur.
        ///
        /// `XEN_EDEADLK`, public/errno.h
        DEADLK = 35;
        /// Resource deadlock would occur. Aliases EDEADLK.
        ///
        /// `XEN_EDEADLOCK`, public/errno.h
        DEADLOCK = 35;
        /// File name too long.
        ///
        /// `XEN_ENAMETOOLONG`, public/errno.h
        NAMETOOLONG = 36;
        /// No record locks available.
        ///
        /// `XEN_ENOLCK`, public/errno.h
        NOLCK = 37;
        /// Function not implemented.
        ///
        /// `XEN_ENOSYS`, public/errno.h
        NOSYS = 38;
        /// Directory not empty.
        ///
        /// `XEN_ENOTEMPTY`, public/errno.h
        NOTEMPTY = 39;
        /// No data available.
        ///
        /// `XEN_ENODATA`, public/errno.h
        NODATA = 61;
        /// Timer expired.
        ///
        /// `XEN_ETIME`, public/errno.h
        TIME = 62;
        /// Not a data message.
        ///
        /// `XEN_EBADMSG`, public/errno.h
        BADMSG = 74;
        /// Value too large for defined data type.
        ///
        /// `XEN_EOVERFLOW`, public/errno.h
        OVERFLOW = 75;
        /// Illegal byte sequence.
        ///
        /// `XEN_EILSEQ`, public/errno.h
        ILSEQ = 84;
        /// Socket operation on non-socket.
        ///
        /// `XEN_ENOTSOCK`, public/errno.h
        NOTSOCK = 88;
        /// Message too large.
        ///
        /// `XEN_EMSGSIZE`, public/errno.h
        MSGSIZE = 90;
        /// Operation not supported on transport endpoint.
        ///
        /// `XEN_EOPNOTSUPP`, public/errno.h
        OPNOTSUPP = 95;
        /// Address already in use.
        ///
        /// `XEN_EADDRINUSE`, public/errno.h
        ADDRINUSE = 98;
        /// Cannot assign requested address.
        ///
        /// `XEN_EADDRNOTAVAIL`, public/errno.h
        ADDRNOTAVAIL = 99;
        /// No buffer space available.
        ///
        /// `XEN_ENOBUFS`, public/errno.h
        NOBUFS = 105;
        /// Transport endpoint is already connected.
        ///
        /// `XEN_EISCONN`, public/errno.h
        ISCONN = 106;
        /// Transport endpoint is not connected.
        ///
        /// `XEN_ENOTCONN`, public/errno.h
        NOTCONN = 107;
        /// Connection timed out.
        ///
        /// `XEN_ETIMEDOUT`, public/errno.h
        TIMEDOUT = 110;
        /// Connection refused.
        ///
        /// `XEN_ECONNREFUSED`, public/errno.h
        CONNREFUSED = 111;
    }
}

impl Errno {
    /// Splits the answer of a hypercall into its value or its error.
    ///
    /// # Errors
    ///
    /// Every negative answer is an error, also one whose number is not in this list.
    #[inline(always)]
    pub const fn check(answer: isize) -> Result<usize, Self> {
        if answer >= 0 {
            return Ok(answer.cast_unsigned());
        }
        // No number of Xen's is this large; cut off, one could become 0.
        let number = answer.unsigned_abs();
        Err(Self(if number > u32::MAX as usize { u32::MAX } else { number as u32 }))
    }
}

impl core::fmt::Display for Errno {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.name() {
            Some(name) => write!(f, "Xen answered E{name} ({})", self.0),
            None => write!(f, "Xen answered the unknown error {}", self.0),
        }
    }
}

impl core::error::Error for Errno {}
