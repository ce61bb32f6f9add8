//! `bb`: the Babelbit commands under the names that validator operators know.

use std::process::ExitCode;

fn main() -> ExitCode {
    taonet_cli::bb()
}
