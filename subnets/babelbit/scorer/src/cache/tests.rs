use std::sync::Arc;

use proptest::prelude::*;
use taonet_primitives::{Transcript, Word};

use super::*;
use crate::tests::ScriptedRecognizer;

const TEN: NonZeroUsize = NonZeroUsize::new(10).unwrap();

fn sample_transcription(text: &str) -> Arc<Transcription> {
    let words = vec![Word { text: text.into(), start: 0.0, end: 0.1 }];
    let transcript = Transcript { text: text.into(), words, detected_language: "en".into() };
    Arc::new(Transcription { transcript, confidence: Some(0.7) })
}

fn hash(text: &str) -> AudioHash {
    AudioHash::of(text.as_bytes())
}

fn identity(model: &'static str) -> EngineIdentity {
    EngineIdentity::for_recognizer(&*ScriptedRecognizer::new(model, &[]))
}

fn open(path: &Path, model: &'static str) -> TranscriptCache {
    TranscriptCache::open(path, &identity(model), TEN).unwrap()
}

fn text(cache: &TranscriptCache, audio: &str) -> Option<String> {
    cache.get(hash(audio)).map(|transcription| transcription.transcript.text.clone())
}

/// Formats a line like the reference system.
fn reference_line(audio: &str, text: &str) -> String {
    format!(
        "{{\"wav_sha256\": \"{}\", \"text\": \"{text}\", \"words\": [{{\"word\": \"{text}\", \"start\": 0.0, \"end\": 0.4}}], \"detected_language\": \"en\"}}\n",
        hash(audio)
    )
}

#[test]
fn cached_transcripts_round_trip() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/stt_cache.jsonl");
    open(&path, "tiny-ctc").put(hash("a"), &sample_transcription("schön"));
    assert_eq!(open(&path, "tiny-ctc").get(hash("a")), Some(sample_transcription("schön")));
    assert!(!path.exists(), "this is the reference system's file");
    let line = std::fs::read_to_string(folder.path().join("new/stt_cache.tiny-ctc.jsonl")).unwrap();
    let expected = format!(
        "{{\"wav_sha256\":\"{}\",\"text\":\"schön\",\"words\":[{{\"word\":\"schön\",\"start\":0.0,\"end\":0.1}}],\"detected_language\":\"en\",\"recognizer\":\"tiny-ctc\",\"confidence\":0.7}}\n",
        hash("a")
    );
    assert_eq!(line, expected);
}

#[test]
fn other_recognisers_do_not_write_the_reference_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stt_cache.jsonl");
    // Lines that an earlier version wrote to the reference's file are still valid.
    let content = reference_line("a", "x")
        + &reference_line("b", "own").replace("\"text\"", "\"recognizer\": \"tiny-ctc\", \"text\"");
    std::fs::write(&path, &content).unwrap();
    let cache = open(&path, "tiny-ctc");
    assert_eq!((text(&cache, "a"), text(&cache, "b").as_deref()), (None, Some("own")));
    cache.put(hash("a"), &sample_transcription("y"));
    cache.put(hash("b"), &sample_transcription("newer"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
    let cache = open(&path, "tiny-ctc");
    assert_eq!(
        (text(&cache, "a").as_deref(), text(&cache, "b").as_deref()),
        (Some("y"), Some("newer"))
    );
    assert_eq!(text(&open(&path, "faster-whisper-small"), "a").as_deref(), Some("x"));
    assert_eq!(recognizer_path(Path::new("/c/cache"), "a/../b c"), Path::new("/c/cache.a-..-b-c"));
    let directory = recognizer_path(Path::new("/c/cache.jsonl"), "dir:faster-whisper-small");
    assert_eq!(directory, Path::new("/c/cache.dir-faster-whisper-small.jsonl"));
}

/// Columns: writer · reader · whether the line is valid for the reader
#[test]
fn cached_line_is_used_for_its_recogniser_only() {
    for (writer, reader, is_used) in [
        (Some("tiny-ctc"), "tiny-ctc", true),
        (Some("tiny-ctc"), "faster-whisper-small", false),
        (Some("faster-whisper-tiny"), "faster-whisper-small", false),
        (None, "faster-whisper-small", true),
        (None, "tiny-ctc", false),
        (Some("dir:faster-whisper-small"), "faster-whisper-small", false),
        (None, "dir:faster-whisper-small", false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stt_cache.jsonl");
        match writer {
            Some(writer) => open(&path, writer).put(hash("a"), &sample_transcription("x")),
            None => std::fs::write(&path, reference_line("a", "x")).unwrap(),
        }
        assert_eq!(open(&path, reader).get(hash("a")).is_some(), is_used, "{writer:?} {reader}");
    }
}

#[test]
fn malformed_lines_are_skipped_and_later_lines_are_read() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut content = reference_line("a", "old");
    content += "\n[1, 2]\n7\nnull\n{\"text\": \"no key\"}\n{\"wav_sha256\": 7}\n{\"wav_sha256\": \"short\"}\nnot json\n";
    content += &reference_line("a", "new");
    let minimal_line = format!("{{\"wav_sha256\": \"{}\", \"text\": \"bare\"}}\n", hash("b"));
    content += &minimal_line;
    let mut bytes = content.into_bytes();
    bytes.extend(b"\xff\xfe not UTF-8\n");
    std::fs::write(file.path(), bytes).unwrap();
    let cache = open(file.path(), "faster-whisper-small");
    assert_eq!(cache.len(), 2);
    assert_eq!(text(&cache, "a").as_deref(), Some("new"));
    assert_eq!(cache.get(hash("b")).unwrap().transcript.detected_language, "");
}

#[test]
fn overlong_cache_lines_are_skipped() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let long_line = |audio| reference_line(audio, &"long ".repeat(1 << 18));
    std::fs::write(
        file.path(),
        long_line("a") + &reference_line("b", "short") + &long_line("c") + "{\"torn\": ",
    )
    .unwrap();
    let cache = open(file.path(), "faster-whisper-small");
    assert_eq!(
        (text(&cache, "a"), text(&cache, "b").as_deref(), text(&cache, "c")),
        (None, Some("short"), None)
    );
}

