//! A miner with Whisper base and the neural voice: sources that are not the speech of one person in
//! a known language, and a kill in the middle of an utterance. Each ends with an error or a short
//! reply, and another speaker misses no deadline meanwhile.

use std::f32::consts::TAU;
use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use taonet_babelbit_runner::Source;
use taonet_primitives::SampleRate;
use taonet_speech::{
    Espeak, Pcm, SampleFormat, Synthesizer as _, Voice, Wav, resample_for_recognition,
};

use super::{VOICE, WHISPER, repeat_until_in_time};
use crate::support::{
    Daemon, MinerClient, are_installed, free_address, is_exhaustive, local_bb, repository,
};

/// Samples per second.
const RATE: usize = 16_000;
/// Deadline of a frame's response.
const FRAME_DEADLINE: Duration = Duration::from_secs(3);
/// Deadline of the rest of a reply after the last frame.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);
/// Maximum number of empty requests after the last frame.
const MAX_DRAIN_REQUESTS: usize = 8;
/// Limit of the miner on the duration of a source, in seconds.
const MAX_SOURCE: usize = 120;
/// Maximum number of runs of a source until one has no late response.
const MAX_RUNS: usize = 5;

/// A frame of NaN: 640 times the base64 of three.
fn not_a_number() -> String {
    "AADAfwAAwH8AAMB/".repeat(640)
}

/// Returns the command of the miner of `//Bob`, or `None` if its models are not installed.
fn whisper_miner() -> Option<Command> {
    if !are_installed(&[WHISPER, VOICE]) {
        return None;
    }
    let mut miner = local_bb();
    miner.env("BB_AUDIO_SCORING_STT_MODEL", WHISPER);
    miner.args(["miner", "--stt", "whisper", "--voice", &format!("piper:{VOICE}")]);
    miner.args(["--key-uri", "//Bob"]);
    Some(miner)
}

/// Returns the samples of a recording in vectors/speech.
fn recording(number: usize) -> Vec<f32> {
    let number = number % 20;
    let file = fs::read(repository(&format!("vectors/speech/utt{number:02}.wav"))).unwrap();
    resample_for_recognition(&Wav::decode(&file).unwrap().pcm)
}

/// Uniform noise.
fn noise(seconds: usize) -> Vec<f32> {
    let mut state = 1_u32;
    let sample = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        0.3 * ((state >> 8) as f32 / (1 << 23) as f32 - 1.0)
    };
    std::iter::repeat_with(sample).take(seconds * RATE).collect()
}

/// Two chords a second.
fn music(seconds: usize) -> Vec<f32> {
    const ROOTS: [f32; 4] = [262.0, 349.0, 392.0, 330.0];
    let sample = |index: usize| {
        let (chord, time) = (index / (RATE / 2), (index % (RATE / 2)) as f32 / RATE as f32);
        let tone = |ratio: f32| (TAU * ROOTS[chord % ROOTS.len()] * ratio * time).sin();
        0.2 * (-3.0 * time).exp() * (tone(1.0) + tone(1.25) + tone(1.5))
    };
    (0..seconds * RATE).map(sample).collect()
}

/// Two people who speak at the same time.
fn two_speakers() -> Vec<f32> {
    recording(0).iter().zip(recording(7)).map(|(one, other)| 0.5 * (one + other)).collect()
}

/// Speech in Esperanto, which Whisper does not know.
fn esperanto() -> Vec<f32> {
    let voice = Voice { name: "eo".to_owned(), words_per_minute: 150, pitch: 50 };
    let text = "Bonan tagon, mia nomo estas Petro, kaj mi loĝas en granda domo apud la maro.";
    resample_for_recognition(&Espeak::find().unwrap().speak(text, &voice).unwrap())
}

/// Speech without a pause of more than 0.1 s.
fn without_pauses(seconds: usize) -> Vec<f32> {
    let mut speech = Vec::new();
    let loud = |samples: &&[f32]| samples.iter().any(|sample| sample.abs() > 0.02);
    for number in 0.. {
        let samples = recording(number);
        speech.extend(samples.chunks(RATE / 10).filter(loud).flatten().copied());
        if speech.len() >= seconds * RATE {
            break;
        }
    }
    speech.truncate(seconds * RATE);
    speech
}

/// Returns the frames of a source in base64.
fn frames(samples: Vec<f32>) -> Vec<String> {
    let pcm = Pcm::mono(samples, SampleRate::HZ_16K);
    let file = Wav::encode(&pcm, SampleFormat::S16).unwrap();
    let source = Source::from_wav(0, String::new(), String::new(), &file).unwrap();
    source.frames_b64.iter().map(ToString::to_string).collect()
}

