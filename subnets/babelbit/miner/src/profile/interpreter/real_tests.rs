//! Tests of the complete pipeline with the real engines: espeak-ng synthesises the source, tiny-ctc
//! recognises source and reply.

use taonet_primitives::SampleRate;
use taonet_speech::{
    CtcRecognizer, Espeak, LocalAgreement, Pcm, resample_endpoints, resample_for_recognition,
};

use super::*;

/// A validator's measurements of a reply.
struct ReplyMeasurements {
    text: String,
    words_per_second: f64,
    /// Seconds from the end of the source to the end of the reply.
    overshoot: f64,
    /// Start of the reply as a fraction of the source.
    start: f64,
}

/// Plays `text` at 205 words per minute to the interpreter and transcribes its reply.
fn interpret(text: &str, is_simultaneous: bool) -> ReplyMeasurements {
    let espeak = Arc::new(Espeak::find().unwrap());
    let recognizer = Arc::new(CtcRecognizer::embedded().unwrap());
    let fast = Voice { name: "en-gb".to_owned(), words_per_minute: 205, pitch: 50 };
    let source = resample_endpoints(&espeak.speak(text, &fast).unwrap(), SampleRate::HZ_24K);
    let interpreter = Interpreter::new(
        Arc::clone(&recognizer) as Arc<dyn Recognizer>,
        espeak,
        InterpreterVoice::default(),
    )
    .unwrap();
    let policy = is_simultaneous.then(|| Arc::new(LocalAgreement::new(recognizer.clone())));
    let interpreter = match policy {
        Some(policy) => interpreter.simultaneous(policy),
        None => interpreter,
    };
    let mut interpretation = interpreter.open(1, None);
    let (mut reply, mut completion, frames) =
        (Vec::new(), 0.0_f64, source.samples.len().div_ceil(1920));
    let mut start = f64::INFINITY;
    for (number, frame) in (1..).zip(source.samples.chunks(1920)) {
        let part = interpretation.push(frame, number == frames).unwrap();
        if !part.samples.is_empty() {
            start = start.min(number as f64 / 12.5);
            completion =
                completion.max(number as f64 / 12.5) + part.samples.len() as f64 / 24_000.0;
        }
        reply.extend(part.samples);
    }
    let reply = recognizer
        .recognize(&resample_for_recognition(&Pcm::mono(reply, SampleRate::HZ_24K)))
        .unwrap();
    let words = reply.transcript.words;
    let duration = words.last().unwrap().end - words.first().unwrap().start;
    ReplyMeasurements {
        text: reply.transcript.text,
        words_per_second: words.len() as f64 / duration,
        overshoot: completion - source.duration().get(),
        start: start / source.duration().get(),
    }
}

/// Sentences, and parts of their interpretations.
const RAMBLING: [(&str, [&str; 4]); 4] = [
    (
        "Well, um, I mean, at this point in time I think, I think that the plan is, you know, a piece of cake, \
         and, to be perfectly honest with you, we should all just get on with the bloody thing before the weekend.",
        ["the plan is", "very easy", "we should all", "weekend"],
    ),
    (
        "To tell you the truth, my brother has been feeling a bit under the weather, due to the fact that, you \
         know, he went out in the rain on Monday, and, at the end of the day, he needs, he needs to see a doctor.",
        ["brother", "ill", "because", "needs to see a doctor"],
    ),
    (
        "Look, the new car cost an arm and a leg, and, um, in the event that it breaks down again, we will have \
         to, we will have to sell it, you know what I mean, in order to make ends meet this winter.",
        ["very expensive", "if it breaks down", "have to sell it", "this winter"],
    ),
    (
        "So, a large number of people, a large number of people came to the meeting, and, believe it or not, they \
         were all over the moon with, um, with the results, because the whole thing was finished in the nick of time.",
        ["many people", "meeting", "very happy", "the results"],
    ),
];

#[test]
fn disfluent_speech_is_interpreted_in_time() {
    for (text, expected) in RAMBLING {
        let reply = interpret(text, false);
        let matches = expected.iter().filter(|part| reply.text.contains(*part)).count();
        assert!(matches >= 3, "{}", reply.text);
        assert!(reply.overshoot < 3.3, "{}", reply.overshoot);
        assert!((1.0..3.9).contains(&reply.words_per_second), "{}", reply.words_per_second);
    }
}

#[test]
fn simultaneous_interpreter_speaks_before_the_source_ends() {
    for (text, expected) in RAMBLING {
        let reply = interpret(text, true);
        let matches = expected.iter().filter(|part| reply.text.contains(*part)).count();
        assert!(matches >= 2, "{}", reply.text);
        assert!(reply.start < 0.5, "the reply starts after {:.2} of the source", reply.start);
        assert!(reply.overshoot < 4.5, "{}", reply.overshoot);
    }
}
