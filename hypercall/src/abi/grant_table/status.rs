//! How an operation on a grant ended.

constants! {
    /// How one element of a grant table operation ended; failures are negative.
    ///
    /// `GNTST_*`, public/grant_table.h
    pub struct Status: i16 {
        /// It is done.
        ///
        /// `GNTST_okay`, public/grant_table.h
        OKAY = 0;
        /// It failed, without a closer reason.
        ///
        /// `GNTST_general_error`, public/grant_table.h
        GENERAL_ERROR = -1;
        /// There is no such domain.
        ///
        /// `GNTST_bad_domain`, public/grant_table.h
        BAD_DOMAIN = -2;
        /// There is no such grant, or it is not for this purpose.
        ///
        /// `GNTST_bad_gntref`, public/grant_table.h
        BAD_GNTREF = -3;
        /// There is no such mapping, or it is not for this purpose.
        ///
        /// `GNTST_bad_handle`, public/grant_table.h
        BAD_HANDLE = -4;
        /// Nothing can be mapped at that address.
        ///
        /// `GNTST_bad_virt_addr`, public/grant_table.h
        BAD_VIRT_ADDR = -5;
        /// Nothing is mapped for devices at that address.
        ///
        /// `GNTST_bad_dev_addr`, public/grant_table.h
        BAD_DEV_ADDR = -6;
        /// The I/O memory management unit has no more room.
        ///
        /// `GNTST_no_device_space`, public/grant_table.h
        NO_DEVICE_SPACE = -7;
        /// The domain may not do this.
        ///
        /// `GNTST_permission_denied`, public/grant_table.h
        PERMISSION_DENIED = -8;
        /// The page is not valid for this.
        ///
        /// `GNTST_bad_page`, public/grant_table.h
        BAD_PAGE = -9;
        /// A copy would cross the end of a page.
        ///
        /// `GNTST_bad_copy_arg`, public/grant_table.h
        BAD_COPY_ARG = -10;
        /// The address of a transferred page is too great.
        ///
        /// `GNTST_address_too_big`, public/grant_table.h
        ADDRESS_TOO_BIG = -11;
        /// It could not be done now; trying again may help.
        ///
        /// `GNTST_eagain`, public/grant_table.h
        EAGAIN = -12;
        /// Some table of Xen's is full.
        ///
        /// `GNTST_no_space`, public/grant_table.h
        NO_SPACE = -13;
    }
}

impl Status {
    /// Turns every status but [`OKAY`](Self::OKAY) into an error.
    ///
    /// # Errors
    ///
    /// The status itself, also one that this list does not know.
    pub const fn check(self) -> Result<(), Self> {
        match self {
            Self::OKAY => Ok(()),
            error => Err(error),
        }
    }
}

impl core::fmt::Display for Status {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.name() {
            Some(name) => write!(f, "Xen answered GNTST_{name} ({})", self.0),
            None => write!(f, "Xen answered the unknown grant status {}", self.0),
        }
    }
}

impl core::error::Error for Status {}
