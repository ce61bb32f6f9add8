//! The command line of taonet: the tree of commands, their help, and the programs' entry point.
//!
//! The binary is `tao`, with all commands; [`tao`] is its entry point, and the only public item.
//! Under other names, as links, it is `bb`, with the Babelbit commands under the names that
//! validator operators know (`bb X` is `tao babelbit X`), `sn2-miner` (`tao proof miner`) and
//! `sn2-validator` (`tao proof validator`).
//!
//! The commands are in the crates in the folders beside `src`, one for each subject; each command
//! has its arguments with their help, and a function `run`. `commands` has those that concern the
//! programs themselves or all subnets: doctor, update, man, completions.
//!
//! - `help.md` has the description, the environment variables and the examples of every command;
//!   `help` adds them to clap's help, from which the man pages are generated, and groups the
//!   commands of `tao`. Tests walk the tree of commands: each has a summary, a description and an
//!   example that parses, and shows every environment variable that it reads.
//! - `completion` answers the shells' requests for wallets, hotkeys, networks, netuids and models,
//!   without a network.
//!
//! Data goes to standard output, everything else to standard error. With `--json`, the output is
//! one JSON document; `tao watch` prints one for each block; an error is the last line of standard
//! error, as JSON. Text from peers is escaped before it reaches a terminal. Exit codes: 0 success,
//! 1 refused or failed, 2 wrong usage, 3 network, 4 authentication, 5 call rejected by the chain, 6
//! call without a final outcome.
//!
//! The features `dashboard`, `demo`, `localnet`, `nineteen` and `proof`, all on by default, have the
//! commands of `taonet-cli-dashboard`, `taonet-cli-demo`, `taonet-cli-localnet`,
//! `taonet-cli-nineteen` and `taonet-cli-proof`; without one, its commands are errors that name it.
//! The tests need all of them.
//!
//! A new command is a module in the crate of its subject, a variant of its enum, and a section in
//! `help.md`; a daemon also gets a row in `tests/e2e/half_open/daemons.rs`. No other crate depends
//! on this one, and code that other crates could use belongs in a library.
//!
//! Uses `taonet-babelbit-config`, `taonet-chain`, `taonet-cli-axon`, `taonet-cli-babelbit`,
//! `taonet-cli-base`, `taonet-cli-chain`, `taonet-cli-models`, `taonet-cli-prompting`,
//! `taonet-cli-subnets`, `taonet-cli-wallet`, `taonet-doctor`, `taonet-http`, `taonet-neuron`,
//! `taonet-primitives`, `taonet-reach`, `taonet-service`, `taonet-settings`, `taonet-speech`,
//! `taonet-telemetry`, `taonet-update`, `taonet-validator`, `taonet-wallet` and `taonet-wire`. Used
//! by the end-to-end tests only, which run its binaries.

mod commands;
mod completion;
mod help;

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use taonet_cli_axon::{axon, bench_miner};
use taonet_cli_babelbit as babelbit;
use taonet_cli_base::context::Context;
use taonet_cli_base::{exit, table, updates};
use taonet_cli_chain::{any_call, batch, block, chain_query, events, tx, watch};
#[cfg(feature = "dashboard")]
use taonet_cli_dashboard as dashboard;
#[cfg(feature = "dashboard")]
use taonet_cli_dashboard::top;
#[cfg(feature = "demo")]
use taonet_cli_demo as demo;
#[cfg(feature = "localnet")]
use taonet_cli_localnet as localnet;
use taonet_cli_models::{models, speech};
#[cfg(feature = "nineteen")]
use taonet_cli_nineteen as nineteen;
use taonet_cli_prompting as prompting;
#[cfg(feature = "proof")]
use taonet_cli_proof as proof;
use taonet_cli_subnets::{
    commitment, metagraph, register, serve_axon, subnets, sudo, weights, yuma,
};
use taonet_cli_wallet::{
    balance, crowdloan, delegates, lock, multisig, proxy, stake, take, transfer, wallet,
};

use commands::{completions, doctor, man, update};

/// Run Bittensor subnets end to end
#[derive(Debug, Parser)]
#[command(name = "tao", version, propagate_version = true, max_term_width = 120)]
struct Tao {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: TaoCommand,
}

