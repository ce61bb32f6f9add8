use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use taonet_primitives::{SampleRate, Transcript, Word};
use taonet_speech::{
    CtcRecognizer, Espeak, Pcm, Recognition, RecognizeError, Recognizer, SampleFormat,
    SynthesisError, Synthesizer, Voice, Wav, resample_endpoints, resample_for_recognition,
};
use tokio::runtime::Runtime;

use super::*;
use crate::profile::{Interpreter, InterpreterVoice, Profile as _};
use crate::testing::{InferenceServer, chat_event};

const DEADLINE: Duration = Duration::from_secs(1);
/// The default deadline of `bb miner`.
const DEFAULT_TIMEOUT: Duration = Duration::from_millis(800);
/// Time that validators wait for the response to a frame, and to the last one.
const FRAME_TIMEOUT: Duration = Duration::from_secs(3);
const LAST_FRAME_TIMEOUT: Duration = Duration::from_secs(10);
const RAMBLING: &str = "Well, um, I mean, at this point in time I think, I think that the plan is, you know, a piece \
    of cake, and, to be perfectly honest with you, we should all just get on with the bloody thing before the weekend.";

fn recognizer() -> Arc<dyn Recognizer> {
    Arc::new(CtcRecognizer::embedded().unwrap())
}

fn espeak() -> Arc<dyn Synthesizer> {
    Arc::new(Espeak::find().unwrap())
}

/// Interpreter whose three stages are on `server`; the engines of the process are the fallbacks.
fn remote(server: &InferenceServer, deadline: Duration) -> Interpreter {
    let model = || server.model(deadline);
    let stt = Arc::new(RemoteRecognizer::new(model(), Some(recognizer())));
    let tts = Arc::new(RemoteSynthesizer::new(model(), "en-gb".to_owned(), Some(espeak())));
    Interpreter::new(stt, tts, InterpreterVoice::default())
        .unwrap()
        .with_language_model(ChatRewriter::new(model()))
}

/// A reply and its measurements.
struct PlayResult {
    text: String,
    /// Seconds from the end of the source to the end of the reply.
    overshoot: f64,
    /// The longest time for one frame before the last.
    slowest_frame: Duration,
    /// Time for the last frame.
    last_frame: Duration,
}

/// Plays the rambling at 205 words per minute to an interpreter, and transcribes its reply.
fn play(interpreter: &Interpreter) -> PlayResult {
    let fast_voice = Voice { name: "en-gb".to_owned(), words_per_minute: 205, pitch: 50 };
    let source =
        resample_endpoints(&espeak().speak(RAMBLING, &fast_voice).unwrap(), SampleRate::HZ_24K);
    let mut interpretation = interpreter.open(1, None);
    let (mut reply, mut completion) = (Vec::new(), 0.0_f64);
    let (mut slowest_frame, mut last_frame) = (Duration::ZERO, Duration::ZERO);
    let frames = source.samples.len().div_ceil(1920);
    for (number, frame) in (1..).zip(source.samples.chunks(1920)) {
        let began = Instant::now();
        let part = interpretation.push(frame, number == frames).unwrap();
        slowest_frame = slowest_frame.max(last_frame);
        last_frame = began.elapsed();
        if !part.samples.is_empty() {
            completion =
                completion.max(number as f64 / 12.5) + part.samples.len() as f64 / 24_000.0;
        }
        reply.extend(part.samples);
    }
    let text = if reply.is_empty() {
        String::new()
    } else {
        let transcription = recognizer()
            .recognize(&resample_for_recognition(&Pcm::mono(reply, SampleRate::HZ_24K)));
        transcription.unwrap().transcript.text
    };
    PlayResult { text, overshoot: completion - source.duration().get(), slowest_frame, last_frame }
}

fn play_local() -> PlayResult {
    play(&Interpreter::new(recognizer(), espeak(), InterpreterVoice::default()).unwrap())
}

