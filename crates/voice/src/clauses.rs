//! Clauses of a text, as espeak-ng forms them. The program prints the phonemes of each clause, but
//! not its punctuation.

use std::ops::Range;

/// Maximum number of characters in a clause. espeak-ng loses words of much longer ones.
const MAX_CHARACTERS: usize = 300;

/// A clause of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Clause {
    /// Its text, with the punctuation mark.
    pub(crate) text: String,
    /// Punctuation mark that the network knows: `.`, `?`, `!`, `,`, `:` or `;`.
    pub(crate) mark: Option<char>,
    /// Whether it is the last clause of a sentence.
    pub(crate) ends_sentence: bool,
}

/// Splits a text into its sentences, each with at least one clause. Text without letters and digits
/// is left out.
///
/// A blank line ends a sentence too. Control characters other than line ends count as spaces.
pub(crate) fn sentences(text: &str) -> Vec<Vec<Clause>> {
    let mut sentences = Vec::new();
    for paragraph in paragraphs(text) {
        let mut sentence = Vec::new();
        for clause in clauses(&paragraph) {
            let ends_sentence = clause.ends_sentence;
            sentence.push(clause);
            if ends_sentence {
                sentences.push(std::mem::take(&mut sentence));
            }
        }
        if let Some(last) = sentence.last_mut() {
            last.ends_sentence = true;
            sentences.push(sentence);
        }
    }
    sentences
}

/// Returns the paragraphs, between blank lines, each as one line.
fn paragraphs(text: &str) -> Vec<String> {
    let mut paragraphs = vec![String::new()];
    for line in text.lines() {
        let line = line.replace(char::is_control, " ");
        match paragraphs.last_mut() {
            Some(last) if !line.trim().is_empty() => {
                last.push_str(&line);
                last.push(' ');
            }
            _ => paragraphs.push(String::new()),
        }
    }
    paragraphs
}

/// A punctuation mark that can end a clause.
struct PunctuationMark {
    /// Positions of its characters: some marks are repeated.
    characters: Range<usize>,
    /// The equivalent mark that the network knows.
    symbol: char,
    /// Whether it ends a clause even if no space follows, as in Chinese.
    needs_no_space: bool,
}

/// Returns the clauses of a paragraph.
fn clauses(paragraph: &str) -> Vec<Clause> {
    let characters: Vec<char> = paragraph.chars().collect();
    let text =
        |range: Range<usize>| characters.get(range).unwrap_or_default().iter().collect::<String>();
    let mut clauses = Vec::new();
    let (mut start, mut at, mut is_spoken) = (0, 0, false);
    while let Some(character) = characters.get(at) {
        is_spoken |= character.is_alphanumeric();
        let Some(mark) = mark_at(&characters, at) else {
            at += 1;
            continue;
        };
        at = mark.characters.end;
        if is_spoken && ends_clause(&characters, &mark) {
            push_clause(&mut clauses, &text(start..at), Some(mark.symbol));
            (start, is_spoken) = (at, false);
        }
    }
    if is_spoken {
        push_clause(&mut clauses, &text(start..at), None);
    }
    clauses
}

/// Adds a clause, or the parts of one that is too long, cut between two words if possible.
fn push_clause(clauses: &mut Vec<Clause>, text: &str, mark: Option<char>) {
    let parts = split_at_length(text.trim(), MAX_CHARACTERS);
    let last = parts.len() - 1;
    for (index, part) in parts.into_iter().enumerate() {
        if part.chars().any(char::is_alphanumeric) {
            let mark = mark.filter(|_| index == last);
            let ends_sentence = matches!(mark, Some('.' | '?' | '!'));
            clauses.push(Clause { text: part.to_owned(), mark, ends_sentence });
        }
    }
}

/// Cuts a text into parts of at most `max` characters, between two words if possible. There is at
/// least one.
pub(crate) fn split_at_length(text: &str, max: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut remaining = text;
    while let Some((end, _)) = remaining.char_indices().nth(max) {
        let (head, _) = remaining.split_at(end);
        let space_index =
            head.rfind(char::is_whitespace).filter(|at| !head.split_at(*at).0.trim().is_empty());
        let (part, following) = remaining.split_at(space_index.unwrap_or(end));
        parts.push(part.trim());
        remaining = following.trim_start();
    }
    parts.push(remaining);
    parts
}

/// Returns the mark that begins at a position.
fn mark_at(characters: &[char], at: usize) -> Option<PunctuationMark> {
    let character = *characters.get(at)?;
    let (symbol, needs_no_space) = match character {
        // An ellipsis does not end a sentence.
        '.' if run_of_marks(characters, at, &['.']).len() > 2 => {
            return Some(PunctuationMark {
                characters: run_of_marks(characters, at, &['.']),
                symbol: ';',
                needs_no_space: true,
            });
        }
        '.' => ('.', false),
        '。' => ('.', true),
        // Of a sequence such as `?!`, the first mark counts.
        '?' | '!' => {
            let characters = run_of_marks(characters, at, &['?', '!', '？', '！']);
            return Some(PunctuationMark { characters, symbol: character, needs_no_space: false });
        }
        '？' => ('?', true),
        '！' => ('!', true),
        ',' => (',', false),
        '，' | '、' => (',', true),
        ':' => (':', false),
        '：' => (':', true),
        ';' | '–' | '—' => (';', false),
        '；' | '…' => (';', true),
        _ => return None,
    };
    Some(PunctuationMark { characters: at..at + 1, symbol, needs_no_space })
}

