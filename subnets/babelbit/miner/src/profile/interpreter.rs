use std::sync::Arc;
use std::time::{Duration, Instant};

use taonet_babelbit_core::protocol::SAMPLE_RATE_HZ;
use taonet_primitives::Word;
use taonet_speech::{Recognizer, SimultaneousRecognizer, Synthesizer, Voice};

use super::phrasing::{RecognisedWord, best_cut, complete_phrase_words, split_into_breath_groups};
use super::playback::Playback;
use super::recognizer::{LiveRecognizer, PhraseRecognizer};
use super::segmenter::{ScanResult, Segmenter};
use super::speaker::{Speaker, to_channels};
use super::{Interpretation, Profile, ProfileError, ProfileName, Reply};
use crate::remote::{ChatRewriter, Turn, phrase_message};
use crate::rewrite::{Context, PhrasebookError, Rewriter};
use crate::shorten::Shortener;

/// Silence between two breath groups, in samples at 24 kHz.
const BREATH_GAP_SAMPLES: usize = 2_880;
/// Maximum silence in seconds sent while no phrase is ready: pauses in the reply sound natural, and
/// the test double tiny-ctc, with which local networks score, joins words across longer ones.
const MAX_PAUSE_S: f64 = 0.16;
/// Maximum silence in seconds with simultaneous recognition and a voice that speaks faster than its
/// normal rate: the time between two passes. Validators measure the speaking rate of the reply's
/// samples, so a reply without its pauses seems faster than it is.
const MAX_LIVE_PAUSE_S: f64 = 0.8;
/// Backlog in seconds from which the reply is spoken at maximum speed.
const FULL_SPEED_BACKLOG_S: f64 = 0.8;
/// Backlog in seconds from which the reply is condensed.
const CONDENSE_BACKLOG_S: f64 = 2.0;

/// Rate of a complete reply in words per second up to which its end is spoken faster than
/// [`STEADY_SPEED`]. Validators accept 1.3 times the rate of the reference, which is about 3 words
/// per second.
const MAX_WORDS_PER_SECOND: f64 = 3.2;
/// Rate of a reply so far, in words per second, up to which it is spoken faster than
/// [`STEADY_SPEED`] when it falls behind: below [`MAX_WORDS_PER_SECOND`], to leave room for a fast
/// end.
const MAX_ACCELERATED_WORDS_PER_SECOND: f64 = 3.0;
/// Maximum speed of the end of a reply, relative to the normal rate.
const MAX_END_SPEED: f64 = 1.5;
/// Speed relative to the normal rate that is always allowed: about 3.1 words per second, without
/// the pauses between phrases.
const STEADY_SPEED: f64 = 1.25;

/// Minimum number of words of a phrase. Shorter fragments are deferred to the next phrase: most are
/// false starts, which the longer phrase reveals.
const MIN_PHRASE_WORDS: usize = 3;
/// Length in seconds at which a phrase is cut even if no two words have a good boundary between
/// them.
const MAX_PHRASE_S: f64 = 5.0;
/// Maximum length of the earlier source speech that is recognised again as context of a phrase, in
/// samples at 24 kHz. It tells the recogniser the sentence and the speaker's loudness.
const MAX_CONTEXT_SAMPLES: usize = 5 * SAMPLE_RATE_HZ as usize;

/// Silence in seconds between two words that separates sentences.
const SENTENCE_PAUSE_S: f64 = 0.3;

/// Factor of the call time limit for the last frame: validators wait 10 s instead of 3 s for its
/// response.
const LAST_FRAME_FACTOR: u32 = 3;

/// Voice settings of an interpreter.
#[derive(Debug, Clone, PartialEq)]
pub struct InterpreterVoice {
    /// Voice at its normal speaking rate.
    pub voice: Voice,
    /// Maximum speed relative to the normal rate, used when the reply falls behind the source; at
    /// least 1.
    pub max_speed: f64,
}

