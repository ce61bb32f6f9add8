//! The functions of the C library that start, join and suspend threads. [`crate::thread_scheduler`]
//! schedules those of a simulation.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_int, c_long, c_void};
use std::mem;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use libc::{pthread_attr_t, pthread_key_t, pthread_t, timespec};

use super::{NANOS, fail, simulated_time};
use crate::thread_scheduler::{self, Event, ThreadNumber};

/// The main function of a thread.
type Routine = extern "C" fn(*mut c_void) -> *mut c_void;

/// The C library's definition of a function that this module replaces.
struct Original {
    name: &'static CStr,
    /// Null before the first use.
    address: AtomicPtr<c_void>,
}

impl Original {
    const fn new(name: &'static CStr) -> Self {
        Self { name, address: AtomicPtr::new(std::ptr::null_mut()) }
    }

    fn address(&self) -> *mut c_void {
        let mut address = self.address.load(Ordering::Relaxed);
        if address.is_null() {
            // SAFETY: the name ends with a zero byte.
            address = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
            self.address.store(address, Ordering::Relaxed);
        }
        address
    }
}

static SYSCALL: Original = Original::new(c"syscall");
static CREATE: Original = Original::new(c"pthread_create");
static JOIN: Original = Original::new(c"pthread_join");
static YIELD: Original = Original::new(c"sched_yield");

/// Makes a system call.
///
/// # Safety
///
/// The arguments must be those of the system call with this number, at most six.
pub(super) unsafe fn system_call<const N: usize>(number: c_long, arguments: [usize; N]) -> c_long {
    type Function =
        unsafe extern "C" fn(c_long, usize, usize, usize, usize, usize, usize) -> c_long;
    // SAFETY: this is the address of the C library's function, which reads all its arguments from
    // the same places.
    let function: Function = unsafe { mem::transmute(SYSCALL.address()) };
    let mut all = [0; 6];
    for (slot, argument) in all.iter_mut().zip(arguments) {
        *slot = argument;
    }
    let [a0, a1, a2, a3, a4, a5] = all;
    // SAFETY: as for this function.
    unsafe { function(number, a0, a1, a2, a3, a4, a5) }
}

/// A binary semaphore on which a thread waits until it is scheduled.
#[derive(Debug, Default)]
pub(crate) struct Semaphore(AtomicU32);

impl Semaphore {
    fn futex(&self, operation: c_int, value: usize) {
        let address = &raw const self.0 as usize;
        let operation = (operation | libc::FUTEX_PRIVATE_FLAG) as usize;
        // SAFETY: the address is that of a futex that lives as long as the call, and there is no
        // timeout.
        unsafe { system_call(libc::SYS_futex, [address, operation, value, 0]) };
    }

    /// Lets the thread run.
    pub(crate) fn post(&self) {
        self.0.store(1, Ordering::Release);
        self.futex(libc::FUTEX_WAKE, 1);
    }

    /// Waits until the thread is scheduled.
    pub(crate) fn wait(&self) {
        while self.0.swap(0, Ordering::Acquire) == 0 {
            self.futex(libc::FUTEX_WAIT, 0);
        }
    }
}

/// The numbers of the threads by their handles.
static HANDLES: Mutex<BTreeMap<pthread_t, ThreadNumber>> = Mutex::new(BTreeMap::new());

/// Start arguments of a thread.
struct ThreadStart {
    number: ThreadNumber,
    semaphore: Arc<Semaphore>,
    /// Its value ends the thread's last time slice.
    at_end: pthread_key_t,
    routine: Routine,
    argument: *mut c_void,
}

extern "C" fn begin(start: *mut c_void) -> *mut c_void {
    // SAFETY: `pthread_create` below passes the pointer of a box to this thread only.
    let ThreadStart { number, semaphore, at_end, routine, argument } =
        *unsafe { Box::from_raw(start.cast::<ThreadStart>()) };
    thread_scheduler::begin(number, &semaphore);
    // SAFETY: the key exists, and its values are never read.
    unsafe { libc::pthread_setspecific(at_end, std::ptr::dangling()) };
    routine(argument)
}

/// Called by the C library after the destructors of a thread's variables.
unsafe extern "C" fn end(_: *mut c_void) {
    thread_scheduler::end();
}