/// Returns the range of consecutive marks from a position on.
fn run_of_marks(characters: &[char], at: usize, marks: &[char]) -> Range<usize> {
    let run = characters.iter().skip(at).take_while(|character| marks.contains(character));
    at..at + run.count()
}

/// Returns whether a clause ends after a mark: not in `3.50` or `10:30`, nor after an abbreviation,
/// which a small letter follows.
fn ends_clause(characters: &[char], mark: &PunctuationMark) -> bool {
    let following = characters.get(mark.characters.end..).unwrap_or_default();
    let is_at_boundary =
        following.first().is_none_or(|next| next.is_whitespace() || is_bracket(*next))
            || mark.needs_no_space;
    let mut words = following.iter().skip_while(|character| character.is_whitespace());
    let continues = match words.next() {
        Some('\'') => words.next() == Some(&'s'),
        next => next.is_some_and(|next| next.is_lowercase()),
    };
    is_at_boundary && !(mark.symbol == '.' && continues)
}

/// Returns whether a character is a bracket or a quotation mark.
fn is_bracket(character: char) -> bool {
    matches!(
        character,
        '(' | ')' | '[' | ']' | '{' | '}' | '<' | '>' | '"' | '\'' | '`' | '«' | '»' | '‘'..='‟' | '‹' | '›' | '「'..='』'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the clauses with their marks as one line, with a bar after each sentence.
    fn describe(text: &str) -> String {
        let clause = |clause: &Clause| {
            format!("{}{}", clause.text, clause.mark.map_or("~".to_owned(), String::from))
        };
        let sentence =
            |sentence: &Vec<Clause>| sentence.iter().map(clause).collect::<Vec<_>>().join(" / ");
        sentences(text).iter().map(sentence).collect::<Vec<_>>().join(" | ")
    }

    /// Columns: text · its clauses, each followed by its mark or `~`
    #[test]
    fn clause_boundaries_match_espeak() {
        for (text, expected) in [
            ("Hello world.", "Hello world.."),
            ("one\ntwo", "one two~"),
            ("one\n \ntwo, ", "one~ | two,,"),
            (
                "Good morning, Mr. Smith! How are you?",
                "Good morning,, / Mr.. | Smith!! | How are you??",
            ),
            ("I'm fine; thanks: really.", "I'm fine;; / thanks:: / really.."),
            ("It is 3.50, i.e. not much. At 10:30", "It is 3.50,, / i.e. not much.. | At 10:30~"),
            ("The U.S. is big. Yes.", "The U.S. is big.. | Yes.."),
            ("The U.S. 's flag.", "The U.S. 's flag.."),
            ("J. R. R. Tolkien", "J.. | R.. | R.. | Tolkien~"),
            ("wait, what?! no!! (so)", "wait,, / what?!? | no!!! | (so)~"),
            ("wait... and… go", "wait...; / and…; / go~"),
            ("well — maybe–not - here", "well —; / maybe–not - here~"),
            ("\"Go!\" he said. (\"No.\") Yes", "\"Go!! | \" he said.. | (\"No.. | \") Yes~"),
            ("你好。再见！", "你好。. | 再见！!"),
            ("... ? ! -- \u{1f600}", ""),
            ("", ""),
            (". . a", ". . a~"),
        ] {
            assert_eq!(describe(text), expected, "{text:?}");
        }
    }

    #[test]
    fn long_clause_is_cut_between_words() {
        for (word, count, parts) in
            [("abcd ", 150, 3), ("\u{e9}", 2 * MAX_CHARACTERS, 2), ("- ", 2 * MAX_CHARACTERS, 1)]
        {
            let clauses = sentences(&format!("a{} b.", word.repeat(count))).concat();
            assert_eq!(clauses.len(), parts + usize::from(word != "abcd "), "{clauses:?}");
            assert!(
                clauses.iter().all(|clause| clause.text.chars().count() <= MAX_CHARACTERS),
                "{clauses:?}"
            );
            assert_eq!(clauses.last().unwrap().mark, Some('.'));
        }
    }

    proptest::proptest! {
        #[test]
        fn clauses_keep_every_letter(text in "[a-zA-Z0-9 .,:;?!\n\"'(…—。é]{0,60}") {
            let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
            let clauses = sentences(&text).concat();
            let clause_letters = clauses.iter().map(|clause| letters(&clause.text)).collect::<String>();
            proptest::prop_assert_eq!(clause_letters, letters(&text));
            for clause in clauses {
                proptest::prop_assert!(clause.text.chars().any(char::is_alphanumeric), "{clause:?}");
            }
        }
    }
}
