//! Tasks with a disk, and the smallest executor that there can be.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use xen_blkfront::{AsyncDisk, Blkfront, Buffer, Options};
use xen_hypercall::sched;
use xen_sim::Domain;
use xen_sim::blkback::{Control, Options as Offer};
use xen_xenbus::Store;
use xen_xenbus::control::{Resumed, SuspendStep, Suspender};
use xen_xenbus::store::Quiet;

use crate::common::Rig;
use crate::suspended;

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// What tasks have.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) store: Store<Domain>,
    pub(crate) disk: AsyncDisk<Domain>,
    pub(crate) control: Control,
    spawned: Rc<RefCell<Vec<Task>>>,
    pub(crate) suspend: Rc<Cell<bool>>,
    /// The backend's domain is to die: nobody removes our half.
    pub(crate) dies: Arc<AtomicBool>,
}

/// Whether a task is to be run.
pub(crate) struct Flag(pub(crate) AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

impl World {
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.spawned.borrow_mut().push(Box::pin(task));
    }

    pub(crate) fn filled(&self, bytes: usize, fill: u8) -> Buffer<Domain> {
        let mut buffer = self.disk.buffer(bytes).unwrap();
        buffer.copy_in(0, &vec![fill; bytes]);
        buffer
    }

    /// An executor for one vCPU: runs until a task has said that all is done.
    fn execute(&self, is_done: &Cell<bool>) {
        let (mut tasks, end) = (Vec::new(), self.store.now() + 300 * SECOND);
        while !is_done.get() {
            assert!(self.store.now() < end, "it does not end: {:?}", self.disk);
            let new = std::mem::take(&mut *self.spawned.borrow_mut());
            tasks.extend(new.into_iter().map(|task| (task, Arc::new(Flag(AtomicBool::new(true))))));
            if self.suspend.take() {
                self.suspended(&mut tasks);
            }
            if !turn(&mut tasks) {
                self.rest();
            }
        }
    }

    /// Sleeps until there is something to do. Upcalls run in between: they wake tasks.
    fn rest(&self) {
        let next = [self.store.next_deadline(), self.disk.next_deadline()].into_iter().flatten().min();
        // What came before the sleep is not heard by it.
        let longest = self.store.now() + MILLISECOND;
        let until = next.map_or(longest, |next| next.min(longest));
        let _ = sched::poll(self.store.platform(), &[], Some(until));
        let now = self.store.now();
        if self.disk.next_deadline().is_some_and(|next| next <= now) {
            self.disk.poll(now);
        }
        if self.store.next_deadline().is_some_and(|next| next <= now) {
            self.store.poll();
        }
    }

    /// Takes the domain through a suspend; the tasks go on until it comes.
    fn suspended(&self, tasks: &mut Vec<(Task, Arc<Flag>)>) {
        let (mut suspender, mut quiet, mut disk) =
            (Suspender::new(20 * SECOND), None::<Quiet<Domain>>, self.disk.clone());
        suspender.request();
        loop {
            let now = self.store.now();
            match suspender.poll(&mut [&mut disk], now) {
                SuspendStep::Rest { until } => {
                    quiet = self.store.quiesce(until.saturating_sub(now)).ok();
                    suspender.rested(quiet.as_ref().map(drop).ok_or(()));
                }
                SuspendStep::Suspend => {
                    let quiet = quiet.take().expect("the store is at rest");
                    let resumed = suspended::suspend_domain(self.store.platform(), quiet);
                    assert_eq!(resumed, Resumed::Anew);
                    return suspender.came_back(resumed, &mut [&mut disk], self.store.now());
                }
                SuspendStep::Wait(_) if turn(tasks) => {}
                SuspendStep::Wait(_) => self.rest(),
                step => panic!("{step:?}"),
            }
        }
    }
}

/// Runs each task that was woken; answers whether there was one.
fn turn(tasks: &mut Vec<(Task, Arc<Flag>)>) -> bool {
    let mut worked = false;
    tasks.retain_mut(|(task, flag)| {
        if !flag.0.swap(false, Ordering::AcqRel) {
            return true;
        }
        worked = true;
        let waker = Waker::from(Arc::clone(flag));
        task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()
    });
    worked
}

/// Runs a task with a disk, beside its backend, and answers with what is left.
pub(crate) fn run<T: Send + 'static>(
    seed: u64,
    options: Options,
    offer: Offer,
    task: impl AsyncFnOnce(World) -> T + Send + 'static,
) -> (T, Rig) {
    let mut rig = Rig::plugged(seed, options, offer);
    let (control, mut back) = (rig.control(), rig.back.take().unwrap());
    let other = Blkfront::open(&rig.store, rig.front.device().clone(), options).unwrap();
    let front = std::mem::replace(&mut rig.front, other);
    let (is_over, dies, mut answer) = (AtomicBool::new(false), Arc::<AtomicBool>::default(), None);
    let (back_path, death) = (rig.device.back_path(), Arc::clone(&dies));
    let (machine, store, answer_place) = (&rig.machine, rig.store.clone(), &mut answer);
    let outcome = machine.run(|vcpus| {
        vcpus.spawn(&rig.guest, |_| {
            let (spawned, suspend) = (Rc::default(), Rc::default());
            let world = World { store, disk: AsyncDisk::new(front), control, spawned, suspend, dies };
            *answer_place = Some(main(&world, task));
            world.spawned.take();
            is_over.store(true, Ordering::Release);
        });
        vcpus.spawn(&rig.domain, |_| {
            back.serve_until(|_, _| is_over.load(Ordering::Acquire) || death.load(Ordering::Acquire));
            if death.load(Ordering::Acquire) {
                machine.xenstore().remove(&back_path);
            }
        });
    });
    outcome.unwrap();
    rig.back = Some(back);
    (answer.expect("the task has ended"), rig)
}

fn main<T: 'static>(world: &World, task: impl AsyncFnOnce(World) -> T + 'static) -> T {
    let (here, is_done, answer) = (world.clone(), Rc::new(Cell::new(false)), Rc::new(Cell::new(None)));
    world.spawn(async move {
        here.store.serve().await;
    });
    let here = world.clone();
    world.spawn(async move {
        here.disk.serve().await;
    });
    let (here, done, place) = (world.clone(), Rc::clone(&is_done), Rc::clone(&answer));
    world.spawn(async move {
        here.disk.connected().await.expect("the disk has not ended");
        place.set(Some(task(here).await));
        done.set(true);
    });
    world.execute(&is_done);
    answer.take().expect("it is there when all is done")
}

/// Polls a future once.
pub(crate) async fn once<T>(future: &mut Pin<Box<impl Future<Output = T>>>) -> Poll<T> {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}