impl Default for InterpreterVoice {
    fn default() -> Self {
        Self {
            voice: Voice { name: "en-gb".to_owned(), words_per_minute: 150, pitch: 50 },
            max_speed: 1.4,
        }
    }
}

/// Profile that interprets while the source is playing, phrase by phrase.
///
/// Four stages process each phrase: segmentation at pauses, recognition, rewriting by rules in the
/// context of the previous phrase (optionally followed by a language model), and synthesis. The
/// interpreter tracks the unplayed backlog; when the reply falls behind the source, it first speeds
/// up, then condenses, and finally leaves words out, so that it never lasts much longer than the
/// source heard so far. While it plays nothing, it waits for shorter phrases.
#[derive(Clone)]
pub struct Interpreter {
    phrase_recognizer: PhraseRecognizer,
    rewriter: Arc<Rewriter>,
    /// Language model of an inference server that rewrites phrases instead of the rules.
    chat_rewriter: Option<Arc<ChatRewriter>>,
    /// Language model of this process that shortens the rewritten phrases.
    shortener: Option<Arc<Shortener>>,
    speaker: Speaker,
    max_speed: f64,
    /// Recogniser that returns words before a phrase ends.
    simultaneous: Option<Arc<dyn SimultaneousRecognizer>>,
    call_time: Duration,
}

impl Interpreter {
    /// Default time limit of all calls to inference servers for one frame. The rest of the
    /// validators' 3 s is for the fallbacks and the connection.
    pub const CALL_TIME: Duration = Duration::from_millis(2_400);

    /// Creates an interpreter with a recogniser and a synthesiser.
    ///
    /// # Errors
    /// [`PhrasebookError`] when a built-in phrase book is malformed.
    pub fn new(
        recognizer: Arc<dyn Recognizer>,
        synthesizer: Arc<dyn Synthesizer>,
        voice_settings: InterpreterVoice,
    ) -> Result<Self, PhrasebookError> {
        Ok(Self {
            phrase_recognizer: PhraseRecognizer::new(recognizer),
            rewriter: Arc::new(Rewriter::builtin()?),
            chat_rewriter: None,
            shortener: None,
            speaker: Speaker::new(synthesizer, voice_settings.voice),
            max_speed: voice_settings.max_speed.max(1.0),
            simultaneous: None,
            call_time: Self::CALL_TIME,
        })
    }

    /// Replaces the time limit that all calls to inference servers for one frame share; the last
    /// frame of the source has three times as long. Calls that would exceed the limit end early,
    /// and the fallbacks of their stages take over.
    #[must_use]
    pub fn with_call_time(self, call_time: Duration) -> Self {
        Self { call_time, ..self }
    }

    /// Replaces the recogniser of whole phrases: the words of a simultaneous policy are interpreted
    /// while the source plays, without waiting for a pause. The policy may revise them until then.
    #[must_use]
    pub fn simultaneous(self, recognizer: Arc<dyn SimultaneousRecognizer>) -> Self {
        Self { simultaneous: Some(recognizer), ..self }
    }

    /// Uses a language model of an inference server to rewrite the phrases, with the rules as the
    /// fallback.
    #[must_use]
    pub fn with_language_model(self, chat_rewriter: ChatRewriter) -> Self {
        Self { chat_rewriter: Some(Arc::new(chat_rewriter)), ..self }
    }

    /// Shortens the rewritten phrases with a language model of this process. Its time counts
    /// towards the time limit of the calls for a frame.
    #[must_use]
    pub fn with_shortener(self, shortener: Arc<Shortener>) -> Self {
        Self { shortener: Some(shortener), ..self }
    }

    fn open_session(&self, channels: u16, language: Option<&str>) -> InterpreterSession {
        InterpreterSession {
            stages: self.clone(),
            channels,
            segmenter: Segmenter::new(),
            live_recognizer: self
                .simultaneous
                .as_ref()
                .map(|recognizer| LiveRecognizer::new(recognizer.open(language))),
            recognised_words: Vec::new(),
            last_word_end: f64::NEG_INFINITY,
            context: Context::default(),
            turns: Vec::new(),
            has_deferred_words: false,
            playback: Playback::default(),
            context_samples: Vec::new(),
            fragment: (Vec::new(), false),
            spoken_words: 0,
            deadline: Instant::now(),
        }
    }
}

