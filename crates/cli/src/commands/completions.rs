//! The `tao completions` command.

use std::fmt::Write as _;

use clap::{Args, ValueEnum};
use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};
use taonet_cli_base::context::Context;

use crate::completion::COMPLETION_VARIABLE;

/// Print shell completions for `tao` or `bb`
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Shell to generate completions for
    #[arg(value_enum)]
    shell: Shell,
    /// Program to complete
    #[arg(long, value_enum, default_value = "tao")]
    program: Program,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Program {
    Tao,
    Bb,
}

pub(crate) fn run(args: &CompletionsArgs, context: &Context) -> anyhow::Result<()> {
    let name = match args.program {
        Program::Tao => "tao",
        Program::Bb => "bb",
    };
    let shell: &dyn EnvCompleter = match args.shell {
        Shell::Bash => &Bash,
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
    };
    let mut script = Vec::new();
    // The shell looks the program up in its path, so that a script also works for a program that is
    // installed later.
    shell.write_registration(COMPLETION_VARIABLE, name, name, name, &mut script)?;
    let mut script = String::from_utf8(script)?;
    if matches!(args.shell, Shell::Zsh) {
        // As a file in $fpath, the script is the body of a function, which zsh calls for the first
        // completion.
        writeln!(
            script,
            "\nif [ \"$funcstack[1]\" = \"_{name}\" ]; then\n    _clap_dynamic_completer_{name} \"$@\"\nfi"
        )?;
    }
    context.print(script.trim_end())
}
