use std::time::Duration;

use taonet_prompting_core::GateSettings;

use crate::GateFileError;

/// Settings of a [`crate::PromptingChallenge`].
#[derive(Debug, Clone, PartialEq)]
pub struct ChallengeSettings {
    /// System message of a step that asks for an answer.
    pub base_prompt: String,
    /// System message of a step that asks for a question about a passage. It must differ from
    /// [`Self::base_prompt`].
    pub question_prompt: String,
    /// Number of miners that the gate chooses for a question; `None` leaves the choice to the
    /// validator's settings.
    pub best: Option<usize>,
    /// Number of further miners that are chosen at random, so that the gate also learns about
    /// miners that it would not choose.
    pub random: usize,
    /// Training of the gate.
    pub gate: GateSettings,
    /// Temperature of the softmax over the rewards of a step: lower values favour the best miners
    /// more.
    pub temperature: f64,
    /// Deadline of the requests, against which the speed of miners is measured.
    pub deadline: Duration,
}

impl Default for ChallengeSettings {
    /// Returns the defaults: all miners are asked, the softmax has the temperature 1, and requests
    /// have a deadline of 12 s.
    fn default() -> Self {
        Self {
            base_prompt: "You are a helpful assistant. Answer the question truthfully, in one to three sentences."
                .to_owned(),
            question_prompt: "Ask one relevant and insightful question about the text of the user. Write only the \
                              question."
                .to_owned(),
            best: None,
            random: 0,
            gate: GateSettings::default(),
            temperature: 1.0,
            deadline: Duration::from_secs(12),
        }
    }
}

/// Why a challenge cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChallengeError {
    /// A setting is out of its range.
    #[error("invalid settings: {0}")]
    Setting(&'static str),
    /// The gate cannot be used.
    #[error(transparent)]
    Gate(#[from] GateFileError),
}

impl ChallengeSettings {
    pub(super) fn validate(&self) -> Result<(), ChallengeError> {
        let is_positive = |number: f64| number.is_finite() && number > 0.0;
        if self.base_prompt == self.question_prompt {
            return Err(ChallengeError::Setting("`base_prompt` and `question_prompt` must differ"));
        }
        if self.best.is_some_and(|best| best + self.random == 0) {
            return Err(ChallengeError::Setting("`best` and `random` must not both be 0"));
        }
        if !is_positive(self.temperature) || !is_positive(self.gate.learning_rate) {
            return Err(ChallengeError::Setting("temperature and learning rate must be above 0"));
        }
        if !(0.0..1.0).contains(&self.gate.momentum) {
            return Err(ChallengeError::Setting("momentum must be at least 0 and below 1"));
        }
        if self.deadline.is_zero() {
            return Err(ChallengeError::Setting("the deadline must be above 0"));
        }
        Ok(())
    }
}