/// Returns the key whose destructor ends a thread's last time slice.
fn end_key() -> pthread_key_t {
    static KEY: Mutex<Option<pthread_key_t>> = Mutex::new(None);
    *KEY.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| {
        let mut key = 0;
        // SAFETY: the pointer is valid, and the destructor accepts all values.
        unsafe { libc::pthread_key_create(&raw mut key, Some(end)) };
        key
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_create(
    handle: *mut pthread_t,
    attributes: *const pthread_attr_t,
    routine: Routine,
    argument: *mut c_void,
) -> c_int {
    type Function =
        unsafe extern "C" fn(*mut pthread_t, *const pthread_attr_t, Routine, *mut c_void) -> c_int;
    // SAFETY: this is the address of the C library's function of this type.
    let create: Function = unsafe { mem::transmute(CREATE.address()) };
    let Some((number, semaphore)) = thread_scheduler::add() else {
        // SAFETY: the arguments are the caller's.
        return unsafe { create(handle, attributes, routine, argument) };
    };
    let start = Box::into_raw(Box::new(ThreadStart {
        number,
        semaphore,
        at_end: end_key(),
        routine,
        argument,
    }));
    // SAFETY: the first arguments are the caller's, and the thread owns the box.
    let code = unsafe { create(handle, attributes, begin, start.cast()) };
    if code != 0 {
        // SAFETY: there is no thread that owns the box.
        drop(unsafe { Box::from_raw(start) });
        thread_scheduler::remove(number);
        return code;
    }
    // SAFETY: the C library has written the handle.
    let handle = unsafe { handle.read() };
    HANDLES.lock().unwrap_or_else(PoisonError::into_inner).insert(handle, number);
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_join(handle: pthread_t, result: *mut *mut c_void) -> c_int {
    type Function = unsafe extern "C" fn(pthread_t, *mut *mut c_void) -> c_int;
    let number = HANDLES.lock().unwrap_or_else(PoisonError::into_inner).get(&handle).copied();
    if let Some(number) = number {
        thread_scheduler::join(number);
    }
    // SAFETY: this is the address of the C library's function of this type.
    let join: Function = unsafe { mem::transmute(JOIN.address()) };
    // SAFETY: the arguments are the caller's.
    unsafe { join(handle, result) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sched_yield() -> c_int {
    type Function = unsafe extern "C" fn() -> c_int;
    if thread_scheduler::is_scheduled() {
        thread_scheduler::yield_thread();
        return 0;
    }
    // SAFETY: this is the address of the C library's function of this type.
    let original: Function = unsafe { mem::transmute(YIELD.address()) };
    // SAFETY: the function has no arguments.
    unsafe { original() }
}

/// The C library's function is variadic. Like it, this one always passes on six arguments, of which
/// the system call ignores those that it does not have.
#[unsafe(no_mangle)]
unsafe extern "C" fn syscall(
    number: c_long,
    a0: usize,
    a1: usize,
    a2: usize,
    a3: usize,
    a4: usize,
    a5: usize,
) -> c_long {
    if number == libc::SYS_futex && thread_scheduler::is_scheduled() {
        let operation = a1 as c_int & !libc::FUTEX_PRIVATE_FLAG;
        match operation & !libc::FUTEX_CLOCK_REALTIME {
            libc::FUTEX_WAKE => {
                return thread_scheduler::wake(Event::Futex(a0), a2 as u32 as usize) as c_long;
            }
            libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET => {
                // SAFETY: the caller passes the addresses of a futex, and of a time or null.
                return unsafe {
                    wait(a0 as *const AtomicU32, operation, a2 as u32, a3 as *const timespec)
                };
            }
            _ => {}
        }
    }
    // SAFETY: the arguments are the caller's.
    unsafe { system_call(number, [a0, a1, a2, a3, a4, a5]) }
}

/// Waits for a futex.
///
/// # Safety
///
/// `futex` must be valid, and `timeout` be valid or null.
unsafe fn wait(
    futex: *const AtomicU32,
    operation: c_int,
    expected: u32,
    timeout: *const timespec,
) -> c_long {
    // SAFETY: as for this function.
    let value = unsafe { &*futex }.load(Ordering::SeqCst);
    if value != expected {
        return fail(libc::EAGAIN).into();
    }
    let now = simulated_time(libc::CLOCK_MONOTONIC);
    // SAFETY: as for this function.
    let until = unsafe { timeout.as_ref() }.map(|time| {
        let time = time.tv_sec as u64 * NANOS + time.tv_nsec as u64;
        match operation {
            // The time is the length of the wait.
            libc::FUTEX_WAIT => now.saturating_add(time),
            libc::FUTEX_WAIT_BITSET => time,
            // The time is that of the wall clock.
            _ => now.saturating_add(time.saturating_sub(simulated_time(libc::CLOCK_REALTIME))),
        }
    });
    let is_woken = thread_scheduler::wait(Event::Futex(futex as usize), until);
    if is_woken { 0 } else { fail(libc::ETIMEDOUT).into() }
}
