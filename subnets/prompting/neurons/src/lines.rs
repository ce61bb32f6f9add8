//! Text files of the operator, and JSON objects in their lines.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use taonet_primitives::bytes_without_bom;

/// Maximum size of a file in bytes.
pub(crate) const MAX_BYTES: u64 = 256 << 20;

/// Why a file of text or of JSON lines cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinesError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// The file is too large.
    #[error("{path} is larger than {} MiB; hint: split it", MAX_BYTES >> 20)]
    TooLarge {
        /// Path of the file.
        path: PathBuf,
    },
    /// The file is not UTF-8 text.
    #[error("{path} is not UTF-8 text, at byte {position}")]
    NotText {
        /// Path of the file.
        path: PathBuf,
        /// Offset of the first invalid byte.
        position: usize,
    },
    /// A line is not a JSON object with the expected fields.
    #[error("line {line} of {path} is malformed")]
    Line {
        /// Path of the file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// Why it is malformed.
        source: serde_json::Error,
    },
    /// The file has no lines.
    #[error("{path} is empty")]
    Empty {
        /// Path of the file.
        path: PathBuf,
    },
}

impl LinesError {
    /// Returns a function that adds the path of a file to an I/O error.
    pub(crate) fn read_error(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Read { path: path.to_owned(), source }
    }
}

/// Reads a file of limited size.
pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>, LinesError> {
    let file = File::open(path).map_err(LinesError::read_error(path))?;
    let mut bytes = Vec::new();
    // The size of a pipe is unknown before it is read.
    let is_known_too_large =
        file.metadata().map_err(LinesError::read_error(path))?.len() > MAX_BYTES;
    if !is_known_too_large {
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(LinesError::read_error(path))?;
    }
    if is_known_too_large || bytes.len() as u64 > MAX_BYTES {
        return Err(LinesError::TooLarge { path: path.to_owned() });
    }
    Ok(bytes)
}

/// Reads a text file of limited size.
pub(crate) fn read_text(path: &Path) -> Result<String, LinesError> {
    let bytes = read_bytes(path)?;
    match std::str::from_utf8(bytes_without_bom(&bytes)) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => {
            Err(LinesError::NotText { path: path.to_owned(), position: error.valid_up_to() })
        }
    }
}

/// Parses the JSON objects of a text, one a line; empty lines are skipped.
pub(crate) fn parse_lines<T: DeserializeOwned>(
    path: &Path,
    text: &str,
) -> Result<Vec<T>, LinesError> {
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    lines
        .map(|(text, line)| {
            serde_json::from_str(text).map_err(|source| LinesError::Line {
                path: path.to_owned(),
                line,
                source,
            })
        })
        .collect()
}
