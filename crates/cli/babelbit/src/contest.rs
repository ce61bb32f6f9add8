//! The contests of Babelbit, as an argument.

use clap::ValueEnum;

/// A contest of Babelbit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Contest {
    /// Interpretation of live speech.
    #[default]
    Speech,
    /// Prediction of utterances word by word.
    Text,
}
