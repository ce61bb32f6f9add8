//! The section "Environment" of a command's help: the variables that it reads, from the table of
//! settings.

use std::fmt::Write as _;
use std::path::Path;

use taonet_babelbit_config::{Config, variables};

use super::HEADING;

/// Width of the text in columns, which fits every terminal.
const WIDTH: usize = 80;
/// Descriptions of the variables that are not in the table of settings.
const UNLISTED_VARIABLES: [(&str, &str); 7] = [
    (
        "BT_CHAIN_ENDPOINT",
        "Network or node of the chain, instead of BT_NETWORK and BITTENSOR_SUBTENSOR_ENDPOINT",
    ),
    ("BT_NETWORK", "Network or node of the chain, instead of BITTENSOR_SUBTENSOR_ENDPOINT"),
    ("HF_HUB_CACHE", "Directory of repositories of the Hugging Face Hub [default: hub in HF_HOME]"),
    (
        "HF_HOME",
        "Directory of the Hugging Face Hub's programs [default: huggingface in the cache directory]",
    ),
    (
        "RUST_LOG",
        "Filter of the log lines, such as debug or taonet_chain=trace; takes precedence over -v",
    ),
    ("COLUMNS", "Width of tables if the output is not a terminal [default: no limit]"),
    ("NO_COLOR", "No colours, if set to any value"),
];

/// Formats the section for a list of variables: names to describe, separated by spaces, then, after
/// a semicolon, names or prefixes such as `S3_*` to list without a description.
pub(super) fn section(list: &str) -> String {
    let (described, listed) = list.split_once(';').unwrap_or((list, ""));
    let mut text = format!("{HEADING}Environment:{HEADING:#}");
    for name in described.split_whitespace() {
        let _ = write!(text, "\n  {name}{}", wrap(&description(name), 10));
    }
    let listed: Vec<&str> = listed.split_whitespace().flat_map(expand_name).collect();
    if !listed.is_empty() {
        let others = format!(
            "Others, which env.example and `bb config show` describe: {}",
            listed.join(", ")
        );
        text += &wrap(&others, 2);
    }
    text
}

/// Returns the description of a variable with its default; empty for an unknown one.
pub(super) fn description(name: &str) -> String {
    if let Some((_, help)) = UNLISTED_VARIABLES.iter().find(|(other, _)| *other == name) {
        return (*help).to_owned();
    }
    let Some(variable) = variables().iter().find(|variable| variable.name == name) else {
        return String::new();
    };
    // No variable is set, so nothing can be invalid.
    let Ok((defaults, _)) = Config::from_variables([], Some(Path::new("HOME"))) else {
        return String::new();
    };
    let default = (variable.show)(&defaults).replace("HOME/", "~/");
    if default.is_empty() {
        variable.help.to_owned()
    } else {
        format!("{} [default: {default}]", variable.help)
    }
}

/// Returns the variables with effect that begin with a prefix such as `S3_*`, or the name itself.
fn expand_name(name: &str) -> Vec<&str> {
    let Some(prefix) = name.strip_suffix('*') else { return vec![name] };
    let matching = variables()
        .iter()
        .filter(|variable| variable.apply.is_some() && variable.name.starts_with(prefix));
    matching.map(|variable| variable.name).collect()
}

/// Breaks a text into lines with this indentation, each after a line break.
pub(super) fn wrap(text: &str, indent: usize) -> String {
    let mut lines = String::new();
    let mut column = WIDTH;
    for word in text.split_whitespace() {
        let width = word.chars().count();
        if column + 1 + width > WIDTH {
            let _ = write!(lines, "\n{}{word}", " ".repeat(indent));
            column = indent + width;
        } else {
            let _ = write!(lines, " {word}");
            column += 1 + width;
        }
    }
    lines
}