/// Compares two replies: nine of ten words are equal, and they end within 0.3 s.
#[track_caller]
fn assert_alike(actual: &PlayResult, expected: &PlayResult, case: &str) {
    let [found_words, words] =
        [actual, expected].map(|played| played.text.split(' ').collect::<BTreeSet<_>>());
    let common_words = words.intersection(&found_words).count();
    let larger = words.len().max(found_words.len());
    assert!(
        common_words * 10 >= larger * 9,
        "{case}: {} instead of {}",
        actual.text,
        expected.text
    );
    let difference = (actual.overshoot - expected.overshoot).abs();
    assert!(difference < 0.3, "{case}: {} s instead of {} s", actual.overshoot, expected.overshoot);
}

#[test]
fn remote_stages_equal_local_ones() {
    let server = InferenceServer::start(&[]);
    assert_alike(&play(&remote(&server, Duration::from_secs(10))), &play_local(), "remote");
}

/// Plays to an interpreter, and checks that the response to every frame is in time for validators.
/// It may be late only on a machine that needs most of that time for its own engines. On a busy
/// machine a play can be late: one of three counts.
#[track_caller]
fn play_in_time(start: impl Fn() -> InferenceServer, local: &PlayResult, case: &str) -> PlayResult {
    let local_margin = local.slowest_frame.max(local.last_frame) * 4;
    let mut late_plays = Vec::new();
    while late_plays.len() < 3 {
        let played = play(&remote(&start(), DEFAULT_TIMEOUT));
        if played.slowest_frame < FRAME_TIMEOUT.max(Interpreter::CALL_TIME + local_margin)
            && played.last_frame < LAST_FRAME_TIMEOUT.max(Interpreter::CALL_TIME * 3 + local_margin)
        {
            return played;
        }
        late_plays.push((played.slowest_frame, played.last_frame));
    }
    panic!("{case}: the slowest frame and the last one took {late_plays:?}");
}

#[test]
fn stalled_stage_delays_one_frame_and_uses_its_fallback() {
    let expected = play_local();
    let stages: [&'static [&'static str]; 4] =
        [&["stt"], &["llm"], &["tts"], &["stt", "llm", "tts"]];
    for stalled in stages {
        let played =
            play_in_time(|| InferenceServer::start(stalled), &expected, &stalled.join(" "));
        assert_alike(&played, &expected, &stalled.join(" "));
    }
}

#[test]
fn slow_calls_share_the_time_of_a_frame() {
    let expected = play_local();
    let played =
        play_in_time(|| InferenceServer::slow(Duration::from_millis(700)), &expected, "slow");
    assert_alike(&played, &expected, "slow");
}

/// A recogniser that returns the same words for any phrase.
struct FixedRecognizer(&'static str);

impl Recognizer for FixedRecognizer {
    fn name(&self) -> &'static str {
        "fixed"
    }

    fn fingerprint(&self) -> &'static str {
        "fixed"
    }

    fn recognize(&self, samples: &[f32]) -> Result<Recognition, RecognizeError> {
        let at = samples.len() as f64 / 16_000.0 - 0.5;
        let words = self
            .0
            .split(' ')
            .map(|text| Word { text: text.to_owned(), start: at, end: at })
            .collect();
        let transcript =
            Transcript { text: self.0.to_owned(), words, detected_language: "en".to_owned() };
        Ok(Recognition { transcript, confidence: 1.0 })
    }
}

/// Duration of a call whose frame has time for two of them.
const CALL_DURATION: Duration = Duration::from_secs(1);

/// Starts a server of speech; also returns the number of its requests. `call_duration` is the
/// duration of a request by its index.
fn voice_server(call_duration: fn(usize) -> Duration) -> (InferenceServer, Arc<AtomicUsize>) {
    let requests = Arc::<AtomicUsize>::default();
    let request_count = Arc::clone(&requests);
    let wav =
        Wav::encode(&Pcm::mono(vec![0.25; 480], SampleRate::HZ_24K), SampleFormat::S16).unwrap();
    let respond = move || {
        let index = request_count.fetch_add(1, Ordering::Relaxed);
        let wav = wav.clone();
        async move {
            tokio::time::sleep(call_duration(index)).await;
            wav
        }
    };
    (InferenceServer::serve(Router::new().route("/v1/audio/speech", post(respond))), requests)
}