/// Opens a session; returns its ID.
fn open_session(client: &MinerClient, utterance: &str, language: &str) -> Value {
    let opened = client.expect_accepted(&json!({
        "kind": "init", "challenge_uid": "bad-input", "utterance_id": utterance, "language": language,
        "sample_rate_hz": 24_000, "frame_rate_hz": 12.5, "frame_samples": 1_920,
        "dtype": "float32le", "channels": 1,
    }));
    opened["session_id"].clone()
}

fn predict(session: &Value, audio: &str, in_eos: bool) -> Value {
    json!({ "kind": "predict", "session_id": session, "audio_b64": audio, "in_eos": in_eos })
}

/// A complete reply.
struct Played {
    /// Size of the reply in bytes.
    bytes: u64,
    /// The responses after their deadlines.
    late: Vec<String>,
}

impl Played {
    /// Returns the duration of the reply in seconds.
    fn seconds(&self) -> f64 {
        self.bytes as f64 / 4.0 / 24_000.0
    }
}

/// Plays an utterance as a validator does.
#[track_caller]
fn play(client: &MinerClient, utterance: &str, language: &str, frames: &[String]) -> Played {
    let session = open_session(client, utterance, language);
    let (mut bytes, mut late, mut has_ended) = (0, Vec::new(), false);
    let mut last_sent = Instant::now();
    for (number, frame) in (1..).zip(frames) {
        last_sent = Instant::now();
        let response = client.expect_accepted(&predict(&session, frame, number == frames.len()));
        let limit = if number == frames.len() { DRAIN_DEADLINE } else { FRAME_DEADLINE };
        if last_sent.elapsed() > limit {
            late.push(format!("{utterance}, frame {number}: {:?}", last_sent.elapsed()));
        }
        bytes += response["n_bytes"].as_u64().unwrap();
        has_ended = response["out_eos"] == true;
        assert!(!has_ended || number == frames.len(), "{utterance}: ended at frame {number}");
    }
    for _ in 0..MAX_DRAIN_REQUESTS {
        if has_ended {
            break;
        }
        let response = client.expect_accepted(&predict(&session, "", true));
        bytes += response["n_bytes"].as_u64().unwrap();
        has_ended = response["out_eos"] == true;
    }
    assert!(has_ended, "{utterance}: the reply has no end");
    if last_sent.elapsed() > DRAIN_DEADLINE {
        late.push(format!("{utterance}, end: {:?}", last_sent.elapsed()));
    }
    Played { bytes, late }
}

/// Plays a source while another speaker's source is played again and again. Returns the reply, with
/// the late responses to both.
fn play_concurrently(
    miner: &Daemon,
    utterance: &str,
    source: &[String],
    other: &[String],
) -> Played {
    let has_ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let speaker = scope.spawn(|| {
            let client = MinerClient::new(miner.url(), "//Bob", "//Charlie");
            let mut late = Vec::new();
            // At least once; bounded for the case that the other source fails.
            for number in 0..50 {
                let utterance = format!("beside {utterance}.{number}");
                let played = play(&client, &utterance, "en", other);
                assert!(played.seconds() > 0.5, "{utterance}: {} s", played.seconds());
                late.extend(played.late);
                if has_ended.load(Ordering::Relaxed) {
                    break;
                }
            }
            late
        });
        let client = MinerClient::new(miner.url(), "//Bob", "//Alice");
        let mut played = play(&client, utterance, "xx", source);
        has_ended.store(true, Ordering::Relaxed);
        played.late.extend(speaker.join().unwrap());
        played
    })
}

#[test]
fn unusual_sources_get_short_replies_without_delaying_others() {
    let Some(mut command) = whisper_miner() else { return };
    let miner = Daemon::start(&mut command);
    let seconds = if is_exhaustive() { MAX_SOURCE } else { 20 };
    // Columns: name · source · limit in seconds on the reply's excess over the source; of invented
    // words, the interpreter says as many as it allows.
    let cases: [(&str, Vec<f32>, f64); 6] = [
        ("silence", vec![0.0; 5 * RATE], 2.0),
        ("noise", noise(5), 2.0),
        ("music", music(5), 2.0),
        ("two speakers", two_speakers(), 2.0),
        ("an unknown language", esperanto(), 3.0),
        ("no pause", without_pauses(seconds), 2.0),
    ];
    let other = frames(recording(3));
    for (name, samples, max_excess) in cases {
        let duration = samples.len() as f64 / RATE as f64;
        let source = frames(samples);
        let late = repeat_until_in_time(MAX_RUNS, Vec::is_empty, |run| {
            let played = play_concurrently(&miner, &format!("{name}, {run}"), &source, &other);
            assert!(
                played.seconds() <= duration + max_excess,
                "{name}: a reply of {} s",
                played.seconds()
            );
            assert!(name != "silence" || played.bytes == 0, "{} bytes", played.bytes);
            played.late
        });
        assert!(late.is_empty(), "{late:?}");
    }
    assert!(!miner.log().contains("panicked"), "{}", miner.log());
}

