use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;
use taonet_prompting_core::words;

use crate::lines::{LinesError, parse_lines, read_text};

/// Answer to a question that shares no word with any question of the table.
const UNKNOWN_ANSWER: &str = "I do not know the answer to this question.";

/// A table of questions with their answers: a template for miners, and the miners of the
/// demonstration.
#[derive(Debug, Clone, Default)]
pub struct CannedAnswers {
    entries: Vec<(BTreeSet<String>, String)>,
}

/// A line of the file.
#[derive(Debug, Deserialize)]
#[serde(expecting = "a JSON object")]
struct CannedLine {
    question: String,
    answer: String,
}

impl CannedAnswers {
    /// Reads a file of JSON lines: `{"question": "…", "answer": "…"}`.
    ///
    /// # Errors
    /// [`LinesError`] when the file cannot be read or is empty, or a line is malformed.
    pub fn open(path: &Path) -> Result<Self, LinesError> {
        let answers = Self::parse(path, &read_text(path)?)?;
        if answers.entries.is_empty() {
            Err(LinesError::Empty { path: path.to_owned() })
        } else {
            Ok(answers)
        }
    }

    /// Returns the answers to the questions of [`crate::Dataset::built_in`].
    ///
    /// # Errors
    /// None: the file is part of the program, and a test reads it.
    pub fn built_in() -> Result<Self, LinesError> {
        Self::parse(Path::new("questions.jsonl"), crate::dataset::BUILT_IN)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, LinesError> {
        let lines: Vec<CannedLine> = parse_lines(path, text)?;
        let entry = |line: CannedLine| (words(&line.question).into_iter().collect(), line.answer);
        Ok(Self { entries: lines.into_iter().map(entry).collect() })
    }

    /// Returns the answer to the most similar question, by the share of common words.
    pub fn answer(&self, question: &str) -> &str {
        let question_words: BTreeSet<String> = words(question).into_iter().collect();
        let similarity = |entry_words: &BTreeSet<String>| {
            let common = entry_words.intersection(&question_words).count();
            common as f64
                / (entry_words.len() + question_words.len()).saturating_sub(common).max(1) as f64
        };
        let scored =
            self.entries.iter().map(|(entry_words, answer)| (similarity(entry_words), answer));
        let best = scored
            .filter(|(score, _)| *score > 0.0)
            .max_by(|(one, _), (other, _)| one.total_cmp(other));
        best.map_or(UNKNOWN_ANSWER, |(_, answer)| answer.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_of_the_most_similar_question_is_returned() {
        let file = "{\"question\": \"What is the capital of Texas?\", \"answer\": \"Austin\"}\n\n\
                    {\"question\": \"What is the capital of Italy?\", \"answer\": \"Rome\"}";
        let answers = CannedAnswers::parse(Path::new("answers.jsonl"), file).unwrap();
        for (question, answer) in [
            ("What is the capital of Texas?", "Austin"),
            ("Name the capital of ITALY", "Rome"),
            ("Zwölf?", UNKNOWN_ANSWER),
            ("", UNKNOWN_ANSWER),
        ] {
            assert_eq!(answers.answer(question), answer);
        }
        assert_eq!(CannedAnswers::default().answer("What?"), UNKNOWN_ANSWER);
    }

    #[test]
    fn malformed_line_is_reported() {
        let error = CannedAnswers::parse(Path::new("answers.jsonl"), "\n{\"question\": \"What?\"}")
            .unwrap_err();
        assert_eq!(error.to_string(), "line 2 of answers.jsonl is malformed");
    }

    #[test]
    fn file_without_canned_answers_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("answers.jsonl");
        std::fs::write(&path, "\n\n").unwrap();
        assert!(matches!(CannedAnswers::open(&path), Err(LinesError::Empty { .. })));
    }

    #[test]
    fn built_in_canned_answers_are_loaded() {
        let answers = CannedAnswers::built_in().unwrap();
        assert!(answers.answer("What is the capital of Texas?").contains("Austin"));
    }
}
