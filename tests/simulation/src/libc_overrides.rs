//! Overrides of the C library. This module defines the functions of the C library that
//! read clocks, draw random bytes and change files, so that all code of the executable calls these
//! definitions: the standard library, tokio, SQLite and the daemons. Outside of a simulated
//! process, they do what the C library does. The functions for threads are in a module of their
//! own.
#![allow(
    unsafe_code,
    clippy::cast_possible_wrap,
    reason = "replaces functions of the C library, whose arguments are pointers and signed numbers"
)]

mod threads;

use std::ffi::{c_char, c_int, c_long, c_void};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use libc::{clockid_t, mode_t, off_t, size_t, ssize_t, timespec, timeval};

pub(crate) use self::threads::Semaphore;
use self::threads::system_call;
use crate::disk::{self, WriteDecision};
use crate::thread_scheduler::{self, Event};

/// The simulated monotonic clock in nanoseconds; 0 outside of simulated processes.
static MONOTONIC: AtomicU64 = AtomicU64::new(0);
/// The simulated wall clock in nanoseconds since the Unix epoch; 0 outside of simulated processes.
static WALL: AtomicU64 = AtomicU64::new(0);
/// State of the generator of random bytes; 0 for those of the system.
static RANDOM: AtomicU64 = AtomicU64::new(0);

const NANOS: u64 = 1_000_000_000;

/// Sets the clocks: the time since boot, and since the Unix epoch. With 0, they are those of the
/// system.
pub(crate) fn set_clocks(monotonic: Duration, wall: Duration) {
    MONOTONIC.store(monotonic.as_nanos() as u64, Ordering::SeqCst);
    WALL.store(wall.as_nanos() as u64, Ordering::SeqCst);
    thread_scheduler::set_time(monotonic.as_nanos() as u64);
}

/// Sleeps for a simulated time; returns false outside of simulated processes, and for the thread
/// that simulates them.
fn sleep(nanos: u64) -> bool {
    let now = MONOTONIC.load(Ordering::SeqCst);
    if now == 0 || thread_scheduler::is_main() || !thread_scheduler::is_scheduled() {
        return false;
    }
    thread_scheduler::wait(Event::Timeout, Some(now.saturating_add(nanos)));
    true
}

/// Replaces the system's random bytes by those of a generator with this seed.
pub(crate) fn seed_random(seed: u64) {
    // Not 0.
    RANDOM.store((seed << 1) | 1, Ordering::Relaxed);
}

/// Restricts this thread, and the threads and processes that it starts, to one processor, different
/// for each `index`: only one thread of a simulation runs at a time, and the next one starts sooner
/// where the last one ran. Best effort.
pub(crate) fn pin_to_processor(index: usize) {
    let size = size_of::<libc::cpu_set_t>();
    let mut processors = std::mem::MaybeUninit::<libc::cpu_set_t>::zeroed();
    // SAFETY: a set of zeros is a valid, empty set.
    let processor_set = unsafe { processors.assume_init_mut() };
    // SAFETY: the pointer is valid, and the size is that of the set.
    unsafe { libc::sched_getaffinity(0, size, processor_set) };
    // SAFETY: the number is less than the set's size.
    let allowed = |processor: &usize| unsafe { libc::CPU_ISSET(*processor, processor_set) };
    let allowed: Vec<usize> = (0..libc::CPU_SETSIZE as usize).filter(allowed).collect();
    // SAFETY: the call has no arguments.
    let current = usize::try_from(unsafe { libc::sched_getcpu() }).unwrap_or_default();
    let first = allowed.iter().position(|processor| *processor == current).unwrap_or_default();
    let Some(cpu) = allowed.iter().cycle().nth(first + index) else { return };
    // SAFETY: the number is less than the set's size.
    unsafe {
        libc::CPU_ZERO(processor_set);
        libc::CPU_SET(*cpu, processor_set);
    }
    // SAFETY: the pointer is valid, and the size is that of the set.
    unsafe { libc::sched_setaffinity(0, size, processor_set) };
}

