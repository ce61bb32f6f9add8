//! The commands in documents, compose.yml and systemd units parse.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use taonet_cli_base::testing::run_command;

use super::*;

mod help_texts;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Lists the files of a directory with this extension.
fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect()
}

/// Replaces a placeholder with a sample value.
fn example(word: String) -> String {
    match word.as_str() {
        "HEX" => "ab".repeat(64),
        "CIRCUIT" | "HASH" => "ab".repeat(32),
        "ADDRESS" | "HOTKEY" => "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY".to_owned(),
        "NETUID" => "59".to_owned(),
        _ => word,
    }
}

/// Parses a line as one of our commands; returns `false` for other lines.
#[track_caller]
pub(crate) fn parses(path: &Path, line: &str) -> bool {
    let program =
        line.split_whitespace().next().and_then(|word| word.rsplit('/').next()).unwrap_or_default();
    if program != "tao" && program != "bb" {
        return false;
    }
    // Redirections and pipes are not part of the command.
    let command = line.split(['|', '>', '<', '&']).next().unwrap();
    let words: Vec<String> = shlex::split(command).unwrap().into_iter().map(example).collect();
    let parsed = if program == "tao" {
        Tao::try_parse_from(words).map(drop)
    } else {
        Bb::try_parse_from(words).map(drop)
    };
    assert!(parsed.is_ok(), "{}: {line}: {}", path.display(), parsed.unwrap_err());
    true
}

#[test]
fn every_command_in_the_documents_exists() {
    let mut checked = 0;
    let root_documents = vec![root().join("README.md"), root().join("CONTRIBUTING.md")];
    for path in
        [root_documents, files("docs", "md"), files("examples/summing-subnet", "md")].concat()
    {
        let text = std::fs::read_to_string(&path).unwrap();
        let blocks = text.split("```").skip(1).step_by(2);
        let lines = blocks.flat_map(str::lines).map(|line| line.trim_start_matches("$ ").trim());
        checked += lines.filter(|line| parses(&path, line)).count();
    }
    assert!(checked > 30, "{checked}");
}

/// Calls `visit` with each command that has no subcommands, and its name without the program's.
fn visit_leaf_commands(
    command: &clap::Command,
    path: &[&str],
    visit: &mut impl FnMut(&clap::Command, &str),
) {
    let mut subcommands = command.get_subcommands().peekable();
    if subcommands.peek().is_none() {
        visit(command, &path.join(" "));
    }
    for command in subcommands {
        visit_leaf_commands(command, &[path, &[command.get_name()]].concat(), visit);
    }
}

#[test]
fn guides_list_the_json_keys_of_every_chain_command() {
    // The guides describe these in sentences, or the commands run until they are stopped;
    // docs/json.md has the reports of the doctor, of bench-miner and of prompt, which have the same
    // keys without a chain.
    const OTHERS: [&str; 5] = ["watch", "localnet start", "doctor", "bench-miner", "prompt"];
    let guides = ["chain", "localnet"].map(|guide| {
        std::fs::read_to_string(root().join("docs").join(guide).with_extension("md")).unwrap()
    });
    let rows = guides
        .iter()
        .flat_map(|guide| guide.lines())
        .filter_map(|line| line.strip_prefix("| `tao "));
    let rows: Vec<&str> = rows.filter_map(|row| row.split('`').next()).collect();
    let (mut checked, mut missing) = (0, Vec::new());
    visit_leaf_commands(&Tao::command(), &[], &mut |command, path| {
        let is_of_subnet = ["babelbit ", "nineteen ", "prompting ", "proof "]
            .iter()
            .any(|group| path.starts_with(group));
        let is_of_chain = path.starts_with("localnet ")
            || command.get_arguments().any(|arg| arg.get_id() == "network");
        if is_of_chain && !is_of_subnet && !OTHERS.contains(&path) {
            checked += 1;
            if !rows.contains(&path) {
                missing.push(path.to_owned());
            }
        }
    });
    assert!(missing.is_empty(), "docs/chain.md or docs/localnet.md lacks a row of {missing:?}");
    assert!(checked > 70, "{checked}");
}

