//! One client at a time.

use alloc::vec::Vec;
use core::time::Duration;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{Socket, State};

use crate::answer::{Answer, Progress};
use crate::figures::Figures;
use crate::files::{File, Files};
use crate::request::{MOST_HEAD, Then, parse};
use crate::site::Site;
use crate::status::Status;

/// How long a handshake may take.
const GREETING: Duration = Duration::from_secs(5);
/// How long a connection may be without a request.
const IDLE: Duration = Duration::from_secs(15);
/// How long a request may take to come, from its first byte on.
const REQUEST: Duration = Duration::from_secs(10);
/// How long an answer may take, whatever its size.
const GRACE: Duration = Duration::from_secs(15);
/// How fast the client has to take the rest of it.
const LEAST_BYTES_A_SECOND: u64 = 4 << 10;
/// How long the end of a connection may take.
const CLOSING: Duration = Duration::from_secs(5);
/// For how long a client may do nothing where others wait.
const PATIENCE: Duration = Duration::from_secs(1);
/// For how long one may take nothing of its answer where others wait.
const PATIENCE_WITH_ANSWERS: Duration = Duration::from_secs(3);
/// The memory that a connection keeps for its next request.
const USUAL_HEAD: usize = 1 << 10;
/// What is not read of a request that was refused: more than that and the connection is cut.
const MOST_IGNORED: usize = 64 << 10;

/// A socket, and what is done with it.
#[derive(Debug)]
pub(crate) struct Connection<F> {
    pub(crate) handle: SocketHandle,
    phase: Phase<F>,
    /// When the client last did something.
    since: Duration,
    /// When this phase is over at the latest.
    limit: Duration,
    /// What has come, and is no request yet.
    head: Vec<u8>,
}

#[derive(Debug)]
enum Phase<F> {
    /// Nobody is there.
    Listening,
    /// Somebody has knocked.
    Greeting,
    /// A request may come.
    Waiting,
    /// A part of one has come.
    Reading,
    /// An answer goes.
    Answering(Sending<F>),
    /// We have closed; so much has come since, and was ignored.
    Closing(usize),
    /// It was cut off.
    Cut,
}

/// An answer, and how much of it the client has taken.
#[derive(Debug)]
struct Sending<F> {
    answer: Answer<F>,
    began: Duration,
    taken: u64,
}

/// Whether there is more to do at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Something has to happen first.
    Done,
    /// There is.
    More,
}

impl<F: File> Connection<F> {
    pub(crate) const fn new(handle: SocketHandle) -> Self {
        Self { handle, phase: Phase::Listening, since: Duration::ZERO, limit: Duration::MAX, head: Vec::new() }
    }

    /// Whether the next client can have it, or will soon.
    pub(crate) fn is_free(&self, now: Duration) -> bool {
        match self.phase {
            Phase::Listening | Phase::Cut => true,
            Phase::Closing(_) => now < self.since.saturating_add(PATIENCE),
            _ => false,
        }
    }

    /// Whether a client has it.
    pub(crate) const fn is_open(&self) -> bool {
        !matches!(self.phase, Phase::Listening | Phase::Greeting | Phase::Cut)
    }

    /// When there is something to do, whether anything comes or not.
    pub(crate) const fn limit(&self) -> Duration {
        self.limit
    }

    /// How far down it is in the list of those that are ended where others wait; `None` if its client has done something lately.
    ///
    /// Those that are ended already come first: their clients do not say goodbye. Then those whose clients have done nothing for
    /// longest.
    pub(crate) fn rank(&self, now: Duration) -> Option<(bool, Duration)> {
        let patience = match self.phase {
            Phase::Listening | Phase::Cut => return None,
            Phase::Answering(_) => PATIENCE_WITH_ANSWERS,
            _ => PATIENCE,
        };
        let is_ended = matches!(self.phase, Phase::Closing(_));
        (now >= self.since.saturating_add(patience)).then_some((!is_ended, self.since))
    }

    /// Ends it, since others wait.
    pub(crate) fn evict(&mut self, socket: &mut Socket<'_>, now: Duration) {
        match self.phase {
            Phase::Waiting => self.close(socket, now),
            _ => self.cut(socket, now),
        }
    }

    /// Does what there is to do, once it has [gone along](Self::follow).
    pub(crate) fn turn<D, S: Files<File = F>, G: Figures<D>>(
        &mut self,
        socket: &mut Socket<'_>,
        site: &mut Site<S, G>,
        device: &D,
        now: Duration,
    ) -> Turn {
        match &mut self.phase {
            Phase::Waiting | Phase::Reading => self.read(socket, site, device, now),
            Phase::Closing(ignored) => {
                *ignored += ignore(socket);
                if *ignored > MOST_IGNORED {
                    self.limit = now;
                }
            }
            _ => {}
        }
        if now >= self.limit {
            self.lose_patience(socket, site, now);
        }
        self.send(socket, now)
    }

