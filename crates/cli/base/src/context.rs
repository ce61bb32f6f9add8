//! The context of a command: output and the asynchronous runtime.

use std::future::Future;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

use crate::printable::printable_json;

/// Shutdown timeout of blocking tasks after the command has ended: long enough to write a file. The
/// result of a longer transcription is lost in any case.
const BLOCKING_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

type Writer = Box<dyn Write + Send>;

/// Context of every command: output format, writers and async runtime.
pub struct Context {
    /// Whether to print one JSON document instead of text.
    pub json: bool,
    /// Behind mutexes, since tasks of a command print, too.
    output: Mutex<Writer>,
    notices: Mutex<Writer>,
}

impl Context {
    /// Creates the context of a process, which writes to its standard output and standard error.
    pub fn new(json: bool) -> Self {
        Self::with_writers(json, io::stdout(), io::stderr())
    }

    /// Creates a context that writes to these writers instead of standard output and standard
    /// error.
    pub fn with_writers(
        json: bool,
        output: impl Write + Send + 'static,
        notices: impl Write + Send + 'static,
    ) -> Self {
        Self { json, output: Mutex::new(Box::new(output)), notices: Mutex::new(Box::new(notices)) }
    }

    /// Prints `document` as JSON on standard output.
    pub fn print_json(&self, document: &impl Serialize) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(document).context("cannot serialise the result")?;
        self.print(&printable_json(&text))
    }

    /// Prints text on standard output. A closed pipe is not an error.
    pub fn print(&self, text: &str) -> anyhow::Result<()> {
        let result = writeln!(lock_writer(&self.output), "{text}");
        match result {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other.context("cannot write to standard output"),
        }
    }

    /// Prints a notice on standard error.
    pub fn print_notice(&self, text: &str) {
        let _ = writeln!(lock_writer(&self.notices), "{text}");
    }

    /// Runs a future to completion. Blocking tasks that are still running then get 5 s to finish.
    pub fn block_on<T>(
        &self,
        future: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .context("cannot start the asynchronous runtime")?;
        let result = runtime.block_on(future);
        // Dropping the runtime would wait for all blocking tasks.
        runtime.shutdown_timeout(BLOCKING_SHUTDOWN_TIMEOUT);
        result
    }
}

fn lock_writer(writer: &Mutex<Writer>) -> MutexGuard<'_, Writer> {
    writer.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::CapturedOutput;

    #[test]
    fn output_and_notices_have_separate_writers() {
        let (output, notices) = (CapturedOutput::default(), CapturedOutput::default());
        let context = Context::with_writers(true, output.clone(), notices.clone());
        context.print_json(&serde_json::json!({ "block": 1 })).unwrap();
        context.print("text").unwrap();
        context.print_notice("a notice");
        assert_eq!(output.text(), "{\n  \"block\": 1\n}\ntext\n");
        assert_eq!(notices.text(), "a notice\n");
    }

    /// A pipe whose reader has exited, as with `head`.
    struct ClosedPipe;

    impl Write for ClosedPipe {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn closed_pipe_is_not_an_error() {
        let context = Context::with_writers(false, ClosedPipe, ClosedPipe);
        context.print("text").unwrap();
        context.print_notice("a notice");
    }

    #[test]
    fn abandoned_blocking_tasks_do_not_delay_the_exit() {
        let (unblock, blocked) = std::sync::mpsc::channel::<()>();
        let (started, has_started) = std::sync::mpsc::channel();
        let work = async move {
            tokio::task::spawn_blocking(move || {
                started.send(()).unwrap();
                let _ = blocked.recv_timeout(Duration::from_mins(5));
            });
            has_started.recv()?;
            Ok(())
        };
        let start = std::time::Instant::now();
        Context::new(false).block_on(work).unwrap();
        assert!(start.elapsed() < Duration::from_mins(1));
        drop(unblock);
    }
}
