//! The `tao nineteen period-score` command.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use taonet_cli_base::context::Context;
use taonet_nineteen_core::document;
use taonet_nineteen_core::period::PeriodProfile;

/// Score periods from their counters
#[derive(Debug, Args)]
pub struct PeriodScoreArgs {
    /// JSON file with the counters of periods; `-` is standard input
    file: PathBuf,
    /// Formula of the score
    #[arg(long, value_enum, default_value = "reference")]
    profile: Profile,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Profile {
    /// The reference of October 2024: rate limits cost as much as failures
    Reference,
    /// The reference of December 2024: the server-error factor is squared
    Later,
    /// The subnet's own description: an explicit rate limit costs less than a failure
    Seed,
}

impl From<Profile> for PeriodProfile {
    fn from(profile: Profile) -> Self {
        match profile {
            Profile::Reference => Self::Reference,
            Profile::Later => Self::Later,
            Profile::Seed => Self::Seed,
        }
    }
}

pub(crate) fn run(args: &PeriodScoreArgs, context: &Context) -> anyhow::Result<()> {
    let scores = document::period_scores(&super::read_json(&args.file)?, args.profile.into())
        .with_context(|| format!("cannot score the periods in {}", args.file.display()))?;
    context.print_json(&scores)
}
