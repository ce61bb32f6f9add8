//! Tools of this machine for faults that need more than signals.

use std::fs;
use std::path::PathBuf;

use serde::Serialize;

use crate::disk::Disk;
use crate::fault::FaultKind;

/// Directories in which systems install libraries, directly or in a directory for each
/// architecture.
const LIBRARIES: [&str; 3] = ["/usr/lib", "/usr/lib64", "/usr/local/lib"];
/// The library that changes a program's clock, in its variant for programs with threads.
const FAKETIME: &str = "faketime/libfaketimeMT.so.1";

/// A kind of fault that this machine cannot inject.
#[derive(Debug, Clone, Serialize)]
pub struct Unavailable {
    /// The kind.
    pub fault: FaultKind,
    /// Why not.
    pub reason: String,
    /// Package to install, or setting to change.
    pub remedy: &'static str,
}

/// Returns the path of libfaketime, if installed.
pub(crate) fn faketime() -> Option<PathBuf> {
    let directories = LIBRARIES.iter().flat_map(|library| {
        let entries = fs::read_dir(library).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).chain([PathBuf::from(library)])
    });
    directories.map(|directory| directory.join(FAKETIME)).find(|path| path.is_file())
}

/// Splits kinds of faults into those that this machine can inject, and the others.
pub(crate) fn available(kinds: &[FaultKind]) -> anyhow::Result<(Vec<FaultKind>, Vec<Unavailable>)> {
    let (mut available, mut unavailable) = (Vec::new(), Vec::new());
    for &fault in kinds {
        let problem = match fault {
            FaultKind::Clock if faketime().is_none() => Some((
                "libfaketime is not installed".to_owned(),
                "install the package faketime (apt-get install faketime, dnf install libfaketime)",
            )),
            FaultKind::FullDisk => Disk::mount(tempfile::tempdir()?.path()).err().map(|error| {
                (error.to_string(), "run it as root, or allow user namespaces (unshare --map-root-user --mount true)")
            }),
            _ => None,
        };
        match problem {
            Some((reason, remedy)) => unavailable.push(Unavailable { fault, reason, remedy }),
            None => available.push(fault),
        }
    }
    Ok((available, unavailable))
}
