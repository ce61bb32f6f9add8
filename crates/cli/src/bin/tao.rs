//! `tao`: all commands.

use std::process::ExitCode;

fn main() -> ExitCode {
    taonet_cli::tao()
}
