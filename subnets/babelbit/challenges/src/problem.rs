use std::path::PathBuf;

use taonet_speech::WavError;

/// Why a challenge file was not loaded. Every message names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChallengeError {
    /// The file could not be read.
    #[error("{}: cannot be read: {source}", file.display())]
    Read {
        /// The challenge file, or the recording.
        file: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is larger than any challenge.
    #[error("{}: is larger than {limit} bytes", file.display())]
    TooLarge {
        /// The challenge file, or the recording.
        file: PathBuf,
        /// Most bytes that are read.
        limit: u64,
    },
    /// The file is not JSON, or a field is missing, unknown or of the wrong type.
    #[error("{file}: {path}: {source}")]
    Json {
        /// The challenge file.
        file: String,
        /// Where in the document, e.g. `utterances[3].target`; `.` is the whole document.
        path: String,
        /// What was expected there.
        source: serde_json::Error,
    },
    /// A value has the right type but makes no sense.
    #[error("{file}: {path}: {problem}")]
    Invalid {
        /// The challenge file.
        file: String,
        /// Where in the document, e.g. `utterances[3].target.words[2].end`.
        path: String,
        /// What is wrong with it.
        #[source]
        problem: Problem,
    },
}

/// What is wrong with a value of a challenge file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A text without any visible character.
    #[error("must not be blank")]
    Blank,
    /// A text longer than its limit.
    #[error("must have at most {0} characters")]
    TooLong(usize),
    /// An identifier with a character that is not allowed, or with none.
    #[error("must be 1 to {limit} of the characters {allowed}, and not begin with a dot")]
    Identifier {
        /// Most characters.
        limit: usize,
        /// The characters, for people.
        allowed: &'static str,
    },
    /// Two utterances that could not be told apart.
    #[error("reads the same as that of utterances[{0}]: what follows the last colon must differ")]
    Duplicate(usize),
    /// Not a language code.
    #[error("must be a language code such as `en`")]
    Language,
    /// A list that needs entries.
    #[error("must have at least one entry")]
    Empty,
    /// A list with too many entries.
    #[error("must have at most {0} entries")]
    TooMany(usize),
    /// A source with neither or both kinds of speech.
    #[error("must have either `text` and `voice`, or `wav`")]
    SourceKind,
    /// A number outside its bounds.
    #[error("must be between {0} and {1}")]
    Range(u16, u16),
    /// A time or rate that is negative or not a number.
    #[error("must be a finite number, 0 or more")]
    NotATime,
    /// A rate of zero or less.
    #[error("must be > 0")]
    NotPositive,
    /// A word that ends before it began.
    #[error("must be > start")]
    EndsBeforeStart,
    /// Words out of order.
    #[error("must not be before the start of the previous word")]
    OutOfOrder,
    /// A path that could lead out of the challenge's folder.
    #[error("must be a relative path inside the challenge's folder")]
    OutsideFolder,
    /// A recording named by a challenge that has no folder.
    #[error("a challenge without a folder cannot have recordings")]
    NoFolder,
    /// The recording cannot be decoded.
    #[error("not a usable WAV file: {0}")]
    Wav(#[from] WavError),
    /// The recording holds no sound.
    #[error("the recording has no samples")]
    Silent,
    /// The recording is longer than an utterance may be.
    #[error("the recording lasts {seconds:.1} s, at most {limit} s are allowed")]
    Duration {
        /// Its length.
        seconds: f64,
        /// The limit.
        limit: u32,
    },
}