/// Columns: whether the frame is the last one, number of calls in twice the time of one call. The
/// phrase has at least five breaths, and each of them needs a call.
#[test]
fn calls_per_frame_are_bounded_by_the_frame_time() {
    let words = "the old green house near the river stands empty because nobody wants such a long walk in winter while \
        seven yellow boats wait under heavy snow behind our village church and every child who lives there hopes that \
        spring comes soon";
    let phrase: Vec<f32> = (0..24_000)
        .map(|n| (n as f32 * 0.1).sin() * 0.3)
        .chain(std::iter::repeat_n(0.0, 4_800))
        .collect();
    for (is_last, expected) in [(false, 1..=2), (true, 3..=6)] {
        let (server, requests) = voice_server(|_| CALL_DURATION);
        let tts = Arc::new(RemoteSynthesizer::new(
            server.model(WAIT_TIMEOUT),
            "any".to_owned(),
            Some(Arc::new(FixedSynthesizer)),
        ));
        let interpreter =
            Interpreter::new(Arc::new(FixedRecognizer(words)), tts, InterpreterVoice::default())
                .unwrap();
        let mut interpretation = interpreter.with_call_time(CALL_DURATION * 2).open(1, None);
        // The breaths without a call are spoken by the fallback.
        assert!(!interpretation.push(&phrase, is_last).unwrap().samples.is_empty());
        let requests = requests.load(Ordering::Relaxed);
        assert!(expected.contains(&requests), "{requests} calls, last frame: {is_last}");
    }
}

#[test]
fn call_cut_at_the_frame_deadline_does_not_pause_the_server() {
    // The first call never ends.
    let (server, requests) =
        voice_server(|index| if index == 0 { Duration::MAX } else { Duration::ZERO });
    let tts = RemoteSynthesizer::new(server.model(WAIT_TIMEOUT), "any".to_owned(), None);
    for (time, expected) in [(Duration::from_secs(5), 1), (Duration::ZERO, 1)] {
        let speech = tts.speak_until("Hello.", &voice(), Instant::now() + time).unwrap();
        assert_eq!(
            (speech.samples.len(), requests.load(Ordering::Relaxed)),
            (0, expected),
            "{time:?}"
        );
    }
    assert_eq!(tts.speak("Hello.", &voice()).unwrap().samples.len(), 480);
}

/// Starts a server whose routes return this status and body; also returns the number of its
/// requests.
fn failing_server(status: StatusCode, body: &'static Value) -> (InferenceServer, Arc<AtomicUsize>) {
    let requests = Arc::<AtomicUsize>::default();
    let request_count = Arc::clone(&requests);
    let respond = move || {
        request_count.fetch_add(1, Ordering::Relaxed);
        async move { (status, Json(body)) }
    };
    let router = Router::new()
        .route("/v1/audio/transcriptions", post(respond.clone()))
        .route("/v1/chat/completions", post(respond.clone()))
        .route("/v1/audio/speech", post(respond));
    (InferenceServer::serve(router), requests)
}