    /// Goes along with what has become of the socket.
    pub(crate) fn follow<S, G>(&mut self, socket: &mut Socket<'_>, site: &mut Site<S, G>, port: u16, now: Duration) {
        match (&self.phase, socket.state()) {
            (_, State::Closed | State::TimeWait) => {
                self.head = Vec::new();
                self.enter(Phase::Listening, now, Duration::MAX);
                // It is closed, and the port is not 0.
                let _ = socket.listen(port);
            }
            (Phase::Greeting, State::Listen) => self.enter(Phase::Listening, now, Duration::MAX),
            (Phase::Listening, State::SynReceived) => self.enter(Phase::Greeting, now, now + GREETING),
            (Phase::Listening | Phase::Greeting, State::Established | State::CloseWait) => {
                site.counts.accepted += 1;
                self.enter(Phase::Waiting, now, now + IDLE);
            }
            _ => {}
        }
    }

    /// Takes what has come, and begins the answer where that is a request.
    fn read<D, S: Files<File = F>, G: Figures<D>>(
        &mut self,
        socket: &mut Socket<'_>,
        site: &mut Site<S, G>,
        device: &D,
        now: Duration,
    ) {
        let is_new = take(socket, &mut self.head) > 0;
        if is_new {
            self.since = now;
        }
        match parse(&self.head) {
            Ok(Some((request, length))) => {
                let answer = site.answer(&request, device, now);
                self.head.drain(..length);
                self.answer(answer, now);
            }
            Err(status) => self.answer(site.reject(status, now), now),
            // There will be no more of it.
            Ok(None) if !socket.may_recv() => self.close(socket, now),
            Ok(None) if is_new && matches!(self.phase, Phase::Waiting) => {
                self.enter(Phase::Reading, now, now + REQUEST)
            }
            Ok(None) => {}
        }
    }

    fn answer(&mut self, answer: Answer<F>, now: Duration) {
        self.enter(Phase::Answering(Sending { answer, began: now, taken: 0 }), now, now + GRACE);
    }

    /// Sends what there is room for.
    fn send(&mut self, socket: &mut Socket<'_>, now: Duration) -> Turn {
        let Phase::Answering(sending) = &mut self.phase else { return Turn::Done };
        let progress = sending.answer.send(socket);
        let taken = sending.answer.gone().saturating_sub(socket.send_queue() as u64);
        if taken > sending.taken {
            sending.taken = taken;
            self.since = now;
            self.limit = sending.began + GRACE + Duration::from_secs(taken / LEAST_BYTES_A_SECOND);
        }
        match (progress, sending.answer.then) {
            (Progress::Waits, _) => return Turn::Done,
            (Progress::Broke, _) => self.cut(socket, now),
            (Progress::IsDone, Then::Close) => self.close(socket, now),
            (Progress::IsDone, Then::KeepOpen) if self.head.is_empty() => {
                self.head.shrink_to(USUAL_HEAD);
                self.enter(Phase::Waiting, now, now + IDLE);
            }
            (Progress::IsDone, Then::KeepOpen) => self.enter(Phase::Reading, now, now + REQUEST),
        }
        if matches!(self.phase, Phase::Reading) || socket.can_recv() { Turn::More } else { Turn::Done }
    }

    /// Its time is over.
    fn lose_patience<S: Files<File = F>, G>(&mut self, socket: &mut Socket<'_>, site: &mut Site<S, G>, now: Duration) {
        match self.phase {
            Phase::Waiting if socket.send_queue() == 0 => self.close(socket, now),
            Phase::Reading => self.answer(site.reject(Status::REQUEST_TIMEOUT, now), now),
            Phase::Listening | Phase::Cut => {}
            // It has taken all, and only does not say that it is done.
            Phase::Closing(_) if socket.send_queue() == 0 => self.cut(socket, now),
            _ => {
                site.counts.cut += 1;
                self.cut(socket, now);
            }
        }
    }

    /// Ends it as is usual: what was sent arrives.
    fn close(&mut self, socket: &mut Socket<'_>, now: Duration) {
        socket.close();
        self.enter(Phase::Closing(0), now, now + CLOSING);
    }

    /// Ends it at once.
    fn cut(&mut self, socket: &mut Socket<'_>, now: Duration) {
        socket.abort();
        // The stack tells the client, and then the socket is free.
        self.enter(Phase::Cut, now, now);
    }

    fn enter(&mut self, phase: Phase<F>, now: Duration, limit: Duration) {
        self.phase = phase;
        self.since = now;
        self.limit = limit;
    }
}

/// Takes what has come, as far as there is room for it, and answers how much that was.
fn take(socket: &mut Socket<'_>, into: &mut Vec<u8>) -> usize {
    let before = into.len();
    while socket.can_recv() {
        let taken = socket.recv(|bytes| {
            let count = bytes.len().min(MOST_HEAD - into.len());
            into.extend_from_slice(&bytes[..count]);
            (count, count)
        });
        if !taken.is_ok_and(|count| count > 0) {
            break;
        }
    }
    into.len() - before
}

/// Drops what has come, and answers how much that was.
fn ignore(socket: &mut Socket<'_>) -> usize {
    let mut all = 0;
    while socket.can_recv() {
        match socket.recv(|bytes| (bytes.len(), bytes.len())) {
            Ok(count) if count > 0 => all += count,
            _ => break,
        }
    }
    all
}
