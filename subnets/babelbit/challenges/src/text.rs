//! Challenges of the text-prediction contest: dialogues whose words are revealed one by one.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;
use taonet_babelbit_core::engine_api::TextToken;
use taonet_primitives::without_bom;

use super::file::{
    Checker, MAX_NAME_CHARS, MAX_TEXT_CHARS, derived_uid, folder_of, parse_document, read_text,
};
use super::{Challenge, ChallengeError, Problem};

const MAX_DIALOGUES: usize = 1_000;
/// Maximum number of utterances over all dialogues.
const MAX_UTTERANCES: usize = 100_000;

/// A challenge of the text-prediction contest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextChallenge {
    /// ID of the challenge: letters, digits, `.`, `_` and `-`. The same file always has the same
    /// uid.
    pub uid: String,
    /// Title, for display.
    pub title: Option<String>,
    /// Dialogues in order; at least one.
    pub dialogues: Vec<TextDialogue>,
}

/// A dialogue of a text challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextDialogue {
    /// ID of the dialogue, unique in the challenge.
    pub uid: String,
    /// Utterances in order; at least one. An utterance may be empty.
    pub utterances: Vec<String>,
}

/// A token of a challenge, with its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RevealedToken<'a> {
    /// A word, or the end of an utterance or a dialogue.
    pub text: &'a str,
    /// Position of the dialogue in the challenge, from 0.
    pub dialogue: usize,
    /// Position of the utterance in the dialogue, from 0; at the end of the dialogue, the number of
    /// its utterances.
    pub utterance: usize,
    /// Position of the token in the utterance, from 0.
    pub token: usize,
}

/// A challenge file of either contest.
#[derive(Debug, Clone, PartialEq)]
pub enum ChallengeFile {
    /// A challenge of the speech contest.
    Speech(Challenge),
    /// A challenge of the text-prediction contest.
    Text(TextChallenge),
}

#[derive(Deserialize)]
struct DialoguesField {
    dialogues: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawChallenge {
    challenge_uid: Option<String>,
    title: Option<String>,
    dialogues: Vec<RawDialogue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDialogue {
    dialogue_uid: Option<String>,
    utterances: Vec<String>,
}

impl ChallengeFile {
    /// Loads and validates the challenge file at `path`: a text challenge if the file has
    /// `dialogues`, else a speech challenge.
    ///
    /// Blocks: call it on a blocking thread.
    ///
    /// # Errors
    /// [`ChallengeError`] naming the file, the path in it and the defect.
    pub fn load(path: &Path) -> Result<Self, ChallengeError> {
        let (name, text) = (path.display().to_string(), read_text(path)?);
        let is_text = serde_json::from_str::<DialoguesField>(without_bom(&text))
            .is_ok_and(|kind| kind.dialogues.is_some());
        if is_text {
            return TextChallenge::parse(&name, &text).map(Self::Text);
        }
        super::file::parse(&name, &text, Some(folder_of(path))).map(Self::Speech)
    }
}

impl TextChallenge {
    /// Parses and validates the text of a challenge file called `name`.
    ///
    /// # Errors
    /// [`ChallengeError`] naming the file, the path in it and the defect.
    pub fn parse(name: &str, text: &str) -> Result<Self, ChallengeError> {
        let raw: RawChallenge = parse_document(name, text)?;
        let uid = raw.challenge_uid.clone().unwrap_or_else(|| derived_uid(name, text));
        validate(&Checker { file: name, folder: None }, raw, uid)
    }

    /// Returns the tokens in the order in which an engine reveals them: the words of each utterance
    /// and `EOF`, then `EOF EOF` after each dialogue, at the position of the utterance that would
    /// follow. The reference's runner completes an utterance only at `EOF`, also a dialogue's last
    /// one.
    pub fn tokens(&self) -> impl Iterator<Item = RevealedToken<'_>> {
        self.dialogues.iter().enumerate().flat_map(|(dialogue, content)| {
            let spoken_tokens =
                content.utterances.iter().enumerate().flat_map(move |(utterance, text)| {
                    let tokens = text.split_whitespace().chain([TextToken::EOF]).enumerate();
                    tokens.map(move |(token, text)| RevealedToken {
                        text,
                        dialogue,
                        utterance,
                        token,
                    })
                });
            let utterance = content.utterances.len();
            spoken_tokens.chain([RevealedToken {
                text: TextToken::EOF_EOF,
                dialogue,
                utterance,
                token: 0,
            }])
        })
    }
}

fn validate(
    checker: &Checker<'_>,
    raw: RawChallenge,
    uid: String,
) -> Result<TextChallenge, ChallengeError> {
    checker.check_identifier("challenge_uid", &uid, 100, "A-Z a-z 0-9 . _ -")?;
    if let Some(title) = &raw.title {
        checker.check_text("title", title, MAX_NAME_CHARS)?;
    }
    if raw.dialogues.is_empty() {
        return checker.fail("dialogues", Problem::Empty);
    }
    if raw.dialogues.len() > MAX_DIALOGUES {
        return checker.fail("dialogues", Problem::TooMany(MAX_DIALOGUES));
    }
    if raw.dialogues.iter().map(|dialogue| dialogue.utterances.len()).sum::<usize>()
        > MAX_UTTERANCES
    {
        return checker.fail("dialogues", Problem::TooMany(MAX_UTTERANCES));
    }
    let mut indexes = HashMap::new();
    let mut dialogues = Vec::with_capacity(raw.dialogues.len());
    for (index, dialogue) in raw.dialogues.into_iter().enumerate() {
        let json_path = format!("dialogues[{index}]");
        let dialogue_uid = dialogue.dialogue_uid.unwrap_or_else(|| format!("{uid}-{index}"));
        // The uid becomes part of a file name on the validator's side.
        checker.check_identifier(
            &format!("{json_path}.dialogue_uid"),
            &dialogue_uid,
            100,
            "A-Z a-z 0-9 . _ -",
        )?;
        if let Some(earlier) = indexes.insert(dialogue_uid.clone(), index) {
            return checker
                .fail(format!("{json_path}.dialogue_uid"), Problem::DuplicateDialogue(earlier));
        }
        if dialogue.utterances.is_empty() {
            return checker.fail(format!("{json_path}.utterances"), Problem::Empty);
        }
        for (position, text) in dialogue.utterances.iter().enumerate() {
            let json_path = || format!("{json_path}.utterances[{position}]");
            if text.chars().count() > MAX_TEXT_CHARS {
                return checker.fail(json_path(), Problem::TooLong(MAX_TEXT_CHARS));
            }
            if text.split_whitespace().any(|word| word == TextToken::EOF) {
                return checker.fail(json_path(), Problem::EndMarker);
            }
        }
        dialogues.push(TextDialogue { uid: dialogue_uid, utterances: dialogue.utterances });
    }
    Ok(TextChallenge { uid, title: raw.title, dialogues })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        TextChallenge::parse("t.json", text).unwrap_err().to_string()
    }

