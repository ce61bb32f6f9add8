//! The `tao completions` command.

use clap::{Args, Command, ValueEnum};

use crate::context::Context;

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

pub(crate) fn run(args: &CompletionsArgs, tao: Command, bb: Command, context: &Context) -> anyhow::Result<()> {
    let (mut command, name) = match args.program {
        Program::Tao => (tao, "tao"),
        Program::Bb => (bb, "bb"),
    };
    let shell = match args.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    context.print(String::from_utf8(script)?.trim_end())
}
