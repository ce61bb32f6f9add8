//! The configuration of a voice, `FILE.onnx.json`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use taonet_primitives::SampleRate;

use crate::VoiceError;
use crate::file::read;

/// Phoneme between all others.
pub(crate) const PAD: &str = "_";
/// Phoneme at the begin of a phrase.
pub(crate) const BEGIN: &str = "^";
/// Phoneme at the end of a phrase.
pub(crate) const END: &str = "$";
/// Maximum size of the file in bytes. Those of voices with hundreds of speakers have about 20 KB.
const MAX_BYTES: u64 = 1 << 20;
/// Maximum number of IDs of a phoneme. In published voices, each has one.
const MAX_PHONEME_IDS: usize = 8;
/// The largest factor of the durations that is plausible, in either direction.
const MAX_LENGTH_SCALE: f32 = 10.0;

/// The IDs of each phoneme, which is usually a single character.
pub(crate) type PhonemeIds = BTreeMap<String, Vec<i32>>;

#[derive(Debug, Deserialize)]
struct File {
    audio: Audio,
    espeak: Option<EspeakVoice>,
    #[serde(default)]
    inference: Inference,
    phoneme_type: Option<String>,
    phoneme_id_map: PhonemeIds,
    num_symbols: u32,
    #[serde(default)]
    vowel_clusters: Vec<Vec<String>>,
    #[serde(default = "default_num_speakers")]
    num_speakers: u32,
    #[serde(default)]
    default_speaker_id: i32,
}

const fn default_num_speakers() -> u32 {
    1
}

#[derive(Debug, Deserialize)]
struct Audio {
    sample_rate: u32,
}

#[derive(Debug, Deserialize)]
struct EspeakVoice {
    voice: String,
}

#[derive(Debug, Default, Deserialize)]
struct Inference {
    length_scale: Option<f32>,
}

/// The configuration of a voice.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) sample_rate: SampleRate,
    /// Name of the voice of espeak-ng that translates texts into phonemes.
    pub(crate) espeak: String,
    /// Factor of all durations at the normal rate.
    pub(crate) length_scale: f32,
    pub(crate) ids: PhonemeIds,
    /// Sequences of phonemes with a common ID.
    pub(crate) clusters: Vec<String>,
    /// ID of the speaker, for a voice with several.
    pub(crate) speaker: Option<i32>,
}

impl Config {
    /// Reads the configuration at `path`.
    ///
    /// # Errors
    /// [`VoiceError::Io`], [`VoiceError::TooLarge`], [`VoiceError::Json`] or
    /// [`VoiceError::Config`].
    pub(crate) fn read(path: &Path) -> Result<Self, VoiceError> {
        let bytes = read(path, MAX_BYTES)?;
        let file = serde_json::from_slice(taonet_primitives::bytes_without_bom(&bytes))
            .map_err(|source| VoiceError::Json { path: path.to_owned(), source })?;
        Self::from_file(file).map_err(|reason| VoiceError::Config { path: path.to_owned(), reason })
    }

    fn from_file(file: File) -> Result<Self, String> {
        let kind = file.phoneme_type.as_deref().unwrap_or("espeak");
        if kind != "espeak" {
            return Err(format!(
                "`phoneme_type` is {kind:?}, and only \"espeak\" is supported\nhint: use another voice"
            ));
        }
        let espeak = file.espeak.ok_or("`espeak.voice` is missing")?.voice;
        let sample_rate =
            SampleRate::new(file.audio.sample_rate).map_err(|error| format!("`audio`: {error}"))?;
        let length_scale = file.inference.length_scale.unwrap_or(1.0);
        // Written so that NaN is out of range.
        if !(MAX_LENGTH_SCALE.recip()..=MAX_LENGTH_SCALE).contains(&length_scale) {
            return Err(format!("`inference.length_scale` is {length_scale}, expected 0.1 to 10"));
        }
        check_ids(&file.phoneme_id_map, file.num_symbols)?;
        if !(0..i64::from(file.num_speakers.max(1))).contains(&i64::from(file.default_speaker_id)) {
            return Err(format!(
                "`default_speaker_id` is {}, and `num_speakers` {}",
                file.default_speaker_id, file.num_speakers
            ));
        }
        Ok(Self {
            sample_rate,
            espeak,
            length_scale,
            ids: file.phoneme_id_map,
            clusters: file.vowel_clusters.into_iter().map(|cluster| cluster.concat()).collect(),
            speaker: (file.num_speakers > 1).then_some(file.default_speaker_id),
        })
    }
}

