//! Parser and validation of challenge files.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use taonet_primitives::{Word, without_bom};
use taonet_speech::Voice;

use super::{Challenge, ChallengeError, Problem, Source, Target, Utterance, UtteranceAudio};

const MAX_FILE_BYTES: u64 = 16 << 20;
const MAX_WAV_BYTES: u64 = 64 << 20;
pub(super) const MAX_TEXT_CHARS: usize = 10_000;
pub(super) const MAX_NAME_CHARS: usize = 200;
const MAX_UTTERANCES: usize = 1_000;
const MAX_WORDS: usize = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawChallenge {
    challenge_uid: Option<String>,
    title: String,
    language: String,
    target_language: String,
    utterances: Vec<RawUtterance>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawUtterance {
    utterance_id: Option<String>,
    speaker: Option<String>,
    source: RawSource,
    target: RawTarget,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSource {
    text: Option<String>,
    voice: Option<Voice>,
    wav: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTarget {
    text: String,
    #[serde(default)]
    words: Vec<Word>,
    wps: Option<f64>,
}

pub(super) fn load(path: &Path) -> Result<Challenge, ChallengeError> {
    parse(&path.display().to_string(), &read_text(path)?, Some(folder_of(path)))
}

/// Returns the folder of a file. The parent of a bare file name is empty and cannot be
/// canonicalised.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Reads a challenge file, up to its size limit.
pub(super) fn read_text(path: &Path) -> Result<String, ChallengeError> {
    let bytes = read_capped(path, MAX_FILE_BYTES)?;
    String::from_utf8(bytes).map_err(|error| ChallengeError::Read {
        file: path.to_owned(),
        source: std::io::Error::new(std::io::ErrorKind::InvalidData, error.utf8_error()),
    })
}

pub(super) fn parse(
    name: &str,
    text: &str,
    folder: Option<&Path>,
) -> Result<Challenge, ChallengeError> {
    let raw: RawChallenge = parse_document(name, text)?;
    let uid = raw.challenge_uid.clone().unwrap_or_else(|| derived_uid(name, text));
    Checker { file: name, folder }.challenge(raw, uid)
}

/// Parses a complete file as one JSON document.
pub(super) fn parse_document<T: DeserializeOwned>(
    name: &str,
    text: &str,
) -> Result<T, ChallengeError> {
    let mut deserializer = serde_json::Deserializer::from_str(without_bom(text));
    let raw = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        // serde_path_to_error writes the whole document as `.`, and the unknown path of a truncated
        // one as `?`.
        let path = Some(error.path().to_string())
            .filter(|path| path != "." && path != "?")
            .unwrap_or_default();
        ChallengeError::Json { file: name.to_owned(), path, source: error.into_inner() }
    })?;
    deserializer.end().map_err(|source| ChallengeError::Json {
        file: name.to_owned(),
        path: String::new(),
        source,
    })?;
    Ok(raw)
}

/// Returns `challenge-<file name>-<8 hex digits of the content's SHA-256>`: identical files have
/// identical uids, with or without a byte order mark.
pub(super) fn derived_uid(name: &str, text: &str) -> String {
    let stem = Path::new(name).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let stem: String = stem
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' })
        .take(60)
        .collect();
    let hash = hex::encode(Sha256::digest(without_bom(text).as_bytes()));
    format!("challenge-{stem}-{}", hash.get(..8).unwrap_or(&hash))
}

fn read_capped(path: &Path, limit: u64) -> Result<Vec<u8>, ChallengeError> {
    let mut bytes = Vec::new();
    let read_result = File::open(path)
        .and_then(|file| file.take(limit.saturating_add(1)).read_to_end(&mut bytes));
    read_result.map_err(|source| ChallengeError::Read { file: path.to_owned(), source })?;
    if bytes.len() as u64 > limit {
        return Err(ChallengeError::TooLarge { file: path.to_owned(), limit });
    }
    Ok(bytes)
}

/// Returns the identifying part of an utterance ID: the text after the last colon, without leading
/// zeros if it is a number.
fn id_key(id: &str) -> String {
    let last_part = id.rsplit(':').next().unwrap_or(id);
    last_part.parse::<u64>().map_or_else(|_| last_part.to_owned(), |number| number.to_string())
}

pub(super) struct Checker<'a> {
    pub(super) file: &'a str,
    pub(super) folder: Option<&'a Path>,
}

