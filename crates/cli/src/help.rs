//! Descriptions and examples of every command, from one document.
//!
//! help.md has a section for each command, under the name that a user types: a description, the
//! environment variables that its options do not name, then a block of examples. [`documented`]
//! adds them to clap's help, from which the man pages are generated.

mod environment;
mod groups;
#[cfg(test)]
mod reads;

use std::collections::HashMap;
use std::fmt::Write as _;

use clap::Command;
use clap::builder::styling::Style;

const DOCUMENT: &str = include_str!("help.md");
/// Beginning of the paragraph that lists environment variables.
const ENVIRONMENT_PREFIX: &str = "Environment: ";
/// The styles of clap's own headings and literals.
const HEADING: Style = Style::new().bold().underline();
const LITERAL: Style = Style::new().bold();

/// A command's section of help.md.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Section<'a> {
    description: String,
    /// The environment variables, as [`environment::section`] reads them.
    environment: Option<String>,
    examples: Vec<&'a str>,
}

/// Sections of help.md by command, such as `tao wallet list`.
fn sections() -> HashMap<&'static str, Section<'static>> {
    let mut sections = HashMap::new();
    for part in DOCUMENT.split("\n## ").skip(1) {
        let (name, body) = part.split_once('\n').unwrap_or((part, ""));
        let mut blocks = body.split("```");
        let paragraphs = blocks
            .next()
            .unwrap_or_default()
            .trim()
            .split("\n\n")
            .map(|text| text.replace('\n', " "));
        let (environment, description): (Vec<_>, Vec<_>) =
            paragraphs.partition(|text| text.starts_with(ENVIRONMENT_PREFIX));
        let environment =
            environment.first().map(|text| text.trim_start_matches(ENVIRONMENT_PREFIX).to_owned());
        let examples =
            blocks.next().unwrap_or_default().lines().filter(|line| !line.is_empty()).collect();
        sections.insert(
            name.trim(),
            Section { description: description.join("\n\n"), environment, examples },
        );
    }
    sections
}

/// Adds the descriptions and examples to a command and all its subcommands, and groups the commands
/// of `tao`.
pub(crate) fn documented(command: Command) -> Command {
    let name = command.get_name().to_owned();
    let command = add_documentation(command, &name, &sections());
    if name == "tao" { groups::with_groups(command) } else { command }
}

fn add_documentation(
    mut command: Command,
    path: &str,
    sections: &HashMap<&str, Section<'_>>,
) -> Command {
    // `tao babelbit X` is `bb X`.
    let name = path.replacen("tao babelbit ", "bb ", 1);
    if let Some(Section { description, environment, examples }) = sections.get(name.as_str()) {
        let summary = command.get_about().map(ToString::to_string).unwrap_or_default();
        command = command.long_about(format!("{summary}\n\n{description}"));
        if !examples.is_empty() {
            command = command.after_help(format_examples(examples));
        }
        if let Some(list) = environment {
            command = command.after_long_help(format!(
                "{}\n\n{}",
                environment::section(list),
                format_examples(examples)
            ));
        }
    }
    let names: Vec<String> =
        command.get_subcommands().map(|subcommand| subcommand.get_name().to_owned()).collect();
    for name in names {
        command = command.mut_subcommand(&name, |subcommand| {
            add_documentation(subcommand, &format!("{path} {name}"), sections)
        });
    }
    command
}