/// Responses that no stage can use.
fn unusable_responses() -> [(StatusCode, &'static Value); 3] {
    let long = json!({"choices": [{"message": {"content": "as a language model I ".repeat(40)}}]});
    [
        (StatusCode::SERVICE_UNAVAILABLE, json!({"error": {"message": "loading the model"}})),
        (StatusCode::OK, json!({"unexpected": true})),
        (StatusCode::OK, long),
    ]
    .map(|(status, body)| (status, &*Box::leak(Box::new(body))))
}

#[test]
fn failing_server_is_called_once_and_then_paused() {
    let expected = play_local();
    for (status, body) in unusable_responses() {
        let (server, requests) = failing_server(status, body);
        let began = Instant::now();
        assert_alike(&play(&remote(&server, DEADLINE)), &expected, &body.to_string());
        // One request of each stage in each pause.
        let pauses =
            usize::try_from(began.elapsed().as_secs() / FAILURE_COOLDOWN.as_secs()).unwrap() + 1;
        assert!(
            (3..=3 * pauses).contains(&requests.load(Ordering::Relaxed)),
            "{requests:?} requests: {body}"
        );
    }
}

#[test]
fn phrases_are_lost_without_a_fallback_but_the_session_continues() {
    for (status, body) in unusable_responses() {
        let (server, _) = failing_server(status, body);
        let stt = || Arc::new(RemoteRecognizer::new(server.model(DEADLINE), None));
        let without_recognizer =
            Interpreter::new(stt(), espeak(), InterpreterVoice::default()).unwrap();
        assert_eq!(play(&without_recognizer).text, "", "{body}");
        let tts = Arc::new(RemoteSynthesizer::new(server.model(DEADLINE), "any".to_owned(), None));
        let without_synthesizer =
            Interpreter::new(recognizer(), tts, InterpreterVoice::default()).unwrap();
        assert_eq!(play(&without_synthesizer).text, "", "{body}");
    }
}

/// Deadline for responses that must arrive, even on a busy machine.
const WAIT_TIMEOUT: Duration = Duration::from_mins(1);

/// A server that answers every request with the same bytes, and never ends the response.
struct ScriptedServer {
    url: String,
    runtime: Runtime,
}

impl ScriptedServer {
    /// Starts a server that sends `first` as the body of each response, then repeats `tail` until
    /// the client disconnects. With an empty `tail`, the response stalls after `first`.
    fn start(content_type: &'static str, first: &[u8], tail: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\nconnection: close\r\n\r\n");
        let first = [head.as_bytes(), first].concat();
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let (mut connection, first) = (connection, first.clone());
                std::thread::spawn(move || {
                    let _ = connection.read(&mut [0; 4_096]);
                    let _ = connection.write_all(&first);
                    while !tail.is_empty() && connection.write_all(tail).is_ok() {}
                    // Until the client closes the connection.
                    while connection.read(&mut [0; 4_096]).is_ok_and(|bytes| bytes > 0) {}
                });
            }
        });
        Self { url, runtime: Runtime::new().unwrap() }
    }

    fn model(&self, deadline: Duration) -> RemoteModel {
        let server = ModelServer::new(&self.url.parse().unwrap(), None, deadline).unwrap();
        RemoteModel { server, model: "m".to_owned(), runtime: self.runtime.handle().clone() }
    }
}

const EVENTS: &str = "text/event-stream";
const TRANSCRIPT: &str = "we should all stop for today";

