//! Commands in the process of a test.
#![allow(clippy::missing_panics_doc, clippy::panic, reason = "test helpers")]

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use clap::Parser;
use serde_json::Value;

use crate::context::Context;
use crate::exit::{argument_error, write_report};
use crate::table::disable_width_limit;

/// A writer whose text tests read.
#[derive(Debug, Clone, Default)]
pub struct CapturedOutput(Arc<Mutex<Vec<u8>>>);

impl CapturedOutput {
    /// Returns the text that was written so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Write for CapturedOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Output and exit code of a command.
#[derive(Debug)]
pub struct CommandOutput {
    /// The exit code.
    pub code: u8,
    /// Standard output of the command.
    pub stdout: String,
    /// Standard error of the command, with the report of its error.
    pub stderr: String,
}

impl CommandOutput {
    /// Returns the text of a successful command.
    #[track_caller]
    pub fn text(self) -> String {
        assert_eq!(self.code, 0, "{}", self.stderr);
        self.stdout
    }

    /// Returns the only JSON document of a successful command.
    #[track_caller]
    pub fn document(self) -> Value {
        let text = self.text();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in: {text}"))
    }

    /// Returns the error of a command that failed with this exit code and printed nothing else.
    #[track_caller]
    pub fn refusal(self, code: u8) -> String {
        assert_eq!((self.code, self.stdout.as_str()), (code, ""), "{}", self.stderr);
        self.stderr
    }
}

/// Parses the arguments, of which the first is the program's name, and runs the command as the
/// program does: without colours and without a limit of the width, as in a pipe. The command reads
/// the environment of the test.
pub fn run_command<P: Parser>(
    arguments: &[&str],
    json: bool,
    run: impl FnOnce(P, &Context) -> anyhow::Result<()>,
) -> CommandOutput {
    console::set_colors_enabled(false);
    console::set_colors_enabled_stderr(false);
    disable_width_limit();
    let (output, mut notices) = (CapturedOutput::default(), CapturedOutput::default());
    let context = Context::with_writers(json, output.clone(), notices.clone());
    let result = match P::try_parse_from(arguments) {
        Ok(command) => run(command, &context),
        Err(error) => Err(argument_error(&error)),
    };
    let code = write_report(&mut notices, result, json);
    CommandOutput { code, stdout: output.text(), stderr: notices.text() }
}