/// Adds the names of a command and its subcommands that accept a development key, such as `tao
/// stake add`.
fn with_key_uri(command: &clap::Command, path: &str, names: &mut BTreeSet<String>) {
    if command.get_arguments().any(|argument| argument.get_long() == Some("key-uri")) {
        names.insert(path.to_owned());
    }
    for subcommand in command.get_subcommands() {
        let path = format!("{path} {}", subcommand.get_name());
        // The commands of `tao babelbit` are those of `bb`.
        if path != "tao babelbit" {
            with_key_uri(subcommand, &path, names);
        }
    }
}

/// Parses a line, and returns the name of its command.
fn command_of(line: &str) -> String {
    let (program, _) = line.split_once(' ').unwrap();
    let command = if program == "bb" { Bb::command() } else { Tao::command() };
    let parsed = command
        .try_get_matches_from(line.split(' '))
        .unwrap_or_else(|error| panic!("{line}: {error}"));
    let (mut name, mut matches) = (program.to_owned(), &parsed);
    while let Some((word, nested)) = matches.subcommand() {
        name = format!("{name} {word}");
        matches = nested;
    }
    name
}

/// The end-to-end test of refused development keys runs the lines of the list.
#[test]
fn every_command_with_key_uri_is_in_the_list_of_refusals() {
    let list = std::fs::read_to_string(root().join("tests/e2e/data/key-uri-commands.txt")).unwrap();
    let lines = list.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let listed: BTreeSet<String> =
        lines.map(|line| command_of(&format!("{line} --key-uri //Alice"))).collect();
    let mut expected = BTreeSet::new();
    with_key_uri(&Tao::command(), "tao", &mut expected);
    with_key_uri(&Bb::command(), "bb", &mut expected);
    assert_eq!(listed, expected);
}

/// Some commands of the groups `WITH_VARIABLE` lack the option `--network`: an end-to-end test runs
/// them with an environment variable.
#[test]
fn wrong_network_is_reported_before_missing_wallet() {
    const WITH_VARIABLE: [&str; 4] = ["axon", "dashboard", "nineteen", "proof"];
    let list = std::fs::read_to_string(root().join("tests/e2e/data/key-uri-commands.txt")).unwrap();
    let mut checked = 0;
    for line in list.lines().filter_map(|line| line.strip_prefix("tao ")) {
        let words: Vec<&str> = line.split(' ').collect();
        // `tao weights reveal` reads its file first.
        if words.contains(&"COMMIT") || WITH_VARIABLE.contains(&words[0]) {
            continue;
        }
        let arguments = [&["tao"][..], &words[..], &["--network", "locall"]].concat();
        let output =
            run_command(&arguments, false, |tao: Tao, context| execute(&tao.command, context));
        let error = output.refusal(2);
        assert!(error.contains("unknown network locall"), "{line}: {error}");
        checked += 1;
    }
    assert!(checked > 45, "{checked}");
}

#[test]
fn completion_scripts_call_program() {
    for (shell, line) in [
        ("bash", "TAO_COMPLETE=\"bash\""),
        ("zsh", "#compdef bb"),
        ("zsh", "if [ \"$funcstack[1]\" = \"_bb\" ]; then"),
        ("fish", "--command bb"),
    ] {
        let arguments = ["tao", "completions", shell, "--program", "bb"];
        let output =
            run_command(&arguments, false, |tao: Tao, context| execute(&tao.command, context));
        let script = output.text();
        assert!(script.contains(line), "{shell}: {script}");
    }
}

/// Replaces the operator's options, `${NAME_OPTIONS:-DEFAULT}` in compose.yml and `$OPTIONS` in a
/// unit, with their default in `text`.
fn with_default_options(line: &str, text: &str) -> String {
    if let Some((command, options)) = line.split_once(" ${")
        && let Some((_, default)) = options.split_once("_OPTIONS:-")
    {
        return format!("{command} {}", default.trim_end_matches('}'));
    }
    let mut settings = text.lines().map(|line| line.replace('"', ""));
    match settings.find_map(|line| line.strip_prefix("Environment=OPTIONS=").map(str::to_owned)) {
        Some(default) => line.replace("$OPTIONS", &default),
        None => line.to_owned(),
    }
}

