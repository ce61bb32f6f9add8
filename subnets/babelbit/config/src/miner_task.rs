use std::fmt;
use std::str::FromStr;

/// Output of a speech miner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MinerTask {
    /// The speaker's words, in the language spoken.
    #[default]
    Transcribe,
    /// Whisper's English translation.
    Translate,
}

/// The text is not the name of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownMinerTask(String);

impl fmt::Display for UnknownMinerTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown task `{}`, expected `transcribe` or `translate`", self.0)
    }
}

impl std::error::Error for UnknownMinerTask {}

impl FromStr for MinerTask {
    type Err = UnknownMinerTask;

    fn from_str(text: &str) -> Result<Self, UnknownMinerTask> {
        match text {
            "transcribe" => Ok(Self::Transcribe),
            "translate" => Ok(Self::Translate),
            other => Err(UnknownMinerTask(other.to_owned())),
        }
    }
}

impl fmt::Display for MinerTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Transcribe => "transcribe",
            Self::Translate => "translate",
        })
    }
}
