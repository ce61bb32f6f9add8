//! Scheduler of the threads that work for a simulated process, such as SQLite's: one thread runs at
//! a time, until it waits for another one. Which thread is next depends on the seed only, and
//! simulated time does not pass while one can run.
//!
//! [`crate::libc_overrides`] reports each wait; the kernel never decides which thread runs.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::libc_overrides::{Semaphore, split_mix};
use crate::record;

/// Number of a thread, in the order in which the threads were started.
pub(crate) type ThreadNumber = u64;

/// The thread that simulates: it runs when no other thread can.
const MAIN: ThreadNumber = 0;

/// Event that ends a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// A wake-up of the futex at this address.
    Futex(usize),
    /// The end of a thread.
    End(ThreadNumber),
    /// Nothing but time.
    Timeout,
}

struct Waiting {
    thread: ThreadNumber,
    event: Event,
    /// Nanoseconds of the simulated monotonic clock at which the wait ends anyway.
    until: Option<u64>,
    /// Name of the process for which the thread works. Its clock applies.
    owner: &'static str,
}

#[derive(Default)]
struct Threads {
    /// The threads that have not ended.
    alive: BTreeMap<ThreadNumber, Arc<Semaphore>>,
    /// Number of threads ever started.
    count: ThreadNumber,
    /// Threads that can run.
    ready: Vec<ThreadNumber>,
    waiting: Vec<Waiting>,
    /// Whether [`MAIN`] waits until no other thread can run.
    is_main_idle: bool,
    /// Name of the process that runs now.
    owner: &'static str,
    /// Whether that process is ending: its timed waits return at once.
    is_ending: bool,
    random: AtomicU64,
}

static THREADS: Mutex<Option<Threads>> = Mutex::new(None);

thread_local! {
    /// Number of this thread; `None` if it is not scheduled.
    static NUMBER: Cell<Option<ThreadNumber>> = const { Cell::new(None) };
}

/// The lock is always free: only the running thread takes it.
fn threads() -> MutexGuard<'static, Option<Threads>> {
    THREADS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn with_threads<T>(change: impl FnOnce(&mut Threads) -> T) -> Option<T> {
    threads().as_mut().map(change)
}

/// Schedules this thread and all that are started from now on.
pub(crate) fn start() {
    let alive = BTreeMap::from([(MAIN, Arc::default())]);
    *threads() = Some(Threads { alive, count: 1, ..Threads::default() });
    NUMBER.set(Some(MAIN));
}

/// Sets the seed for the order of the threads.
pub(crate) fn seed(seed: u64) {
    with_threads(|threads| threads.random = AtomicU64::new(seed));
}

/// Whether this thread is scheduled.
pub(crate) fn is_scheduled() -> bool {
    NUMBER.get().is_some()
}

/// Whether this is the thread that simulates.
pub(crate) fn is_main() -> bool {
    NUMBER.get() == Some(MAIN)
}

/// Sets the process for which threads wait and start.
pub(crate) fn enter(process: &'static str) {
    with_threads(|threads| (threads.owner, threads.is_ending) = (process, false));
}

/// Ends all timed waits of the running process, including later ones.
pub(crate) fn end_waits() {
    with_threads(|threads| {
        threads.is_ending = true;
        threads.expire(u64::MAX);
    });
}

/// Ends the waits of the running process whose time limit is at most `now`, in nanoseconds of the
/// monotonic clock.
pub(crate) fn set_time(now: u64) {
    with_threads(|threads| threads.expire(now));
}

/// Runs all other threads until each of them waits.
pub(crate) fn run_others() {
    switch_thread(|threads| threads.is_main_idle = true);
}

/// Lets other ready threads run.
pub(crate) fn yield_thread() {
    if is_main() {
        return run_others();
    }
    switch_thread(|threads| threads.ready.extend(NUMBER.get()));
}