#[test]
fn invalid_frames_are_refused_and_the_session_continues() {
    let Some(mut command) = whisper_miner() else { return };
    let miner = Daemon::start(&mut command);
    let client = MinerClient::new(miner.url(), "//Bob", "//Alice");
    let speech = frames(recording(0));
    let session = open_session(&client, "invalid", "en");
    let numbered_frame = |audio: &str, index: u64, in_eos: bool| {
        let mut request = predict(&session, audio, in_eos);
        request["frame_index"] = json!(index);
        request
    };
    client.expect_accepted(&numbered_frame(&speech[0], 0, false));
    for (request, expected_status, expected) in [
        (numbered_frame(&speech[1], 2, false), 409, "frame_index is 2, expected 1"),
        (numbered_frame("@@@@", 1, false), 400, "audio_b64 is not base64"),
        (numbered_frame("AAAA", 1, false), 400, "which is not a multiple of 4"),
        (numbered_frame("", 1, false), 400, "audio_b64 is empty"),
        (numbered_frame(&speech[..2].concat(), 1, false), 413, "more than 1920 samples"),
    ] {
        let (status, response) = client.call(&request);
        let error = response["error"].as_str().unwrap();
        assert!(status == expected_status && error.contains(expected), "{status} {error}");
    }
    // NaN is heard as silence.
    client.expect_accepted(&numbered_frame(&not_a_number(), 1, false));
    let mut bytes = 0;
    for (index, frame) in (2..).zip(&speech[1..]) {
        let response =
            client.expect_accepted(&numbered_frame(frame, index, index == speech.len() as u64));
        bytes += response["n_bytes"].as_u64().unwrap();
    }
    for _ in 0..MAX_DRAIN_REQUESTS {
        bytes += client.expect_accepted(&predict(&session, "", true))["n_bytes"].as_u64().unwrap();
    }
    assert!(bytes > 24_000, "a reply of {bytes} bytes");
    assert!(!miner.log().contains("panicked"), "{}", miner.log());
}

/// A source of ten minutes without a pause is refused at the limit of 120 s; up to there, every
/// frame is answered. In `./test --all` only, since the miner recognises 120 s of audio.
#[test]
fn source_longer_than_limit_is_refused() {
    if !is_exhaustive() {
        return;
    }
    let Some(mut command) = whisper_miner() else { return };
    let miner = Daemon::start(&mut command);
    let client = MinerClient::new(miner.url(), "//Bob", "//Alice");
    let session = open_session(&client, "ten minutes", "en");
    let speech = frames(without_pauses(600));
    // Frames of 80 ms.
    let allowed = MAX_SOURCE * 25 / 2;
    for (number, frame) in speech.iter().enumerate() {
        let (status, response) = client.call(&predict(&session, frame, false));
        if number < allowed {
            assert_eq!(status, 200, "frame {number}: {response}");
        } else {
            let error = response["error"].as_str().unwrap();
            assert!(status == 413 && error.contains("the source is longer than 120 s"), "{error}");
        }
    }
    assert!(!miner.log().contains("panicked"), "{}", miner.log());
}

#[test]
fn restarted_miner_refuses_old_session_and_accepts_new_one() {
    let Some(mut command) = whisper_miner() else { return };
    let state = tempfile::tempdir().unwrap();
    command.args(["--replay-log"]).arg(state.path().join("replay"));
    let address = free_address();
    let speech = frames(recording(0));
    let miner = Daemon::start_at(&mut command, &address);
    let client = MinerClient::new(miner.url(), "//Bob", "//Alice");
    let session = open_session(&client, "killed", "en");
    for frame in &speech[..speech.len() / 2] {
        client.expect_accepted(&predict(&session, frame, false));
    }
    // Killed with SIGKILL.
    drop(miner);
    let Some(mut command) = whisper_miner() else { return };
    command.args(["--replay-log"]).arg(state.path().join("replay"));
    let miner = Daemon::start_at(&mut command, &address);
    let client = MinerClient::new(miner.url(), "//Bob", "//Alice");
    let next = predict(&session, &speech[speech.len() / 2], false);
    let (status, response) = client.call(&next);
    assert_eq!((status, response["error"].as_str()), (404, Some("unknown session")));
    let played = play(&client, "killed", "en", &speech);
    assert!(played.seconds() > 0.5, "a reply of {} s", played.seconds());
    assert!(!miner.log().contains("panicked"), "{}", miner.log());
}
