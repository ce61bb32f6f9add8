//! Datasets: the source of a validator's questions.

mod rows;

use std::io;
use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;
use serde::Deserialize;
use taonet_prompting_core::Draws;

use crate::lines::{LinesError, parse_lines, read_text};
use rows::read_rows;

/// The questions of the demonstration, with their answers.
pub(crate) const BUILT_IN: &str = include_str!("questions.jsonl");
/// Minimum length of a passage in characters: shorter paragraphs, such as headings, give no
/// question.
const MIN_PASSAGE_CHARS: usize = 80;
/// Maximum length of a passage or question in characters. The rest is cut off.
const MAX_ITEM_CHARS: usize = 2_000;

/// Why a dataset cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// The path is neither a file nor a directory that can be listed.
    #[error("cannot read {path}")]
    Read {
        /// Path of the dataset.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// A file of the dataset cannot be used.
    #[error(transparent)]
    File(#[from] LinesError),
    /// A Parquet file is malformed, or its compression is unsupported.
    #[error(
        "cannot read {path} as a Parquet file; hint: it must be uncompressed or compressed with Snappy, otherwise \
         convert it to JSON lines"
    )]
    Parquet {
        /// Path of the file.
        path: PathBuf,
        /// Why the file cannot be read.
        source: ParquetError,
    },
    /// The values of a column of a Parquet file are not text.
    #[error("the column `{column}` of {path} has values other than text")]
    NotText {
        /// Path of the file.
        path: PathBuf,
        /// Name of the column.
        column: String,
    },
    /// The dataset has no questions and no passages.
    #[error(
        "{path} has no questions; hint: use .jsonl or .parquet files with `question` or `text`, or .txt and .md files \
         with paragraphs of at least {} characters",
        MIN_PASSAGE_CHARS
    )]
    Empty {
        /// Path of the dataset.
        path: PathBuf,
    },
}

/// An item of a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A question to answer.
    Question(String),
    /// A text about which a miner is asked for a question first.
    Passage(String),
}

/// Questions and passages in memory. Sampling with [`Draws`] of the same seed gives the same items
/// for the same files.
#[derive(Debug, Clone)]
pub struct Dataset {
    items: Vec<Item>,
}

/// A line of a JSONL file; other fields are ignored.
#[derive(Debug, Deserialize)]
#[serde(expecting = "a JSON object")]
struct DatasetLine {
    #[serde(alias = "prompt")]
    question: Option<String>,
    text: Option<String>,
}

impl Dataset {
    /// Reads a file, or all files of a directory with the suffixes `.jsonl`, `.parquet`, `.txt` and
    /// `.md`, in the order of their names. Lines of a JSONL file and rows of a Parquet file are
    /// questions (`question` or `prompt`) or passages (`text`); the passages of a text are its
    /// paragraphs.
    ///
    /// # Errors
    /// [`DatasetError`], which names the file, and the line or the column.
    pub fn open(path: &Path) -> Result<Self, DatasetError> {
        let mut items = Vec::new();
        for file in
            files(path).map_err(|source| DatasetError::Read { path: path.to_owned(), source })?
        {
            if has_suffix(&file, &["parquet"]) {
                items.extend(read_rows(&file)?);
                continue;
            }
            let text = read_text(&file)?;
            if has_suffix(&file, &["jsonl"]) {
                items.extend(
                    parse_lines::<DatasetLine>(&file, &text)?
                        .into_iter()
                        .filter_map(DatasetLine::item),
                );
            } else {
                items.extend(passages(&text));
            }
        }
        if items.is_empty() {
            return Err(DatasetError::Empty { path: path.to_owned() });
        }
        Ok(Self { items })
    }

    /// Returns the questions of the demonstration.
    ///
    /// # Errors
    /// None: the file is part of the program, and a test reads it.
    pub fn built_in() -> Result<Self, DatasetError> {
        let lines: Vec<DatasetLine> = parse_lines(Path::new("questions.jsonl"), BUILT_IN)?;
        Ok(Self { items: lines.into_iter().filter_map(DatasetLine::item).collect() })
    }

    /// Returns the number of items.
    pub fn count(&self) -> usize {
        self.items.len()
    }

    /// Draws an item at random.
    pub fn sample(&self, draws: &mut Draws) -> Item {
        let item = self.items.get(draws.below(self.items.len()));
        item.cloned().unwrap_or_else(|| Item::Question(String::new()))
    }
}

impl DatasetLine {
    fn item(self) -> Option<Item> {
        let question = self.question.map(|text| (text, Item::Question as fn(String) -> Item));
        let (text, kind) = question
            .or_else(|| self.text.map(|text| (text, Item::Passage as fn(String) -> Item)))?;
        let text = truncate_item(&text);
        (!text.is_empty()).then(|| kind(text))
    }
}