#[test]
fn every_command_that_services_run_exists() {
    let mut checked = 0;
    for (path, key) in [(root().join("compose.yml"), "command: ")]
        .into_iter()
        .chain(files("systemd", "service").into_iter().map(|path| (path, "ExecStart=")))
    {
        let text = std::fs::read_to_string(&path).unwrap();
        let lines = text.lines().filter_map(|line| line.trim().strip_prefix(key));
        let lines = lines.map(|line| with_default_options(line, &text));
        for line in lines {
            let commands = line.trim_start_matches("sh -c '").trim_end_matches('\'').split("&&");
            checked += commands.map(str::trim).filter(|command| parses(&path, command)).count();
        }
    }
    // The five daemons, two models and eleven services of profiles in compose.yml, and seventeen
    // units.
    assert_eq!(checked, 35);
}

#[test]
fn link_names_select_their_commands() {
    let arguments =
        |words: &[&str]| -> Vec<OsString> { words.iter().map(OsString::from).collect() };
    let link_arguments = arguments(&["/usr/bin/sn2-miner", "--loopback"]);
    assert_eq!(link_name(&link_arguments), "sn2-miner");
    let command_line = with_command(["tao", "proof", "miner"], link_arguments);
    assert_eq!(command_line, arguments(&["tao", "proof", "miner", "--loopback"]));
    assert!(matches!(Tao::try_parse_from(command_line).unwrap().command, TaoCommand::Proof(_)));
    assert_eq!(link_name(&[]), "");
}

#[test]
fn command_names_of_other_programs_are_accepted() {
    let arguments =
        |words: &[&str]| -> Vec<OsString> { words.iter().map(OsString::from).collect() };
    for (other, ours) in COMMAND_ALIASES {
        let command_line = [&["tao"], other, &["--help"]].concat();
        let expected = [&["tao"], ours, &["--help"]].concat();
        assert_eq!(with_tao_name(arguments(&command_line)), arguments(&expected));
        let error = Tao::try_parse_from(&expected).unwrap_err();
        assert_eq!(error.kind(), clap::error::ErrorKind::DisplayHelp, "{ours:?}: {error}");
        // None of the names is one of ours, which would be hidden.
        let parse_error = Tao::try_parse_from(&command_line).unwrap_err();
        assert_ne!(parse_error.kind(), clap::error::ErrorKind::DisplayHelp, "{other:?}");
    }
    for words in [
        &["tao"][..],
        &["tao", "wallet"],
        &["tao", "wallet", "list"],
        &["tao", "stake", "list", "unstake"],
    ] {
        assert_eq!(with_tao_name(arguments(words)), arguments(words));
    }
}

#[test]
fn removed_commands_give_reason() {
    let arguments =
        |words: &[&str]| -> Vec<OsString> { words.iter().map(OsString::from).collect() };
    for (words, reason) in REMOVED_COMMANDS {
        let command_line = [&["tao", "--json"][..], words, &["--help"]].concat();
        assert_eq!(removed_command_message(&arguments(&command_line)), Some(reason), "{words:?}");
        // None of the names is one of ours.
        let parse_error = Tao::try_parse_from(&command_line).unwrap_err();
        assert_ne!(parse_error.kind(), clap::error::ErrorKind::DisplayHelp, "{words:?}");
    }
    for words in [
        &["tao"][..],
        &["tao", "sudo"],
        &["tao", "sudo", "set", "senate"],
        &["tao", "query", "senate"],
    ] {
        assert_eq!(removed_command_message(&arguments(words)), None, "{words:?}");
    }
}

