//! Texts of synthetic requests, from a grammar.

use std::collections::HashMap;
use std::sync::LazyLock;

use rand::Rng;
use rand::seq::IndexedRandom as _;

/// Maximum depth of nested grammar symbols.
const MAX_DEPTH: usize = 12;
const ONSETS: [&str; 24] = [
    "b", "br", "c", "d", "dr", "f", "g", "gl", "h", "j", "k", "l", "m", "n", "p", "r", "s", "st",
    "t", "th", "tr", "v", "w", "z",
];
const VOWELS: [&str; 12] = ["a", "e", "i", "o", "u", "ai", "ea", "ie", "o", "a", "e", "ou"];
const CODAS: [&str; 14] = ["", "", "", "l", "n", "r", "s", "m", "rd", "nt", "ck", "x", "sh", "nd"];

static GRAMMAR: LazyLock<HashMap<&str, Vec<&str>>> = LazyLock::new(|| {
    let lines = include_str!("grammar.txt").lines().filter(|line| !line.starts_with('#'));
    let rule = |line: &'static str| {
        let (name, alternatives) = line.split_once(": ")?;
        Some((name, alternatives.split(" | ").collect()))
    };
    lines.filter_map(rule).collect()
});

/// Purpose of a text in a synthetic request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TextKind {
    /// A user's message, or a prompt of a completion.
    Message,
    /// An assistant's answer.
    Reply,
    /// Instructions to the assistant.
    System,
    /// Description of an image.
    ImagePrompt,
}

impl TextKind {
    /// Returns the grammar symbols of the first sentence and of the later sentences.
    const fn symbols(self) -> (&'static str, &'static str) {
        match self {
            Self::Message => ("message", "context"),
            Self::Reply => ("reply", "reply"),
            Self::System => ("system", "system"),
            Self::ImagePrompt => ("picture", "picture"),
        }
    }
}

/// Generates a text of at most `max_words` words; usually its length is close to this maximum.
pub(super) fn generate_text(kind: TextKind, max_words: usize, random: &mut impl Rng) -> String {
    let (first, later) = kind.symbols();
    let mut text = String::new();
    expand(&mut text, first, MAX_DEPTH, random);
    while text.split(' ').count() < max_words {
        let separator = match kind {
            TextKind::ImagePrompt => ", ",
            _ if random.random_bool(0.1) => "\n\n",
            _ => " ",
        };
        text.push_str(separator);
        expand(&mut text, later, MAX_DEPTH, random);
    }
    let mut text = text.split(' ').take(max_words).collect::<Vec<_>>().join(" ");
    if kind == TextKind::Message {
        text = with_typing_habits(text, random);
    }
    text
}

/// Appends a random expansion of a grammar symbol; symbols in the expansion are expanded
/// recursively.
fn expand(text: &mut String, name: &str, depth: usize, random: &mut impl Rng) {
    let Some(alternatives) = GRAMMAR.get(name) else {
        push_random_word(text, name, random);
        return;
    };
    let mut template = alternatives.choose(random).copied().unwrap_or_default();
    while let Some((before, after)) = template.split_once('{') {
        let (inner, after) = after.split_once('}').unwrap_or((after, ""));
        push_sentence_part(text, before);
        if depth > 0 {
            expand(text, inner, depth - 1, random);
        }
        template = after;
    }
    push_sentence_part(text, template);
}

/// Adds text, with a capital letter where a sentence begins.
fn push_sentence_part(out: &mut String, text: &str) {
    let trimmed = out.trim_end();
    let begins_sentence =
        out.is_empty() || (trimmed.len() < out.len() && trimmed.ends_with(['.', '?', '!']));
    let mut letters = text.chars();
    match letters.next() {
        Some(first) if begins_sentence => {
            out.extend(first.to_uppercase());
            out.push_str(letters.as_str());
        }
        _ => out.push_str(text),
    }
}