/// Checks the IDs of all phonemes: the network knows those below `symbols`.
fn check_ids(ids: &PhonemeIds, symbols: u32) -> Result<(), String> {
    for name in [PAD, BEGIN, END] {
        if ids.get(name).is_none_or(Vec::is_empty) {
            return Err(format!("`phoneme_id_map` has no number for {name:?}"));
        }
    }
    for (phoneme, phoneme_ids) in ids {
        let count = phoneme_ids.len();
        if count > MAX_PHONEME_IDS {
            return Err(format!(
                "`phoneme_id_map` has {count} numbers for {phoneme:?}, expected at most \
                 {MAX_PHONEME_IDS}"
            ));
        }
        let mut phoneme_ids = phoneme_ids.iter().copied();
        let invalid = phoneme_ids.find(|id| u32::try_from(*id).ok().is_none_or(|id| id >= symbols));
        if let Some(id) = invalid {
            return Err(format!(
                "`phoneme_id_map` has the number {id} for {phoneme:?}, expected 0 or more and less than `num_symbols`, \
                 {symbols}"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::config;

    fn read(content: &str) -> Result<Config, VoiceError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("voice.onnx.json");
        std::fs::write(&path, content).unwrap();
        Config::read(&path)
    }

    #[test]
    fn published_configuration_is_read() {
        let mut value = config();
        let single_speaker = read(&value.to_string()).unwrap();
        assert_eq!(
            (single_speaker.sample_rate, &*single_speaker.espeak, single_speaker.speaker),
            (SampleRate::HZ_22K, "en-us", None)
        );
        assert!((single_speaker.length_scale - 1.0).abs() < 1e-6);
        value["num_speakers"] = json!(3);
        value["default_speaker_id"] = json!(2);
        value["inference"]["length_scale"] = json!(1.5);
        let multi_speaker = read(&value.to_string()).unwrap();
        assert_eq!(multi_speaker.speaker, Some(2));
        assert!((multi_speaker.length_scale - 1.5).abs() < 1e-6);
    }

    /// Columns: path of the changed value · its new value, or none to remove it · part of the error
    #[test]
    fn unusable_configurations_are_refused() {
        let table: [(&str, Option<Value>, &str); 14] = [
            ("/phoneme_type", Some(json!("text")), "`phoneme_type` is \"text\""),
            ("/espeak", None, "`espeak.voice` is missing"),
            ("/audio/sample_rate", Some(json!(0)), "`audio`: "),
            ("/audio/sample_rate", None, "missing field `sample_rate`"),
            ("/inference/length_scale", Some(json!(0)), "`inference.length_scale` is 0"),
            ("/inference/length_scale", Some(json!(1e30)), "`inference.length_scale` is 1"),
            ("/phoneme_id_map/$", None, "no number for \"$\""),
            ("/phoneme_id_map/_", Some(json!([])), "no number for \"_\""),
            ("/phoneme_id_map/a", Some(json!([-4])), "the number -4 for \"a\""),
            ("/phoneme_id_map/a", Some(json!([14, 256])), "the number 256 for \"a\""),
            (
                "/phoneme_id_map/a",
                Some(json!([1, 1, 1, 1, 1, 1, 1, 1, 1])),
                "9 numbers for \"a\", expected at most 8",
            ),
            ("/phoneme_id_map", Some(json!(["a"])), "expected a map"),
            ("/num_symbols", None, "missing field `num_symbols`"),
            (
                "/default_speaker_id",
                Some(json!(1)),
                "`default_speaker_id` is 1, and `num_speakers` 1",
            ),
        ];
        for (path, value, expected) in table {
            let mut changed = config();
            let (parent, name) = path.rsplit_once('/').unwrap();
            let parent = changed.pointer_mut(parent).unwrap().as_object_mut().unwrap();
            match value {
                Some(value) => drop(parent.insert(name.to_owned(), value)),
                None => drop(parent.remove(name)),
            }
            let error = read(&changed.to_string()).unwrap_err();
            let error = taonet_primitives::with_causes(&error);
            assert!(error.contains(expected), "{path}: {error}");
        }
        let error = read("{\"audio\":").unwrap_err();
        assert!(matches!(error, VoiceError::Json { .. }), "{error}");
    }
}
