use super::{Challenge, ChallengeError, TextChallenge};

macro_rules! shipped {
    ($name:literal) => {
        ($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $name)))
    };
}

/// Name and text of each shipped challenge file, sorted by name.
const SHIPPED: &[(&str, &str)] = &[
    shipped!("01-the-late-train.json"),
    shipped!("02-the-budget-meeting.json"),
    shipped!("03-the-new-kitchen.json"),
    shipped!("04-after-the-match.json"),
    shipped!("05-at-the-doctor.json"),
    shipped!("06-the-job-interview.json"),
    shipped!("07-the-flood.json"),
    shipped!("08-the-holiday.json"),
];

/// Name and text of the shipped text challenge.
const TEXT: (&str, &str) = shipped!("text/01-the-ferry.json");

/// The challenge files embedded in the program.
pub struct Challenges;

impl Challenges {
    /// Parses all shipped challenges, in the order of their file names.
    ///
    /// # Errors
    /// [`ChallengeError`] when a shipped file is malformed.
    pub fn shipped() -> Result<Vec<Challenge>, ChallengeError> {
        SHIPPED.iter().map(|(name, text)| Challenge::parse(name, text)).collect()
    }

    /// Parses the shipped challenge of the text-prediction contest.
    ///
    /// # Errors
    /// [`ChallengeError`] when the shipped file is malformed.
    pub fn text() -> Result<TextChallenge, ChallengeError> {
        let (name, text) = TEXT;
        TextChallenge::parse(name, text)
    }
}
