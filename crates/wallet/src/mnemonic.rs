use std::fmt;

use bip39::Language;
use pbkdf2::pbkdf2_hmac;
use sha2::Sha512;
use taonet_primitives::without_bom;
use zeroize::Zeroizing;

use crate::KeyError;

/// The public development mnemonic, from which `//Alice`, `//Bob` and others are derived. Never
/// fund these keys.
pub const DEV_PHRASE: &str =
    "bottom drive obey lake curtain smoke basket hold race lonely fit walk";

/// The number of PBKDF2 rounds from a mnemonic's entropy to a seed.
const ROUNDS: u32 = 2048;

/// The length of the longest mnemonic's entropy, in bytes.
const MAX_ENTROPY_BYTES: usize = 32;

/// The number of words of a mnemonic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WordCount {
    /// 12 words, from 128 bits of entropy.
    #[default]
    Twelve,
    /// 15 words, from 160 bits of entropy.
    Fifteen,
    /// 18 words, from 192 bits of entropy.
    Eighteen,
    /// 21 words, from 224 bits of entropy.
    TwentyOne,
    /// 24 words, from 256 bits of entropy.
    TwentyFour,
}

impl WordCount {
    /// Every valid number of words.
    pub const ALL: [Self; 5] =
        [Self::Twelve, Self::Fifteen, Self::Eighteen, Self::TwentyOne, Self::TwentyFour];

    /// Returns the number of words.
    pub const fn words(self) -> usize {
        match self {
            Self::Twelve => 12,
            Self::Fifteen => 15,
            Self::Eighteen => 18,
            Self::TwentyOne => 21,
            Self::TwentyFour => 24,
        }
    }

    /// Returns the length of the entropy in bytes: three words encode 32 bits of entropy and one of
    /// checksum.
    const fn entropy_bytes(self) -> usize {
        match self {
            Self::Twelve => 16,
            Self::Fifteen => 20,
            Self::Eighteen => 24,
            Self::TwentyOne => 28,
            Self::TwentyFour => 32,
        }
    }
}

impl TryFrom<usize> for WordCount {
    type Error = KeyError;

    fn try_from(words: usize) -> Result<Self, KeyError> {
        Self::ALL.into_iter().find(|count| count.words() == words).ok_or(KeyError::WordCount(words))
    }
}

/// A BIP-39 mnemonic of English words. Wiped from memory when dropped; `Debug` shows the number of
/// words only.
#[derive(Clone)]
pub struct Mnemonic(Box<bip39::Mnemonic>);

impl Mnemonic {
    /// Generates a new mnemonic with the system's random number generator.
    ///
    /// # Errors
    /// [`KeyError::Randomness`] when the random number generator fails.
    pub fn generate(count: WordCount) -> Result<Self, KeyError> {
        let mut entropy = Zeroizing::new([0; MAX_ENTROPY_BYTES]);
        let entropy =
            entropy.get_mut(..count.entropy_bytes()).ok_or(KeyError::WordCount(count.words()))?;
        getrandom::fill(entropy).map_err(|_| KeyError::Randomness)?;
        bip39::Mnemonic::from_entropy_in(Language::English, entropy)
            .map(|mnemonic| Self(mnemonic.into()))
            .map_err(|_| KeyError::WordCount(count.words()))
    }

    /// Parses words separated by white space, after a byte order mark if there is one.
    ///
    /// # Errors
    /// [`KeyError`]: an unknown word, a wrong number of words, or a wrong checksum.
    pub fn parse(phrase: &str) -> Result<Self, KeyError> {
        bip39::Mnemonic::parse_in_normalized(Language::English, without_bom(phrase))
            .map(|mnemonic| Self(mnemonic.into()))
            .map_err(|error| match error {
                bip39::Error::BadWordCount(count) => KeyError::WordCount(count),
                bip39::Error::UnknownWord(index) => KeyError::UnknownWord(index.saturating_add(1)),
                _ => KeyError::Checksum,
            })
    }

    /// Returns the words, separated by single spaces. They are the secret: show them only once, and
    /// only to the owner.
    pub fn phrase(&self) -> Zeroizing<String> {
        // No word has more than 8 letters: the buffer never reallocates.
        let mut phrase = Zeroizing::new(String::with_capacity(24 * 9));
        for word in self.0.words() {
            if !phrase.is_empty() {
                phrase.push(' ');
            }
            phrase.push_str(word);
        }
        phrase
    }

    /// Returns the number of words.
    pub fn word_count(&self) -> usize {
        self.0.word_count()
    }

    /// Derives the 32-byte seed ("mini secret") with a passphrase, which may be empty.
    ///
    /// Substrate derives the seed from the mnemonic's entropy, whereas BIP-39 derives it from the
    /// text.
    pub fn to_seed(&self, passphrase: &str) -> Zeroizing<[u8; 32]> {
        // Accessed in place: destructuring would copy the entropy out of the pair.
        let entropy = Zeroizing::new(self.0.to_entropy_array());
        let (entropy, length) = &*entropy;
        let salt = Zeroizing::new(["mnemonic", passphrase].concat());
        let mut seed = Zeroizing::new([0; 32]);
        let entropy = entropy.get(..*length).unwrap_or_default();
        pbkdf2_hmac::<Sha512>(entropy, salt.as_bytes(), ROUNDS, seed.as_mut_slice());
        seed
    }
}

impl fmt::Debug for Mnemonic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mnemonic({} words)", self.word_count())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn generated_mnemonics_parse_and_never_repeat() {
        let mut seeds = HashSet::new();
        for count in WordCount::ALL {
            let mnemonic = Mnemonic::generate(count).unwrap();
            assert_eq!(mnemonic.word_count(), count.words());
            assert_eq!(mnemonic.phrase().split(' ').count(), count.words());
            let parsed = Mnemonic::parse(&mnemonic.phrase()).unwrap();
            assert_eq!(parsed.to_seed(""), mnemonic.to_seed(""));
            assert!(seeds.insert(*parsed.to_seed("")));
            assert_ne!(mnemonic.to_seed(""), mnemonic.to_seed("passphrase"));
            assert_eq!(WordCount::try_from(count.words()), Ok(count));
        }
        assert_eq!(WordCount::try_from(16), Err(KeyError::WordCount(16)));
    }

    #[test]
    fn mnemonic_whitespace_is_normalised() {
        let spaced = DEV_PHRASE.replace(' ', "\n  ");
        assert_eq!(*Mnemonic::parse(&format!("  {spaced}\n")).unwrap().phrase(), DEV_PHRASE);
    }

    #[test]
    fn mnemonic_debug_output_contains_no_word() {
        let debug = format!("{:?}", Mnemonic::parse(DEV_PHRASE).unwrap());
        assert_eq!(debug, "Mnemonic(12 words)");
    }
}
