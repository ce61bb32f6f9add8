//! The commands of `tao` in groups, which clap's own help does not have.

use std::fmt::Write as _;

use clap::Command;

use super::environment::wrap;
use super::{HEADING, LITERAL};

/// Headings of the help, with their commands in the order of the help.
const GROUPS: [(&str, &[&str]); 5] = [
    (
        "Run",
        &[
            "demo",
            "babelbit",
            "nineteen",
            "prompting",
            "prompt",
            "proof",
            "dashboard",
            "top",
            "doctor",
            "models",
            "update",
        ],
    ),
    (
        "Wallet",
        &[
            "wallet",
            "balance",
            "transfer",
            "stake",
            "lock",
            "delegates",
            "take",
            "proxy",
            "multisig",
            "crowdloan",
        ],
    ),
    ("Chain", &["watch", "block", "events", "query", "call", "batch", "tx"]),
    (
        "Subnets",
        &[
            "subnets",
            "metagraph",
            "register",
            "serve-axon",
            "bench-miner",
            "weights",
            "commitment",
            "sudo",
        ],
    ),
    ("Develop", &["localnet", "axon", "yuma", "speech", "completions", "man"]),
];

/// Width of the column of names: that of the longest one.
const NAME_WIDTH: usize = 11;

/// Replaces the list of commands in the help by one list for each group.
pub(super) fn with_groups(command: Command) -> Command {
    let mut text = String::new();
    for (heading, names) in GROUPS {
        let _ = write!(text, "{HEADING}{heading}:{HEADING:#}");
        for name in names {
            let Some(subcommand) = command.find_subcommand(name) else { continue };
            let summary = subcommand.get_about().map(ToString::to_string).unwrap_or_default();
            let summary = wrap(&summary, NAME_WIDTH + 4);
            let _ = write!(
                text,
                "\n  {LITERAL}{name:NAME_WIDTH$}{LITERAL:#}  {}",
                summary.trim_start()
            );
        }
        text += "\n\n";
    }
    command.help_template(format!(
        "{{before-help}}{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{text}{HEADING}Options:{HEADING:#}\n\
         {{options}}{{after-help}}"
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory as _;

    use super::*;
    use crate::Tao;

    #[test]
    fn every_command_is_in_one_group() {
        let command = Tao::command();
        let commands: BTreeSet<&str> = command.get_subcommands().map(Command::get_name).collect();
        let grouped: Vec<&str> =
            GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        assert_eq!(grouped.iter().copied().collect::<BTreeSet<_>>(), commands);
        assert_eq!(grouped.len(), commands.len(), "a command is in two groups");
        assert_eq!(commands.iter().map(|name| name.len()).max(), Some(NAME_WIDTH));
    }
}
