//! Small file systems in memory, which can be filled without touching the machine's disks.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

/// Size of a file system: several times what a validator stores during a run.
const SIZE: &str = "size=128m,mode=0700";
/// Name of the file that fills a file system.
const FILLER: &str = "filler";

/// A mounted file system, unmounted on drop.
pub(crate) struct Disk {
    path: PathBuf,
}

impl Disk {
    /// Mounts a new file system on an empty directory. This needs root, also in a user namespace.
    pub(crate) fn mount(path: &Path) -> anyhow::Result<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", SIZE, "tmpfs"]).arg(path);
        let output = mount.output().context("there is no command mount")?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "cannot mount a tmpfs: {}", error.trim());
        Ok(Self { path: path.to_owned() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file until no byte is free.
    pub(crate) fn fill(&self) -> io::Result<()> {
        let mut filler = File::create(self.path.join(FILLER))?;
        for chunk in [vec![0_u8; 1 << 20], vec![0_u8; 1 << 12]] {
            loop {
                match filler.write(&chunk) {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Deletes the file of [`Self::fill`].
    pub(crate) fn free(&self) -> io::Result<()> {
        fs::remove_file(self.path.join(FILLER))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A file system that is still in use disappears with its last user.
        let _ = Command::new("umount").arg("--lazy").arg(&self.path).output();
    }
}