/// Waits for an event, at most until a time. Returns whether the event has happened.
pub(crate) fn wait(event: Event, until: Option<u64>) -> bool {
    let Some(thread) = NUMBER.get() else { return false };
    let is_ending = with_threads(|threads| threads.is_ending && until.is_some());
    if is_ending == Some(true) {
        // A thread that waits in a loop would otherwise starve the thread that it waits for.
        yield_thread();
        return false;
    }
    switch_thread(|threads| {
        let owner = threads.owner;
        threads.waiting.push(Waiting { thread, event, until, owner });
    });
    // A wait that has timed out stays in the list, without its time.
    let timed_out = with_threads(|threads| threads.take(thread));
    timed_out != Some(true)
}

/// Makes threads that wait for an event ready. Returns their number.
pub(crate) fn wake(event: Event, limit: usize) -> usize {
    with_threads(|threads| threads.wake(event, limit)).unwrap_or_default()
}

/// Adds a thread. It runs when it is scheduled.
pub(crate) fn add() -> Option<(ThreadNumber, Arc<Semaphore>)> {
    with_threads(|threads| {
        let (number, semaphore) = (threads.count, Arc::<Semaphore>::default());
        threads.count += 1;
        threads.alive.insert(number, Arc::clone(&semaphore));
        threads.ready.push(number);
        (number, semaphore)
    })
}

/// Removes a thread that could not be started.
pub(crate) fn remove(number: ThreadNumber) {
    with_threads(|threads| {
        threads.alive.remove(&number);
        threads.ready.retain(|ready| *ready != number);
    });
}

/// Begins a thread, when it is first scheduled.
pub(crate) fn begin(number: ThreadNumber, semaphore: &Semaphore) {
    semaphore.wait();
    NUMBER.set(Some(number));
}

/// Ends this thread.
pub(crate) fn end() {
    let Some(number) = NUMBER.take() else { return };
    let next = with_threads(|threads| {
        threads.alive.remove(&number);
        threads.wake(Event::End(number), usize::MAX);
        threads.next()
    });
    post(next.flatten());
}

/// Waits for the end of a thread.
pub(crate) fn join(number: ThreadNumber) {
    while with_threads(|threads| threads.alive.contains_key(&number)) == Some(true) {
        wait(Event::End(number), None);
    }
}

/// Changes the state of this thread, and waits until it is scheduled again.
fn switch_thread(change: impl FnOnce(&mut Threads)) {
    let Some(number) = NUMBER.get() else { return };
    let state = with_threads(|threads| {
        change(threads);
        (threads.alive.get(&number).cloned(), threads.next())
    });
    let Some((Some(own), next)) = state else { return };
    if next.as_ref().is_none_or(|next| !Arc::ptr_eq(next, &own)) {
        post(next);
        own.wait();
    }
}

fn post(next: Option<Arc<Semaphore>>) {
    match next {
        Some(next) => next.post(),
        None => record::abort("deadlock: each thread waits for another one"),
    }
}

impl Threads {
    /// Takes the thread that runs next.
    fn next(&mut self) -> Option<Arc<Semaphore>> {
        let count = self.ready.len();
        let number = if count > 0 {
            self.ready.remove((split_mix(&self.random) % count as u64) as usize)
        } else if std::mem::take(&mut self.is_main_idle) {
            MAIN
        } else {
            return None;
        };
        self.alive.get(&number).cloned()
    }

    fn wake(&mut self, event: Event, limit: usize) -> usize {
        let before = self.ready.len();
        let ready = &mut self.ready;
        self.waiting.retain(|waiting| {
            let is_woken = waiting.event == event && ready.len() - before < limit;
            if is_woken {
                ready.push(waiting.thread);
            }
            !is_woken
        });
        self.ready.len() - before
    }

    /// Makes those threads of the running process ready whose waits have timed out at `now`.
    fn expire(&mut self, now: u64) {
        for waiting in self.waiting.iter_mut().filter(|waiting| waiting.owner == self.owner) {
            if waiting.until.is_some_and(|until| until <= now) {
                (waiting.event, waiting.until) = (Event::Timeout, None);
                self.ready.push(waiting.thread);
            }
        }
    }

    /// Removes the wait of a thread that has timed out. Returns whether there was one.
    fn take(&mut self, thread: ThreadNumber) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|waiting| waiting.thread != thread);
        self.waiting.len() < before
    }
}