/// Babelbit, subnet 59: a contest of live speech interpreters.
#[derive(Debug, Parser)]
#[command(name = "bb", version, propagate_version = true, max_term_width = 120)]
struct Bb {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: babelbit::Command,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
struct Global {
    /// Log level: -v info, -vv debug, -vvv trace
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
    /// Format of log lines on standard error
    #[arg(long, value_enum, default_value = "human", global = true)]
    log_format: LogFormat,
    /// Print the result as one JSON document on standard output
    #[arg(long, alias = "json-output", global = true)]
    json: bool,
    /// Show all table columns in full, at any terminal width
    #[arg(long, global = true)]
    wide: bool,
    /// Log errors only
    #[arg(short, long, hide = true, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Log level, as in subnet 2's programs; RUST_LOG takes precedence
    #[arg(long, value_name = "LEVEL", hide = true, global = true, conflicts_with_all = ["verbose", "quiet"])]
    #[arg(ignore_case = true, value_parser = ["error", "warn", "info", "debug", "trace"])]
    log_level: Option<String>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum LogFormat {
    Human,
    Json,
}

#[derive(Debug, Subcommand)]
enum TaoCommand {
    /// Run a complete contest on this machine
    #[cfg(feature = "demo")]
    Demo(demo::DemoArgs),
    #[cfg(feature = "dashboard")]
    Dashboard(dashboard::DashboardArgs),
    Doctor(doctor::DoctorArgs),
    #[cfg(feature = "dashboard")]
    Top(top::TopArgs),
    /// Transcribe and synthesise speech, compare sentences, resample recordings
    #[command(subcommand)]
    Speech(speech::Command),
    /// List, download and verify speech and sentence models
    #[command(subcommand)]
    Models(models::Command),
    /// Babelbit, subnet 59 (the same commands as `bb`)
    #[command(subcommand)]
    Babelbit(babelbit::Command),
    /// Nineteen, subnet 19: the inference market
    #[cfg(feature = "nineteen")]
    #[command(subcommand)]
    Nineteen(nineteen::Command),
    /// Text prompting: miners complete conversations, validators reward them
    #[command(subcommand)]
    Prompting(prompting::Command),
    Prompt(Box<prompting::PromptArgs>),
    /// Prove and verify that a model produced an output
    #[cfg(feature = "proof")]
    #[command(subcommand)]
    Proof(proof::Command),
    /// Compute one epoch of Yuma consensus from a file
    Yuma(yuma::YumaArgs),
    /// Create, recover, list and encrypt keys; sign and verify messages
    #[command(subcommand)]
    Wallet(wallet::Command),
    #[cfg(feature = "localnet")]
    Localnet(localnet::LocalnetArgs),
    /// List, create and start subnets; show hyperparameters
    #[command(subcommand, alias = "subnet")]
    Subnets(subnets::Command),
    Metagraph(metagraph::MetagraphArgs),
    /// Register a hotkey on a subnet
    Register(register::RegisterArgs),
    /// Publish a neuron's endpoint
    ServeAxon(serve_axon::ServeAxonArgs),
    /// Set, commit, reveal and show weights
    #[command(subcommand)]
    Weights(weights::Command),
    /// Add, remove, move and list stake; child hotkeys, root dividends
    #[command(subcommand)]
    Stake(stake::Command),
    /// Lock stake to a hotkey, which gains conviction with time
    #[command(subcommand)]
    Lock(lock::Command),
    /// Send TAO to another account
    Transfer(transfer::TransferArgs),
    /// Show account balances
    Balance(balance::BalanceArgs),
    /// List delegates with their take, nominators and stake
    Delegates(delegates::DelegatesArgs),
    /// Show or change the take of a hotkey
    Take(take::TakeArgs),
    /// Let other accounts make calls for yours
    #[command(subcommand)]
    Proxy(proxy::Command),
    /// Make calls that several signatories approve
    #[command(subcommand)]
    Multisig(multisig::Command),
    /// Raise TAO from many accounts for one purpose
    #[command(subcommand, alias = "crowd")]
    Crowdloan(crowdloan::Command),
    /// Publish and show commitments
    #[command(subcommand)]
    Commitment(commitment::Command),
    /// Show a block
    Block(block::BlockArgs),
    /// Show the events of a block
    Events(events::EventsArgs),
    /// Decode extrinsics and calls
    #[command(subcommand)]
    Tx(tx::Command),
    /// Submit any call of the chain, or list the calls
    Call(any_call::CallArgs),
    Batch(batch::BatchArgs),
    Query(chain_query::QueryArgs),
    Watch(watch::WatchArgs),
    /// Show and set hyperparameters, as root or as a subnet's owner
    #[command(subcommand)]
    Sudo(sudo::Command),
    /// Test signed requests between neurons: serve, call, ping
    #[command(subcommand)]
    Axon(axon::Command),
    BenchMiner(bench_miner::BenchMinerArgs),
    Update(update::UpdateArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

/// Faster than the C library's allocator where one thread allocates and another frees, as in the
/// development chain.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Entry point of `tao`, and of links to it.
pub fn tao() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let name = link_name(&arguments);
    let complete =
        if name == "bb" { completion::complete::<Bb> } else { completion::complete::<Tao> };
    if let Some(code) = complete(&arguments) {
        return code;
    }
    match name.as_str() {
        "bb" => run_bb(arguments),
        "sn2-miner" => run_tao(with_command(["tao", "proof", "miner"], arguments)),
        "sn2-validator" => run_tao(with_command(["tao", "proof", "validator"], arguments)),
        _ => match removed_command_message(&arguments) {
            Some(reason) => exit::report(
                Err(exit::ClassifiedError::error(exit::Failure::Usage, reason)),
                wants_json(&arguments),
            ),
            None => run_tao(with_tao_name(arguments)),
        },
    }
}

/// Names of Bittensor's own command lines, with ours: the flat names of the first one, and those of
/// the current one that are in another group or have another name.
const COMMAND_ALIASES: [(&[&str], &[&str]); 30] = [
    (&["delegate"], &["stake", "add"]),
    (&["undelegate"], &["stake", "remove"]),
    (&["unstake"], &["stake", "remove"]),
    (&["my_delegates"], &["stake", "list"]),
    (&["list_delegates"], &["delegates"]),
    (&["nominate"], &["take"]),
    (&["recycle_register"], &["register"]),
    (&["list_subnets"], &["subnets", "list"]),
    (&["set_weights"], &["weights", "set"]),
    (&["overview"], &["wallet", "overview"]),
    (&["inspect"], &["wallet", "inspect"]),
    (&["list"], &["wallet", "list"]),
    (&["new_coldkey"], &["wallet", "new-coldkey"]),
    (&["new_hotkey"], &["wallet", "new-hotkey"]),
    (&["regen_coldkey"], &["wallet", "regen-coldkey"]),
    (&["regen_coldkeypub"], &["wallet", "regen-coldkeypub"]),
    (&["regen_hotkey"], &["wallet", "regen-hotkey"]),
    (&["wallet", "balance"], &["balance"]),
    (&["wallet", "transfer"], &["transfer"]),
    (&["wallet", "swap-check"], &["wallet", "swap-coldkey", "status"]),
    (&["stake", "set-auto"], &["stake", "auto", "set"]),
    (&["stake", "process-claim"], &["stake", "claim"]),
    (&["subnets", "register"], &["register"]),
    (&["subnets", "metagraph"], &["metagraph"]),
    (&["sudo", "set-take"], &["take"]),
    (&["sudo", "get-take"], &["take"]),
    (&["axon", "set"], &["serve-axon"]),
    (&["proxy", "create"], &["proxy", "create-pure"]),
    (&["proxy", "kill"], &["proxy", "kill-pure"]),
    (&["crowd", "info"], &["crowdloan", "show"]),
];

/// Groups that are commands in Bittensor's first command line, with the subcommand that does the
/// same.
const DEFAULT_SUBCOMMANDS: [(&str, &str); 2] = [("stake", "add"), ("weights", "show")];

/// A command that only some builds have: its words, the Cargo feature, and whether this program was
/// built with it.
type OptionalCommand = (&'static [&'static str], &'static str, bool);

/// The optional commands; of a command and its subcommand, the former is first.
const OPTIONAL_COMMANDS: [OptionalCommand; 9] = [
    (&["dashboard"], "dashboard", cfg!(feature = "dashboard")),
    (&["top"], "dashboard", cfg!(feature = "dashboard")),
    (&["demo"], "demo", cfg!(feature = "demo")),
    (&["localnet"], "localnet", cfg!(feature = "localnet")),
    (&["nineteen"], "nineteen", cfg!(feature = "nineteen")),
    (&["nineteen", "demo"], "localnet", cfg!(feature = "localnet")),
    (&["prompting", "demo"], "localnet", cfg!(feature = "localnet")),
    (&["proof"], "proof", cfg!(feature = "proof")),
    (&["proof", "demo"], "localnet", cfg!(feature = "localnet")),
];

const NO_SENATE_MESSAGE: &str = "the chain has no senate and no proposals any more\nhint: calls of root need the sudo key: see `tao \
                         sudo set` and `tao call --sudo`";

/// Commands of Bittensor's own command lines for what the chain no longer has, with the error.
const REMOVED_COMMANDS: [(&[&str], &str); 5] = [
    (&["senate"], NO_SENATE_MESSAGE),
    (&["proposals"], NO_SENATE_MESSAGE),
    (&["sudo", "senate"], NO_SENATE_MESSAGE),
    (&["sudo", "proposals"], NO_SENATE_MESSAGE),
    (&["sudo", "senate-vote"], NO_SENATE_MESSAGE),
];

/// Global options without a value, besides `-v` and `-q`.
const FLAGS: [&str; 5] = ["--verbose", "--json", "--json-output", "--wide", "--quiet"];
/// Global options with a value.
const OPTIONS_WITH_VALUE: [&str; 2] = ["--log-format", "--log-level"];

/// Returns the error for a command whose part of the chain was removed.
fn removed_command_message(arguments: &[OsString]) -> Option<&'static str> {
    let start = 1 + count_global_options(arguments.get(1..).unwrap_or_default());
    REMOVED_COMMANDS
        .iter()
        .find(|(words, _)| begins_with_words(arguments, start, words))
        .map(|(_, reason)| *reason)
}

/// Returns the feature that the command needs and that this program was built without.
fn missing_feature(arguments: &[OsString], commands: &[OptionalCommand]) -> Option<&'static str> {
    let start = 1 + count_global_options(arguments.get(1..).unwrap_or_default());
    commands
        .iter()
        .find(|(words, _, is_built)| !is_built && begins_with_words(arguments, start, words))
        .map(|(_, feature, _)| *feature)
}

/// Returns whether the arguments from `start` on begin with these words.
fn begins_with_words(arguments: &[OsString], start: usize, expected_words: &[&str]) -> bool {
    let words = arguments.iter().skip(start).map(|word| word.to_str());
    words.clone().count() >= expected_words.len()
        && words.zip(expected_words).all(|(word, expected)| word == Some(*expected))
}

/// Replaces a name of Bittensor's own command lines with ours. Global options can precede it.
fn with_tao_name(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let start = 1 + count_global_options(arguments.get(1..).unwrap_or_default());
    if let Some((alias, command)) =
        COMMAND_ALIASES.iter().find(|(alias, _)| begins_with_words(&arguments, start, alias))
    {
        arguments.splice(start..start + alias.len(), command.iter().map(OsString::from));
    } else if let Some((_, default)) = DEFAULT_SUBCOMMANDS
        .iter()
        .find(|(group, _)| begins_with_words(&arguments, start, &[*group]))
    {
        let remaining = arguments.get(start + 1..).unwrap_or_default();
        let next =
            remaining.get(count_global_options(remaining)).map(|word| word.to_string_lossy());
        if next.is_none_or(|word| is_default_argument(&word)) {
            arguments.insert(start + 1, default.into());
        }
    }
    arguments
}

/// Returns whether a word after the name of a group is an argument of its default subcommand.
fn is_default_argument(word: &str) -> bool {
    word.starts_with(|first: char| first == '-' || first.is_ascii_digit())
        && !["-h", "--help", "-V", "--version"].contains(&word)
}

/// Returns how many of the first arguments are global options and their values.
fn count_global_options(arguments: &[OsString]) -> usize {
    let mut count = 0;
    while let Some(word) = arguments.get(count).and_then(|word| word.to_str()) {
        let letters = word.strip_prefix('-').unwrap_or_default();
        let is_short = !letters.is_empty()
            && letters.chars().all(|character| character == 'v' || character == 'q');
        let is_assigned = OPTIONS_WITH_VALUE
            .iter()
            .any(|name| word.strip_prefix(name).is_some_and(|value| value.starts_with('=')));
        if is_short || is_assigned || FLAGS.contains(&word) {
            count += 1;
        } else if OPTIONS_WITH_VALUE.contains(&word) {
            count += 2;
        } else {
            break;
        }
    }
    count.min(arguments.len())
}

/// Returns the file name under which the program was started.
fn link_name(arguments: &[OsString]) -> String {
    let name = arguments.first().and_then(|program| Path::new(program).file_name());
    name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Replaces the name of a link with the command that the link runs.
fn with_command<const N: usize>(command: [&str; N], arguments: Vec<OsString>) -> Vec<OsString> {
    command.into_iter().map(OsString::from).chain(arguments.into_iter().skip(1)).collect()
}

fn run_tao(arguments: Vec<OsString>) -> ExitCode {
    if let Some(feature) = missing_feature(&arguments, &OPTIONAL_COMMANDS) {
        let problem = format!(
            "the command needs the feature {feature}, without which this program was built\nhint: \
             install a release, or use `cargo build --release --features {feature}`"
        );
        let error = exit::ClassifiedError::error(exit::Failure::Usage, problem);
        return exit::report(Err(error), wants_json(&arguments));
    }
    let Tao { global, command } = match parse(arguments) {
        Ok(parsed) => parsed,
        Err(code) => return code,
    };
    #[cfg(feature = "dashboard")]
    let is_full_screen = matches!(command, TaoCommand::Top(_));
    #[cfg(not(feature = "dashboard"))]
    let is_full_screen = false;
    let context = global.start(is_full_screen);
    exit::report(execute(&command, &context), context.json)
}

/// Runs a command of `tao`.
fn execute(command: &TaoCommand, context: &Context) -> anyhow::Result<()> {
    match command {
        #[cfg(feature = "demo")]
        TaoCommand::Demo(args) => demo::run(args, context),
        #[cfg(feature = "dashboard")]
        TaoCommand::Dashboard(args) => dashboard::run(args, context),
        TaoCommand::Doctor(args) => doctor::run(args, context),
        #[cfg(feature = "dashboard")]
        TaoCommand::Top(args) => top::run(args, context),
        TaoCommand::Speech(command) => speech::run(command, context),
        TaoCommand::Models(command) => models::run(command, context),
        TaoCommand::Babelbit(command) => babelbit::run(command, context),
        #[cfg(feature = "nineteen")]
        TaoCommand::Nineteen(command) => nineteen::run(command, context),
        TaoCommand::Prompting(command) => prompting::run(command, context),
        TaoCommand::Prompt(args) => prompting::prompt(args, context),
        #[cfg(feature = "proof")]
        TaoCommand::Proof(command) => proof::run(command, context),
        TaoCommand::Yuma(args) => yuma::run(args, context),
        TaoCommand::Wallet(command) => wallet::run(command, context),
        #[cfg(feature = "localnet")]
        TaoCommand::Localnet(args) => localnet::run(args, context),
        TaoCommand::Subnets(command) => subnets::run(command, context),
        TaoCommand::Metagraph(args) => metagraph::run(args, context),
        TaoCommand::Register(args) => register::run(args, context),
        TaoCommand::ServeAxon(args) => serve_axon::run(args, context),
        TaoCommand::Weights(command) => weights::run(command, context),
        TaoCommand::Stake(command) => stake::run(command, context),
        TaoCommand::Lock(command) => lock::run(command, context),
        TaoCommand::Transfer(args) => transfer::run(args, context),
        TaoCommand::Balance(args) => balance::run(args, context),
        TaoCommand::Delegates(args) => delegates::run(args, context),
        TaoCommand::Take(args) => take::run(args, context),
        TaoCommand::Proxy(command) => proxy::run(command, context),
        TaoCommand::Multisig(command) => multisig::run(command, context),
        TaoCommand::Crowdloan(command) => crowdloan::run(command, context),
        TaoCommand::Commitment(command) => commitment::run(command, context),
        TaoCommand::Block(args) => block::run(args, context),
        TaoCommand::Events(args) => events::run(args, context),
        TaoCommand::Tx(command) => tx::run(command, context),
        TaoCommand::Call(args) => any_call::run(args, context),
        TaoCommand::Batch(args) => batch::run(args, context),
        TaoCommand::Query(args) => chain_query::run(args, context),
        TaoCommand::Watch(args) => watch::run(args, context),
        TaoCommand::Sudo(command) => sudo::run(command, context),
        TaoCommand::Axon(command) => axon::run(command, context),
        TaoCommand::BenchMiner(args) => bench_miner::run(args, context),
        TaoCommand::Update(args) => update::run(args, context),
        TaoCommand::Completions(args) => completions::run(args, context),
        TaoCommand::Man(args) => {
            man::run(args, [command_line::<Tao>(), command_line::<Bb>()], context)
        }
    }
}

fn run_bb(arguments: Vec<OsString>) -> ExitCode {
    let Bb { global, command } = match parse(arguments) {
        Ok(parsed) => parsed,
        Err(code) => return code,
    };
    let context = global.start(false);
    exit::report(babelbit::run(&command, &context), context.json)
}

/// Returns a program's command line with descriptions and examples.
fn command_line<P: CommandFactory>() -> clap::Command {
    help::documented(P::command())
}

/// Parses the arguments. Prints help and versions, and ends the process, as clap does; reports
/// wrong arguments, and returns the exit code.
fn parse<P: CommandFactory + FromArgMatches>(arguments: Vec<OsString>) -> Result<P, ExitCode> {
    let mut command = P::command();
    let json = wants_json(&arguments);
    let matches = match command.try_get_matches_from_mut(&arguments) {
        Ok(matches) => matches,
        Err(error) => match error.kind() {
            // Descriptions are added only now, since adding them to all commands is slow.
            ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                command_line::<P>().get_matches_from(arguments)
            }
            ErrorKind::DisplayVersion => error.exit(),
            _ => return Err(report_usage_error(exit::argument_error(&error), json)),
        },
    };
    P::from_arg_matches(&matches).map_err(|error| {
        report_usage_error(exit::argument_error(&error.format(&mut command)), json)
    })
}

/// Reports wrong arguments, and returns the exit code. If an automatic update has replaced a
/// program that took these arguments, that one runs again instead.
fn report_usage_error(error: anyhow::Error, json: bool) -> ExitCode {
    let code = exit::report(Err(error), json);
    updates::roll_back("the new program does not take the arguments");
    code
}

/// Returns whether the arguments, which may be wrong, ask for a JSON document.
fn wants_json(arguments: &[OsString]) -> bool {
    let mut options =
        arguments.iter().map(|word| word.to_str()).take_while(|word| *word != Some("--"));
    options.any(|word| matches!(word, Some("--json" | "--json-output")))
}

impl Global {
    /// Sets up logging and output. `is_full_screen`: the command draws on the whole terminal, so
    /// that log lines are written only if they go elsewhere.
    fn start(&self, is_full_screen: bool) -> Context {
        let format = match self.log_format {
            LogFormat::Human => taonet_telemetry::LogFormat::Human,
            LogFormat::Json => taonet_telemetry::LogFormat::Json,
        };
        let filter = if self.quiet {
            Some("error".to_owned())
        } else {
            std::env::var("RUST_LOG").ok().or_else(|| self.log_level.clone())
        };
        if !is_full_screen || !std::io::stderr().is_terminal() {
            taonet_telemetry::init_tracing(self.verbose, filter.as_deref(), format);
        }
        if self.wide {
            table::disable_width_limit();
        }
        Context::new(self.json)
    }
}

#[cfg(test)]
mod tests;
