//! The `tao subnets` commands.

mod check;
mod explain;
mod identity;
mod market;
mod mechanisms;
mod new;
mod own;
mod read;

use clap::Subcommand;
use taonet_cli_base::context::Context;

use crate::scores::state;

/// The commands of `tao subnets`.
#[expect(missing_docs, reason = "the documentation of the arguments is the help")]
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List all subnets
    List(read::ListArgs),
    /// Show one subnet
    Show(read::SubnetArgs),
    /// Show a subnet's hyperparameters
    Hyperparameters(read::SubnetArgs),
    /// Show the price of subnets' alpha
    Price(market::PriceArgs),
    /// Show the conviction of a subnet's hotkeys
    Conviction(read::SubnetArgs),
    /// Show the cost of creating a subnet
    #[command(alias = "lock-cost")]
    BurnCost(read::ListArgs),
    /// Create a subnet; the coldkey pays the lock cost, the hotkey becomes uid 0
    Create(own::CreateArgs),
    /// Show whether a subnet is started, or from when its owner can start it
    CheckStart(read::SubnetArgs),
    /// Start a subnet's emission (owner only)
    Start(own::StartArgs),
    Check(check::CheckArgs),
    New(new::NewArgs),
    Explain(explain::ExplainArgs),
    /// Export and import the scores of a validator
    #[command(subcommand)]
    State(state::Command),
    /// Show the identity of a subnet
    GetIdentity(read::SubnetArgs),
    /// Publish the identity of a subnet (owner only)
    SetIdentity(identity::SetIdentityArgs),
    /// Change the symbol of a subnet's alpha
    SetSymbol(own::SetSymbolArgs),
    /// Show and set the incentive mechanisms of a subnet
    #[command(subcommand)]
    Mechanisms(mechanisms::Command),
}

/// Runs a command of `tao subnets`.
pub fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::List(args) => read::list(args, context),
        Command::Show(args) => read::show(args, context),
        Command::Hyperparameters(args) => read::hyperparameters(args, context),
        Command::Price(args) => market::price(args, context),
        Command::Conviction(args) => market::conviction(args, context),
        Command::BurnCost(args) => market::burn_cost(args, context),
        Command::Create(args) => own::create(args, context),
        Command::CheckStart(args) => market::check_start(args, context),
        Command::Start(args) => own::start(args, context),
        Command::Check(args) => check::run(args, context),
        Command::New(args) => new::run(args, context),
        Command::Explain(args) => explain::run(args, context),
        Command::State(command) => state::run(command, "taonet.subnets-state/1", context),
        Command::GetIdentity(args) => identity::get(args, context),
        Command::SetIdentity(args) => identity::set(args, context),
        Command::SetSymbol(args) => own::set_symbol(args, context),
        Command::Mechanisms(command) => mechanisms::run(command, context),
    }
}
