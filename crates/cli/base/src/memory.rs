//! Protects the memory of processes that hold keys.

use rustix::process::{Resource, Rlimit, setrlimit};

/// Disables core dumps, and on Linux access to the memory by other processes of the same user.
pub fn protect() {
    let no_dumps = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    if let Err(error) = no_dumps.and_then(|()| deny_inspection()) {
        tracing::warn!(%error, "cannot protect the process memory: a core dump or debugger could read secrets");
    }
}

#[cfg(target_os = "linux")]
fn deny_inspection() -> rustix::io::Result<()> {
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
}

#[cfg(not(target_os = "linux"))]
fn deny_inspection() -> rustix::io::Result<()> {
    Ok(())
}
