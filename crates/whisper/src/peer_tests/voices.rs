//! Comparison on real weights, `base`, and real voices: recordings in nine languages from
//! `scripts/peers recordings`.
//!
//! Beam search in int8 amplifies rounding: a different order of sums can change a word. The
//! reference does not reproduce all of its own texts either, if noise far below the last bit of a
//! sample is added. The measure is therefore the reference's agreement with itself under such
//! noise, computed in the same run; for files that must be resampled, also that with another
//! resampler.

use serde::Deserialize;
use taonet_primitives::SampleRate;
use taonet_speech::models::{ModelSpec, ModelStore};
use taonet_speech::{
    Pcm, Recognizer as _, SampleFormat, Wav, resample_endpoints, resample_for_recognition,
};
use taonet_testing::skip;

use super::*;
use crate::options::{Options, SpeechTask};
use crate::{EngineSize, Transcriber};

/// The model, as `scripts/models` and `tao models pull` install it.
pub(super) const MODEL: &str = "faster-whisper-base";
/// Number of times that the reference transcribes each recording again, with different noise.
const REPEATS: usize = 2;
/// Maximum difference of equal word times, in seconds: one position of the encoder.
const ONE_POSITION: f64 = 0.021;

/// Languages whose transcription is compared, unless `TAONET_TEST_ALL` is set: a comparison takes
/// minutes. They have three scripts, and Japanese no spaces between words.
const TRANSCRIBED: [&str; 5] = ["en", "es", "hi", "ja", "pl"];
/// The same for translations.
const TRANSLATED: [&str; 3] = ["es", "fr", "pt"];

/// Languages of the recordings that both engines read from files, unless `TAONET_TEST_ALL` is set:
/// each kind of file has one of them, in turn.
const FILE_LANGUAGES: [&str; 2] = ["en", "es"];
/// Sample rates in Hz, sample formats and numbers of channels of these files.
const FILE_FORMATS: [(u32, SampleFormat, u16); 7] = [
    (8_000, SampleFormat::S16, 1),
    (16_000, SampleFormat::S16, 1),
    (24_000, SampleFormat::S16, 1),
    (44_100, SampleFormat::S16, 1),
    (48_000, SampleFormat::S16, 1),
    (16_000, SampleFormat::F32, 1),
    (48_000, SampleFormat::S16, 2),
];

/// A recording of a speaker.
pub(super) struct Voice {
    pub(super) name: String,
    /// Code of the spoken language, such as `fr`.
    pub(super) language: String,
    /// Text that the speaker reads.
    pub(super) text: String,
    pub(super) samples: Vec<f32>,
}

/// A transcription by either engine.
#[derive(Debug, Deserialize)]
struct VoiceTranscription {
    language: String,
    text: String,
    /// Word, start and end in seconds.
    words: Vec<(String, f64, f64)>,
}

/// Agreement of transcriptions with the reference's.
#[derive(Debug, Default, Clone, Copy)]
struct Agreement {
    languages: usize,
    texts: usize,
    /// Sum of the similarities of texts, 1 for equal ones.
    similarity: f64,
    /// Word times of equal texts.
    times: usize,
    close_times: usize,
}

impl Agreement {
    fn add(&mut self, one: &VoiceTranscription, other: &VoiceTranscription) {
        self.languages += usize::from(one.language == other.language);
        self.similarity += strsim::normalized_levenshtein(&one.text, &other.text);
        if one.text != other.text {
            return;
        }
        self.texts += 1;
        let words = one.words.iter().zip(&other.words);
        let differences =
            words.flat_map(|(one, other)| [(one.1 - other.1).abs(), (one.2 - other.2).abs()]);
        for difference in differences {
            self.times += 1;
            self.close_times += usize::from(difference <= ONE_POSITION);
        }
    }
}

/// Finds the real model. Without it, a test prints a notice and passes; with `CI` set, the test
/// fails.
pub(super) fn model() -> Option<PathBuf> {
    let directory =
        std::env::var_os("BB_MODELS_DIR").filter(|value| !value.is_empty()).map(PathBuf::from);
    let actual = ModelStore::new(directory).verify(ModelSpec::find(MODEL).unwrap());
    let skipped = |error| {
        skip(&format!(
            "NOT TESTED with {MODEL}: {error}. Run scripts/models, or ./test, which does so"
        ));
    };
    actual.map_err(skipped).ok()
}

