//! Language detection in the first window.

use super::{
    Buffers, Cache, EncoderMemory, Recording, Row, TranscribeError, WINDOW_FRAMES, softmax,
};
use crate::options::SpeechTask;

/// Minimum difference between the two best language probabilities. Below it, detection runs again
/// on the window that the reference uses.
const MIN_LANGUAGE_MARGIN: f32 = 0.2;

impl Recording {
    /// Sets language and start tokens, from the options or by detection in the first window.
    /// Returns the difference between the probabilities of the two best languages; 1 if there is
    /// nothing to detect.
    ///
    /// In recordings under 30 s, the reference detects the language in a window with one more
    /// frame: the padding. This function uses the encoding of the first window for detection too,
    /// unless the two best languages are close.
    pub(super) fn set_language(
        &mut self,
        buffers: &mut Buffers,
        cache: &mut Cache,
        memory: &EncoderMemory,
    ) -> Result<f32, TranscribeError> {
        let vocabulary = &self.model.vocabulary;
        let special = vocabulary.special();
        self.start_tokens = vec![special.start_of_transcript];
        if !vocabulary.is_multilingual() {
            "en".clone_into(&mut self.language);
            self.language_probability = 1.0;
            return Ok(1.0);
        }
        let mut margin = 1.0;
        let token = if let Some(code) = &self.options.language {
            self.language.clone_from(code);
            self.language_probability = 1.0;
            let error = TranscribeError::Option {
                option: "language",
                reason: "not supported by the model",
            };
            vocabulary.language_token(code).ok_or(error)?
        } else {
            let mut languages = self.languages(buffers, cache, memory)?;
            if margin_of(&languages) < MIN_LANGUAGE_MARGIN && self.content_frames() < WINDOW_FRAMES
            {
                let window = self.features.window(0, WINDOW_FRAMES);
                let memory = self.model.encode_audio(buffers, &window)?;
                languages = self.languages(buffers, cache, &memory)?;
                buffers.memories.push(memory);
            }
            let error = TranscribeError::Option {
                option: "language",
                reason: "the model lists no languages",
            };
            let (token, probability) = languages.first().copied().ok_or(error)?;
            self.language = self.model.vocabulary.language_code(token).unwrap_or_default();
            self.language_probability = probability;
            margin = margin_of(&languages);
            token
        };
        self.start_tokens.push(token);
        let special = self.model.vocabulary.special();
        self.start_tokens.extend(match self.options.task {
            SpeechTask::Transcribe => special.transcribe,
            SpeechTask::Translate => special.translate,
        });
        Ok(margin)
    }

    /// Returns language tokens and their probabilities, the most probable first.
    fn languages(
        &self,
        buffers: &mut Buffers,
        cache: &mut Cache,
        memory: &EncoderMemory,
    ) -> Result<Vec<(u32, f32)>, TranscribeError> {
        let model = &self.model;
        let slot = cache.allocate();
        let token = model.vocabulary.special().start_of_transcript;
        let row = Row { token, position: 0, memory: 0, slots: vec![slot] };
        let states =
            model.decoder.forward(&buffers.gemm.clone(), buffers, cache, &[memory], &[row], None);
        cache.release(&[slot]);
        model.decoder.logits(&buffers.gemm.clone(), buffers, &states?)?;
        let tokens = &model.config.languages;
        let mut scores: Vec<f32> = tokens
            .iter()
            .map(|&token| buffers.logits.get(token as usize).copied().unwrap_or(f32::MIN))
            .collect();
        softmax(&mut scores);
        let mut languages: Vec<(u32, f32)> = tokens.iter().copied().zip(scores).collect();
        languages.sort_by(|a, b| b.1.total_cmp(&a.1));
        Ok(languages)
    }
}

/// Returns the difference between the probabilities of the two best languages.
fn margin_of(languages: &[(u32, f32)]) -> f32 {
    match languages {
        [first, second, ..] => first.1 - second.1,
        _ => 1.0,
    }
}
