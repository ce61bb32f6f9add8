//! Message arguments of `tao wallet sign` and `verify`.

use std::path::PathBuf;

use clap::Args;
use taonet_cli_base::input;

/// Arguments that contain or locate a message
#[derive(Debug, Args)]
pub(crate) struct MessageArgs {
    /// Message text, signed as UTF-8
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
    /// File with the message bytes; `-` is standard input
    #[arg(long, value_name = "FILE")]
    message_file: Option<PathBuf>,
}

impl MessageArgs {
    /// Reads the message, or `None` if there is none.
    pub(crate) fn read(&self) -> anyhow::Result<Option<Vec<u8>>> {
        match (&self.message, &self.message_file) {
            (Some(text), _) => Ok(Some(text.clone().into_bytes())),
            (None, Some(path)) => input::read(path).map(Some),
            (None, None) => Ok(None),
        }
    }
}
