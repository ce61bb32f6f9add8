//! Transcription options.

use crate::TranscribeError;
use crate::model::Model;
use crate::words::Punctuation;

/// Maximum number of beams or samples per window.
const MAX_ROWS: usize = 16;

/// Codes of the languages that Whisper models understand, as in OpenAI's tokenizer; `yue` only from
/// large-v3 on.
const LANGUAGES: [&str; 100] = [
    "en", "zh", "de", "es", "ru", "ko", "fr", "ja", "pt", "tr", "pl", "ca", "nl", "ar", "sv", "it",
    "id", "hi", "fi", "vi", "he", "uk", "el", "ms", "cs", "ro", "da", "hu", "ta", "no", "th", "ur",
    "hr", "bg", "lt", "la", "mi", "ml", "cy", "sk", "te", "fa", "lv", "bn", "sr", "az", "sl", "kn",
    "et", "mk", "br", "eu", "is", "hy", "ne", "mn", "bs", "kk", "sq", "sw", "gl", "mr", "pa", "si",
    "km", "sn", "yo", "so", "af", "oc", "ka", "be", "tg", "sd", "gu", "am", "yi", "lo", "uz", "fo",
    "ht", "ps", "tk", "nn", "mt", "sa", "lb", "my", "bo", "tl", "mg", "as", "tt", "haw", "ln",
    "ha", "ba", "jw", "su", "yue",
];

/// Returns the code of a language that Whisper models understand, such as `fr`, in lower case. Of a
/// tag such as `fr-CA`, the part before the hyphen counts; letter case is ignored.
pub fn language_code(tag: &str) -> Option<&'static str> {
    let language = tag.split_once('-').map_or(tag, |(language, _)| language);
    LANGUAGES.into_iter().find(|code| code.eq_ignore_ascii_case(language))
}

/// The text to produce from speech.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SpeechTask {
    /// The words, in the spoken language.
    #[default]
    Transcribe,
    /// The English translation.
    Translate,
}

/// Transcription options. Defaults are those of faster-whisper's `transcribe`.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Language code such as `en`; detected from the first window when absent.
    pub language: Option<String>,
    /// Whether the text is a transcription or an English translation.
    pub task: SpeechTask,
    /// Number of beams at temperature 0.
    pub beam_size: usize,
    /// Number of samples drawn per window at temperatures above 0; the best sample is used.
    pub best_of: usize,
    /// Patience: beam search continues until `round(beam_size · patience)` hypotheses are complete.
    pub patience: f32,
    /// Length penalty: the score of a hypothesis is divided by its length to this power.
    pub length_penalty: f32,
    /// Fallback temperatures, tried in order until a result passes the thresholds.
    pub temperatures: Vec<f64>,
    /// Maximum compression ratio; results with a higher ratio are rejected as repetitive.
    pub compression_ratio_threshold: Option<f64>,
    /// Minimum average log probability; results with a lower average are rejected as uncertain.
    pub log_prob_threshold: Option<f64>,
    /// No-speech probability above which a window with uncertain text is treated as silent.
    pub no_speech_threshold: Option<f64>,
    /// Whether the text of a window is the prompt of the next window.
    pub condition_on_previous_text: bool,
    /// Temperature above which a window resets the prompt.
    pub prompt_reset_on_temperature: f64,
    /// Maximum start of the first segment within a window, in seconds.
    pub max_initial_timestamp: f64,
    /// Maximum number of tokens generated per window; when absent, half of the model's context.
    pub max_new_tokens: Option<usize>,
    /// Whether to compute word timestamps, by cross-attention alignment.
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
            task: SpeechTask::Transcribe,
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

/// Rejects the value of an option.
pub(crate) fn option_error<T>(
    option: &'static str,
    reason: &'static str,
) -> Result<T, TranscribeError> {
    Err(TranscribeError::Option { option, reason })
}

impl Options {
    /// Returns the punctuation marks that are merged with words.
    pub(crate) fn punctuation(&self) -> Punctuation<'_> {
        Punctuation { prepended: &self.prepend_punctuations, appended: &self.append_punctuations }
    }

    /// Rejects options that are invalid or unsupported by the model.
    pub(crate) fn check(&self, model: &Model) -> Result<(), TranscribeError> {
        if self.temperatures.is_empty() {
            return option_error("temperatures", "must not be empty");
        }
        if self.beam_size == 0 || self.beam_size > MAX_ROWS {
            return option_error("beam_size", "must be between 1 and 16");
        }
        if self.best_of == 0 || self.best_of > MAX_ROWS {
            return option_error("best_of", "must be between 1 and 16");
        }
        if self.patience.is_nan() || (self.beam_size as f32 * self.patience).round() < 1.0 {
            return option_error("patience", "beam_size times patience must be at least 1");
        }
        if self.max_new_tokens == Some(0) {
            return option_error("max_new_tokens", "must be above 0");
        }
        if let Some(code) = &self.language
            && code != "en"
            && !model.is_multilingual()
        {
            return option_error("language", "the model understands English only");
        }
        if let Some(code) = &self.language
            && model.is_multilingual()
            && model.vocabulary.language_token(code).is_none()
        {
            return option_error("language", "not supported by the model");
        }
        if self.language.is_none() && model.is_multilingual() && model.config.languages.is_empty() {
            return option_error("language", "must be set: the model lists no languages");
        }
        let can_translate =
            model.is_multilingual() && model.vocabulary.special().translate.is_some();
        if self.task == SpeechTask::Translate && !can_translate {
            return option_error("task", "the model does not translate");
        }
        Ok(())
    }
}