impl Checker<'_> {
    pub(super) fn fail<T>(
        &self,
        path: impl Into<String>,
        problem: Problem,
    ) -> Result<T, ChallengeError> {
        Err(ChallengeError::Invalid { file: self.file.to_owned(), path: path.into(), problem })
    }

    fn challenge(&self, raw: RawChallenge, uid: String) -> Result<Challenge, ChallengeError> {
        // The uid becomes a directory name on the validator's side.
        self.check_identifier("challenge_uid", &uid, 100, "A-Z a-z 0-9 . _ -")?;
        self.check_text("title", &raw.title, MAX_NAME_CHARS)?;
        self.check_language("language", &raw.language)?;
        self.check_language("target_language", &raw.target_language)?;
        if raw.utterances.is_empty() {
            return self.fail("utterances", Problem::Empty);
        }
        if raw.utterances.len() > MAX_UTTERANCES {
            return self.fail("utterances", Problem::TooMany(MAX_UTTERANCES));
        }
        let mut keys = HashMap::new();
        let mut utterances = Vec::with_capacity(raw.utterances.len());
        for (index, utterance) in raw.utterances.into_iter().enumerate() {
            let json_path = format!("utterances[{index}]");
            let utterance = self.utterance(&json_path, utterance, || format!("{uid}:{index}"))?;
            if let Some(earlier) = keys.insert(id_key(&utterance.id), index) {
                return self.fail(format!("{json_path}.utterance_id"), Problem::Duplicate(earlier));
            }
            utterances.push(utterance);
        }
        Ok(Challenge {
            uid,
            title: raw.title,
            language: raw.language,
            target_language: raw.target_language,
            utterances,
        })
    }

    fn utterance(
        &self,
        json_path: &str,
        raw: RawUtterance,
        default_id: impl FnOnce() -> String,
    ) -> Result<Utterance, ChallengeError> {
        let id = raw.utterance_id.unwrap_or_else(default_id);
        self.check_identifier(
            &format!("{json_path}.utterance_id"),
            &id,
            200,
            "A-Z a-z 0-9 . _ - :",
        )?;
        if let Some(speaker) = &raw.speaker {
            self.check_text(&format!("{json_path}.speaker"), speaker, MAX_NAME_CHARS)?;
        }
        let source = self.source(&format!("{json_path}.source"), raw.source)?;
        let target = self.target(&format!("{json_path}.target"), raw.target)?;
        Ok(Utterance { id, speaker: raw.speaker, source, target })
    }

    fn source(&self, json_path: &str, raw: RawSource) -> Result<Source, ChallengeError> {
        match (raw.text, raw.voice, raw.wav) {
            (Some(text), Some(voice), None) => {
                self.check_text(&format!("{json_path}.text"), &text, MAX_TEXT_CHARS)?;
                self.check_text(&format!("{json_path}.voice.name"), &voice.name, MAX_NAME_CHARS)?;
                let rates = Voice::WORDS_PER_MINUTE;
                if !rates.contains(&voice.words_per_minute) {
                    let (min, max) = rates.into_inner();
                    return self.fail(
                        format!("{json_path}.voice.words_per_minute"),
                        Problem::Range(min, max),
                    );
                }
                if voice.pitch > 99 {
                    return self.fail(format!("{json_path}.voice.pitch"), Problem::Range(0, 99));
                }
                Ok(Source::Text { text, voice })
            }
            (None, None, Some(wav)) => {
                Ok(Source::Recording(self.recording(&format!("{json_path}.wav"), &wav)?))
            }
            _ => self.fail(json_path, Problem::SourceKind),
        }
    }

    fn recording(&self, json_path: &str, wav: &str) -> Result<UtteranceAudio, ChallengeError> {
        let Some(folder) = self.folder else { return self.fail(json_path, Problem::NoFolder) };
        let relative_path = Path::new(wav);
        let is_inside = !wav.is_empty()
            && !wav.contains('\\')
            && relative_path
                .components()
                .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !is_inside {
            return self.fail(json_path, Problem::OutsideFolder);
        }
        let resolve = |path: &Path| {
            path.canonicalize()
                .map_err(|source| ChallengeError::Read { file: path.to_owned(), source })
        };
        // A symbolic link inside the folder may point outside.
        let path = resolve(&folder.join(relative_path))?;
        if !path.starts_with(resolve(folder)?) {
            return self.fail(json_path, Problem::OutsideFolder);
        }
        let bytes = read_capped(&path, MAX_WAV_BYTES)?;
        UtteranceAudio::from_wav(&bytes).or_else(|problem| self.fail(json_path, problem))
    }

    fn target(&self, json_path: &str, raw: RawTarget) -> Result<Target, ChallengeError> {
        self.check_text(&format!("{json_path}.text"), &raw.text, MAX_TEXT_CHARS)?;
        if raw.words.len() > MAX_WORDS {
            return self.fail(format!("{json_path}.words"), Problem::TooMany(MAX_WORDS));
        }
        let mut previous_start = 0.0;
        for (index, word) in raw.words.iter().enumerate() {
            let json_path = format!("{json_path}.words[{index}]");
            self.check_text(&format!("{json_path}.word"), &word.text, MAX_NAME_CHARS)?;
            self.check_time(&format!("{json_path}.start"), word.start)?;
            self.check_time(&format!("{json_path}.end"), word.end)?;
            if word.end <= word.start {
                return self.fail(format!("{json_path}.end"), Problem::EndsBeforeStart);
            }
            if word.start < previous_start {
                return self.fail(format!("{json_path}.start"), Problem::OutOfOrder);
            }
            previous_start = word.start;
        }
        if let Some(wps) = raw.wps {
            self.check_time(&format!("{json_path}.wps"), wps)?;
            if wps == 0.0 {
                return self.fail(format!("{json_path}.wps"), Problem::NotPositive);
            }
        }
        Ok(Target { text: raw.text, words: raw.words, words_per_second: raw.wps })
    }

    fn check_time(&self, json_path: &str, value: f64) -> Result<(), ChallengeError> {
        if value.is_finite() && value >= 0.0 {
            Ok(())
        } else {
            self.fail(json_path, Problem::InvalidTime)
        }
    }

    pub(super) fn check_text(
        &self,
        json_path: &str,
        text: &str,
        limit: usize,
    ) -> Result<(), ChallengeError> {
        if text.trim().is_empty() {
            return self.fail(json_path, Problem::Blank);
        }
        if text.chars().count() > limit {
            return self.fail(json_path, Problem::TooLong(limit));
        }
        Ok(())
    }

    pub(super) fn check_identifier(
        &self,
        json_path: &str,
        id: &str,
        limit: usize,
        allowed: &'static str,
    ) -> Result<(), ChallengeError> {
        let is_permitted = |c: char| c.is_ascii_alphanumeric() || (c != ' ' && allowed.contains(c));
        if id.is_empty() || id.len() > limit || id.starts_with('.') || !id.chars().all(is_permitted)
        {
            return self.fail(json_path, Problem::Identifier { limit, allowed });
        }
        Ok(())
    }

    fn check_language(&self, json_path: &str, code: &str) -> Result<(), ChallengeError> {
        let mut parts = code.split('-');
        let has_primary_tag = parts.next().is_some_and(|part| {
            (2..=3).contains(&part.len()) && part.chars().all(|c| c.is_ascii_lowercase())
        });
        let has_valid_subtags = parts.all(|part| {
            (2..=8).contains(&part.len()) && part.chars().all(|c| c.is_ascii_alphanumeric())
        });
        if has_primary_tag && has_valid_subtags {
            Ok(())
        } else {
            self.fail(json_path, Problem::Language)
        }
    }
}
