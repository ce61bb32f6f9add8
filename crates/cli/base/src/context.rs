//! The context of a command: output and the asynchronous runtime.

use std::future::Future;
use std::io::{self, Write};
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

use crate::printable::printable_json;

/// Shutdown timeout of blocking tasks after the command has ended: long enough to write a file. The
/// result of a longer transcription is lost in any case.
const BLOCKING_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// Context of every command: output format and async runtime.
pub struct Context {
    /// Whether to print one JSON document instead of text.
    pub json: bool,
}

impl Context {
    /// Prints `document` as JSON on standard output.
    pub fn print_json(&self, document: &impl Serialize) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(document).context("cannot serialise the result")?;
        self.print(&printable_json(&text))
    }

    /// Prints text on standard output. A closed pipe is not an error.
    pub fn print(&self, text: &str) -> anyhow::Result<()> {
        match writeln!(io::stdout().lock(), "{text}") {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other.context("cannot write to standard output"),
        }
    }

    /// Prints a notice on standard error.
    pub fn say(&self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Runs a future to completion. Blocking tasks that are still running then get 5 s to finish.
    pub fn block_on<T>(&self, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .context("cannot start the asynchronous runtime")?;
        let result = runtime.block_on(work);
        // Dropping the runtime would wait for all blocking tasks.
        runtime.shutdown_timeout(BLOCKING_SHUTDOWN_TIMEOUT);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abandoned_blocking_tasks_do_not_delay_the_exit() {
        let (never, ends) = std::sync::mpsc::channel::<()>();
        let (started, has_started) = std::sync::mpsc::channel();
        let work = async move {
            tokio::task::spawn_blocking(move || {
                started.send(()).unwrap();
                let _ = ends.recv_timeout(Duration::from_mins(5));
            });
            has_started.recv()?;
            Ok(())
        };
        let began = std::time::Instant::now();
        Context { json: false }.block_on(work).unwrap();
        assert!(began.elapsed() < Duration::from_mins(1));
        drop(never);
    }
}
