//! Explanation of scores: the rule behind each number, and the deciding gate.

use taonet_babelbit_core::scoring::{Gate, ScoreOptions, SpeechRate};
use taonet_babelbit_runner::StoredScore;
use taonet_dashboard::{duration, number};

/// Effect of a component on the score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScoreEffect {
    Passed,
    Failed,
    /// The component was not computed, or is for information only.
    Neutral,
}

impl ScoreEffect {
    fn of(passed: Option<bool>) -> Self {
        match passed {
            Some(true) => Self::Passed,
            Some(false) => Self::Failed,
            None => Self::Neutral,
        }
    }

    /// Returns the CSS class of the row, and its text for screen readers.
    pub(crate) const fn class_and_text(self) -> (&'static str, &'static str) {
        match self {
            Self::Passed => ("passed", "passed"),
            Self::Failed => ("failed", "failed"),
            Self::Neutral => ("neutral", ""),
        }
    }
}

/// One component of a score, such as the speaking rate.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Component {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    /// Rule that determines the value or its limit.
    pub(crate) rule: String,
    pub(crate) effect: ScoreEffect,
}

/// Returns the deciding gate: the first failed gate, with the bound that the reply missed. `None`
/// if the reply passed.
pub(crate) fn decision(score: &StoredScore, options: &ScoreOptions) -> Option<String> {
    let gate = *score.failed_gates.first()?;
    let result = &score.result;
    let detail = match gate {
        Gate::TooLate => format!(
            "the reply ended {} after the source, the limit is {}",
            duration(Some(result.latency.overshoot_sec)),
            duration(result.latency.allowed_overshoot_sec)
        ),
        Gate::Accuracy => {
            format!(
                "{} is below {}",
                number(result.accuracy, 3),
                number(Some(options.accuracy_threshold), 2)
            )
        }
        Gate::Rate => match &result.speech_rate {
            SpeechRate::Measured { ratio, .. } => format!(
                "{} times as fast as the reference, expected {} to {}",
                number(*ratio, 2),
                options.rate_lower,
                options.rate_upper
            ),
            SpeechRate::Unknown { .. } => "the rate could not be measured".to_owned(),
        },
        Gate::Language => match &score.transcription {
            Some(transcription) => {
                format!(
                    "detected {}, expected {}",
                    transcription.transcript.detected_language, options.target_language
                )
            }
            None => format!("expected {}", options.target_language),
        },
        Gate::NoAudio => "the reply contains no samples".to_owned(),
        Gate::NoSpeech => "the recogniser found no words".to_owned(),
        _ => result.score_error.clone().unwrap_or_default(),
    };
    Some(if detail.is_empty() {
        gate.reason().to_owned()
    } else {
        format!("{}: {detail}", gate.reason())
    })
}

/// Returns every component of a score with its rule, in the order of scoring.
pub(crate) fn components(score: &StoredScore, options: &ScoreOptions) -> Vec<Component> {
    let result = &score.result;
    let failed = |gate| score.failed_gates.contains(&gate);
    let mut components = vec![Component {
        name: "Accuracy",
        value: number(result.accuracy, 4),
        rule: format!("cosine to the reference, at least {}", options.accuracy_threshold),
        effect: ScoreEffect::of(result.accuracy_pass.or(failed(Gate::Accuracy).then_some(false))),
    }];
    if let SpeechRate::Measured { penalty, miner_wps, reference_wps, ratio, .. } =
        &result.speech_rate
    {
        components.push(Component {
            name: "Rate",
            value: number(*ratio, 3),
            rule: format!(
                "{} words/s, {} in the reference; allowed ratio {} to {}",
                number(*miner_wps, 2),
                number(*reference_wps, 2),
                options.rate_lower,
                options.rate_upper
            ),
            effect: ScoreEffect::of(penalty.map(|penalty| penalty > 0.0)),
        });
    }
    let latency = &result.latency;
    components.push(Component {
        name: "Latency",
        value: duration(Some(latency.overshoot_sec)),
        rule: format!(
            "playback ends at {}, the source at {}; allowed difference {}",
            duration(Some(latency.completion_sec)),
            duration(Some(latency.source_duration_sec)),
            duration(latency.allowed_overshoot_sec)
        ),
        effect: ScoreEffect::of(
            latency.allowed_overshoot_sec.map(|allowed| latency.overshoot_sec < allowed),
        ),
    });
    components.push(Component {
        name: "Latency score",
        value: number(Some(latency.score), 4),
        rule: format!("1 − (latency ÷ allowed)^{}", options.latency_power),
        effect: ScoreEffect::Neutral,
    });
    if let Some(raw) = result.raw_score {
        components.push(Component {
            name: "Score before duplication",
            value: number(Some(raw), 4),
            rule: "the latency score if every gate passes, else 0".to_owned(),
            effect: ScoreEffect::Neutral,
        });
    }
    if let Some(penalty) = &result.duplicate_penalty {
        components.push(Component {
            name: "Duplication factor",
            value: number(penalty.penalty_factor, 4),
            rule: format!(
                "duplicate pressure {} to the power of −{}; highest similarity to another reply {}, threshold {}",
                number(penalty.duplicate_pressure, 2),
                penalty.gamma,
                number(penalty.max_peer_similarity, 3),
                penalty.similarity_threshold
            ),
            effect: ScoreEffect::of(penalty.penalty_factor.map(|factor| factor >= 0.999_999)),
        });
    }
    components.push(Component {
        name: "Score",
        value: number(Some(result.score), 6),
        rule: format!("scoring method {}", result.score_method),
        effect: ScoreEffect::of(Some(result.score > 0.0)),
    });
    components
}
