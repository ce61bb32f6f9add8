//! Test fixture: a challenge that was played and scored.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use taonet_babelbit_core::records::ChallengeType;
use taonet_babelbit_core::scoring::ScoreOptions;
use taonet_primitives::{Hotkey, Transcript, Uid, Word};
use taonet_speech::{
    EmbedError, Embedding, Recognition, RecognizeError, Recognizer, SentenceEmbedder,
};

use super::{ChallengeRecord, Engines};
use taonet_babelbit_core::records::MinerKey;
use taonet_babelbit_engine::client::{PrefetchedChallenge, Reference};
use taonet_babelbit_runner::testing::{ScriptedMiner, Step, wav};
use taonet_babelbit_runner::{Miner, MinerConnection, RunPaths, Runner, RunnerSettings};
use taonet_babelbit_scorer::{BatchScorer, ScorerSettings, TranscriptCache};

pub(crate) const UID: &str = "challenge-1";
pub(crate) const UTTERANCES: usize = 2;
/// Transcripts by the loudness of the recording, in percent.
const TRANSCRIPTS: [(i32, &str); 3] = [(10, "alpha one"), (20, "alpha two"), (30, "beta three")];

/// A recogniser that identifies a recording by its loudness.
pub(crate) struct LoudnessRecognizer(pub(crate) &'static str);

impl Recognizer for LoudnessRecognizer {
    fn name(&self) -> &'static str {
        "ear"
    }

    fn fingerprint(&self) -> &str {
        self.0
    }

    fn recognize(&self, samples: &[f32]) -> Result<Recognition, RecognizeError> {
        let loudness = (samples[0] * 100.0).round() as i32;
        let (_, text) =
            TRANSCRIPTS.iter().find(|(percent, _)| *percent == loudness).ok_or_else(|| {
                RecognizeError::Engine(format!("no such recording: {loudness}").into())
            })?;
        let word_duration = samples.len() as f64 / 16_000.0 / 2.0;
        let words = text.split(' ').zip([0.0, 1.0]).map(|(word, position)| Word {
            text: word.to_owned(),
            start: position * word_duration,
            end: (position + 1.0) * word_duration,
        });
        let transcript = Transcript {
            text: (*text).to_owned(),
            words: words.collect(),
            detected_language: "en".to_owned(),
        };
        Ok(Recognition { transcript, confidence: 0.9 })
    }
}

/// An embedder for which texts with the same first letter are equal.
struct FirstLetterEmbedder;

impl SentenceEmbedder for FirstLetterEmbedder {
    fn name(&self) -> &'static str {
        "first-letter"
    }

    fn fingerprint(&self) -> &'static str {
        "1"
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
        let vector = |text: &&str| {
            let mut vector = [0.0; 27];
            vector[text.bytes().next().map_or(26, |byte| usize::from(byte - b'a'))] = 1.0;
            Embedding(vector.into())
        };
        Ok(texts.iter().map(vector).collect())
    }
}

pub(crate) fn engines() -> Engines {
    engines_with("1")
}

/// Creates engines whose recogniser has this fingerprint.
pub(crate) fn engines_with(fingerprint: &'static str) -> Engines {
    Engines {
        recognizer: Arc::new(LoudnessRecognizer(fingerprint)),
        embedder: Arc::new(FirstLetterEmbedder),
        options: ScoreOptions::default(),
    }
}

pub(crate) fn key(uid: u8) -> MinerKey {
    MinerKey { uid: Uid(uid.into()), hotkey: Hotkey::from_bytes([uid; 32]) }
}

/// Creates a miner that sends one second of audio at the end of the source, at `loudness` percent;
/// no audio at 0.
fn miner(uid: u8, loudness: u8) -> Miner {
    let samples = if loudness == 0 { 0 } else { 24_000 };
    let sound = (f32::from(loudness) / 100.0 + 0.001).to_le_bytes().repeat(samples);
    let sound = STANDARD.encode(sound);
    let script = move |_: usize, call: &taonet_babelbit_runner::PredictCall| {
        Step::text(if call.in_eos { sound.as_str() } else { "" }, call.in_eos)
    };
    Miner {
        key: key(uid),
        name: None,
        connection: Arc::new(ScriptedMiner::new(script)) as Arc<dyn MinerConnection>,
    }
}

/// Creates a challenge with five source frames per utterance.
fn challenge() -> PrefetchedChallenge {
    let utterance = |index: usize| {
        serde_json::from_value(json!({
            "challenge_uid": UID, "session_id": "s", "utterance_id": format!("{UID}:{index}"), "language": "fr",
            "utterance_index": index, "sample_rate_hz": 24_000, "channels": 1, "sample_width_bytes": 2,
            "utterance_frames": 9_600, "audio_b64": STANDARD.encode(wav(9_600, 24_000)),
        }))
        .unwrap()
    };
    let reference = |index: usize| json!({ "utterance_id": index, "reference_text": "alpha", "reference_wps": 2.0 });
    PrefetchedChallenge {
        challenge_uid: UID.to_owned(),
        title: None,
        utterances: (0..UTTERANCES).map(utterance).collect(),
        error: None,
        reference: Some(Reference {
            document: json!({ "utterances": (0..UTTERANCES).map(reference).collect::<Vec<_>>() }),
            source: "http://engine/transcription".to_owned(),
        }),
    }
}

/// Plays the challenge to miners of the given uids and loudnesses; returns the paths of the files.
pub(crate) async fn play(directory: &Path, miners: &[(u8, u8)]) -> RunPaths {
    let paths = RunPaths::in_directory(directory);
    let Engines { recognizer, embedder, options } = engines();
    let cache = TranscriptCache::in_memory(&*recognizer, TranscriptCache::DEFAULT_CAPACITY);
    let scorer =
        BatchScorer::new(recognizer, embedder, cache, options, ScorerSettings::default()).unwrap();
    let runner =
        Runner::open(RunnerSettings::new(paths.clone()), "en", Arc::new(scorer)).await.unwrap();
    let miners: Vec<_> = miners.iter().map(|(uid, loudness)| miner(*uid, *loudness)).collect();
    runner.play(challenge(), &miners, Arc::new(())).await.unwrap();
    paths
}

pub(crate) async fn record(paths: &RunPaths) -> ChallengeRecord {
    ChallengeRecord::read(&paths.state, UID, ChallengeType::Main).await.unwrap()
}

/// Changes the byte at `position` from the end of a file.
pub(crate) fn change_byte(path: &Path, position: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    let offset = bytes.len() - position;
    bytes[offset] ^= 1;
    std::fs::write(path, bytes).unwrap();
}
