//! What is signed and verified.

use std::path::PathBuf;

use clap::Args;

use crate::input;

/// The message
#[derive(Debug, Args)]
pub(crate) struct MessageArgs {
    /// The message as text: its UTF-8 bytes are signed
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
    /// A file that holds the message, byte by byte; `-` is standard input
    #[arg(long, value_name = "FILE")]
    message_file: Option<PathBuf>,
}

impl MessageArgs {
    /// The message's bytes, or `None` where no message was named.
    pub(crate) fn read(&self) -> anyhow::Result<Option<Vec<u8>>> {
        match (&self.message, &self.message_file) {
            (Some(text), _) => Ok(Some(text.clone().into_bytes())),
            (None, Some(path)) => input::read(path).map(Some),
            (None, None) => Ok(None),
        }
    }
}