/// Returns the files of a dataset in the order of their names.
fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path)?.map(|entry| Ok(entry?.path()));
    let mut files = entries.collect::<io::Result<Vec<_>>>()?;
    files.retain(|file| file.is_file() && has_suffix(file, &["jsonl", "parquet", "txt", "md"]));
    files.sort_unstable();
    Ok(files)
}

fn has_suffix(path: &Path, suffixes: &[&str]) -> bool {
    path.extension()
        .is_some_and(|suffix| suffixes.iter().any(|other| suffix.eq_ignore_ascii_case(other)))
}

/// Returns the paragraphs of a text, which blank lines separate, each on one line.
fn passages(text: &str) -> Vec<Item> {
    let mut paragraphs = vec![String::new()];
    for line in text.lines() {
        let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
        match paragraphs.last_mut() {
            Some(last) if !words.is_empty() => {
                if !last.is_empty() {
                    last.push(' ');
                }
                last.push_str(&words);
            }
            _ => paragraphs.push(String::new()),
        }
    }
    paragraphs.retain(|paragraph| paragraph.chars().count() >= MIN_PASSAGE_CHARS);
    paragraphs.iter().map(|paragraph| Item::Passage(truncate_item(paragraph))).collect()
}

fn truncate_item(text: &str) -> String {
    text.trim().chars().take(MAX_ITEM_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use taonet_primitives::with_causes;

    use super::*;

    fn directory(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            std::fs::write(directory.path().join(name), bytes).unwrap();
        }
        directory
    }

    #[test]
    fn files_of_a_directory_are_read_in_the_order_of_their_names() {
        let long = "word ".repeat(20);
        let text = format!("# Heading\n\n{long}\n  {long}\n\n \nshort\n");
        let files = directory(&[
            (
                "b.jsonl",
                b"{\"prompt\": \" Why? \"}\n\n{\"text\": \"A passage.\", \"id\": 7}\n{\"id\": 8}\n{\"text\": \" \"}",
            ),
            ("a.jsonl", "\u{feff}{\"question\": \"Who?\"}\n".as_bytes()),
            ("c.txt", text.as_bytes()),
            ("d.bin", b"\xff\xfe"),
        ]);
        let dataset = Dataset::open(files.path()).unwrap();
        let expected = [
            Item::Question("Who?".to_owned()),
            Item::Question("Why?".to_owned()),
            Item::Passage("A passage.".to_owned()),
            Item::Passage([long.trim(), long.trim()].join(" ")),
        ];
        assert_eq!(dataset.items, expected);
        assert_eq!(Dataset::open(&files.path().join("a.jsonl")).unwrap().items, expected[..1]);
    }

    /// Columns: name · bytes · error
    #[test]
    fn unusable_dataset_files_are_reported() {
        for (name, bytes, message) in [
            ("a.jsonl", &b"{}"[..], "has no questions"),
            ("a.jsonl", b"", "has no questions"),
            ("a.txt", b"too short", "has no questions"),
            ("a.jsonl", b"{\"question\": \"Who?\"}\n{", "line 2 of"),
            ("a.jsonl", b"{\"question\": 7}", "line 1 of"),
            ("a.txt", b"text \xff", "is not UTF-8 text, at byte 5"),
        ] {
            let files = directory(&[(name, bytes)]);
            for path in [files.path().to_owned(), files.path().join(name)] {
                let error = Dataset::open(&path).unwrap_err().to_string();
                assert!(error.contains(message), "{name}: {error}, expected {message}");
            }
        }
        assert!(matches!(Dataset::open(Path::new("/no/such/file")), Err(DatasetError::File(_))));
        let files = directory(&[("a.jsonl", b"\"Who?\"")]);
        let error = Dataset::open(files.path()).unwrap_err();
        assert!(with_causes(&error).contains("expected a JSON object"), "{}", with_causes(&error));
        let files = directory(&[]);
        let huge = files.path().join("huge.txt");
        std::fs::File::create(&huge).unwrap().set_len(300 << 20).unwrap();
        let error = Dataset::open(&huge).unwrap_err().to_string();
        assert!(error.ends_with("is larger than 256 MiB; hint: split it"), "{error}");
    }

    #[test]
    fn seed_determines_the_drawn_dataset_samples() {
        let dataset = Dataset::built_in().unwrap();
        let sample = |seed| {
            let mut draws = Draws::new(seed);
            (0..20).map(|_| dataset.sample(&mut draws)).collect::<Vec<_>>()
        };
        assert_eq!(sample(1), sample(1));
        assert_ne!(sample(1), sample(2));
        let questions: BTreeSet<_> =
            (0..20).flat_map(sample).map(|item| format!("{item:?}")).collect();
        assert_eq!(questions.len(), dataset.count(), "each question is drawn at times");
    }
}
