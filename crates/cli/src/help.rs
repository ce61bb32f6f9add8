//! Descriptions and examples of every command, from one document.
//!
//! help.md has a section for each command, under the name that a user types: a description, then a block of examples.
//! [`documented`] puts them into clap's help, and so into man pages, too.

use std::collections::HashMap;
use std::fmt::Write as _;

use clap::Command;
use clap::builder::styling::Style;

const DOCUMENT: &str = include_str!("help.md");
/// The styles of clap's own headings and literals.
const HEADING: Style = Style::new().bold().underline();
const LITERAL: Style = Style::new().bold();

/// A command's section of help.md.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Section<'a> {
    description: String,
    examples: Vec<&'a str>,
}

/// Sections of help.md by command, such as `tao wallet list`.
fn sections() -> HashMap<&'static str, Section<'static>> {
    let mut sections = HashMap::new();
    for part in DOCUMENT.split("\n## ").skip(1) {
        let (name, body) = part.split_once('\n').unwrap_or((part, ""));
        let mut pieces = body.split("```");
        let paragraphs = pieces.next().unwrap_or_default().trim().split("\n\n");
        let description = paragraphs.map(|text| text.replace('\n', " ")).collect::<Vec<_>>().join("\n\n");
        let examples = pieces.next().unwrap_or_default().lines().filter(|line| !line.is_empty()).collect();
        sections.insert(name.trim(), Section { description, examples });
    }
    sections
}

/// Adds the descriptions and examples to a command and all its subcommands.
pub(crate) fn documented(command: Command) -> Command {
    let name = command.get_name().to_owned();
    document(command, &name, &sections())
}

fn document(mut command: Command, path: &str, sections: &HashMap<&str, Section<'_>>) -> Command {
    // `tao babelbit X` is `bb X`.
    let name = path.replacen("tao babelbit ", "bb ", 1);
    if let Some(Section { description, examples }) = sections.get(name.as_str()) {
        let summary = command.get_about().map(ToString::to_string).unwrap_or_default();
        command = command.long_about(format!("{summary}\n\n{description}"));
        if !examples.is_empty() {
            command = command.after_help(shown(examples));
        }
    }
    let below: Vec<String> = command.get_subcommands().map(|below| below.get_name().to_owned()).collect();
    for name in below {
        command = command.mut_subcommand(&name, |below| document(below, &format!("{path} {name}"), sections));
    }
    command
}

/// Formats examples like clap's own sections.
fn shown(examples: &[&str]) -> String {
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
    use std::collections::BTreeSet;

    use clap::CommandFactory as _;

    use super::*;
    use crate::tests::parses;
    use crate::{Bb, Tao};

    /// Every visible command, by its full name.
    fn walk(command: &Command, path: &str, visit: &mut impl FnMut(&Command, &str)) {
        visit(command, path);
        for below in command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help") {
            let path = format!("{path} {}", below.get_name());
            // Its subcommands are visited as `bb`.
            if path == "tao babelbit" { visit(below, &path) } else { walk(below, &path, visit) }
        }
    }

    fn each(visit: &mut impl FnMut(&Command, &str)) {
        walk(&documented(Tao::command()), "tao", visit);
        walk(&documented(Bb::command()), "bb", visit);
    }

    #[test]
    fn every_command_has_a_summary_a_description_and_an_example() {
        let mut lacking = Vec::new();
        each(&mut |command, path| {
            let summary = command.get_about().map(ToString::to_string).unwrap_or_default();
            let long = command.get_long_about().map(ToString::to_string).unwrap_or_default();
            if summary.is_empty() || summary.contains('\n') || summary.len() > 100 {
                lacking.push(format!("{path}: a summary of one line"));
            }
            if long.len() < summary.len() + 20 {
                lacking.push(format!("{path}: a description in help.md"));
            }
            if command.get_after_help().is_none() {
                lacking.push(format!("{path}: an example in help.md"));
            }
        });
        assert!(lacking.is_empty(), "these lack something:\n{}", lacking.join("\n"));
    }

    #[test]
    fn every_example_is_of_its_command_and_parses() {
        for (name, section) in sections() {
            for line in section.examples.iter().filter(|line| !line.starts_with("# ")) {
                let command = line.trim_start_matches("sudo ");
                let is_own = command.split('|').any(|part| part.trim().starts_with(name));
                assert!(is_own || section.examples.len() > 1, "{name}: {line} is an example of another command");
                assert!(parses("help.md".as_ref(), command), "{name}: {line} calls none of our programs");
            }
        }
    }

    #[test]
    fn no_section_is_of_a_command_that_does_not_exist() {
        let mut known = BTreeSet::new();
        each(&mut |_, path| {
            known.insert(path.to_owned());
        });
        for name in sections().keys() {
            assert!(known.contains(*name), "help.md has a section of {name}, which is no command");
        }
    }

    #[test]
    fn every_argument_says_what_it_is() {
        each(&mut |command, path| {
            for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
                assert!(argument.get_help().is_some(), "{path}: {} has no help", argument.get_id());
            }
        });
    }
}
