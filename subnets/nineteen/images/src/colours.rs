//! Colours of a prompt, and reproducible random numbers.

use sha2::{Digest as _, Sha256};

/// Red, green and blue in `0..=255`.
pub(crate) type Colour = [f32; 3];

/// Colours by their English names.
const NAMED_COLOURS: [(&str, Colour); 16] = [
    ("black", [20.0, 20.0, 22.0]),
    ("white", [240.0, 240.0, 238.0]),
    ("grey", [128.0, 128.0, 130.0]),
    ("gray", [128.0, 128.0, 130.0]),
    ("red", [205.0, 30.0, 35.0]),
    ("orange", [235.0, 130.0, 25.0]),
    ("yellow", [240.0, 215.0, 50.0]),
    ("green", [45.0, 145.0, 60.0]),
    ("cyan", [40.0, 185.0, 200.0]),
    ("blue", [35.0, 75.0, 190.0]),
    ("purple", [115.0, 45.0, 150.0]),
    ("pink", [235.0, 130.0, 165.0]),
    ("brown", [115.0, 70.0, 35.0]),
    ("golden", [215.0, 170.0, 55.0]),
    ("turquoise", [60.0, 190.0, 170.0]),
    ("violet", [130.0, 80.0, 190.0]),
];
/// Colour of a prompt without words.
const NEUTRAL: Colour = [128.0; 3];
/// Range of the channels of colours that are derived from words.
const CHANNEL_RANGE: std::ops::RangeInclusive<f32> = 50.0..=205.0;

/// Returns the words of a text in lower case.
pub(crate) fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|char: char| !char.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}

/// Returns the colours of a prompt: those that it names first, then one for each other word. Words
/// of the negative prompt have none.
pub(crate) fn palette(prompt: &str, negative_prompt: &str) -> Vec<Colour> {
    let excluded_words: Vec<String> = words(negative_prompt).collect();
    let wanted_words: Vec<String> =
        words(prompt).filter(|word| !excluded_words.contains(word)).collect();
    let named_colour = |word: &String| {
        NAMED_COLOURS.iter().find(|(name, _)| name == word).map(|(_, colour)| *colour)
    };
    let mut colours: Vec<Colour> = wanted_words.iter().filter_map(named_colour).collect();
    let derived_colours = wanted_words
        .iter()
        .filter(|word| named_colour(word).is_none())
        .map(|word| colour_of_word(word));
    // Named colours dominate the others.
    let max_derived = if colours.is_empty() { usize::MAX } else { colours.len() };
    colours.extend(derived_colours.take(max_derived));
    if colours.is_empty() {
        colours.push(NEUTRAL);
    }
    colours
}

/// Derives a colour from the hash of a word.
fn colour_of_word(word: &str) -> Colour {
    let digest = Sha256::digest(word.as_bytes());
    let (low, range) = (*CHANNEL_RANGE.start(), CHANNEL_RANGE.end() - CHANNEL_RANGE.start());
    let mut channels = digest.iter().map(|byte| low + range * f32::from(*byte) / 255.0);
    std::array::from_fn(|_| channels.next().unwrap_or(low))
}

/// Random numbers from a seed (SplitMix64), which are the same on every machine and in every
/// release: validators compare images with those of other machines.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// Creates numbers for a request: other prompts have other numbers.
    pub(crate) fn new(seed: u64, prompt: &str, negative_prompt: &str) -> Self {
        let digest = Sha256::new()
            .chain_update(prompt)
            .chain_update([0])
            .chain_update(negative_prompt)
            .finalize();
        let text_hash = digest.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        Self(seed ^ text_hash)
    }

    /// Returns a number in `0..1`.
    pub(crate) fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // The highest 24 bits, which a float has exactly.
        ((mixed ^ (mixed >> 31)) >> 40) as f32 / (1_u32 << 24) as f32
    }

    /// Returns a number in `low..high`.
    pub(crate) fn in_range(&mut self, low: f32, high: f32) -> f32 {
        low + self.next() * (high - low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_colours_come_first_and_excluded_ones_never() {
        let red = [205.0, 30.0, 35.0];
        let build_palette = |prompt, negative| palette(prompt, negative);
        assert_eq!(build_palette("A small, RED boat", "")[0], red);
        assert_eq!(build_palette("A small, RED boat", "").len(), 2);
        assert!(!build_palette("a red boat", "red, blurry").contains(&red));
        assert_eq!(build_palette("", ""), [NEUTRAL]);
        assert_ne!(build_palette("boat", ""), build_palette("tree", ""));
    }

    /// The first numbers of a generator that must not change: validators and miners of different
    /// releases would disagree.
    #[test]
    fn random_numbers_are_reproducible() {
        let mut random = Random(1_234_567);
        let numbers = [random.next(), random.next(), random.next()];
        // The published outputs for this seed: 6457827717110365317, 3203168211198807973, 9817491932198370423.
        let expected =
            [6_457_827_717_110_365_317_u64, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!(numbers, expected.map(|number| (number >> 40) as f32 / (1_u32 << 24) as f32));
        let first_number =
            |seed, prompt: &str, negative: &str| Random::new(seed, prompt, negative).next();
        assert_ne!(first_number(1, "a", ""), first_number(1, "b", ""));
        assert_ne!(first_number(1, "a", "b"), first_number(2, "a", "b"));
        assert_ne!(first_number(1, "a", "b"), first_number(1, "ab", ""));
    }
}
