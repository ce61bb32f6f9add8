//! The `tao nineteen weights` command.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use taonet_cli_base::context::Context;
use taonet_nineteen_core::document;
use taonet_nineteen_core::scoring::ScoringProfile;

/// Compute weights from tasks, contenders, rewards and period scores
#[derive(Debug, Args)]
pub struct WeightsArgs {
    /// JSON file with tasks, contenders, rewards and period scores; `-` is standard input
    file: PathBuf,
    /// Scoring rules [default: the file's scoring_profile, or else reference]
    #[arg(long, value_enum)]
    profile: Option<Profile>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Profile {
    /// The reference's release of October 2024
    Reference,
    /// The reference's release of December 2024: speed weighted by quality, a threshold on quality,
    /// shares to the fourth power
    Later,
    /// reference, but no reward counts twice, and only the task's miners are ranked, by their
    /// speeds in the task
    Strict,
    /// later, with the fixes of strict
    LaterStrict,
}

pub(crate) fn run(args: &WeightsArgs, context: &Context) -> anyhow::Result<()> {
    let profile = args.profile.map(|profile| match profile {
        Profile::Reference => ScoringProfile::Reference,
        Profile::Later => ScoringProfile::Later,
        Profile::Strict => ScoringProfile::Strict,
        Profile::LaterStrict => ScoringProfile::LaterStrict,
    });
    let weights =
        document::weights(&super::read_json(&args.file)?, profile).with_context(|| {
            format!(
                "cannot read tasks, contenders, rewards and period scores from {}",
                args.file.display()
            )
        })?;
    context.print_json(&weights)
}
