//! Keeps the process's memory to itself while it holds keys.

use rustix::process::{Resource, Rlimit, setrlimit};

/// From here on, no core dump holds the memory, and on Linux other programs of the same user do not read it.
pub(crate) fn protect() {
    let no_dumps = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    if let Err(error) = no_dumps.and_then(|()| close()) {
        tracing::warn!(%error, "a crash or a debugger could show secrets that are in memory");
    }
}

#[cfg(target_os = "linux")]
fn close() -> rustix::io::Result<()> {
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
}

#[cfg(not(target_os = "linux"))]
fn close() -> rustix::io::Result<()> {
    Ok(())
}
