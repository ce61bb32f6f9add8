use std::sync::Arc;

use taonet_babelbit_core::protocol::SAMPLE_RATE_HZ;
use taonet_primitives::Word;
use taonet_speech::{Recognizer, Synthesizer, Voice};

use super::listener::Listener;
use super::phrasing::{best_cut, breaths};
use super::playback::Playback;
use super::segmenter::{Found, Segmenter};
use super::speaker::{Speaker, spread};
use super::{Interpretation, Profile, ProfileError, ProfileName, Reply};
use crate::rewrite::{Context, PhrasebookError, Rewriter};

/// Silence after a breath, in samples at 24 kHz.
const GAP: usize = 2_880;
/// Maximum silence sent while there is nothing to say, in seconds, so that pauses of the reply sound natural.
const MAX_PAUSE: f64 = 0.16;
/// Backlog in seconds at which the reply is spoken at maximum speed.
const HURRY: f64 = 1.2;
/// Backlog in seconds at which the reply is condensed.
const LATE: f64 = 2.0;

/// Shorter fragments, in words, wait for the next phrase: most are false starts, which can then be detected.
const FRAGMENT: usize = 3;
/// Length in seconds at which a phrase is cut even without a good place between two words.
const MAX_WAIT: f64 = 5.0;
/// Source speech recognised again as context of a phrase, in samples at 24 kHz: it gives the recogniser the sentence
/// and the speaker's loudness, and costs little.
const LEAD: usize = 5 * SAMPLE_RATE_HZ as usize;

/// Voice settings of an interpreter.
#[derive(Debug, Clone, PartialEq)]
pub struct Manner {
    /// Voice with its normal rate.
    pub voice: Voice,
    /// Maximum speed relative to the normal rate when the reply is behind; at least 1.
    pub fastest: f64,
}

impl Default for Manner {
    fn default() -> Self {
        Self { voice: Voice { name: "en-gb".to_owned(), words_per_minute: 150, pitch: 50 }, fastest: 1.25 }
    }
}

/// Profile that interprets while the source is playing, phrase by phrase.
///
/// Four stages follow each other: phrases are segmented at pauses, recognised, rewritten by rules in the context of the
/// previous phrase, and spoken. It tracks the backlog that the listener still hears, and speeds up, then condenses,
/// when the reply falls behind the source.
#[derive(Clone)]
pub struct Interpreter {
    listener: Listener,
    rewriter: Arc<Rewriter>,
    speaker: Speaker,
    fastest: f64,
}

impl Interpreter {
    /// Creates an interpreter with these engines.
    ///
    /// # Errors
    /// [`PhrasebookError`] when a built-in phrase book is malformed.
    pub fn new(
        recognizer: Arc<dyn Recognizer>,
        synthesizer: Arc<dyn Synthesizer>,
        manner: Manner,
    ) -> Result<Self, PhrasebookError> {
        Ok(Self {
            listener: Listener::new(recognizer),
            rewriter: Arc::new(Rewriter::builtin()?),
            speaker: Speaker::new(synthesizer, manner.voice),
            fastest: manner.fastest.max(1.0),
        })
    }

    fn begin(&self, channels: u16) -> Interpreting {
        Interpreting {
            stages: self.clone(),
            channels,
            segmenter: Segmenter::new(),
            context: Context::default(),
            playback: Playback::default(),
            lead: Vec::new(),
            fragment: (Vec::new(), false),
            spoke: false,
        }
    }
}

impl Profile for Interpreter {
    fn name(&self) -> ProfileName {
        ProfileName::Interpreter
    }

    fn model(&self) -> Option<&str> {
        Some(self.listener.model())
    }

    fn open(&self, channels: u16) -> Box<dyn Interpretation> {
        Box::new(self.begin(channels))
    }
}

struct Interpreting {
    stages: Interpreter,
    channels: u16,
    segmenter: Segmenter,
    context: Context,
    playback: Playback,
    /// Source audio just before the current phrase.
    lead: Vec<f32>,
    /// Words of a fragment deferred to the next phrase, and whether a clear pause preceded it.
    fragment: (Vec<String>, bool),
    spoke: bool,
}

impl Interpretation for Interpreting {
    fn push(&mut self, frame: &[f32], end: bool) -> Result<Reply, ProfileError> {
        let reply = self.hear(&mix(frame, self.channels), end)?;
        Ok(Reply { samples: spread(reply, self.channels), done: end })
    }
}

/// Mono mix of the channels, clamped to [-1, 1].
fn mix(frame: &[f32], channels: u16) -> Vec<f32> {
    let instants = frame.chunks_exact(usize::from(channels.max(1)));
    let mean = |instant: &[f32]| {
        let mean = instant.iter().sum::<f32>() / instant.len() as f32;
        if mean.is_finite() { mean.clamp(-1.0, 1.0) } else { 0.0 }
    };
    instants.map(mean).collect()
}

