//! Completions that know the user's wallets, hotkeys, networks, subnets and models.
//!
//! The scripts of `tao completions` run the program with [`COMPLETION_VARIABLE`] set and the words
//! of the line as arguments; the engine of clap_complete finds the argument that the cursor is in,
//! and this module returns its values. A shell waits for them, so nothing here uses the network:
//! subnets are those that `tao subnets list` fetched last.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use clap::builder::Str;
use clap::{Arg, Command, CommandFactory, ValueHint};
use clap_complete::engine::{
    ArgValueCandidates, ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter as _,
};
use clap_complete::env::CompleteEnv;
use taonet_cli_base::chain::parse_network;
use taonet_cli_base::exit;
use taonet_cli_base::settings;
use taonet_cli_base::subnet_names::read_subnet_names;
use taonet_settings::selected_network;
use taonet_speech::models::{ModelKind, ModelSpec};
use taonet_wallet::{DEFAULT_ROOT, ListedWallet, Wallets, expand_home};

/// Variable with which a shell asks for candidates; its value is the shell's name.
pub(crate) const COMPLETION_VARIABLE: &str = "TAO_COMPLETE";

/// Names of networks, and their meaning.
const NETWORKS: [(&str, &str); 4] = [
    ("finney", "the main network"),
    ("test", "the public test network"),
    ("archive", "a node of the main network with all states"),
    ("local", "the chain of `tao localnet`"),
];

/// Subnets with their own commands, for networks whose subnets were never listed.
const SUBNETS: [(&str, &str); 3] =
    [("2", "proof of inference"), ("19", "Nineteen"), ("59", "Babelbit")];

/// Answers a shell's request; `None` if the program was started for anything else.
pub(crate) fn complete<P: CommandFactory>(arguments: &[OsString]) -> Option<ExitCode> {
    if arguments.is_empty() {
        return None;
    }
    let directory = std::env::current_dir().ok();
    let engine =
        CompleteEnv::with_factory(|| with_candidates(P::command())).var(COMPLETION_VARIABLE);
    match engine.try_complete(arguments.to_vec(), directory.as_deref()) {
        Ok(false) => None,
        Ok(true) => Some(ExitCode::SUCCESS),
        Err(error) => Some(exit::report(Err(exit::argument_error(&error)), false)),
    }
}

/// Adds the candidates to the arguments of a command and of all its subcommands.
fn with_candidates(command: Command) -> Command {
    let command = command.mut_args(|argument| {
        if is_language_model(&argument) {
            return argument.add(ArgValueCompleter::new(complete_language_model));
        }
        match candidate_source(&argument) {
            Some(candidates) => argument.add(ArgValueCandidates::new(candidates)),
            None => argument,
        }
    });
    command.mut_subcommands(with_candidates)
}

/// Returns the name of an argument's value.
fn value_name(argument: &Arg) -> Option<&str> {
    argument.get_value_names().and_then(|names| names.first()).map(Str::as_str)
}

/// Whether an argument takes a language model: the name of an installed one, or a path.
fn is_language_model(argument: &Arg) -> bool {
    match (argument.get_id().as_str(), value_name(argument)) {
        ("model" | "judge_model", Some("MODEL")) => argument.get_value_hint() == ValueHint::AnyPath,
        ("lm", Some("PATH|hub:MODEL")) => true,
        _ => false,
    }
}

/// Returns the source of an argument's candidates, which its name and the name of its value select.
fn candidate_source(argument: &Arg) -> Option<fn() -> Vec<CompletionCandidate>> {
    match (argument.get_id().as_str(), value_name(argument)?) {
        ("network" | "chain", "NETWORK") => Some(network_candidates),
        ("netuid" | "to_netuid", _) => Some(netuid_candidates),
        ("wallet_name", _) => Some(wallet_candidates),
        ("wallet_hotkey" | "hotkey", "NAME") => Some(hotkey_candidates),
        ("hotkey" | "hotkey_ss58" | "to_hotkey" | "miner_hotkey", _) => Some(address_candidates),
        // Paths have other candidates.
        (_, "MODEL") if argument.get_value_hint() != ValueHint::AnyPath => Some(model_candidates),
        _ => None,
    }
}