/// Returns the next number of SplitMix64, and advances its state.
pub(crate) fn split_mix(state: &AtomicU64) -> u64 {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut mixed = state.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn fail(code: c_int) -> c_int {
    // SAFETY: the C library returns a valid pointer to the thread's error code.
    unsafe { *libc::__errno_location() = code };
    -1
}

/// Returns the simulated time of a clock in nanoseconds; 0 for a clock of the system.
fn simulated_time(clock: clockid_t) -> u64 {
    match clock {
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE => WALL.load(Ordering::Relaxed),
        libc::CLOCK_MONOTONIC
        | libc::CLOCK_MONOTONIC_COARSE
        | libc::CLOCK_MONOTONIC_RAW
        | libc::CLOCK_BOOTTIME => MONOTONIC.load(Ordering::Relaxed),
        _ => 0,
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int {
    let nanos = simulated_time(clock);
    if nanos == 0 {
        // SAFETY: the caller's arguments are those of the system call.
        return unsafe { system_call(libc::SYS_clock_gettime, [clock as usize, time as usize]) }
            as c_int;
    }
    // SAFETY: the caller passes a valid pointer, as for the C library's function.
    unsafe { time.write(timespec { tv_sec: (nanos / NANOS) as _, tv_nsec: (nanos % NANOS) as _ }) };
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gettimeofday(time: *mut timeval, zone: *mut c_void) -> c_int {
    let nanos = simulated_time(libc::CLOCK_REALTIME);
    if nanos == 0 {
        // SAFETY: the caller's arguments are those of the system call.
        return unsafe { system_call(libc::SYS_gettimeofday, [time as usize, zone as usize]) }
            as c_int;
    }
    // SAFETY: the caller passes a valid pointer, as for the C library's function.
    unsafe {
        time.write(timeval { tv_sec: (nanos / NANOS) as _, tv_usec: (nanos % NANOS / 1_000) as _ });
    };
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nanosleep(length: *const timespec, rest: *mut timespec) -> c_int {
    // SAFETY: the caller passes a valid pointer, as for the C library's function.
    let timespec { tv_sec, tv_nsec } = unsafe { length.read() };
    if sleep(tv_sec as u64 * NANOS + tv_nsec as u64) {
        return 0;
    }
    // SAFETY: the caller's arguments are those of the system call.
    (unsafe { system_call(libc::SYS_nanosleep, [length as usize, rest as usize]) }) as c_int
}

#[unsafe(no_mangle)]
unsafe extern "C" fn usleep(micros: u32) -> c_int {
    let length = timespec {
        tv_sec: i64::from(micros / 1_000_000),
        tv_nsec: i64::from(micros % 1_000_000) * 1_000,
    };
    // SAFETY: the pointer is valid, and there is no second one.
    unsafe { nanosleep(&raw const length, std::ptr::null_mut()) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut c_void, length: size_t, flags: u32) -> ssize_t {
    if RANDOM.load(Ordering::Relaxed) == 0 {
        // SAFETY: the caller's arguments are those of the system call.
        return unsafe {
            system_call(libc::SYS_getrandom, [buffer as usize, length, flags as usize])
        } as ssize_t;
    }
    // SAFETY: the caller passes a buffer of this length, as for the C library's function.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), length) };
    for chunk in bytes.chunks_mut(8) {
        for (byte, random) in chunk.iter_mut().zip(split_mix(&RANDOM).to_le_bytes()) {
            *byte = random;
        }
    }
    length as ssize_t
}

/// Whether a descriptor is a regular file of a simulated process. The standard streams may be
/// files, too.
fn is_simulated_file(file: c_int) -> bool {
    if file <= 2 || !disk::is_simulated() {
        return false;
    }
    let mut status = std::mem::MaybeUninit::<libc::stat64>::uninit();
    // SAFETY: the pointer is valid for writes of the structure.
    let has_status = unsafe { libc::fstat64(file, status.as_mut_ptr()) } == 0;
    // SAFETY: the call succeeded, and has filled the structure.
    has_status
        && unsafe { status.assume_init() }.st_mode & libc::S_IFMT as mode_t
            == libc::S_IFREG as mode_t
}

/// Writes to a file, as far as its disk allows. `write` writes the first bytes of the buffer.
fn write_to(file: c_int, length: size_t, write: impl Fn(size_t) -> c_long) -> ssize_t {
    if !is_simulated_file(file) {
        return write(length) as ssize_t;
    }
    match disk::decide_write(length) {
        WriteDecision::Allow => write(length) as ssize_t,
        WriteDecision::Fail(code) => fail(code) as ssize_t,
        WriteDecision::CrashAfter(kept) => {
            write(kept);
            disk::crash();
            fail(libc::EIO) as ssize_t
        }
    }
}

/// Changes a file other than by a write, if its disk allows it.
fn change(change: impl FnOnce() -> c_int) -> c_int {
    match disk::decide_write(0) {
        WriteDecision::Allow => change(),
        WriteDecision::Fail(code) => fail(code),
        WriteDecision::CrashAfter(_) => {
            disk::crash();
            fail(libc::EIO)
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn write(file: c_int, buffer: *const c_void, length: size_t) -> ssize_t {
    // SAFETY: the arguments are the caller's, except that fewer bytes may be written.
    write_to(file, length, |length| unsafe {
        system_call(libc::SYS_write, [file as usize, buffer as usize, length])
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwrite64(
    file: c_int,
    buffer: *const c_void,
    length: size_t,
    offset: off_t,
) -> ssize_t {
    write_to(file, length, |length| {
        // SAFETY: the arguments are the caller's, except that fewer bytes may be written.
        unsafe {
            system_call(
                libc::SYS_pwrite64,
                [file as usize, buffer as usize, length, offset as usize],
            )
        }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwrite(
    file: c_int,
    buffer: *const c_void,
    length: size_t,
    offset: off_t,
) -> ssize_t {
    // SAFETY: the arguments are the caller's.
    unsafe { pwrite64(file, buffer, length, offset) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ftruncate64(file: c_int, length: off_t) -> c_int {
    // SAFETY: the call has no pointers.
    let truncate =
        || unsafe { system_call(libc::SYS_ftruncate, [file as usize, length as usize]) } as c_int;
    if is_simulated_file(file) { change(truncate) } else { truncate() }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ftruncate(file: c_int, length: off_t) -> c_int {
    // SAFETY: the arguments are the caller's.
    unsafe { ftruncate64(file, length) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fsync(file: c_int) -> c_int {
    match disk::decide_sync() {
        // SAFETY: the call has no pointers.
        Ok(()) => (unsafe { system_call(libc::SYS_fsync, [file as usize]) }) as c_int,
        Err(code) => fail(code),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fdatasync(file: c_int) -> c_int {
    // SAFETY: the arguments are the caller's.
    unsafe { fsync(file) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    let current_directory = libc::AT_FDCWD as usize;
    // SAFETY: the arguments are the caller's.
    change(|| unsafe {
        system_call(
            libc::SYS_renameat2,
            [current_directory, from as usize, current_directory, to as usize, 0],
        )
    } as c_int)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    // SAFETY: the arguments are the caller's.
    change(|| unsafe {
        system_call(libc::SYS_unlinkat, [libc::AT_FDCWD as usize, path as usize, 0])
    } as c_int)
}
