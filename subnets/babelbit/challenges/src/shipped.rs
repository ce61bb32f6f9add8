use super::{Challenge, ChallengeError};

macro_rules! shipped {
    ($name:literal) => {
        ($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $name)))
    };
}

/// Name and text of every challenge file that ships with the product, in the order of their names.
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

/// The challenges that ship with the product.
pub struct Challenges;

impl Challenges {
    /// All of them, in the order of their file names.
    ///
    /// # Errors
    /// [`ChallengeError`] when a shipped file does not follow its own format.
    pub fn shipped() -> Result<Vec<Challenge>, ChallengeError> {
        SHIPPED.iter().map(|(name, text)| Challenge::parse(name, text)).collect()
    }
}
