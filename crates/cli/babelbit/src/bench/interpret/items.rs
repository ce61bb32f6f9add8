//! Recordings to interpret, each with its reference.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use taonet_babelbit_challenges::{
    BuiltChallenge, Challenge, Challenges, Problem, Source, Target, Utterance, UtteranceAudio,
};
use taonet_babelbit_runner::read_source;
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_models::speech::truncation;
use taonet_primitives::without_bom;
use taonet_speech::{Synthesizer, WavError};

use super::super::sounds::wav_paths;
use crate::challenge;

/// Code that is announced for recordings in an unknown language: undetermined, by ISO 639-2.
pub(super) const UNDETERMINED: &str = "und";
/// Hint for a directory that is not one of recordings.
const FORMAT_HINT: &str = "a directory has recordings NAME.wav, each with its reference NAME.txt";

/// A recording to interpret.
#[derive(Debug)]
pub(super) struct Item {
    /// Name of the recording; in a challenge, the number of the utterance from 1.
    pub(super) name: String,
    /// Words of the recording, if known.
    pub(super) source: Option<String>,
    /// Duration of the recording in seconds.
    pub(super) source_sec: f64,
    /// Challenge with the recording as its only utterance: replies are scored while no recording is
    /// played, so that scoring does not slow the miner down.
    pub(super) challenge: Challenge,
}

impl Item {
    /// Creates the item at position `index`; `languages` are those of the recording and of the
    /// reference.
    fn new(
        index: usize,
        name: String,
        source: Option<String>,
        audio: UtteranceAudio,
        target: Target,
        languages: (&str, &str),
    ) -> Self {
        let uid = format!("bench-{}", index + 1);
        let source_sec = audio.frames as f64 / f64::from(audio.rate.hz());
        let utterance = Utterance {
            id: format!("{uid}:0"),
            speaker: None,
            source: Source::Recording(audio),
            target,
        };
        let challenge = Challenge {
            uid,
            title: name.clone(),
            language: languages.0.to_owned(),
            target_language: languages.1.to_owned(),
            utterances: vec![utterance],
        };
        Self { name, source, source_sec, challenge }
    }

    /// Returns the warning that the recording's file is truncated; `None` if it is complete.
    pub(super) fn truncation(&self) -> Option<String> {
        let Source::Recording(audio) = &self.challenge.utterances.first()?.source else {
            return None;
        };
        truncation(&format!("recording {}", self.name), audio.missing_bytes)
    }

    /// Returns copy number `repetition` (2 is the first) of the recording, at position `index`.
    fn repeat(&self, index: usize, repetition: usize) -> Self {
        let mut challenge = self.challenge.clone();
        challenge.uid = format!("bench-{}", index + 1);
        for utterance in &mut challenge.utterances {
            utterance.id = format!("{}:0", challenge.uid);
        }
        Self {
            name: format!("{} ({repetition})", self.name),
            source: self.source.clone(),
            source_sec: self.source_sec,
            challenge,
        }
    }
}

/// Repeats recordings, in order, until there are enough for this many speakers.
pub(super) fn repeat(mut items: Vec<Item>, speakers: usize) -> Vec<Item> {
    let recordings = items.len();
    let repetitions = (recordings..speakers).zip(items.iter().cycle());
    let repetitions: Vec<_> =
        repetitions.map(|(index, item)| item.repeat(index, index / recordings + 1)).collect();
    items.extend(repetitions);
    items
}

/// The recordings that an argument selects.
pub(super) enum Recordings {
    /// Utterances of a challenge, which may have to be synthesised.
    Challenge(Challenge),
    /// Files of a directory.
    Files(Vec<Item>),
}

impl Recordings {
    /// Finds a shipped challenge by name, or reads a challenge file or a directory. A directory's
    /// recordings are in `language`, and its references in `target_language`. `max_source` is the
    /// maximum duration of a recording, summed over its channels.
    ///
    /// # Errors
    /// If there is no such challenge, file or directory, or if it is malformed or unplayable.
    pub(super) fn find(
        path: &Path,
        language: Option<&str>,
        target_language: &str,
        max_source: Duration,
    ) -> anyhow::Result<Self> {
        if path.is_dir() && Challenges::names().all(|name| path.as_os_str() != &*name) {
            let languages = (language.unwrap_or(UNDETERMINED), target_language);
            return Ok(Self::Files(read_directory(path, languages, max_source)?));
        }
        let is_wav =
            path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("wav"));
        if is_wav && path.is_file() {
            let path = path.display();
            let message = format!("{path} is a recording\nhint: name its directory: {FORMAT_HINT}");
            return Err(ClassifiedError::usage(message));
        }
        if language.is_some() {
            let message = "--language is for a directory of recordings, and a challenge states its own\nhint: omit it";
            return Err(ClassifiedError::usage(message));
        }
        Ok(Self::Challenge(challenge::find(&path.display().to_string(), path)?))
    }

    /// Returns the recordings, with the texts of a challenge synthesised.
    ///
    /// # Errors
    /// If the synthesis fails.
    pub(super) async fn items(
        self,
        synthesizer: Arc<dyn Synthesizer>,
    ) -> anyhow::Result<Vec<Item>> {
        let challenge = match self {
            Self::Challenge(challenge) => Arc::new(challenge),
            Self::Files(items) => return Ok(items),
        };
        let built_challenge = BuiltChallenge::build(Arc::clone(&challenge), synthesizer).await?;
        let languages = (challenge.language.as_str(), challenge.target_language.as_str());
        let utterances = challenge.utterances.iter().zip(built_challenge.audio).enumerate();
        let items = utterances.map(|(index, (utterance, audio))| {
            let source = match &utterance.source {
                Source::Text { text, .. } => Some(text.clone()),
                Source::Recording(_) => None,
            };
            Item::new(
                index,
                (index + 1).to_string(),
                source,
                audio,
                utterance.target.clone(),
                languages,
            )
        });
        Ok(items.collect())
    }
}

