//! Reading of untrusted JSON documents and files.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{InputError, Warning};

/// Deserialises a document; unknown fields become warnings.
pub(super) fn parse_document<T: DeserializeOwned>(
    name: &'static str,
    value: Value,
    warnings: &mut Vec<Warning>,
) -> Result<T, InputError> {
    if !value.is_object() {
        return Err(field_error(name, "", "not a JSON object"));
    }
    let mut track = serde_path_to_error::Track::new();
    let mut unknown = Vec::new();
    let tracked = serde_path_to_error::Deserializer::new(value, &mut track);
    let document = serde_ignored::deserialize(tracked, |path| unknown.push(path.to_string()));
    warnings.extend(unknown.into_iter().map(|path| Warning::UnknownField { document: name, path }));
    document.map_err(|error| {
        let path = track.path().to_string();
        field_error(name, if path == "." { "" } else { &path }, &error.to_string())
    })
}

pub(super) fn field_error(document: &'static str, path: &str, problem: &str) -> InputError {
    InputError::Field { document, path: path.to_owned(), problem: problem.to_owned() }
}

/// Reads a file of at most 256 MiB; relative paths are resolved from `base`.
pub(super) fn read_file(path: &Path, base: &Path) -> Result<Vec<u8>, InputError> {
    const MAX_BYTES: u64 = 256 << 20;
    let mut bytes = Vec::new();
    let read_result = File::open(base.join(path))
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    let contents = read_result.and_then(|_| match bytes.len() as u64 {
        0..=MAX_BYTES => Ok(bytes),
        _ => Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 256 MiB")),
    });
    contents.map_err(|source| InputError::File {
        path: path.to_owned(),
        // A bare file name is relative to the working directory.
        base: if base.as_os_str().is_empty() { ".".into() } else { base.to_owned() },
        source,
    })
}