/// Appends a random number, a name or an invented word, for a symbol without a rule.
fn push_random_word(out: &mut String, name: &str, random: &mut impl Rng) {
    match name {
        "number" => {
            // Uniform on a logarithmic scale.
            let number = random.random_range(2.0_f64..11.0).exp() as u64;
            let rounded = if random.random_bool(0.4) { number / 10 * 10 } else { number };
            out.push_str(&rounded.to_string());
        }
        "small" => out.push_str(&random.random_range(2..=12).to_string()),
        "year" => out.push_str(&random.random_range(1_200..=2_060).to_string()),
        "code" => {
            let mut name = random_word(random);
            if random.random_bool(0.5) {
                name.push('_');
                name.push_str(&random_word(random));
            }
            out.push_str(&name);
        }
        "name" => {
            let mut name = String::new();
            push_sentence_part(&mut name, &(random_syllable(random) + &random_word(random)));
            out.push_str(&name);
        }
        _ => push_sentence_part(out, &(random_syllable(random) + &random_word(random))),
    }
}

/// Returns an invented word of one to three syllables.
fn random_word(random: &mut impl Rng) -> String {
    let syllables = random.random_range(1..=3);
    (0..syllables).map(|_| random_syllable(random)).collect()
}

fn random_syllable(random: &mut impl Rng) -> String {
    let mut pick = |parts: &[&'static str]| parts.choose(random).copied().unwrap_or_default();
    [pick(&ONSETS), pick(&VOWELS), pick(&CODAS)].concat()
}

/// Returns a text as people type it: sometimes without capitals or the last full stop, sometimes
/// with a typing error.
fn with_typing_habits(mut text: String, random: &mut impl Rng) -> String {
    if random.random_bool(0.2) {
        text = text.to_lowercase();
    }
    if random.random_bool(0.25) {
        text.truncate(text.trim_end_matches(['.', '?']).len());
    }
    if random.random_bool(0.15) {
        let letters: Vec<char> = text.chars().collect();
        let index = random.random_range(0..letters.len().max(1));
        // Drop a letter.
        text = letters
            .iter()
            .enumerate()
            .filter(|(position, _)| *position != index || *position == 0)
            .map(|(_, character)| *character)
            .collect();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn each_grammar_reference_is_defined() {
        let placeholders = ["number", "small", "year", "name", "word", "code"];
        for (name, alternatives) in GRAMMAR.iter() {
            for alternative in alternatives {
                for inner in alternative.split('{').skip(1) {
                    let (inner, _) = inner.split_once('}').unwrap();
                    assert!(
                        GRAMMAR.contains_key(inner) || placeholders.contains(&inner),
                        "{name}: {inner}"
                    );
                }
            }
        }
        for kind in [TextKind::Message, TextKind::Reply, TextKind::System, TextKind::ImagePrompt] {
            let (first, later) = kind.symbols();
            assert!(GRAMMAR.contains_key(first) && GRAMMAR.contains_key(later), "{kind:?}");
        }
    }

    /// A list of phrases does not suffice to recognise a synthetic text.
    #[test]
    fn synthetic_texts_rarely_repeat_phrases() {
        let mut random = StdRng::seed_from_u64(1);
        let texts: Vec<_> =
            (0..2_000).map(|_| generate_text(TextKind::Message, 30, &mut random)).collect();
        assert!(
            texts
                .iter()
                .all(|text| !text.contains(['{', '}', '|']) && text.split(' ').count() <= 30)
        );
        let words: HashSet<_> = texts.iter().flat_map(|text| text.split_whitespace()).collect();
        assert!(words.len() > 3_000, "{} different words", words.len());
        let mut phrases = HashSet::new();
        let (mut repeated_count, mut total_count) = (0, 0);
        for text in &texts {
            for phrase in text.split_whitespace().collect::<Vec<_>>().windows(5) {
                total_count += 1;
                repeated_count += u32::from(!phrases.insert(phrase.join(" ")));
            }
        }
        assert!(
            repeated_count * 4 < total_count,
            "{repeated_count} of {total_count} phrases of five words are repeated"
        );
    }
}
