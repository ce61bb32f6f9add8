//! Small files that contain a secret and are named on the command line.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use taonet_http::AccessToken;
use taonet_primitives::without_bom;
use taonet_wallet::warn_if_exposed;
use zeroize::Zeroizing;

use crate::exit::ClassifiedError;

/// Maximum size, well above that of a mnemonic, key or account export.
const MAX_BYTES: usize = 16 * 1024;

/// Reads a short text, without a byte order mark, into zeroized memory; `-` is standard input.
pub fn read(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    // Full capacity at once: a growing buffer would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 1));
    let limit = MAX_BYTES as u64 + 1;
    let result = open(path).and_then(|file| {
        warn_if_exposed(&file, path);
        file.take(limit).read_to_end(&mut bytes)
    });
    result.with_context(|| format!("cannot read {}", path.display()))?;
    if bytes.len() > MAX_BYTES {
        bail!("{} is larger than {MAX_BYTES} bytes", path.display());
    }
    match str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(without_bom(text).trim().to_owned())),
        Err(_) => bail!("{} is not UTF-8 text", path.display()),
    }
}

/// Reads a bearer token.
pub fn read_token(path: &Path) -> anyhow::Result<AccessToken> {
    let token = AccessToken::parse(&read(path)?);
    token.map_err(|error| ClassifiedError::usage(format!("{}: {error}", path.display())))
}

/// Opens the file. Standard input is also opened as a file, since the standard library's reader
/// keeps a buffer.
fn open(path: &Path) -> io::Result<File> {
    if path == Path::new("-") {
        Ok(io::stdin().as_fd().try_clone_to_owned()?.into())
    } else {
        File::open(path)
    }
}

/// Fails if the path exists.
pub fn ensure_absent(path: &Path) -> anyhow::Result<()> {
    if path.symlink_metadata().is_ok() {
        bail!("{} already exists\nhint: choose another file", path.display());
    }
    Ok(())
}

/// Writes a new file with mode 0600, atomically and without overwriting. Writes `parts` in
/// sequence, so that the secret is not copied in memory.
pub fn write(path: &Path, parts: &[&[u8]]) -> anyhow::Result<()> {
    ensure_absent(path)?;
    let directory = path
        .parent()
        .filter(|directory| !directory.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    write_in(directory, path, parts).with_context(|| format!("cannot write {}", path.display()))
}

fn write_in(directory: &Path, path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    // The file is created with mode 0600.
    let mut temporary_file = tempfile::NamedTempFile::new_in(directory)?;
    for part in parts {
        temporary_file.write_all(part)?;
    }
    temporary_file.as_file().sync_all()?;
    temporary_file.persist_noclobber(path).map_err(|error| error.error)?;
    Ok(())
}
