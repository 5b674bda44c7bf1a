//! The smallest executor that does: any would do that polls the tasks that were woken.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Waker};

/// All tasks, each with whether it is to be run.
#[derive(Default)]
pub(crate) struct Tasks(Vec<(Task, Arc<Flag>)>);

type Task = Pin<Box<dyn Future<Output = ()>>>;

struct Flag(AtomicBool);

/// Called by other tasks, by the drivers and by the upcall: it takes no lock.
impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

impl Tasks {
    pub(crate) fn spawn(&mut self, task: impl Future<Output = ()> + 'static) {
        self.0.push((Box::pin(task), Arc::new(Flag(AtomicBool::new(true)))));
    }

    /// Runs each task that was woken, once. Those that have ended are gone then.
    pub(crate) fn run(&mut self) {
        self.0.retain_mut(|(task, flag)| {
            if !flag.0.swap(false, Ordering::Acquire) {
                return true;
            }
            let waker = Waker::from(Arc::clone(flag));
            task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()
        });
    }

    /// Whether one is to be run.
    pub(crate) fn are_woken(&self) -> bool {
        self.0.iter().any(|(_, flag)| flag.0.load(Ordering::Acquire))
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tasks").field(&self.0.len()).finish()
    }
}
