//! A disk that goes on with the device in the place of the one that has vanished.

use alloc::format;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::sync::atomic::Ordering;
use core::task::Poll;
use core::time::Duration;

use xen_xenbus::bus::{Backoff, Change, Device, End, Enumerator};
use xen_xenbus::store::{StoreError, Watch};

use super::AsyncDisk;
use super::serve::Asking;
use crate::Platform;
use crate::find::KIND;

impl<P: Platform> AsyncDisk<P> {
    /// Looks for the device in the place of one that has vanished, and goes on with it, as [`Disks`](crate::Disks) do: after a suspend,
    /// and where it comes back within the time of [`Options::vanished`](crate::Options::vanished). To be run as a task of its own, beside
    /// the one that [serves](Self::serve), where nobody [reattaches](Self::reattach) otherwise. Ends when the disk does.
    ///
    /// A device that vanishes again and again is looked for ever less often, until it was connected.
    ///
    /// # Errors
    ///
    /// Xenstore has not taken the watch.
    pub async fn follow(&self) -> Result<End, StoreError> {
        let watch = self.0.store.watch(&format!("device/{KIND}")).await?;
        let (mut pauses, mut after, mut connections) = (Backoff::new(), Duration::ZERO, 0);
        loop {
            if let Some(end) = self.detached().await {
                return Ok(end);
            }
            if core::mem::replace(&mut connections, self.statistics().connections) != connections {
                (pauses, after) = (Backoff::new(), Duration::ZERO);
            }
            self.pause_until(after).await;
            let found = self.search().await;
            after = self.0.store.now().saturating_add(pauses.next_pause());
            match found {
                // What xenstore does not answer is asked again after the pause.
                Ok(Some(device)) => drop(self.reattach(device).await),
                Ok(None) => self.changed(&watch).await,
                Err(_) => {}
            }
        }
    }

    /// Waits until the device has vanished; answers with the disk's end, if that comes before.
    async fn detached(&self) -> Option<End> {
        self.once(|core| match core.end {
            None => core.disk.is_detached().then_some(None),
            end => Some(end),
        })
        .await
    }

    /// Waits until this time, but neither beyond the disk's end nor into a suspend.
    async fn pause_until(&self, time: Duration) {
        self.once(|core| {
            let is_suspending = core.disk.pause.suspend.is_some();
            let is_over = core.end.is_some() || !is_suspending && self.0.store.now() >= time;
            core.search_at = (!is_over && !is_suspending).then_some(time);
            is_over.then_some(())
        })
        .await;
    }

    /// The device that stands there now, with the disk's number.
    async fn search(&self) -> Result<Option<Device>, StoreError> {
        let number = self.device().name().id;
        self.0.is_searching.store(true, Ordering::Relaxed);
        let _searching = Asking(&self.0.is_searching);
        let changes = Enumerator::of_kind(KIND).look_async(&self.0.store).await?;
        Ok(changes.into_iter().find_map(|change| match change {
            Change::Added(device) if device.name().id == number => Some(device),
            _ => None,
        }))
    }

    /// Waits until the devices may be others, or the disk has ended.
    async fn changed(&self, watch: &Watch<P>) {
        let mut end = pin!(self.once(|core| core.end));
        poll_fn(|context| {
            let has_ended = end.as_mut().poll(context).is_ready();
            if watch.poll_changed(context).is_ready() || has_ended { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}