/// Reads the recordings of a directory, sorted by name.
fn read_directory(
    directory: &Path,
    languages: (&str, &str),
    max_source: Duration,
) -> anyhow::Result<Vec<Item>> {
    let paths = wav_paths(directory).map_err(|error| anyhow!("{error:#}\nhint: {FORMAT_HINT}"))?;
    paths
        .iter()
        .enumerate()
        .map(|(index, path)| read_recording(index, path, languages, max_source))
        .collect()
}

/// Reads a recording, its reference and its words.
fn read_recording(
    index: usize,
    path: &Path,
    languages: (&str, &str),
    max_source: Duration,
) -> anyhow::Result<Item> {
    let wav = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let audio = UtteranceAudio::from_wav(&wav).map_err(|problem| recording_error(path, problem))?;
    let reference = path.with_extension("txt");
    let hint = format!("write the translation of {} into it", path.display());
    let Some(text) = read_text(&reference, &hint)? else {
        bail!("{} is missing\nhint: {hint}", reference.display());
    };
    let target = Target { text, words: Vec::new(), words_per_second: None };
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let hint = format!("write the words of {} into it, or delete it", path.display());
    let words = read_text(&path.with_extension("src.txt"), &hint)?;
    let item = Item::new(index, name, words, audio.clone(), target, languages);
    // The runner would skip a recording beyond its limits.
    let built_challenge =
        BuiltChallenge { challenge: Arc::new(item.challenge.clone()), audio: vec![audio] };
    read_source(&built_challenge.payload("", 0), max_source)
        .with_context(|| path.display().to_string())?;
    Ok(item)
}

/// Describes why a recording cannot be used.
fn recording_error(path: &Path, problem: Problem) -> anyhow::Error {
    // Other errors are about WAV files.
    let hint = match problem {
        Problem::Wav(WavError::Tag { .. } | WavError::Truncated { .. }) => {
            "\nhint: convert the recording to a WAV file of 16-bit PCM"
        }
        _ => "",
    };
    anyhow::Error::new(problem).context(format!("{}{hint}", path.display()))
}

