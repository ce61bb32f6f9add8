use super::{Challenge, ChallengeError};

/// Name and text of every challenge file that ships with the product, in the order of their names.
const SHIPPED: &[(&str, &str)] = &[];

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