impl Profile for Interpreter {
    fn name(&self) -> ProfileName {
        ProfileName::Interpreter
    }

    fn model(&self) -> Option<&str> {
        Some(
            self.simultaneous
                .as_ref()
                .map_or_else(|| self.phrase_recognizer.model(), |recognizer| recognizer.name()),
        )
    }

    fn open(&self, channels: u16, language: Option<&str>) -> Box<dyn Interpretation> {
        Box::new(self.open_session(channels, language))
    }
}

/// Interpretation of one source.
struct InterpreterSession {
    stages: Interpreter,
    channels: u16,
    segmenter: Segmenter,
    /// Simultaneous recognition of the source.
    live_recognizer: Option<LiveRecognizer>,
    /// Words of an incomplete phrase, which simultaneous recognition may revise.
    recognised_words: Vec<RecognisedWord>,
    /// End of the last interpreted word of simultaneous recognition, in seconds.
    last_word_end: f64,
    context: Context,
    /// Earlier phrases of the conversation with the language model.
    turns: Vec<Turn>,
    /// Whether the language model may have deferred words of the last phrase.
    has_deferred_words: bool,
    playback: Playback,
    /// Source audio just before the current phrase.
    context_samples: Vec<f32>,
    /// Words of a fragment deferred to the next phrase, and whether a clear pause preceded the
    /// fragment.
    fragment: (Vec<String>, bool),
    /// Number of words of the reply so far.
    spoken_words: usize,
    /// Time until which inference servers and the language model are called for the current frame.
    deadline: Instant,
}

impl Interpretation for InterpreterSession {
    fn push(&mut self, frame: &[f32], is_last_frame: bool) -> Result<Reply, ProfileError> {
        self.start_deadline(is_last_frame);
        let reply = self.process_frame(&mix(frame, self.channels), is_last_frame)?;
        Ok(Reply { samples: to_channels(reply, self.channels), done: is_last_frame })
    }
}

/// Mixes the channels to mono, clamped to [-1, 1].
fn mix(frame: &[f32], channels: u16) -> Vec<f32> {
    let groups = frame.chunks_exact(usize::from(channels.max(1)));
    let mean = |group: &[f32]| {
        let mean = group.iter().sum::<f32>() / group.len() as f32;
        if mean.is_finite() { mean.clamp(-1.0, 1.0) } else { 0.0 }
    };
    groups.map(mean).collect()
}

impl InterpreterSession {
    /// Sets the deadline of the calls for the next frame, which is later for the last frame of the
    /// source.
    fn start_deadline(&mut self, is_last_frame: bool) {
        let limit = self.stages.call_time * if is_last_frame { LAST_FRAME_FACTOR } else { 1 };
        self.deadline = Instant::now() + limit;
    }

    /// Processes a mono frame and returns the mono reply.
    fn process_frame(
        &mut self,
        frame: &[f32],
        is_last_frame: bool,
    ) -> Result<Vec<f32>, ProfileError> {
        self.playback.advance(frame.len());
        let mut reply = Vec::new();
        if self.live_recognizer.is_some() {
            self.process_live(frame, is_last_frame, &mut reply)?;
        } else {
            self.process_segments(frame, is_last_frame, &mut reply)?;
        }
        if is_last_frame {
            let (words, starts_sentence) = std::mem::take(&mut self.fragment);
            self.interpret(&words, starts_sentence, true, &mut reply)?;
        } else if self.is_idle() && self.playback.silence() < self.max_pause() {
            self.pause(frame.len(), &mut reply);
        }
        Ok(reply)
    }