    #[test]
    fn utterances_and_dialogues_end_with_eof_tokens() {
        let text = r#"{"challenge_uid": "c", "dialogues": [
            {"dialogue_uid": "a", "utterances": ["  How  are\tyou? ", "", "Fine."]}, {"utterances": ["Bye."]}]}"#;
        let challenge = TextChallenge::parse("t.json", text).unwrap();
        assert_eq!(challenge.dialogues[1].uid, "c-1");
        let tokens: Vec<_> = challenge
            .tokens()
            .map(|token| (token.text, token.dialogue, token.utterance, token.token))
            .collect();
        #[rustfmt::skip]
        assert_eq!(tokens, [
            ("How", 0, 0, 0), ("are", 0, 0, 1), ("you?", 0, 0, 2), ("EOF", 0, 0, 3), ("EOF", 0, 1, 0),
            ("Fine.", 0, 2, 0), ("EOF", 0, 2, 1), ("EOF EOF", 0, 3, 0), ("Bye.", 1, 0, 0), ("EOF", 1, 0, 1),
            ("EOF EOF", 1, 1, 0),
        ]);
    }

    #[test]
    fn invalid_text_challenge_is_reported() {
        #[rustfmt::skip]
        let table = [
            (r#"{"dialogues": []}"#, "t.json: dialogues: must have at least one entry"),
            (r#"{"dialogues": [{"utterances": []}]}"#, "t.json: dialogues[0].utterances: must have at least one entry"),
            (r#"{"dialogues": [{"utterances": ["a", "b EOF"]}]}"#,
             "t.json: dialogues[0].utterances[1]: must not contain the word EOF, which ends an utterance"),
            (r#"{"dialogues": [{"dialogue_uid": "d", "utterances": ["a"]}, {"dialogue_uid": "d", "utterances": ["b"]}]}"#,
             "t.json: dialogues[1].dialogue_uid: is also the uid of dialogues[0]"),
            (r#"{"dialogues": [{"dialogue_uid": "../d", "utterances": ["a"]}]}"#,
             "t.json: dialogues[0].dialogue_uid: must have 1 to 100 characters, only A-Z a-z 0-9 . _ -, and no leading dot"),
        ];
        for (text, expected) in table {
            assert_eq!(refusal(text), expected);
        }
        let truncated = refusal(r#"{"dialogues": [{"utterances": ["a""#);
        assert!(truncated.starts_with("t.json: "), "{truncated}");
        let type_error = refusal(r#"{"dialogues": [{"utterances": [1]}]}"#);
        assert!(
            type_error.starts_with("t.json: dialogues[0].utterances[0]: invalid type"),
            "{type_error}"
        );
    }

    #[test]
    fn file_with_dialogues_is_a_text_challenge() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("small talk.json");
        std::fs::write(&path, r#"{"dialogues": [{"utterances": ["Hello."]}]}"#).unwrap();
        let ChallengeFile::Text(challenge) = ChallengeFile::load(&path).unwrap() else {
            panic!("not a text challenge")
        };
        assert!(challenge.uid.starts_with("challenge-small-talk-"), "{}", challenge.uid);
        std::fs::write(&path, r#"{"dialogues": null}"#).unwrap();
        let error = ChallengeFile::load(&path).unwrap_err().to_string();
        assert!(error.contains("unknown field `dialogues`"), "{error}");
    }
}
