//! Input from files or standard input.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context as _, bail};
use taonet_primitives::without_bom;

const MAX_BYTES: u64 = 64 << 20;

/// Reads a file of at most 64 MiB; `-` is standard input.
pub fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let result = if path == Path::new("-") {
        std::io::stdin().lock().take(MAX_BYTES + 1).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
    };
    result.with_context(|| format!("cannot read {}", path.display()))?;
    if bytes.len() as u64 > MAX_BYTES {
        bail!("{} is larger than 64 MiB", path.display());
    }
    Ok(bytes)
}

/// Reads a text file of at most 64 MiB, without its byte order mark; `-` is standard input.
pub fn read_text(path: &Path) -> anyhow::Result<String> {
    let text = String::from_utf8(read(path)?);
    let text = text.with_context(|| format!("{} is not UTF-8 text", path.display()))?;
    Ok(match without_bom(&text) {
        stripped if stripped.len() < text.len() => stripped.to_owned(),
        _ => text,
    })
}