    /// Interprets the phrases that end at a pause in the frame.
    fn process_segments(
        &mut self,
        frame: &[f32],
        is_last_frame: bool,
        reply: &mut Vec<f32>,
    ) -> Result<(), ProfileError> {
        self.segmenter.push(frame.iter().copied());
        while let Some(segment) = self.segmenter.scan(is_last_frame) {
            let (source_phrase, starts_sentence) = match segment {
                ScanResult::Phrase(phrase) => {
                    let words = self.recognize(&phrase.samples)?;
                    self.extend_context(&phrase.samples);
                    (words, phrase.starts_sentence)
                }
                ScanResult::TooLong => self.cut_phrase()?,
            };
            let (mut words, fragment_starts_sentence) = std::mem::take(&mut self.fragment);
            let starts_sentence =
                if words.is_empty() { starts_sentence } else { fragment_starts_sentence };
            words.extend(source_phrase.into_iter().map(|word| word.text));
            if words.len() < MIN_PHRASE_WORDS {
                self.fragment = (words, starts_sentence);
                continue;
            }
            self.interpret(
                &words,
                starts_sentence,
                is_last_frame && self.segmenter.pending().is_empty(),
                reply,
            )?;
        }
        Ok(())
    }

    /// Interprets the complete phrases of a simultaneous policy's words. At the end of the source,
    /// the remaining words become the last fragment.
    fn process_live(
        &mut self,
        frame: &[f32],
        is_last_frame: bool,
        reply: &mut Vec<f32>,
    ) -> Result<(), ProfileError> {
        let Some(live_recognizer) = &mut self.live_recognizer else { return Ok(()) };
        self.recognised_words = live_recognizer.process(frame, is_last_frame)?;
        let ready_until = live_recognizer.ready_until();
        while let Some(count) = complete_phrase_words(
            &self.recognised_words,
            ready_until,
            MIN_PHRASE_WORDS,
            self.is_idle(),
        )
        .filter(|_| !is_last_frame)
        {
            let (words, starts_sentence) = self.commit(count);
            self.interpret(&words, starts_sentence, false, reply)?;
        }
        if is_last_frame {
            self.fragment = self.commit(self.recognised_words.len());
        }
        Ok(())
    }

    /// Whether the reply has begun and currently plays no speech. Before the reply begins, phrases
    /// are long, because most false starts are at the beginning.
    fn is_idle(&self) -> bool {
        self.spoken_words > 0 && self.playback.backlog() <= 0.0
    }

    /// Returns the maximum silence sent while no phrase is ready, in seconds.
    fn max_pause(&self) -> f64 {
        if self.base_speed() > 1.0 { MAX_LIVE_PAUSE_S } else { MAX_PAUSE_S }
    }

    /// Returns the speed of a reply that does not fall behind, relative to the normal rate. With
    /// simultaneous recognition, the next words are mostly ready before the current ones end:
    /// slower speech would end the reply later, and its pauses leave room for faster speech.
    fn base_speed(&self) -> f64 {
        let max_clear_speed = self.stages.speaker.max_clear_speed().min(self.stages.max_speed);
        if self.live_recognizer.is_some() { max_clear_speed } else { 1.0 }
    }

    /// Removes and returns the first `count` recognised words, which are then no longer revised,
    /// and whether they start a sentence.
    fn commit(&mut self, count: usize) -> (Vec<String>, bool) {
        if let Some(live_recognizer) = &mut self.live_recognizer {
            live_recognizer.commit(count);
        }
        let words: Vec<Word> =
            self.recognised_words.drain(..count).map(|recognised| recognised.word).collect();
        let starts_sentence =
            words.first().is_some_and(|word| word.start - self.last_word_end >= SENTENCE_PAUSE_S);
        self.last_word_end = words.last().map_or(self.last_word_end, |word| word.end);
        (words.into_iter().map(|word| word.text).collect(), starts_sentence)
    }

