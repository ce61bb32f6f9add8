//! Small files that hold a secret, as a person names them.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use taonet_wallet::warn_if_exposed;
use zeroize::Zeroizing;

/// Far more than a mnemonic, a key or the export of an account takes.
const MAX_BYTES: usize = 16 * 1024;

/// Reads a short text; `-` is standard input. No copy of it is left in memory.
pub(crate) fn read(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    // At full capacity at once: a growing buffer leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 1));
    let limit = MAX_BYTES as u64 + 1;
    let read = open(path).and_then(|file| {
        warn_if_exposed(&file, path);
        file.take(limit).read_to_end(&mut bytes)
    });
    read.with_context(|| format!("cannot read {}", path.display()))?;
    if bytes.len() > MAX_BYTES {
        bail!("{} is larger than {MAX_BYTES} bytes: it holds something else", path.display());
    }
    match str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.trim().to_owned())),
        Err(_) => bail!("{} is not text", path.display()),
    }
}

/// The file itself, for standard input too: the standard library's would keep what it read.
fn open(path: &Path) -> io::Result<File> {
    if path == Path::new("-") { Ok(io::stdin().as_fd().try_clone_to_owned()?.into()) } else { File::open(path) }
}

/// Refuses a path at which there is something already.
pub(crate) fn refuse_existing(path: &Path) -> anyhow::Result<()> {
    if path.symlink_metadata().is_ok() {
        bail!("{} exists, and is not overwritten: name another file", path.display());
    }
    Ok(())
}

/// Writes a new file that only its owner reads: whole or not at all, never over another one. It comes in parts, so that
/// none of them need be copied.
pub(crate) fn write(path: &Path, parts: &[&[u8]]) -> anyhow::Result<()> {
    refuse_existing(path)?;
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || {
        // Such a file has mode 0600 from the beginning.
        let mut draft = tempfile::NamedTempFile::new_in(directory)?;
        parts.iter().try_for_each(|part| draft.write_all(part))?;
        draft.as_file().sync_all()?;
        draft.persist_noclobber(path).map_err(|error| error.error)
    };
    write().map(|_| ()).with_context(|| format!("cannot write {}", path.display()))
}
