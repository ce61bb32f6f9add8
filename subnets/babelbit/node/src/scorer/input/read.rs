//! JSON documents and files from outside.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{InputError, Warning};

/// Reads a document; fields that nobody knows become warnings.
pub(super) fn document<T: DeserializeOwned>(
    name: &'static str,
    value: Value,
    warnings: &mut Vec<Warning>,
) -> Result<T, InputError> {
    let mut track = serde_path_to_error::Track::new();
    let mut unknown = Vec::new();
    let tracked = serde_path_to_error::Deserializer::new(value, &mut track);
    let read = serde_ignored::deserialize(tracked, |path| unknown.push(path.to_string()));
    warnings.extend(unknown.into_iter().map(|path| Warning::UnknownField { document: name, path }));
    read.map_err(|error| {
        let path = track.path().to_string();
        problem(name, if path == "." { "" } else { &path }, &error.to_string())
    })
}

pub(super) fn problem(document: &'static str, path: &str, problem: &str) -> InputError {
    InputError::Field { document, path: path.to_owned(), problem: problem.to_owned() }
}

/// Reads a file; a relative path starts at `base`.
pub(super) fn file(path: &Path, base: &Path) -> Result<Vec<u8>, InputError> {
    std::fs::read(base.join(path)).map_err(|source| InputError::File {
        path: path.to_owned(),
        base: base.to_owned(),
        source,
    })
}