    /// Returns the recognised words of the current phrase, with times from its start.
    fn recognize(&self, samples: &[f32]) -> Result<Vec<Word>, ProfileError> {
        let context_seconds = self.context_samples.len() as f64 / f64::from(SAMPLE_RATE_HZ);
        let words = self
            .stages
            .phrase_recognizer
            .recognize(&[&self.context_samples, samples].concat(), self.deadline)?;
        let words =
            words.into_iter().filter(|word| f64::midpoint(word.start, word.end) >= context_seconds);
        Ok(words
            .map(|word| Word {
                start: (word.start - context_seconds).max(0.0),
                end: word.end - context_seconds,
                ..word
            })
            .collect())
    }

    fn extend_context(&mut self, samples: &[f32]) {
        self.context_samples.extend_from_slice(samples);
        self.context_samples
            .drain(..self.context_samples.len().saturating_sub(MAX_CONTEXT_SAMPLES));
    }

    /// Cuts an overlong phrase between two words and returns the words before the cut; no words if
    /// the phrase has no good boundary yet.
    fn cut_phrase(&mut self) -> Result<(Vec<Word>, bool), ProfileError> {
        let starts_sentence = self.segmenter.starts_sentence();
        let seconds = self.segmenter.pending().len() as f64 / f64::from(SAMPLE_RATE_HZ);
        let mut words = self.recognize(self.segmenter.pending())?;
        let index = match best_cut(&words, seconds, 1) {
            Some(index) => index,
            None if seconds < MAX_PHRASE_S => return Ok((Vec::new(), starts_sentence)),
            None => words.len(),
        };
        let remaining_words = words.split_off(index);
        let end = words.last().map_or(0.0, |word| word.end);
        let cut_time =
            remaining_words.first().map_or(seconds, |word| f64::midpoint(end, word.start));
        let phrase = self.segmenter.cut((cut_time * f64::from(SAMPLE_RATE_HZ)) as usize).samples;
        self.extend_context(&phrase);
        Ok((words, starts_sentence))
    }

    /// Rewrites a phrase and speaks the result.
    fn interpret(
        &mut self,
        source_phrase: &[String],
        starts_sentence: bool,
        is_last: bool,
        reply: &mut Vec<f32>,
    ) -> Result<(), ProfileError> {
        let rewriter = Arc::clone(&self.stages.rewriter);
        // The rules process every phrase even with a language model: their context must be current
        // when they take over.
        let mut words =
            rewriter.rewrite(&mut self.context, source_phrase, starts_sentence, is_last);
        if let Some(chat_rewriter) = self.stages.chat_rewriter.clone() {
            words = self.rewrite_with_model(
                &chat_rewriter,
                source_phrase,
                starts_sentence,
                is_last,
                words,
            );
        }
        if let Some(shortener) = &self.stages.shortener {
            words = shortener.shorten(words, self.deadline);
        }
        if self.playback.backlog() > CONDENSE_BACKLOG_S {
            words = rewriter.condense(&words);
        }
        tracing::debug!(
            heard = source_phrase.join(" "),
            said = words.join(" "),
            ahead = self.playback.backlog(),
            "phrase interpreted"
        );
        for breath in split_into_breath_groups(&words) {
            let speed = self.speed(breath.len(), is_last);
            let text = format!("{}.", breath.join(" "));
            let mut speech_samples =
                self.stages.speaker.speak(&text, speed, Some(self.deadline))?;
            if speech_samples.is_empty() {
                continue;
            }
            let gap_samples = if self.playback.backlog() > 0.0 { BREATH_GAP_SAMPLES } else { 0 };
            if !self.playback.has_room(gap_samples + speech_samples.len()) {
                // Later breath groups would lack their beginning.
                tracing::debug!(left_out = breath.join(" "), "the reply is too long");
                break;
            }
            if gap_samples > 0 {
                self.pause(gap_samples, reply);
            }
            self.playback.append_speech(speech_samples.len());
            self.spoken_words += breath.len();
            reply.append(&mut speech_samples);
        }
        Ok(())
    }

