//! States of either half of a split driver.

constants! {
    /// How far one half of a split driver has come, as it stands in xenstore.
    ///
    /// `enum xenbus_state`, public/io/xenbus.h
    pub struct State: u32 {
        /// There is no such device, or no state.
        ///
        /// `XenbusStateUnknown`, public/io/xenbus.h
        UNKNOWN = 0;
        /// It has started.
        ///
        /// `XenbusStateInitialising`, public/io/xenbus.h
        INITIALISING = 1;
        /// It waits for details from the other half or from scripts.
        ///
        /// `XenbusStateInitWait`, public/io/xenbus.h
        INIT_WAIT = 2;
        /// It waits for the other half to connect.
        ///
        /// `XenbusStateInitialised`, public/io/xenbus.h
        INITIALISED = 3;
        /// It is at work.
        ///
        /// `XenbusStateConnected`, public/io/xenbus.h
        CONNECTED = 4;
        /// It is shutting down, after an error or because the device goes.
        ///
        /// `XenbusStateClosing`, public/io/xenbus.h
        CLOSING = 5;
        /// It is shut down.
        ///
        /// `XenbusStateClosed`, public/io/xenbus.h
        CLOSED = 6;
        /// The device is being configured anew.
        ///
        /// `XenbusStateReconfiguring`, public/io/xenbus.h
        RECONFIGURING = 7;
        /// The device has been configured anew.
        ///
        /// `XenbusStateReconfigured`, public/io/xenbus.h
        RECONFIGURED = 8;
    }
}
