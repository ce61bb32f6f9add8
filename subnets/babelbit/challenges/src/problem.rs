use std::path::PathBuf;

use taonet_speech::WavError;

/// Why a challenge file was not loaded. Every message names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChallengeError {
    /// The file is unreadable.
    #[error("cannot read {}: {source}", file.display())]
    Read {
        /// Path of the challenge file or recording.
        file: PathBuf,
        /// The I/O error.
        source: std::io::Error,
    },
    /// The file exceeds the size limit.
    #[error("{} is larger than {limit} bytes", file.display())]
    TooLarge {
        /// Path of the challenge file or recording.
        file: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// The file is not JSON, or a field is missing, unknown or of the wrong type.
    #[error("{file}: {}{source}", path_prefix(.path))]
    Json {
        /// Name of the challenge file.
        file: String,
        /// Path in the document, e.g. `utterances[3].target`; empty for the whole document.
        path: String,
        /// The deserialisation error.
        source: serde_json::Error,
    },
    /// A value has the right type but is invalid.
    #[error("{file}: {path}: {problem}")]
    Invalid {
        /// Name of the challenge file.
        file: String,
        /// Path in the document, e.g. `utterances[3].target.words[2].end`.
        path: String,
        /// Why the value is invalid.
        #[source]
        problem: Problem,
    },
}

/// Returns the path in a document as the beginning of a message.
fn path_prefix(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("{path}: ") }
}

/// Why a value of a challenge file is invalid.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A text has no visible character.
    #[error("must not be blank")]
    Blank,
    /// A text exceeds its limit in characters.
    #[error("must have at most {0} characters")]
    TooLong(usize),
    /// An identifier is empty, too long, or has a forbidden character.
    #[error("must have 1 to {limit} characters, only {allowed}, and no leading dot")]
    Identifier {
        /// Maximum number of characters.
        limit: usize,
        /// The allowed characters, for display.
        allowed: &'static str,
    },
    /// Two utterances have equivalent IDs.
    #[error("collides with the id of utterances[{0}]: the parts after the last colon must differ")]
    Duplicate(usize),
    /// Two dialogues have the same uid.
    #[error("is also the uid of dialogues[{0}]")]
    DuplicateDialogue(usize),
    /// An utterance contains `EOF`, the token that ends an utterance.
    #[error("must not contain the word EOF, which ends an utterance")]
    EndMarker,
    /// The text is not a language code.
    #[error("must be a language code such as `en`")]
    Language,
    /// A list has no entries.
    #[error("must have at least one entry")]
    Empty,
    /// A list has too many entries.
    #[error("must have at most {0} entries")]
    TooMany(usize),
    /// A source has neither kind of speech, or both.
    #[error("must have either `text` and `voice`, or `wav`")]
    SourceKind,
    /// A number is out of range.
    #[error("must be between {0} and {1}")]
    Range(u16, u16),
    /// A time or rate is negative or not a number.
    #[error("must be a finite number, 0 or more")]
    InvalidTime,
    /// A rate is zero or less.
    #[error("must be > 0")]
    NotPositive,
    /// A word does not end after its start.
    #[error("must be > start")]
    EndsBeforeStart,
    /// The words are out of order.
    #[error("must not be before the start of the previous word")]
    OutOfOrder,
    /// A path may lead out of the challenge's folder.
    #[error("must be a relative path inside the challenge's folder")]
    OutsideFolder,
    /// A challenge parsed from text, which has no folder, names a recording.
    #[error("a challenge without a folder cannot have recordings")]
    NoFolder,
    /// The recording cannot be decoded.
    #[error("invalid WAV file: {0}")]
    Wav(#[from] WavError),
    /// The recording is empty.
    #[error("the recording is empty")]
    EmptyRecording,
    /// The recording exceeds the maximum duration of an utterance.
    #[error("the recording lasts {seconds:.1} s, the limit is {limit} s")]
    Duration {
        /// Duration of the recording in seconds.
        seconds: f64,
        /// The limit in seconds.
        limit: u32,
    },
}