fn candidate(value: impl Into<OsString>, help: impl Into<String>) -> CompletionCandidate {
    let help: String = help.into();
    CompletionCandidate::new(value).help(Some(help.into()))
}

fn network_candidates() -> Vec<CompletionCandidate> {
    NETWORKS.into_iter().map(|(name, help)| candidate(name, help)).collect()
}

fn model_candidates() -> Vec<CompletionCandidate> {
    ModelSpec::all().iter().map(|model| candidate(model.name, model.purpose)).collect()
}

/// Returns the names of language models and the paths that begin with a text.
fn complete_language_model(prefix: &OsStr) -> Vec<CompletionCandidate> {
    let name_prefix = prefix.to_string_lossy();
    let mut candidates: Vec<_> = ModelKind::LanguageModel
        .models()
        .filter(|model| model.name.starts_with(&*name_prefix))
        .map(|model| candidate(model.name, model.purpose))
        .collect();
    candidates.extend(PathCompleter::any().complete(prefix));
    candidates
}

/// Returns the wallets in the directory that the line or the environment selects.
fn listed_wallets() -> Vec<ListedWallet> {
    let wallet_path =
        option_value(&command_line_words(), &["--wallet-path", "--wallet.path", "-p"]).or_else(
            || ["BT_WALLET_PATH", "BITTENSOR_WALLET_PATH"].into_iter().find_map(settings::text),
        );
    let root = expand_home(
        wallet_path.unwrap_or_else(|| DEFAULT_ROOT.to_owned()),
        dirs::home_dir().as_deref(),
    );
    root.map(|root| Wallets::new(root).list().unwrap_or_default()).unwrap_or_default()
}

fn wallet_candidates() -> Vec<CompletionCandidate> {
    let address =
        |wallet: &ListedWallet| wallet.coldkey.map(|key| key.to_string()).unwrap_or_default();
    listed_wallets().iter().map(|wallet| candidate(wallet.name.as_str(), address(wallet))).collect()
}

/// Returns the hotkeys of the wallet on the line, or without one those of all wallets.
fn hotkey_candidates() -> Vec<CompletionCandidate> {
    let wallet_name =
        option_value(&command_line_words(), &["--wallet-name", "--wallet.name", "-w"]);
    let mut wallets = listed_wallets();
    wallets.retain(|wallet| wallet_name.as_deref().is_none_or(|name| wallet.name.as_str() == name));
    let mut owners = BTreeMap::<&str, Vec<&str>>::new();
    for wallet in &wallets {
        for hotkey in &wallet.hotkeys {
            owners.entry(hotkey.name.as_str()).or_default().push(wallet.name.as_str());
        }
    }
    owners
        .into_iter()
        .map(|(name, wallets)| candidate(name, format!("of {}", wallets.join(", "))))
        .collect()
}

/// Returns the addresses of all hotkeys.
fn address_candidates() -> Vec<CompletionCandidate> {
    let mut candidates = Vec::new();
    for wallet in listed_wallets() {
        for hotkey in &wallet.hotkeys {
            let address = hotkey.hotkey.map(|key| key.to_string());
            candidates.extend(
                address
                    .map(|address| candidate(address, format!("{}/{}", wallet.name, hotkey.name))),
            );
        }
    }
    candidates
}

fn netuid_candidates() -> Vec<CompletionCandidate> {
    let network = option_value(&command_line_words(), &["--network", "-n"])
        .or_else(|| selected_network(settings::text));
    let network = parse_network(network.as_deref().unwrap_or("finney"));
    let stored_names =
        network.ok().and_then(|network| read_subnet_names().remove(&network.to_string()));
    match stored_names {
        Some(subnets) => {
            subnets.into_iter().map(|(netuid, name)| candidate(netuid.to_string(), name)).collect()
        }
        None => SUBNETS.into_iter().map(|(netuid, name)| candidate(netuid, name)).collect(),
    }
}

/// Returns the words of the line to complete.
fn command_line_words() -> Vec<String> {
    std::env::args_os()
        .map(|word| word.to_string_lossy().into_owned())
        .skip_while(|word| word != "--")
        .collect()
}