    /// Returns the speed of a breath group of this many words, relative to the normal rate.
    fn speed(&self, words: usize, is_last: bool) -> f64 {
        let max_speed = self.stages.max_speed;
        let (speed, rate) = if is_last {
            // After the end of the source, latency matters most.
            (max_speed.max(MAX_END_SPEED), MAX_WORDS_PER_SECOND)
        } else {
            let base_speed = self.base_speed();
            let backlog = (self.playback.backlog() / FULL_SPEED_BACKLOG_S).min(1.0);
            (base_speed + backlog * (max_speed - base_speed), MAX_ACCELERATED_WORDS_PER_SECOND)
        };
        // Earlier pauses leave room below the maximum rate.
        let normal_duration = words as f64 * self.stages.speaker.seconds_per_word();
        // Without simultaneous recognition, pauses that are not sent count, too, since a faster end
        // scores better.
        let spoken_time = if self.live_recognizer.is_some() {
            self.playback.sent_duration()
        } else {
            self.playback.elapsed()
        };
        let available_time = (self.spoken_words + words) as f64 / rate - spoken_time;
        if available_time * speed > normal_duration {
            speed.min((normal_duration / available_time).max(STEADY_SPEED))
        } else {
            speed
        }
    }

    /// Rewrites a phrase with the language model; returns `fallback` if that fails.
    fn rewrite_with_model(
        &mut self,
        chat_rewriter: &ChatRewriter,
        source_phrase: &[String],
        starts_sentence: bool,
        is_last: bool,
        fallback: Vec<String>,
    ) -> Vec<String> {
        if source_phrase.is_empty() && !self.has_deferred_words {
            return Vec::new();
        }
        let source_phrase = phrase_message(source_phrase, starts_sentence, is_last);
        let words = chat_rewriter
            .rewrite(&self.turns, &source_phrase, Some(self.deadline))
            .unwrap_or(fallback);
        self.turns.push(Turn { source_phrase, reply: words.join(" ") });
        self.has_deferred_words = !is_last;
        words
    }

    fn pause(&mut self, samples: usize, reply: &mut Vec<f32>) {
        reply.resize(reply.len() + samples, 0.0);
        self.playback.append_silence(samples);
    }
}

/// Profile that interprets like [`Interpreter`], but speaks only after the end of the source.
///
/// Demonstrates the cost of waiting: the same words, too late.
#[derive(Clone)]
pub struct Patient(Interpreter);

impl Patient {
    /// Wraps an interpreter so that it waits for the end of the source.
    pub fn new(interpreter: Interpreter) -> Self {
        Self(interpreter)
    }
}

impl Profile for Patient {
    fn name(&self) -> ProfileName {
        ProfileName::Patient
    }

    fn model(&self) -> Option<&str> {
        self.0.model()
    }

    fn open(&self, channels: u16, language: Option<&str>) -> Box<dyn Interpretation> {
        Box::new(PatientSession {
            session: self.0.open_session(channels, language),
            reply: Vec::new(),
        })
    }
}

/// Interprets each frame when it arrives, and holds the reply back: after the last frame, little
/// work is left, so that its response meets the deadline however long the source was.
struct PatientSession {
    session: InterpreterSession,
    /// Mono parts of the reply: storing all channels would take twice the memory.
    reply: Vec<Vec<f32>>,
}

impl Interpretation for PatientSession {
    fn push(&mut self, frame: &[f32], is_last_frame: bool) -> Result<Reply, ProfileError> {
        let channels = self.session.channels;
        self.session.start_deadline(is_last_frame);
        let frame_reply = self.session.process_frame(&mix(frame, channels), is_last_frame)?;
        if !frame_reply.is_empty() {
            self.reply.push(frame_reply);
        }
        if !is_last_frame {
            return Ok(Reply::default());
        }
        let samples = std::mem::take(&mut self.reply).concat();
        Ok(Reply { samples: to_channels(samples, channels), done: true })
    }
}

#[cfg(test)]
mod real_tests;
#[cfg(test)]
mod tests;
