use std::future::Future;
use std::io::{self, Write};

use anyhow::Context as _;
use serde::Serialize;

/// What every command gets besides its own arguments.
pub(crate) struct Context {
    /// Whether standard output takes one JSON document instead of text.
    pub(crate) json: bool,
}

impl Context {
    /// Prints `document` as JSON on standard output.
    pub(crate) fn print_json(&self, document: &impl Serialize) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(document).context("the result does not fit into JSON")?;
        self.print(&text)
    }

    /// Prints text on standard output. A reader that has gone away is no error.
    #[expect(clippy::unused_self, reason = "all output goes through the context")]
    pub(crate) fn print(&self, text: &str) -> anyhow::Result<()> {
        match writeln!(io::stdout().lock(), "{text}") {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other.context("cannot write to standard output"),
        }
    }

    /// Tells the person at the terminal something that is not data.
    #[expect(clippy::unused_self, reason = "all output goes through the context")]
    pub(crate) fn say(&self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Runs asynchronous work to its end.
    #[expect(clippy::unused_self, reason = "runtimes belong to the context")]
    pub(crate) fn block_on<T>(&self, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .context("cannot start the asynchronous runtime")?
            .block_on(work)
    }
}