/// Reads a text on any number of lines; `None` if there is no such file. `hint` is for a file
/// without words.
fn read_text(path: &Path, hint: &str) -> anyhow::Result<Option<String>> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        result => result.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let text = without_bom(&text).split_whitespace().collect::<Vec<_>>().join(" ");
    if !text.contains(char::is_alphanumeric) {
        let fault = if text.is_empty() { "is empty" } else { "has no words" };
        bail!("{} {fault}\nhint: {hint}", path.display());
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use taonet_primitives::SampleRate;
    use taonet_speech::{SampleFormat, Wav};

    use super::super::super::sounds::encode_wav;
    use super::*;

    fn list_recordings(directory: &Path, language: Option<&str>) -> anyhow::Result<Vec<Item>> {
        match Recordings::find(directory, language, "en", Duration::from_secs(10))? {
            Recordings::Files(items) => Ok(items),
            Recordings::Challenge(challenge) => panic!("{challenge:?}"),
        }
    }

    #[test]
    fn recordings_directory_error_names_missing_file() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &[u8]| {
            std::fs::write(directory.path().join(name), content).unwrap();
        };
        let error = || list_recordings(directory.path(), None).unwrap_err().to_string();
        assert!(
            error().ends_with(&format!("contains no WAV file\nhint: {FORMAT_HINT}")),
            "{}",
            error()
        );
        write("b.wav", &encode_wav(vec![0.1; 16_000], SampleRate::HZ_16K).unwrap());
        assert!(
            error().contains("b.txt is missing\nhint: write the translation of "),
            "{}",
            error()
        );
        write("b.txt", b" \n");
        let hint = "\nhint: write the translation of ";
        assert!(error().contains(&format!("b.txt is empty{hint}")), "{}", error());
        write("b.txt", b"... !\n");
        assert!(error().contains(&format!("b.txt has no words{hint}")), "{}", error());
        write("b.txt", "\u{feff}Good\n  morning.\n".as_bytes());
        write("a.WAV", &encode_wav(vec![0.1; 24_000], SampleRate::HZ_16K).unwrap());
        write("a.txt", b"Hello.");
        write("a.src.txt", "Allô.".as_bytes());
        let items = list_recordings(directory.path(), Some("fr")).unwrap();
        let fields: Vec<_> = items
            .iter()
            .map(|item| (&*item.name, item.source.as_deref(), item.source_sec))
            .collect();
        assert_eq!(fields, [("a", Some("Allô."), 1.5), ("b", None, 1.0)]);
        let challenge = &items[1].challenge;
        assert_eq!(
            (&*challenge.uid, &*challenge.language, &*challenge.target_language),
            ("bench-2", "fr", "en")
        );
        assert_eq!(challenge.utterances[0].target.text, "Good morning.");
        assert_eq!(
            list_recordings(directory.path(), None).unwrap()[0].challenge.language,
            UNDETERMINED
        );
        write("a.src.txt", b"");
        let expected = "a.src.txt is empty\nhint: write the words of ";
        assert!(error().contains(expected), "{}", error());
        write("a.src.txt", "Allô.".as_bytes());
        for content in [&b""[..], b"RIFF", b"ID3\x04 an MP3 file"] {
            write("c.wav", content);
            let expected = "c.wav\nhint: convert the recording to a WAV file of 16-bit PCM";
            assert!(error().ends_with(expected), "{}", error());
        }
    }

    #[test]
    fn recording_in_place_of_its_directory_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.WAV");
        std::fs::write(&path, encode_wav(vec![0.1; 16_000], SampleRate::HZ_16K).unwrap()).unwrap();
        let error = list_recordings(&path, Some("fr")).unwrap_err().to_string();
        assert!(error.contains("a.WAV is a recording\nhint: name its directory: "), "{error}");
    }

    #[test]
    fn truncated_recording_is_described() {
        let directory = tempfile::tempdir().unwrap();
        let file = encode_wav(vec![0.1; 16_000], SampleRate::HZ_16K).unwrap();
        for (name, file) in [("a", &file[..file.len() - 2]), ("b", &file[..])] {
            let path = directory.path().join(name);
            std::fs::write(path.with_extension("wav"), file).unwrap();
            std::fs::write(path.with_extension("txt"), "Hello.").unwrap();
        }
        let items = list_recordings(directory.path(), None).unwrap();
        let truncations: Vec<_> = items.iter().filter_map(Item::truncation).collect();
        assert_eq!(truncations, ["recording a is truncated: it lacks 2 bytes of audio"]);
    }

    #[test]
    fn recordings_repeat_when_speakers_outnumber_them() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            let path = directory.path().join(name);
            let file = encode_wav(vec![0.1; 16_000], SampleRate::HZ_16K).unwrap();
            std::fs::write(path.with_extension("wav"), file).unwrap();
            std::fs::write(path.with_extension("txt"), "Hello.").unwrap();
        }
        let items = |speakers| repeat(list_recordings(directory.path(), None).unwrap(), speakers);
        assert_eq!(items(1).len(), 2);
        let five = items(5);
        let names: Vec<_> = five.iter().map(|item| item.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "a (2)", "b (2)", "a (3)"]);
        let last = &five[4].challenge;
        assert_eq!((&*last.uid, &*last.utterances[0].id), ("bench-5", "bench-5:0"));
        assert!(repeat(Vec::new(), 5).is_empty());
    }

    /// Columns: channels · seconds · whether a limit of 10 s over all channels permits the
    /// recording
    #[test]
    fn recording_above_duration_limit_is_rejected() {
        let rate = SampleRate::HZ_16K;
        for (channels, seconds, is_permitted) in
            [(1, 10, true), (1, 11, false), (2, 5, true), (2, 6, false)]
        {
            let directory = tempfile::tempdir().unwrap();
            let samples = vec![1; usize::from(channels) * seconds * rate.hz() as usize * 2];
            let file = Wav::wrap(&samples, SampleFormat::S16, channels, rate).unwrap();
            std::fs::write(directory.path().join("a.wav"), file).unwrap();
            std::fs::write(directory.path().join("a.txt"), "Hello.").unwrap();
            match list_recordings(directory.path(), None) {
                Ok(items) => {
                    assert!(is_permitted && items.len() == 1, "{channels} channels of {seconds} s");
                }
                Err(error) => {
                    let error = format!("{error:#}");
                    assert!(
                        !is_permitted && error.contains("a.wav: ") && error.contains("is too long"),
                        "{error}"
                    );
                }
            }
        }
    }

    #[test]
    fn language_option_requires_a_directory() {
        let find = |name: &str, language| {
            Recordings::find(Path::new(name), language, "en", Duration::from_mins(10))
        };
        let error = find("1", Some("fr")).err().unwrap().to_string();
        assert!(error.starts_with("--language is for a directory of recordings"), "{error}");
        assert!(matches!(find("fr-1", None).unwrap(), Recordings::Challenge(_)));
        let error = find("fr-9", None).err().unwrap().to_string();
        assert!(
            error.starts_with("fr-9: neither a shipped challenge nor a file\nhint: "),
            "{error}"
        );
    }
}