#[test]
fn command_of_missing_feature_names_feature() {
    let arguments =
        |words: &[&str]| -> Vec<OsString> { words.iter().map(OsString::from).collect() };
    for (words, feature, is_built) in OPTIONAL_COMMANDS {
        let command_line = [&["tao", "--json"][..], words, &["--help"]].concat();
        let error = Tao::try_parse_from(&command_line).unwrap_err();
        assert_eq!(error.kind(), clap::error::ErrorKind::DisplayHelp, "{words:?}: {error}");
        assert!(is_built, "the tests need the feature {feature}");
        let command_line = arguments(&command_line);
        assert_eq!(missing_feature(&command_line, &OPTIONAL_COMMANDS), None, "{words:?}");
        let without = [(words, feature, false)];
        assert_eq!(missing_feature(&command_line, &without), Some(feature), "{words:?}");
        let other = arguments(&["tao", "wallet", "list"]);
        assert_eq!(missing_feature(&other, &without), None, "{words:?}");
    }
    // A link runs a command of a feature.
    let link_arguments =
        with_command(["tao", "proof", "miner"], arguments(&["sn2-miner", "--loopback"]));
    assert_eq!(missing_feature(&link_arguments, &[(&["proof"], "proof", false)]), Some("proof"));
}

#[test]
fn global_options_precede_other_names_and_default_subcommands() {
    let arguments =
        |words: &str| -> Vec<OsString> { words.split(' ').map(OsString::from).collect() };
    for (command_line, expected) in [
        ("tao --json overview", "tao --json wallet overview"),
        ("tao -v list --wide", "tao -v wallet list --wide"),
        ("tao --log-level debug -vv unstake 1", "tao --log-level debug -vv stake remove 1"),
        ("tao --log-format=json --wide wallet balance", "tao --log-format=json --wide balance"),
        ("tao weights", "tao weights show"),
        ("tao weights --netuid 59", "tao weights show --netuid 59"),
        ("tao --json weights --wide --netuid 59", "tao --json weights show --wide --netuid 59"),
        ("tao stake", "tao stake add"),
        ("tao stake 1 --netuid 59", "tao stake add 1 --netuid 59"),
        // Unchanged.
        ("tao --json", "tao --json"),
        ("tao --log-level", "tao --log-level"),
        ("tao weights --json set", "tao weights --json set"),
        ("tao weights --help", "tao weights --help"),
        ("tao stake -h", "tao stake -h"),
        ("tao stake help add", "tao stake help add"),
        ("tao --unknown overview", "tao --unknown overview"),
    ] {
        assert_eq!(with_tao_name(arguments(command_line)), arguments(expected), "{command_line}");
    }
    // The lists are complete.
    let options = Global::augment_args(clap::Command::new("tao"));
    for option in options.get_arguments() {
        let name = format!("--{}", option.get_long().unwrap());
        let list: &[&str] =
            if option.get_action().takes_values() { &OPTIONS_WITH_VALUE } else { &FLAGS };
        assert!(list.contains(&name.as_str()), "{name}");
    }
}

/// Options of the reference's programs are accepted, and mean the same as ours.
#[test]
fn options_of_the_reference_parse() {
    for words in [
        "tao proof miner --wallet.name miner --wallet.hotkey default --wallet.path wallets --netuid 118 --network test",
        "tao proof miner --subtensor-chain-endpoint ws://127.0.0.1:9944 --axon-host 0.0.0.0 --axon-port 8091",
        "tao proof miner --no-auto-update --circuit-dir circuits --disable-blacklist --quic-port 8091 --log-level info",
        "tao proof validator --wallet-name v --wallet-hotkey h --no-relay --metrics-port 9090 --dispatch-ceiling 64",
        "tao proof validator --disable-metric-logging --disable-axon-publish --no-auto-update --target-uid 3,4",
    ] {
        let parsed = Tao::try_parse_from(words.split(' '));
        assert!(parsed.is_ok(), "{words}: {}", parsed.unwrap_err());
    }
    for words in [
        "tao proof miner --wallet-name miner --keyfile hotkey",
        "tao proof miner --listen 127.0.0.1:1 --axon-port 2",
        "tao proof miner --no-auto-update --auto-update releases",
        "tao proof validator --no-relay --relay-url wss://relay.example",
        "tao proof validator --metrics 127.0.0.1:1 --metrics-port 2",
    ] {
        assert!(Tao::try_parse_from(words.split(' ')).is_err(), "{words}");
    }
}

#[test]
fn install_script_lists_program_links() {
    let script = std::fs::read_to_string(root().join("install.sh")).unwrap();
    assert!(script.contains("for link in bb sn2-miner sn2-validator; do"));
}