/// Columns: events of the server before it stalls, words of the answer.
#[test]
fn words_of_a_chat_before_the_deadline_are_used() {
    let role = "data: {\"choices\": [{\"delta\": {\"role\": \"assistant\"}}]}\n\n".to_owned();
    let end = "data: {\"choices\": [{\"delta\": {}, \"finish_reason\": \"stop\"}]}\n\n".to_owned();
    let piece = |text: &str| chat_event(text);
    let table: [(Vec<String>, Option<&[&str]>); 6] = [
        (vec![role.clone(), piece("We"), piece(" should"), piece(" st")], Some(&["we", "should"])),
        (vec![role.clone(), piece("We should stop. ")], Some(&["we", "should", "stop"])),
        (
            vec![role.clone(), piece("We should"), piece(" stop"), end],
            Some(&["we", "should", "stop"]),
        ),
        (vec![role.clone(), piece("W")], None),
        (vec![role], None),
        (vec![], None),
    ];
    for (events, expected) in table {
        let server = ScriptedServer::start(EVENTS, events.concat().as_bytes(), b"");
        let rewriter = ChatRewriter::new(server.model(DEADLINE));
        let began = Instant::now();
        let words = rewriter.rewrite(&[], TRANSCRIPT, None);
        let expected =
            expected.map(|words| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(words, expected, "{events:?}");
        assert!(began.elapsed() < WAIT_TIMEOUT / 2, "{events:?}");
        // After a stalled response, even with words, the stage pauses; after a complete one, it
        // does not.
        let is_paused = rewriter.rewrite(&[], TRANSCRIPT, None).is_none();
        assert_eq!(is_paused, !events.concat().contains("stop\"}"), "{events:?}");
    }
}

/// A synthesiser that says the same few samples.
struct FixedSynthesizer;

impl Synthesizer for FixedSynthesizer {
    fn speak(&self, _: &str, _: &Voice) -> Result<Pcm, SynthesisError> {
        Ok(Pcm::mono(vec![0.5; 7], SampleRate::HZ_24K))
    }
}

fn voice() -> Voice {
    Voice { name: "en-gb".to_owned(), words_per_minute: 150, pitch: 50 }
}

/// Columns: bytes of the speech that arrive, samples spoken without and with a fallback.
#[test]
fn speech_received_before_deadline_is_spoken_without_fallback() {
    let file =
        Wav::encode(&Pcm::mono(vec![0.25; 1_000], SampleRate::HZ_24K), SampleFormat::S16).unwrap();
    for (bytes, without, with) in [(44 + 601, 300, 7), (44, 0, 7), (30, 0, 7), (0, 0, 7)] {
        let server = ScriptedServer::start("audio/wav", &file[..bytes], b"");
        let fallbacks: [(Option<Arc<dyn Synthesizer>>, usize); 2] =
            [(None, without), (Some(Arc::new(FixedSynthesizer)), with)];
        for (fallback, expected) in fallbacks {
            let tts = RemoteSynthesizer::new(server.model(DEADLINE), "any".to_owned(), fallback);
            assert_eq!(
                tts.speak("Hello.", &voice()).unwrap().samples.len(),
                expected,
                "{bytes} bytes"
            );
        }
    }
}

#[test]
fn endless_responses_are_discarded() {
    let began = Instant::now();
    let server =
        ScriptedServer::start("application/json", b"{\"text\": \"", b"all work and no play ");
    let stt = RemoteRecognizer::new(server.model(WAIT_TIMEOUT), None);
    assert_eq!(stt.recognize(&[0.1; 1_600]).unwrap().transcript.text, "");
    for text in ["all work and no play ", "work"] {
        let event: &'static str = Box::leak(chat_event(text).into_boxed_str());
        let server = ScriptedServer::start(EVENTS, b"", event.as_bytes());
        assert_eq!(
            ChatRewriter::new(server.model(WAIT_TIMEOUT)).rewrite(&[], TRANSCRIPT, None),
            None,
            "{text}"
        );
    }
    let file =
        Wav::encode(&Pcm::mono(vec![0.25; 8_000_000], SampleRate::HZ_24K), SampleFormat::S16)
            .unwrap();
    let server = ScriptedServer::start("audio/wav", &file[..44], &[1; 4_096]);
    let tts = RemoteSynthesizer::new(server.model(WAIT_TIMEOUT), "any".to_owned(), None);
    assert_eq!(tts.speak("Hello.", &voice()).unwrap().samples.len(), 0);
    assert!(began.elapsed() < WAIT_TIMEOUT / 2, "{:?}", began.elapsed());
}

#[test]
fn incomplete_transcript_is_not_used() {
    let server = ScriptedServer::start(
        "application/json",
        b"{\"text\": \"we should stop\", \"words\": [",
        b"",
    );
    let stt = RemoteRecognizer::new(server.model(DEADLINE), None);
    assert_eq!(stt.recognize(&[0.1; 1_600]).unwrap().transcript.text, "");
}
