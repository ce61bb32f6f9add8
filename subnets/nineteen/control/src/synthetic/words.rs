//! Random sentences for synthetic requests.

use rand::Rng;
use rand::seq::IndexedRandom as _;

const OPENINGS: [&str; 16] = [
    "explain how",
    "write a short story in which",
    "tell me why",
    "what happens when",
    "give three reasons why",
    "summarise how",
    "imagine that",
    "is it true that",
    "compare the ways in which",
    "describe the day when",
    "list the steps by which",
    "argue that",
    "I do not understand why",
    "help me decide whether",
    "suppose that",
    "write an e-mail that says that",
];
const SUBJECTS: [&str; 32] = [
    "a lighthouse keeper",
    "the old engine",
    "my neighbour",
    "a flock of geese",
    "the committee",
    "every new student",
    "a small bakery",
    "the night train",
    "her grandmother",
    "a patient teacher",
    "the river",
    "our landlord",
    "a violin",
    "the software update",
    "a retired pilot",
    "the museum",
    "two brothers",
    "a broken clock",
    "the market square",
    "this recipe",
    "a stray dog",
    "the orchestra",
    "an honest merchant",
    "the vaccine",
    "my garden",
    "a glacier",
    "the tax office",
    "some insects",
    "a young chemist",
    "the football club",
    "an interpreter",
    "the northern wind",
];
const VERBS: [&str; 24] = [
    "repairs",
    "remembers",
    "avoids",
    "paints",
    "sells",
    "follows",
    "measures",
    "forgets",
    "protects",
    "builds",
    "replaces",
    "borrows",
    "translates",
    "carries",
    "observes",
    "finishes",
    "teaches",
    "cleans",
    "misses",
    "divides",
    "improves",
    "collects",
    "answers",
    "surprises",
];
const OBJECTS: [&str; 32] = [
    "the wooden bridge",
    "an unpaid bill",
    "a bowl of soup",
    "the longest queue",
    "two maps of the city",
    "a secret",
    "the wrong address",
    "all of the apples",
    "a letter from abroad",
    "the second half",
    "a cheap bicycle",
    "the weather",
    "an empty theatre",
    "the value of time",
    "a handful of coins",
    "the missing page",
    "a promise",
    "the new law",
    "a quiet afternoon",
    "the last lesson",
    "a cup of tea",
    "several mistakes",
    "the town hall",
    "an unknown species",
    "the shape of clouds",
    "a heavy suitcase",
    "the third question",
    "a pair of gloves",
    "the old harbour",
    "some advice",
    "a field of barley",
    "the price of bread",
];
const ENDINGS: [&str; 20] = [
    "before breakfast",
    "without a word",
    "in the rain",
    "for the first time",
    "while nobody is looking",
    "by accident",
    "at the end of the month",
    "with great care",
    "in spite of everything",
    "as a child would",
    "every other Tuesday",
    "on the way home",
    "in less than an hour",
    "because of the noise",
    "far from the coast",
    "under a false name",
    "after the holidays",
    "with borrowed tools",
    "in two languages",
    "until the lights go out",
];
const LINKS: [&str; 8] = ["and", "but", "although", "so that", "because", "whenever", "unless", "while"];

/// Generates a text of the given number of words; the last sentence is truncated if it is too long.
pub(super) fn text(words: usize, random: &mut impl Rng) -> String {
    let mut found: Vec<String> = Vec::new();
    while found.len() < words {
        let start = found.len();
        if random.random_bool(0.5) {
            add(&mut found, &OPENINGS, random);
        }
        clause(&mut found, random);
        if random.random_bool(0.4) {
            add(&mut found, &LINKS, random);
            clause(&mut found, random);
        }
        if let Some(first) = found.get_mut(start) {
            let mut letters = first.chars();
            *first = letters.next().map(|letter| letter.to_uppercase().chain(letters).collect()).unwrap_or_default();
        }
        let end = if random.random_bool(0.3) { "?" } else { "." };
        if let Some(last) = found.last_mut() {
            last.push_str(end);
        }
    }
    found.truncate(words);
    found.join(" ")
}

fn clause(found: &mut Vec<String>, random: &mut impl Rng) {
    add(found, &SUBJECTS, random);
    add(found, &VERBS, random);
    add(found, &OBJECTS, random);
    if random.random_bool(0.6) {
        add(found, &ENDINGS, random);
    }
}

fn add(found: &mut Vec<String>, phrases: &[&str], random: &mut impl Rng) {
    let phrase = phrases.choose(random).copied().unwrap_or_default();
    found.extend(phrase.split(' ').map(str::to_owned));
}
