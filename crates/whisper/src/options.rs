//! Options of a transcription.

use crate::TranscribeError;
use crate::model::Model;

/// Most rows of a window.
const MOST_ROWS: usize = 16;

/// How to transcribe. The default is that of faster-whisper's `transcribe`.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Language code such as `en`; detected from the first window when absent.
    pub language: Option<String>,
    /// Beams at temperature 0.
    pub beam_size: usize,
    /// Samples at a temperature above 0, of which the best counts.
    pub best_of: usize,
    /// Beam search goes on until `round(beam_size · patience)` hypotheses have ended.
    pub patience: f32,
    /// Exponent of the length by which a hypothesis' score is divided.
    pub length_penalty: f32,
    /// Temperatures, tried in order until a result is good enough.
    pub temperatures: Vec<f64>,
    /// A result is too repetitive when its text compresses by more than this.
    pub compression_ratio_threshold: Option<f64>,
    /// A result is too uncertain when its average log probability is below this.
    pub log_prob_threshold: Option<f64>,
    /// A window is silent when the probability of no speech is above this and the text is too uncertain.
    pub no_speech_threshold: Option<f64>,
    /// Whether the text so far is the prompt of the next window.
    pub condition_on_previous_text: bool,
    /// The prompt is dropped after a window that needed a temperature above this.
    pub prompt_reset_on_temperature: f64,
    /// Latest start of the first segment within a window, in seconds.
    pub max_initial_timestamp: f64,
    /// Most tokens generated per window; when absent, half of the model's context.
    pub max_new_tokens: Option<usize>,
    /// Whether words get times, by cross-attention alignment.
    pub word_timestamps: bool,
    /// Punctuation merged with the word after it.
    pub prepend_punctuations: String,
    /// Punctuation merged with the word before it.
    pub append_punctuations: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            language: None,
            beam_size: 5,
            best_of: 5,
            patience: 1.0,
            length_penalty: 1.0,
            temperatures: vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
            compression_ratio_threshold: Some(2.4),
            log_prob_threshold: Some(-1.0),
            no_speech_threshold: Some(0.6),
            condition_on_previous_text: true,
            prompt_reset_on_temperature: 0.5,
            max_initial_timestamp: 1.0,
            max_new_tokens: None,
            word_timestamps: false,
            prepend_punctuations: "\"'“¿([{-".to_owned(),
            append_punctuations: "\"'.。,，!！?？:：”)]}、".to_owned(),
        }
    }
}

impl Options {
    /// Refuses options that the model cannot follow.
    pub(crate) fn check(&self, model: &Model) -> Result<(), TranscribeError> {
        let refuse = |option, reason| Err(TranscribeError::Option { option, reason });
        if self.temperatures.is_empty() {
            return refuse("temperatures", "at least one is needed");
        }
        if self.beam_size == 0 || self.beam_size > MOST_ROWS {
            return refuse("beam_size", "between 1 and 16 beams are possible");
        }
        if self.best_of == 0 || self.best_of > MOST_ROWS {
            return refuse("best_of", "between 1 and 16 samples are possible");
        }
        if self.patience.is_nan() || (self.beam_size as f32 * self.patience).round() < 1.0 {
            return refuse("patience", "beam_size times patience must be 1 at least");
        }
        if self.max_new_tokens == Some(0) {
            return refuse("max_new_tokens", "it must be above 0");
        }
        if let Some(code) = &self.language
            && model.is_multilingual()
            && model.vocabulary.language_token(code).is_none()
        {
            return refuse("language", "the model does not know it");
        }
        Ok(())
    }
}
