use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Release of the reference implementation that the scoring follows, and whether its flaws are
/// fixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScoringProfile {
    /// Release of October 2024 (version key 61000).
    #[default]
    Reference,
    /// Release of December 2024 (version key 63100): five days of rewards, speed weighted by
    /// quality, a quality threshold, shares to the fourth power.
    Later,
    /// `Reference` with [`ScoringRules::strict`].
    Strict,
    /// `Later` with [`ScoringRules::strict`].
    LaterStrict,
}

impl ScoringProfile {
    /// Returns whether the profile follows the release of December 2024.
    pub const fn is_later(self) -> bool {
        matches!(self, Self::Later | Self::LaterStrict)
    }

    /// Returns whether the flaws of the release are fixed ([`ScoringRules::strict`]).
    pub const fn is_strict(self) -> bool {
        matches!(self, Self::Strict | Self::LaterStrict)
    }

    /// Returns the scoring parameters of the profile.
    pub fn rules(self) -> ScoringRules {
        let rules = ScoringRules { strict: self.is_strict(), ..ScoringRules::default() };
        if !self.is_later() {
            return rules;
        }
        ScoringRules {
            reward_window: Duration::from_hours(5 * 24),
            weigh_metric_by_quality: true,
            squared_up_to: Some(0.85),
            share_exponent: 4.0,
            ..rules
        }
    }
}

/// Parameters of the scoring. The default is [`ScoringProfile::Reference`].
#[derive(Debug, Clone, PartialEq)]
pub struct ScoringRules {
    /// Maximum age of a reward.
    pub reward_window: Duration,
    /// Maximum age of a closed period.
    pub period_window: Duration,
    /// Number of rewards in a task below which the miner's newest rewards in any task count too, up
    /// to this number.
    pub minimum_rewards: usize,
    /// Whether the flaws of the reference are fixed: only rewards in *other* tasks count in
    /// addition, so that no reward counts twice, and not their speeds, whose units differ; only the
    /// task's contenders are ranked by speed.
    pub strict: bool,
    /// Exponent to which each quality is raised before averaging.
    pub quality_exponent: f64,
    /// Threshold up to which the average quality is squared; `None` disables squaring.
    pub squared_up_to: Option<f64>,
    /// Tasks whose average quality is never squared.
    pub never_squared: Vec<String>,
    /// Percentile of a contender's speeds that is used for the ranking, as a fraction.
    pub metric_percentile: f64,
    /// Whether to multiply each speed by the quality of the answer.
    pub weigh_metric_by_quality: bool,
    /// Difference between the bonuses of the fastest and the slowest contender.
    pub bonus_span: f64,
    /// Weight of a period relative to the next newer period.
    pub period_decay: f64,
    /// Number of scored periods after which probation ends.
    pub full_periods: usize,
    /// Multiplier of the period score during probation.
    pub probation_factor: f64,
    /// Exponent to which each contender's share of the effective volume is raised.
    pub share_exponent: f64,
}

impl Default for ScoringRules {
    fn default() -> Self {
        Self {
            reward_window: Duration::from_hours(72),
            period_window: Duration::from_hours(72),
            minimum_rewards: 50,
            strict: false,
            quality_exponent: 1.5,
            squared_up_to: None,
            never_squared: vec!["avatar".to_owned()],
            metric_percentile: 0.3,
            weigh_metric_by_quality: false,
            bonus_span: 0.5,
            period_decay: 0.5,
            full_periods: 9,
            probation_factor: 0.25,
            share_exponent: 3.0,
        }
    }
}
