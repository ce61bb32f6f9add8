use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use taonet_primitives::SampleRate;
use taonet_speech::{
    CtcRecognizer, Espeak, Pcm, Recognizer, Synthesizer, Voice, resample_endpoints, resample_for_recognition,
};

use super::*;
use crate::profile::{Interpreter, Manner, Profile as _};
use crate::testing::InferenceServer;

const DEADLINE: Duration = Duration::from_millis(400);
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
    Interpreter::new(stt, tts, Manner::default()).unwrap().with_language_model(ChatRewriter::new(model()))
}

/// A reply and its measurements.
struct Played {
    text: String,
    /// Seconds from the end of the source to the end of the reply.
    overshoot: f64,
    /// The longest time for one frame.
    slowest: Duration,
}

/// Plays the rambling at 205 words per minute to an interpreter, and transcribes its reply.
fn play(interpreter: &Interpreter) -> Played {
    let fast = Voice { name: "en-gb".to_owned(), words_per_minute: 205, pitch: 50 };
    let source = resample_endpoints(&espeak().speak(RAMBLING, &fast).unwrap(), SampleRate::HZ_24K);
    let mut interpretation = interpreter.open(1);
    let (mut reply, mut completion, mut slowest) = (Vec::new(), 0.0_f64, Duration::ZERO);
    let frames = source.samples.len().div_ceil(1920);
    for (number, frame) in (1..).zip(source.samples.chunks(1920)) {
        let began = Instant::now();
        let part = interpretation.push(frame, number == frames).unwrap();
        slowest = slowest.max(began.elapsed());
        if !part.samples.is_empty() {
            completion = completion.max(number as f64 / 12.5) + part.samples.len() as f64 / 24_000.0;
        }
        reply.extend(part.samples);
    }
    let text = if reply.is_empty() {
        String::new()
    } else {
        let heard = recognizer().recognize(&resample_for_recognition(&Pcm::mono(reply, SampleRate::HZ_24K)));
        heard.unwrap().transcript.text
    };
    Played { text, overshoot: completion - source.duration().get(), slowest }
}

fn local() -> Played {
    play(&Interpreter::new(recognizer(), espeak(), Manner::default()).unwrap())
}

/// Compares two replies: nine of ten words are equal, and they end within 0.3 s.
#[track_caller]
fn assert_alike(found: &Played, expected: &Played, what: &str) {
    let [found_words, words] = [found, expected].map(|played| played.text.split(' ').collect::<BTreeSet<_>>());
    let common = words.intersection(&found_words).count();
    let larger = words.len().max(found_words.len());
    assert!(common * 10 >= larger * 9, "{what}: {} instead of {}", found.text, expected.text);
    let difference = (found.overshoot - expected.overshoot).abs();
    assert!(difference < 0.3, "{what}: {} s instead of {} s", found.overshoot, expected.overshoot);
}

#[test]
fn remote_stages_interpret_as_those_of_the_process() {
    let server = InferenceServer::start(&[]);
    assert_alike(&play(&remote(&server, Duration::from_secs(10))), &local(), "remote");
}

#[test]
fn a_stalled_stage_delays_one_frame_and_its_fallback_replies() {
    let expected = local();
    let stages: [&'static [&'static str]; 4] = [&["stt"], &["llm"], &["tts"], &["stt", "llm", "tts"]];
    for stalled in stages {
        let server = InferenceServer::start(stalled);
        let played = play(&remote(&server, DEADLINE));
        assert_alike(&played, &expected, &stalled.join(" "));
        // The margin is for the engines of this process on a busy machine.
        let limit = DEADLINE * 3 + expected.slowest * 4 + Duration::from_millis(500);
        assert!(played.slowest < limit, "{stalled:?}: {:?}", played.slowest);
    }
}

/// Starts a server whose routes return this status and body, and the number of requests that it got.
fn broken(status: StatusCode, body: &'static Value) -> (InferenceServer, Arc<AtomicUsize>) {
    let requests = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&requests);
    let respond = move || {
        counted.fetch_add(1, Ordering::Relaxed);
        async move { (status, Json(body)) }
    };
    let router = Router::new()
        .route("/v1/audio/transcriptions", post(respond.clone()))
        .route("/v1/chat/completions", post(respond.clone()))
        .route("/v1/audio/speech", post(respond));
    (InferenceServer::serve(router), requests)
}

/// Responses that no stage can use.
fn unusable() -> [(StatusCode, &'static Value); 3] {
    let long = json!({"choices": [{"message": {"content": "as a language model I ".repeat(40)}}]});
    [
        (StatusCode::SERVICE_UNAVAILABLE, json!({"error": {"message": "loading the model"}})),
        (StatusCode::OK, json!({"unexpected": true})),
        (StatusCode::OK, long),
    ]
    .map(|(status, body)| (status, &*Box::leak(Box::new(body))))
}

#[test]
fn failing_servers_are_called_once_and_then_left_alone_for_a_while() {
    let expected = local();
    for (status, body) in unusable() {
        let (server, requests) = broken(status, body);
        let began = Instant::now();
        assert_alike(&play(&remote(&server, DEADLINE)), &expected, &body.to_string());
        // One request of each stage in each pause.
        let pauses = usize::try_from(began.elapsed().as_secs() / PAUSE.as_secs()).unwrap() + 1;
        assert!((3..=3 * pauses).contains(&requests.load(Ordering::Relaxed)), "{requests:?} requests: {body}");
    }
}

#[test]
fn without_a_fallback_the_phrases_are_lost_but_the_session_lives() {
    for (status, body) in unusable() {
        let (server, _) = broken(status, body);
        let stt = || Arc::new(RemoteRecognizer::new(server.model(DEADLINE), None));
        let deaf = Interpreter::new(stt(), espeak(), Manner::default()).unwrap();
        assert_eq!(play(&deaf).text, "", "{body}");
        let tts = Arc::new(RemoteSynthesizer::new(server.model(DEADLINE), "any".to_owned(), None));
        let mute = Interpreter::new(recognizer(), tts, Manner::default()).unwrap();
        assert_eq!(play(&mute).text, "", "{body}");
    }
}