/// Formats examples like clap's own sections.
fn format_examples(examples: &[&str]) -> String {
    let mut text = format!("{HEADING}Examples:{HEADING:#}");
    for line in examples {
        // A comment explains the command below it.
        let _ = match line.strip_prefix("# ") {
            Some(comment) => write!(text, "\n  {comment}:"),
            None => write!(text, "\n    {LITERAL}{line}{LITERAL:#}"),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;

    use clap::{Arg, CommandFactory as _};

    use super::*;
    use crate::tests::parses;
    use crate::{Bb, Tao};

    /// Visits every visible command with its full name.
    fn walk(command: &Command, path: &str, visit: &mut impl FnMut(&Command, &str)) {
        visit(command, path);
        for subcommand in command
            .get_subcommands()
            .filter(|subcommand| !subcommand.is_hide_set() && subcommand.get_name() != "help")
        {
            let path = format!("{path} {}", subcommand.get_name());
            // The subcommands of `tao babelbit` are visited under `bb`.
            if path == "tao babelbit" {
                visit(subcommand, &path);
            } else {
                walk(subcommand, &path, visit);
            }
        }
    }

    fn for_each_command(visit: &mut impl FnMut(&Command, &str)) {
        walk(&documented(Tao::command()), "tao", visit);
        walk(&documented(Bb::command()), "bb", visit);
    }

    #[test]
    fn every_command_has_a_summary_a_description_and_an_example() {
        let mut missing = Vec::new();
        for_each_command(&mut |command, path| {
            let summary = command.get_about().map(ToString::to_string).unwrap_or_default();
            let long = command.get_long_about().map(ToString::to_string).unwrap_or_default();
            if summary.is_empty() || summary.contains('\n') || summary.len() > 100 {
                missing.push(format!("{path}: a summary of one line"));
            }
            if long.len() < summary.len() + 20 {
                missing.push(format!("{path}: a description in help.md"));
            }
            if command.get_after_help().is_none() {
                missing.push(format!("{path}: an example in help.md"));
            }
        });
        assert!(missing.is_empty(), "missing documentation:\n{}", missing.join("\n"));
    }

    #[test]
    fn every_example_uses_its_command_and_parses() {
        for (name, section) in sections() {
            for line in section.examples.iter().filter(|line| !line.starts_with("# ")) {
                let command = line.trim_start_matches("sudo ");
                let is_own = |part: &str| {
                    part.strip_prefix(name).is_some_and(|remaining| {
                        matches!(remaining.chars().next(), None | Some(' '))
                    })
                };
                assert!(
                    command.split('|').any(|part| is_own(part.trim())),
                    "{name}: {line} is an example of another command"
                );
                assert!(
                    parses("help.md".as_ref(), command),
                    "{name}: {line} calls none of our programs"
                );
            }
        }
    }

    #[test]
    fn every_help_section_has_a_command() {
        let mut paths = BTreeSet::new();
        for_each_command(&mut |_, path| {
            paths.insert(path.to_owned());
        });
        for name in sections().keys() {
            assert!(
                paths.contains(*name),
                "help.md has a section of {name}, which is not a command"
            );
        }
    }

    /// Settings that functions of a command name, but that have no effect on it.
    const WITHOUT_EFFECT: [(&str, &[&str]); 22] = [
        // The demonstration replaces them, or its services are its own.
        (
            "tao demo",
            &[
                "BABELBIT_NETUID",
                "BB_ARENA_GATEWAY_URL",
                "BB_ARENA_ROUTE_READY_TIMEOUT_SEC",
                "BB_AUDIO_SCORING_STT_CACHE_PATH",
                "BB_AUDIO_SCORING_STT_MODEL",
                "BB_DEFAULT_FALLBACK_UID",
                "BB_LOCAL_MINER_IP",
                "BB_UTTERANCE_ENGINE_URL",
                "BITTENSOR_SUBTENSOR_ENDPOINT",
            ],
        ),
        ("tao wallet new-coldkey", &["BT_WALLET_HOTKEY"]),
        ("tao wallet regen-coldkey", &["BT_WALLET_HOTKEY"]),
        // Read by the commands for hotkeys in the same file.
        ("tao wallet swap-coldkey announce", &["BT_WALLET_HOTKEY"]),
        ("tao wallet swap-coldkey execute", &["BT_WALLET_HOTKEY"]),
        ("tao wallet swap-coldkey dispute", &["BT_WALLET_HOTKEY"]),
        ("tao wallet swap-coldkey clear", &["BT_WALLET_HOTKEY"]),
        // Only in the text of an error, or for the keys of uploaded results.
        ("bb scorer", &["BABELBIT_NETUID", "S3_LOG_DIR"]),
        ("bb scoring-api", &["S3_LOG_DIR"]),
        ("bb miner", &["BABELBIT_NETUID"]),
        ("bb audit", &["BABELBIT_NETUID"]),
        ("bb evidence verify", &["BABELBIT_NETUID"]),
        ("bb score", &["BABELBIT_NETUID"]),
        ("bb score-batch", &["BABELBIT_NETUID"]),
        ("bb bench stt", &["BABELBIT_NETUID"]),
        ("bb bench scoring", &["BABELBIT_NETUID"]),
        // The settings of Chutes and of the hub are passed as a whole.
        ("bb runner", &["CHUTES_USERNAME", "HUGGINGFACE_USERNAME"]),
        ("bb push", &CALL_SETTINGS),
        ("bb ping-chute", &["HF_ENDPOINT", "HUGGINGFACE_API_KEY"]),
        ("bb chute-slug", &CALL_AND_HUB_SETTINGS),
        ("bb chute-logs", &CALL_HUB_AND_NAME_SETTINGS),
        ("bb delete-chute", &CALL_AND_HUB_SETTINGS),
    ];

    /// Settings of calls to a chute.
    const CALL_SETTINGS: [&str; 4] = [
        "CHUTES_API_N_RETRIES",
        "CHUTES_MINER_BASE_URL_TEMPLATE",
        "CHUTES_MINER_PREDICT_ENDPOINT",
        "CHUTES_TIMEOUT_SEC",
    ];
    /// Settings of calls to a chute, and of the hub.
    const CALL_AND_HUB_SETTINGS: [&str; 6] = [
        "CHUTES_API_N_RETRIES",
        "CHUTES_MINER_BASE_URL_TEMPLATE",
        "CHUTES_MINER_PREDICT_ENDPOINT",
        "CHUTES_TIMEOUT_SEC",
        "HF_ENDPOINT",
        "HUGGINGFACE_API_KEY",
    ];

    /// Settings of calls to a chute, of the hub, and the names of accounts.
    const CALL_HUB_AND_NAME_SETTINGS: [&str; 8] = [
        "CHUTES_API_N_RETRIES",
        "CHUTES_MINER_BASE_URL_TEMPLATE",
        "CHUTES_MINER_PREDICT_ENDPOINT",
        "CHUTES_TIMEOUT_SEC",
        "CHUTES_USERNAME",
        "HF_ENDPOINT",
        "HUGGINGFACE_API_KEY",
        "HUGGINGFACE_USERNAME",
    ];

    /// Variables that apply to every command; the help of the programs has them.
    const GLOBAL_VARIABLES: [&str; 3] = ["RUST_LOG", "COLUMNS", "NO_COLOR"];

    fn source() -> reads::Source {
        let applied =
            taonet_babelbit_config::variables().iter().filter(|variable| variable.apply.is_some());
        let names: Vec<_> = applied.map(|variable| variable.name).collect();
        reads::Source::open(Path::new(env!("CARGO_MANIFEST_DIR")), &names)
    }

    /// Returns the words of a text.
    fn words(text: &str) -> BTreeSet<String> {
        text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').map(str::to_owned).collect()
    }

    #[test]
    fn help_of_each_command_lists_exactly_its_environment_variables() {
        let source = source();
        let without_effect: HashMap<_, _> = WITHOUT_EFFECT.into_iter().collect();
        let mut problems = Vec::new();
        let mut reading_commands = 0;
        let mut check = |command: &Command, path: &str| {
            let is_group =
                command.get_subcommands().any(|subcommand| subcommand.get_name() != "help");
            if is_group && path != "tao localnet" {
                return;
            }
            let help_words = words(&command.clone().render_long_help().to_string());
            let section =
                command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
            let section = section.split("Examples:").next().unwrap_or_default().to_owned();
            let mut read = source.reads(path);
            read.retain(|name| !GLOBAL_VARIABLES.contains(&name.as_str()));
            for name in without_effect.get(path).copied().unwrap_or_default() {
                if !read.remove(*name) {
                    problems.push(format!(
                        "{path} does not name {name}: remove it from WITHOUT_EFFECT"
                    ));
                }
            }
            reading_commands += usize::from(!read.is_empty());
            problems.extend(
                read.difference(&help_words)
                    .map(|name| format!("{path} reads {name}, its help lacks it")),
            );
            let listed = words(&section).into_iter().filter(|word| reads::is_variable(word));
            // A description may mention others; each variable has its own line, or is in the
            // last list.
            let listed = listed.filter(|name| {
                section.contains(&format!("\n  {name}\n")) || is_listed(&section, name)
            });
            problems.extend(
                listed
                    .filter(|name| !read.contains(name))
                    .map(|name| format!("{path} does not read {name}")),
            );
        };
        for mut root in [documented(Tao::command()), documented(Bb::command())] {
            root.build();
            let name = root.get_name().to_owned();
            walk(&root, &name, &mut |command, path| {
                if path != "tao babelbit" {
                    check(command, path);
                }
            });
        }
        assert!(
            problems.is_empty(),
            "hint: list them in help.md under Environment:\n{}",
            problems.join("\n")
        );
        assert!(reading_commands > 70, "{reading_commands}");
    }

    /// Returns whether the last list of the section names a variable.
    fn is_listed(section: &str, name: &str) -> bool {
        section.split_once("describe:").is_some_and(|(_, list)| words(list).contains(name))
    }

    #[test]
    fn program_help_lists_the_variables_of_every_command() {
        let source = source();
        let mut read = source.reads_of_functions("start");
        read.extend(source.reads_of_functions("line_width"));
        for mut root in [documented(Tao::command()), documented(Bb::command())] {
            let help_words = words(&root.render_long_help().to_string());
            for name in GLOBAL_VARIABLES {
                // taonet-telemetry and the crate console read NO_COLOR.
                let is_read = read.contains(name) || name == "NO_COLOR";
                assert!(is_read && help_words.contains(name), "{}: {name}", root.get_name());
            }
        }
    }

    #[test]
    fn environment_help_fits_80_columns_in_help_and_man_pages() {
        let pages = tempfile::tempdir().unwrap();
        for command in [documented(Tao::command()), documented(Bb::command())] {
            clap_mangen::generate_to(command, pages.path()).unwrap();
        }
        let mut sections = 0;
        for_each_command(&mut |command, path| {
            let Some(text) = command.get_after_long_help().map(ToString::to_string) else { return };
            let (section, _) = text.split_once("Examples:").unwrap();
            assert!(section.lines().all(|line| line.chars().count() <= 80), "{path}: {section}");
            let described = section.split("Others, which").next().unwrap();
            let lines: Vec<&str> = described.trim_end().lines().collect();
            // A description may also mention a variable at the end of a line, with a deeper
            // indentation.
            let is_name = |line: &str| !line.starts_with("   ") && reads::is_variable(line.trim());
            for pair in lines.windows(2).filter(|pair| is_name(pair[0])) {
                assert!(
                    pair[1].starts_with("          "),
                    "{path}: {} has no description",
                    pair[0]
                );
                sections += 1;
            }
            let page = pages.path().join(path.replace(' ', "-")).with_extension("1");
            assert!(
                std::fs::read_to_string(page).unwrap().contains("Environment:"),
                "the man page of {path}"
            );
        });
        assert!(sections > 100, "{sections}");
    }

    #[test]
    fn every_argument_has_help() {
        for_each_command(&mut |command, path| {
            for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
                assert!(argument.get_help().is_some(), "{path}: {} has no help", argument.get_id());
            }
        });
    }

    /// Returns the variables that set an option: those that its help names as `[env: NAME]`, and
    /// clap's own.
    fn variables_of(option: &Arg, help: &str) -> BTreeSet<String> {
        let named = help
            .split("[env: ")
            .skip(1)
            .filter_map(|remaining| remaining.split(']').next())
            .flat_map(words);
        let own = option.get_env().map(|name| name.to_string_lossy().into_owned());
        named.chain(own).filter(|name| reads::is_variable(name)).collect()
    }

    #[test]
    fn every_option_default_is_shown_in_help() {
        let mut problems = Vec::new();
        // Commands whose option of this name and description shows no default, and those where it
        // shows one.
        let mut options = BTreeMap::<(String, String), [Vec<String>; 2]>::new();
        let mut check = |command: &Command, path: &str| {
            let page = command.clone().render_long_help().to_string();
            let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
            let visible = command.get_arguments().filter(|argument| !argument.is_hide_set());
            for argument in visible.filter(|argument| argument.get_action().takes_values()) {
                let help = argument
                    .get_long_help()
                    .or(argument.get_help())
                    .map(ToString::to_string)
                    .unwrap_or_default();
                let values =
                    argument.get_default_values().iter().map(|value| value.to_string_lossy());
                // Clap quotes values with spaces.
                let quoted = |value: Cow<'_, str>| {
                    if value.contains(' ') { format!("{value:?}") } else { value.into_owned() }
                };
                let values: Vec<_> = values.filter(|value| !value.is_empty()).map(quoted).collect();
                let is_set_by_default = !values.is_empty()
                    || variables_of(argument, &help)
                        .iter()
                        .any(|name| environment::description(name).contains("default"));
                let is_shown = if values.is_empty() {
                    help.contains("[default: ")
                } else {
                    page.contains(&format!("[default: {}]", values.join(" ")))
                };
                if is_set_by_default && !is_shown {
                    problems.push(format!("{path}: {} has a default", argument.get_id()));
                }
                if let Some(name) = argument.get_long().filter(|_| !argument.is_required_set()) {
                    let description = help.split(" [").next().unwrap_or_default();
                    let commands =
                        options.entry((name.to_owned(), description.to_owned())).or_default();
                    commands[usize::from(is_shown)].push(path.to_owned());
                }
            }
        };
        // Built as a whole, because options of all commands are added to subcommands then.
        for mut root in [documented(Tao::command()), documented(Bb::command())] {
            root.build();
            let name = root.get_name().to_owned();
            walk(&root, &name, &mut check);
        }
        let count = options.values().filter(|[_, with]| !with.is_empty()).count();
        for ((name, _), [without, with]) in options {
            if let Some(other) = with.first() {
                problems.extend(
                    without.iter().map(|path| format!("{path}: --{name} has a default in {other}")),
                );
            }
        }
        assert!(
            problems.is_empty(),
            "hint: add [default: …] to their help:\n{}",
            problems.join("\n")
        );
        assert!(count > 50, "{count}");
    }
}