/// Returns the value that the line gives to an option of one of these names.
fn option_value(words: &[String], names: &[&str]) -> Option<String> {
    words.iter().enumerate().find_map(|(index, word)| {
        let (name, value) =
            word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
        let is_named = names.contains(&name);
        is_named
            .then(|| value.map(str::to_owned).or_else(|| words.get(index + 1).cloned()))
            .flatten()
    })
}

#[cfg(test)]
mod tests {
    use clap_complete::engine::complete as complete_words;

    use super::*;
    use crate::{Bb, Tao};

    #[test]
    fn option_value_is_read_from_the_completed_line() {
        let words = |line: &str| -> Vec<String> { line.split(' ').map(str::to_owned).collect() };
        for (line, value) in [
            ("-- tao metagraph -n local", Some("local")),
            ("-- tao metagraph --network local 5", Some("local")),
            ("-- tao metagraph --network=ws://a:1 5", Some("ws://a:1")),
            ("-- tao metagraph --networks local", None),
            ("-- tao metagraph --network", None),
        ] {
            assert_eq!(
                option_value(&words(line), &["--network", "-n"]).as_deref(),
                value,
                "{line}"
            );
        }
    }

    /// Adds the arguments with candidates of a command and its subcommands.
    fn count_completed(command: &Command, path: &str, counts: &mut BTreeMap<String, usize>) {
        for argument in command
            .get_arguments()
            .filter(|argument| argument.get::<ArgValueCandidates>().is_some())
        {
            *counts.entry(argument.get_id().to_string()).or_default() += 1;
            assert!(argument.get_action().takes_values(), "{path}: {}", argument.get_id());
        }
        for subcommand in command.get_subcommands() {
            count_completed(subcommand, &format!("{path} {}", subcommand.get_name()), counts);
        }
    }

    #[test]
    fn arguments_of_every_kind_have_candidates() {
        let mut counts = BTreeMap::new();
        count_completed(&with_candidates(Tao::command()), "tao", &mut counts);
        count_completed(&with_candidates(Bb::command()), "bb", &mut counts);
        for (name, minimum) in [
            ("network", 40),
            ("chain", 2),
            ("netuid", 20),
            ("wallet_name", 30),
            ("hotkey", 10),
            ("hotkey_ss58", 5),
            ("names", 1),
            ("model", 1),
            ("stt_model", 2),
        ] {
            let count = counts.get(name).copied().unwrap_or_default();
            assert!(count >= minimum, "{name}: {count}, not {minimum}: {counts:?}");
        }
    }

    #[test]
    fn language_models_are_completed_by_name_and_path() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("own.gguf");
        std::fs::write(&file, "").unwrap();
        let prefix = folder.path().join("ow").display().to_string();
        for arguments in [
            "doctor --model",
            "nineteen demo --model",
            "nineteen miner --model",
            "nineteen model --model",
            "nineteen tasks --model",
            "nineteen validator --model",
            "prompting miner --model",
            "prompting validator --judge-model",
            "babelbit miner --lm",
        ] {
            for (prefix, expected) in [
                ("SmolLM2-135M", OsStr::new("SmolLM2-135M-Instruct")),
                (&*prefix, file.as_os_str()),
            ] {
                let line = ["tao"].into_iter().chain(arguments.split(' ')).chain([prefix]);
                let words: Vec<_> = line.map(OsString::from).collect();
                let last = words.len() - 1;
                let mut command = with_candidates(Tao::command());
                let candidates = complete_words(&mut command, words, last, None).unwrap();
                let values: Vec<_> =
                    candidates.iter().map(CompletionCandidate::get_value).collect();
                assert_eq!(values, [expected], "{arguments}");
            }
        }
    }

    /// The engine offers one name of each command, and prefers visible ones: aliases are hidden.
    #[test]
    fn documented_names_of_commands_are_offered() {
        for (begun, expected) in [("sub", "subnets"), ("crow", "crowdloan")] {
            let words = ["tao", begun].map(OsString::from).to_vec();
            let candidates = complete_words(&mut Tao::command(), words, 1, None).unwrap();
            let names: Vec<_> = candidates.iter().map(CompletionCandidate::get_value).collect();
            assert_eq!(names, [expected]);
        }
    }
}
