//! Reads and checks the files of a run.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use taonet_speech::Wav;

/// Content of one file.
#[derive(PartialEq)]
enum Content {
    Json(Value),
    Wav(Vec<u8>),
    Tar(BTreeMap<String, Vec<u8>>),
}

/// Every file of a run by its relative path, without the ledger. Values that differ between equal
/// runs are removed: timestamps, session IDs, the engine's port, the directory.
pub(crate) struct RunFiles {
    files: BTreeMap<String, Content>,
}

impl RunFiles {
    /// Reads a `--keep` directory. Every file must belong to the layout and be complete.
    pub(crate) fn read(directory: &Path) -> Self {
        let mut files = BTreeMap::new();
        for part in ["logs", "scores", "challenge_status"] {
            for path in walk(&directory.join(part)) {
                let name = path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned();
                let bytes = fs::read(&path).unwrap();
                let content = match path.extension().and_then(|extension| extension.to_str()) {
                    Some("json") => Content::Json(
                        serde_json::from_slice(&bytes)
                            .unwrap_or_else(|error| panic!("{name} is incomplete: {error}")),
                    ),
                    Some("wav") => {
                        Wav::decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
                        Content::Wav(bytes)
                    }
                    Some("tar") => Content::Tar(members(&bytes)),
                    _ => panic!("{name} does not belong there"),
                };
                let duplicate = files.insert(without_time(&name), normalized(content, directory));
                assert!(duplicate.is_none(), "{name} is there twice, with two time stamps");
            }
        }
        Self { files }
    }

    /// Returns the paths, with timestamps replaced by `TIME`.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.files.keys().map(String::as_str).collect()
    }

    /// Returns a JSON file.
    pub(crate) fn json(&self, name: &str) -> &Value {
        match self.files.get(name) {
            Some(Content::Json(value)) => value,
            _ => panic!("{name} is not among {:?}", self.names()),
        }
    }

    /// Members of a tar file; each must equal the file of the same name in its directory.
    pub(crate) fn members(&self, name: &str) -> Vec<&str> {
        let Some(Content::Tar(members)) = self.files.get(name) else {
            panic!("{name} is not among {:?}", self.names())
        };
        let directory = name.trim_end_matches("audio.tar");
        for (member, bytes) in members {
            let member_content = self.files.get(&format!("{directory}{member}"));
            assert!(
                matches!(member_content, Some(Content::Wav(wav)) if wav == bytes),
                "{name}: {member}"
            );
        }
        members.keys().map(String::as_str).collect()
    }

    /// Removes the source of references, which come from the engine's document or from its
    /// utterances.
    pub(crate) fn without_reference_sources(mut self) -> Self {
        for content in self.files.values_mut() {
            if let Content::Json(value) = content {
                remove_field(value, "scoring_metadata_source");
            }
        }
        self
    }

    /// Compares with the files of another run of the same challenge by the same miners.
    pub(crate) fn assert_equal(&self, other: &Self, context: &dyn Debug) {
        assert_eq!(self.names(), other.names(), "{context:?}");
        for (name, content) in &self.files {
            match (content, &other.files[name]) {
                (Content::Json(own), Content::Json(other)) => {
                    if let Some(difference) = difference(own, other) {
                        panic!("{context:?}: {name}{difference}");
                    }
                }
                (own, other) => assert!(own == other, "{context:?}: the audio of {name} differs"),
            }
        }
    }
}

fn remove_field(value: &mut Value, name: &str) {
    match value {
        Value::Object(fields) => {
            fields.remove(name);
            fields.values_mut().for_each(|value| remove_field(value, name));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| remove_field(value, name)),
        _ => {}
    }
}

/// First difference of two documents, such as `/utterances/2/score: 0.5, not 0.4`.
fn difference(own: &Value, other: &Value) -> Option<String> {
    match (own, other) {
        (Value::Object(fields), Value::Object(others)) if fields.keys().eq(others.keys()) => fields
            .iter()
            .find_map(|(key, value)| Some(format!("/{key}{}", difference(value, &others[key])?))),
        (Value::Array(items), Value::Array(others)) if items.len() == others.len() => {
            let mut pairs = items.iter().zip(others).enumerate();
            pairs.find_map(|(index, (item, other))| {
                Some(format!("/{index}{}", difference(item, other)?))
            })
        }
        _ => (own != other).then(|| format!(": {own}, not {other}")),
    }
}

fn walk(directory: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

fn members(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(bytes);
    let mut members = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
        assert!(members.insert(name.clone(), content).is_none(), "{name} is in the tar file twice");
    }
    members
}

/// `…_run_20260102_030405.json` becomes `…_run_TIME.json`.
fn without_time(name: &str) -> String {
    const LENGTH: usize = "20260102_030405".len();
    let is_time = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let parts = name
        .strip_suffix(".json")
        .and_then(|stem| stem.split_at_checked(stem.len().saturating_sub(LENGTH)));
    match parts {
        Some((head, time)) if time.len() == LENGTH && is_time(time) => format!("{head}TIME.json"),
        _ => name.to_owned(),
    }
}

/// Path of a URL, since the engine's port differs in each run.
fn without_host(url: &Value) -> Value {
    url.as_str().and_then(|url| url.splitn(4, '/').nth(3)).map_or_else(|| url.clone(), Value::from)
}

fn normalized(content: Content, directory: &Path) -> Content {
    match content {
        Content::Json(value) => Content::Json(normalized_json(value, directory.to_str().unwrap())),
        other => other,
    }
}

fn normalized_json(value: Value, directory: &str) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(key, value)| match key.as_str() {
                "miner_session_id" | "processed_at" => (key, Value::from(value.is_string())),
                "scoring_metadata_source" => (key, without_host(&value)),
                _ => (key, normalized_json(value, directory)),
            })
            .collect(),
        Value::Array(items) => {
            items.into_iter().map(|item| normalized_json(item, directory)).collect()
        }
        Value::String(text) => without_time(&text.replace(directory, "DIRECTORY")).into(),
        other => other,
    }
}