/// Reads the recordings of `scripts/peers recordings`, resampled to 16 kHz: all of them, or one per
/// language.
pub(super) fn voices(all: bool) -> Option<Vec<Voice>> {
    let environment = peer_directory("recordings")?;
    let packages =
        std::fs::read_dir(environment.join("lib")).unwrap().next().unwrap().unwrap().path();
    let folder = packages.join("site-packages/pytest_audioeval/samples/audio");
    let mut voices = Vec::new();
    for language in entries(&folder) {
        let files = entries(&language)
            .into_iter()
            .filter(|file| file.extension().is_some_and(|name| name == "wav"));
        // The longest one has the most words to compare.
        let mut files: Vec<_> = files.map(|file| (std::fs::read(&file).unwrap(), file)).collect();
        files.sort_by_key(|(bytes, _)| std::cmp::Reverse(bytes.len()));
        files.truncate(if all { files.len() } else { 1 });
        let language = language.file_name().unwrap().to_str().unwrap();
        voices.extend(files.into_iter().map(|(bytes, file)| Voice {
            name: format!("{language}/{}", file.file_stem().unwrap().to_str().unwrap()),
            language: language.to_owned(),
            text: std::fs::read_to_string(file.with_extension("txt")).unwrap(),
            samples: resample_for_recognition(&Wav::decode(&bytes).unwrap().pcm),
        }));
    }
    Some(voices)
}

/// Lists a directory in order.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn real_voice_transcriptions_match_the_reference() {
    check("transcribe", SpeechTask::Transcribe);
}

#[test]
fn real_voice_translations_match_the_reference() {
    check("translate", SpeechTask::Translate);
}

/// Compares with the options of Babelbit's validators, except for the task: the defaults with word
/// times.
fn check(name: &str, task: SpeechTask) {
    let Some(peer) = Peer::with_exact_products() else { return };
    let all = is_exhaustive();
    let (Some(folder), Some(mut voices)) = (model(), voices(all)) else { return };
    assert_eq!(voices.len(), if all { 27 } else { 9 });
    let languages = match task {
        SpeechTask::Transcribe => &TRANSCRIBED[..],
        SpeechTask::Translate => &TRANSLATED,
    };
    voices.retain(|voice| all || languages.contains(&&*voice.language));
    let paths: Vec<PathBuf> = voices
        .iter()
        .enumerate()
        .map(|(i, voice)| peer.write_values(&format!("voice{i}"), &voice.samples))
        .collect();
    let answer = peer.run_reference(json!({
        "do": "repeat", "model": folder, "audio": paths, "repeats": REPEATS,
        "options": {"word_timestamps": true, "task": name}
    }));
    let theirs: Vec<Vec<VoiceTranscription>> = serde_json::from_value(answer).unwrap();
    for gemm in sampled_kernels() {
        let model = Model::open_with(&folder, &gemm).unwrap();
        compare(&Arc::new(model), task, &voices, &theirs);
    }
}

/// Encodes a recording as a WAV file; the second channel is quieter.
fn wav(voice: &Voice, rate: u32, format: SampleFormat, channels: u16) -> Vec<u8> {
    let rate = SampleRate::new(rate).unwrap();
    let mono = Pcm::mono(voice.samples.clone(), SampleRate::HZ_16K);
    let samples = resample_endpoints(&mono, rate).samples;
    let quieter = |sample: &f32| {
        (0..channels).map(|channel| sample / f32::from(1 + channel)).collect::<Vec<_>>()
    };
    let samples = samples.iter().flat_map(quieter).collect();
    Wav::encode(&Pcm { samples, channels, rate }, format).unwrap()
}