#[test]
fn oversized_cache_file_loses_its_older_half() {
    for model in ["tiny-ctc", "faster-whisper-tiny"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stt_cache.jsonl");
        let file = if model == "tiny-ctc" { recognizer_path(&path, model) } else { path.clone() };
        let capacity = NonZeroUsize::new(1_000).unwrap();
        let open = |limit| {
            TranscriptCache::open_bounded(&path, &identity(model), capacity, limit).unwrap()
        };
        let cache = open(20_000);
        for audio in 0..1_000 {
            cache.put(hash(&audio.to_string()), &sample_transcription("x"));
            assert!(std::fs::metadata(&file).unwrap().len() <= 20_000, "{model}");
        }
        let reopened = open(20_000);
        assert!((40..100).contains(&reopened.len()), "{model}: {}", reopened.len());
        assert!(
            (0..reopened.len()).all(|age| text(&reopened, &(999 - age).to_string()).is_some()),
            "{model}"
        );
        // Opening truncates a file above the limit, such as one from another program.
        drop((cache, reopened));
        assert!((20..50).contains(&open(10_000).len()), "{model}");
        assert!(std::fs::metadata(&file).unwrap().len() <= 5_000, "{model}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "{model}");
    }
}

#[test]
fn line_is_appended_after_an_incomplete_one() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let truncated = reference_line("a", "whole") + &reference_line("b", "torn")[..40];
    std::fs::write(file.path(), truncated).unwrap();
    open(file.path(), "faster-whisper-small").put(hash("c"), &sample_transcription("after"));
    let cache = open(file.path(), "faster-whisper-small");
    assert_eq!(text(&cache, "a").as_deref(), Some("whole"));
    assert_eq!(text(&cache, "b"), None);
    assert_eq!(text(&cache, "c").as_deref(), Some("after"));
}

#[test]
fn cache_in_memory_is_bounded_and_file_is_complete() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let cache = open(file.path(), "faster-whisper-tiny");
    for audio in 0..25 {
        cache.put(hash(&audio.to_string()), &sample_transcription("x"));
    }
    assert_eq!(cache.len(), 10);
    assert!(cache.get(hash("0")).is_none());
    assert_eq!(std::fs::read_to_string(file.path()).unwrap().lines().count(), 25);
    assert!(open(file.path(), "faster-whisper-tiny").get(hash("24")).is_some());
}

#[test]
fn unusable_cache_path_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let error = TranscriptCache::open(folder.path(), &identity("tiny-ctc"), TEN).err().unwrap();
    assert!(error.to_string().contains(&folder.path().display().to_string()), "{error}");
}

proptest! {
    #[test]
    fn arbitrary_cache_file_never_panics(content in prop::collection::vec(any::<u8>(), 0..200)) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        let cache = open(file.path(), "faster-whisper-small");
        cache.put(hash("a"), &sample_transcription("x"));
        prop_assert!(open(file.path(), "faster-whisper-small").get(hash("a")).is_some());
    }
}
