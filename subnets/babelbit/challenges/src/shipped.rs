use super::{Challenge, ChallengeError, TextChallenge};

macro_rules! shipped {
    ($name:literal) => {
        ($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $name)))
    };
}

/// Name and text of each shipped English challenge file, sorted by name.
const ENGLISH: &[(&str, &str)] = &[
    shipped!("01-the-late-train.json"),
    shipped!("02-the-budget-meeting.json"),
    shipped!("03-the-new-kitchen.json"),
    shipped!("04-after-the-match.json"),
    shipped!("05-at-the-doctor.json"),
    shipped!("06-the-job-interview.json"),
    shipped!("07-the-flood.json"),
    shipped!("08-the-holiday.json"),
];

/// Name and text of each shipped challenge file in another language: the language and a number.
const FOREIGN: &[(&str, &str)] =
    &[shipped!("de-1.json"), shipped!("es-1.json"), shipped!("fr-1.json")];

/// Name and text of the shipped text challenge.
const TEXT: (&str, &str) = shipped!("text/01-the-ferry.json");

/// The challenge files embedded in the program.
pub struct Challenges;

impl Challenges {
    /// Parses the shipped English challenges, which are played by default, in the order of their
    /// file names.
    ///
    /// # Errors
    /// [`ChallengeError`] when a shipped file is malformed.
    pub fn english() -> Result<Vec<Challenge>, ChallengeError> {
        ENGLISH.iter().map(|(file, text)| Challenge::parse(file, text)).collect()
    }

    /// Parses the shipped challenge with one of the [`Self::names`]; `None` if there is none.
    ///
    /// # Errors
    /// [`ChallengeError`] when the shipped file is malformed.
    pub fn find(name: &str) -> Result<Option<Challenge>, ChallengeError> {
        let mut challenges = Self::names().zip(ENGLISH.iter().chain(FOREIGN));
        let challenge = challenges.find(|(shipped_name, _)| shipped_name == name);
        challenge.map(|(_, (file, text))| Challenge::parse(file, text)).transpose()
    }

    /// Returns the names of all shipped challenges: the numbers of the English ones, from 1, then
    /// the language and the number of each other one, such as `fr-1`.
    pub fn names() -> impl Iterator<Item = String> {
        let numbers = (1..=ENGLISH.len()).map(|number| number.to_string());
        numbers.chain(FOREIGN.iter().map(|(file, _)| file.trim_end_matches(".json").to_owned()))
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