/// Both engines decode the files. Their resamplers differ, so the reference's second repetition
/// transcribes the samples of our resampler.
#[test]
fn transcripts_of_real_voices_in_any_file_format_match_the_reference() {
    let Some(peer) = Peer::with_exact_products() else { return };
    let all = is_exhaustive();
    let (Some(folder), Some(mut voices)) = (model(), voices(false)) else { return };
    if !all {
        voices.retain(|voice| FILE_LANGUAGES.contains(&&*voice.language));
    }
    let (mut files, mut audio, mut cases) = (Vec::new(), Vec::new(), Vec::new());
    for (turn, voice) in voices.iter().enumerate() {
        for (kind, (rate, format, channels)) in FILE_FORMATS.into_iter().enumerate() {
            if !all && kind % voices.len() != turn {
                continue;
            }
            let name = format!("{}, {rate} Hz, {format:?}, {channels} channels", voice.name);
            let file = wav(voice, rate, format, channels);
            let path = peer.folder.path().join(format!("file{}.wav", files.len()));
            std::fs::write(&path, &file).unwrap();
            let samples = resample_for_recognition(&Wav::decode(&file).unwrap().pcm);
            audio.push(peer.write_values(&format!("audio{}", files.len()), &samples));
            files.push(path);
            let (language, text) = (voice.language.clone(), voice.text.clone());
            cases.push(Voice { name, language, text, samples });
        }
    }
    let answer = peer.run_reference(json!({
        "do": "files", "model": folder, "files": files, "audio": audio,
        "options": {"word_timestamps": true}
    }));
    let theirs: Vec<Vec<VoiceTranscription>> = serde_json::from_value(answer).unwrap();
    for gemm in sampled_kernels() {
        let model = Model::open_with(&folder, &gemm).unwrap();
        compare(&Arc::new(model), SpeechTask::Transcribe, &cases, &theirs);
    }
}

fn compare(
    model: &Arc<Model>,
    task: SpeechTask,
    voices: &[Voice],
    theirs: &[Vec<VoiceTranscription>],
) {
    let options = Options { word_timestamps: true, task, ..Options::default() };
    let transcriber =
        Transcriber::start(MODEL, model, options, EngineSize::for_model(model)).unwrap();
    let (mut ours, mut reference) = (Agreement::default(), [Agreement::default(); REPEATS]);
    let mut correct_languages = 0;
    for (voice, theirs) in voices.iter().zip(theirs) {
        let transcription = transcriber.recognize(&voice.samples).unwrap().transcript;
        let words =
            transcription.words.into_iter().map(|word| (word.text, word.start, word.end)).collect();
        let transcription = VoiceTranscription {
            language: transcription.detected_language,
            text: transcription.text,
            words,
        };
        correct_languages += usize::from(transcription.language == voice.language);
        let (first, repeated) = theirs.split_first().unwrap();
        ours.add(&transcription, first);
        for (agreement, repetition) in reference.iter_mut().zip(repeated) {
            agreement.add(repetition, first);
        }
        if transcription.text != first.text {
            let _ =
                writeln!(std::io::stderr(), "{}\n  ours       {}", voice.name, transcription.text);
            for theirs in theirs {
                let _ = writeln!(std::io::stderr(), "  reference  {}", theirs.text);
            }
        }
    }
    let count = voices.len() as f64;
    let _ = writeln!(
        std::io::stderr(),
        "{MODEL}, {task:?}, {}, {} recordings, {correct_languages} in the language of the speaker: {ours:?}, the \
         reference itself {reference:?}",
        model.kernels(),
        voices.len()
    );
    let reference_texts =
        reference.iter().map(|agreement| agreement.texts).min().unwrap_or_default();
    // Two standard deviations of a count with the reference's own share, since the recordings are
    // few. The share is estimated by Laplace's rule: 9 of 9 do not prove that all others are equal.
    let share = (reference_texts as f64 + 1.0) / (count + 2.0);
    let spread = 2.0 * (count * share * (1.0 - share)).sqrt();
    assert!(
        ours.texts as f64 >= reference_texts as f64 - spread,
        "{} texts equal the reference's, which reproduces {reference_texts}",
        ours.texts
    );
    // Most translations change under noise, but little.
    let reference_similarity =
        reference.iter().map(|agreement| agreement.similarity).fold(count, f64::min);
    assert!(
        ours.similarity >= reference_similarity - 0.2 * count,
        "the texts have a similarity of {:.2} of {count}, the reference's repetitions {reference_similarity:.2}",
        ours.similarity
    );
    let reference_languages =
        reference.iter().map(|agreement| agreement.languages).min().unwrap_or_default();
    assert!(
        ours.languages >= reference_languages,
        "{} languages equal the reference's, which reproduces {reference_languages}",
        ours.languages
    );
    // Equal texts have equal times, but for rounding.
    let close =
        |agreement: &Agreement| agreement.close_times as f64 / agreement.times.max(1) as f64;
    let reference_close = reference.iter().map(close).fold(1.0, f64::min);
    assert!(
        close(&ours) >= reference_close - 0.05,
        "{:.3} of the word times are close, in repetitions of the reference {reference_close:.3}",
        close(&ours)
    );
}
