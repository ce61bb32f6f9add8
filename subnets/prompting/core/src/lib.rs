//! The text-prompting subnet's formulas: which miners to ask, what their completions are worth, and
//! the weights that follow. Pure: no clock, no I/O, no randomness of its own.
//!
//! - [`Gate`]: a score for each miner from the embedding of a message, by one linear layer; trained
//!   by SGD with momentum on the mean squared error between normalised scores and normalised
//!   rewards. [`Gate::choose`] has the best miners, and random ones for exploration;
//! - [`RewardModel`]: what completions are worth under one aspect, such as [`Relevance`],
//!   [`Likelihood`] or [`Diversity`]; a [`Blend`] of these is the reward, with the parts that
//!   explain it;
//! - [`softmax`], [`normalised_rewards`] and [`compute_weights`]: rewards become shares of a step,
//!   and the moving averages of these shares the weights;
//! - [`shapley_values`] and [`synergies`]: contributions of miners to a coalition, exact up to
//!   [`MAX_EXACT`] miners and sampled beyond. [`NextTokenLosses`] is such a coalition: the mean of
//!   the miners' next-token probabilities. Its [`contributions()`] are an alternative to the
//!   rewards of completions;
//! - [`Draws`]: reproducible random numbers from a seed.
//!
//! ```
//! use taonet_primitives::Hotkey;
//! use taonet_prompting_core::{Gate, GateSettings};
//!
//! let (good, bad) = (Hotkey::from_bytes([1; 32]), Hotkey::from_bytes([2; 32]));
//! let (mut gate, embedding) = (Gate::new(2), [0.6_f32, 0.8]);
//! for _ in 0..200 {
//!     gate.train(&embedding, &[(good, 1.0), (bad, 0.0)], GateSettings::default());
//! }
//! let scores = gate.scores(&embedding, &[good, bad]);
//! assert!(scores[0] > scores[1]);
//! ```
//!
//! Scores and averages belong to hotkeys: a miner that takes over a uid starts again. Completions
//! come from untrusted miners: every reward is in `0.0..=1.0`, an empty completion is worth 0, and
//! a gate from a file is checked before use ([`Gate::check`]). The crate computes neither
//! embeddings nor probabilities of tokens; `taonet-prompting-neurons` gives it both.
//!
//! Uses `taonet-primitives` (hotkeys, uids, weights). Used by `taonet-prompting-neurons`, `tao
//! prompting` and `tao prompt`.

mod contributions;
mod draws;
mod gate;
mod history;
mod losses;
mod rewards;
mod shapley;
mod softmax;
mod words;

pub use contributions::{Contribution, contributions};
pub use draws::Draws;
pub use gate::{Gate, GateError, GateSettings};
pub use history::{Event, EventReward, compute_weights};
pub use losses::NextTokenLosses;
pub use rewards::{
    Blend, BlendWeights, Completion, Diversity, Length, Likelihood, Originality, Prompt, Relevance,
    Repetition, Reward, RewardModel, Speed,
};
pub use shapley::{MAX_EXACT, Synergy, shapley_values, synergies};
pub use softmax::{normalised_rewards, softmax};
pub use words::words;