impl Interpreting {
    /// Processes a mono frame and returns the mono reply.
    fn hear(&mut self, frame: &[f32], end: bool) -> Result<Vec<f32>, ProfileError> {
        self.playback.advance(frame.len());
        self.segmenter.hear(frame.iter().copied());
        let mut reply = Vec::new();
        while let Some(found) = self.segmenter.find(end) {
            let (heard, begins) = match found {
                Found::Phrase(phrase) => {
                    let words = self.recognize(&phrase.samples)?;
                    self.remember(&phrase.samples);
                    (words, phrase.begins)
                }
                Found::TooLong => self.cut()?,
            };
            let (mut words, fragment_begins) = std::mem::take(&mut self.fragment);
            let begins = if words.is_empty() { begins } else { fragment_begins };
            words.extend(heard.into_iter().map(|word| word.text));
            if words.len() < FRAGMENT {
                self.fragment = (words, begins);
                continue;
            }
            self.interpret(&words, begins, end && self.segmenter.pending().is_empty(), &mut reply)?;
        }
        if end {
            let (words, begins) = std::mem::take(&mut self.fragment);
            self.interpret(&words, begins, true, &mut reply)?;
        } else if self.spoke && self.playback.ahead() <= 0.0 && self.playback.quiet() < MAX_PAUSE {
            self.pause(frame.len(), &mut reply);
        }
        Ok(reply)
    }

    /// Recognised words of the current phrase, with times from its start.
    fn recognize(&self, samples: &[f32]) -> Result<Vec<Word>, ProfileError> {
        let lead = self.lead.len() as f64 / f64::from(SAMPLE_RATE_HZ);
        let words = self.stages.listener.listen(&[&self.lead, samples].concat())?;
        let words = words.into_iter().filter(|word| f64::midpoint(word.start, word.end) >= lead);
        Ok(words.map(|word| Word { start: (word.start - lead).max(0.0), end: word.end - lead, ..word }).collect())
    }

    fn remember(&mut self, samples: &[f32]) {
        self.lead.extend_from_slice(samples);
        self.lead.drain(..self.lead.len().saturating_sub(LEAD));
    }

    /// Cuts a phrase that is too long between two words, and returns the words before the cut. Waits if there is no
    /// good place yet.
    fn cut(&mut self) -> Result<(Vec<Word>, bool), ProfileError> {
        let begins = self.segmenter.begins();
        let seconds = self.segmenter.pending().len() as f64 / f64::from(SAMPLE_RATE_HZ);
        let mut words = self.recognize(self.segmenter.pending())?;
        let place = match best_cut(&words, seconds) {
            Some(place) => place,
            None if seconds < MAX_WAIT => return Ok((Vec::new(), begins)),
            None => words.len(),
        };
        let after = words.split_off(place);
        let end = words.last().map_or(0.0, |word| word.end);
        let at = after.first().map_or(seconds, |word| f64::midpoint(end, word.start));
        let phrase = self.segmenter.cut((at * f64::from(SAMPLE_RATE_HZ)) as usize).samples;
        self.remember(&phrase);
        Ok((words, begins))
    }

    /// Rewrites a phrase and speaks the result.
    fn interpret(
        &mut self,
        heard: &[String],
        begins: bool,
        last: bool,
        reply: &mut Vec<f32>,
    ) -> Result<(), ProfileError> {
        let rewriter = Arc::clone(&self.stages.rewriter);
        let mut words = rewriter.rewrite(&mut self.context, heard, begins, last);
        if self.playback.ahead() > LATE {
            words = rewriter.condense(&words);
        }
        tracing::debug!(heard = heard.join(" "), said = words.join(" "), ahead = self.playback.ahead(), "phrase");
        for breath in breaths(&words) {
            // After the end of the source, latency counts most.
            let hurry = if last { 1.0 } else { (self.playback.ahead() / HURRY).min(1.0) };
            let speed = 1.0 + hurry * (self.stages.fastest - 1.0);
            let mut sound = self.stages.speaker.speak(&format!("{}.", breath.join(" ")), speed)?;
            if self.playback.ahead() > 0.0 {
                self.pause(GAP, reply);
            }
            self.playback.say(sound.len());
            self.spoke = true;
            reply.append(&mut sound);
        }
        Ok(())
    }

    fn pause(&mut self, samples: usize, reply: &mut Vec<f32>) {
        reply.resize(reply.len() + samples, 0.0);
        self.playback.pause(samples);
    }
}

/// Profile that interprets like [`Interpreter`], but starts only after the end of the source.
///
/// It demonstrates the cost of waiting: the same words, too late.
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

    fn open(&self, channels: u16) -> Box<dyn Interpretation> {
        Box::new(Waiting { interpreting: self.0.begin(channels), heard: Vec::new() })
    }
}

struct Waiting {
    interpreting: Interpreting,
    /// Mono frames: all channels would take twice the memory.
    heard: Vec<Vec<f32>>,
}

impl Interpretation for Waiting {
    fn push(&mut self, frame: &[f32], end: bool) -> Result<Reply, ProfileError> {
        self.heard.push(mix(frame, self.interpreting.channels));
        if !end {
            return Ok(Reply::default());
        }
        let mut samples = Vec::new();
        let frames = std::mem::take(&mut self.heard);
        for (number, frame) in (1..).zip(&frames) {
            samples.append(&mut self.interpreting.hear(frame, number == frames.len())?);
        }
        Ok(Reply { samples: spread(samples, self.interpreting.channels), done: true })
    }
}

#[cfg(test)]
mod real_tests;
#[cfg(test)]
mod tests;
