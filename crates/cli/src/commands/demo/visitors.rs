//! The recogniser of the page "Try it": people speak there, whom the contest's recogniser does not understand.

use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;
use taonet_speech::Recognizer as _;
use taonet_whisper::Transcriber;

use crate::context::Context;
use crate::engines;

/// Recogniser for visitors of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Visitors {
    /// Whisper base.
    Base,
    /// The embedded recogniser of the contest.
    Tiny,
}

/// Loads Whisper base, and downloads it if missing. `None` selects the embedded recogniser, also if Whisper base is not
/// available and was not selected explicitly. Prints which recogniser the page has.
pub(super) fn recognizer(
    choice: Option<Visitors>,
    models: Option<PathBuf>,
    context: &Context,
) -> anyhow::Result<Option<Arc<Transcriber>>> {
    if choice == Some(Visitors::Tiny) {
        return Ok(None);
    }
    match engines::visitors_whisper(models, context) {
        Ok(whisper) => {
            context.say(&format!("\"Try it\" understands any speaker: it hears with {}", whisper.name()));
            Ok(Some(whisper))
        }
        Err(error) if choice.is_none() => {
            context.say(&format!("{error:#}\n\"Try it\" understands synthesised English speech only"));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
