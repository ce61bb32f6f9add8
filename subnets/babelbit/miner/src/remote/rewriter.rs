use std::ops::ControlFlow;
use std::time::Instant;

use serde_json::{Value, json};
use taonet_http::ModelServer;

use super::{CallError, RemoteModel, Stage};
use crate::rewrite::normalized;

/// Path of the chat completions below the server's base URL.
const CHAT_ROUTE: &str = "chat/completions";
/// Number of earlier phrases in a request.
const MAX_EARLIER_PHRASES: usize = 8;
/// Maximum average length in bytes of the words of a completion.
const MAX_MEAN_WORD_BYTES: usize = 32;
/// Marks a phrase that continues the previous one, or that the next one continues.
const CONTINUATION_MARK: &str = "...";
/// Message in place of a phrase, after the end of speech.
const END_MESSAGE: &str = "(end of speech)";
/// Response of the model for a phrase that needs no speech.
const NO_SPEECH: &str = "-";

/// Instructions for the language model.
const INSTRUCTIONS: &str = "You are the rewriting stage of a simultaneous interpreter. Each message is a phrase of \
    rambling English speech as a recogniser heard it. Answer with the same meaning in plain, short English for a \
    listener: leave out fillers, stutters, repetitions and expletives, replace figures of speech by their meaning, and \
    keep every fact. Answer with the words to be spoken and nothing else: no quotation marks, notes or alternatives. A \
    phrase that ends with ... goes on in the next message: you can defer its last words to your next answer. Answer \
    with - if nothing is to be said yet. After (end of speech), answer with the deferred words, or with - if there are \
    none.";

/// A phrase of the source and the words spoken for it.
#[derive(Debug, Clone)]
pub(crate) struct Turn {
    /// The message to the language model.
    pub(crate) source_phrase: String,
    /// The spoken words, separated by spaces.
    pub(crate) reply: String,
}

/// Rewriter on an inference server: the phrases of an utterance form one conversation with a
/// language model.
#[derive(Debug)]
pub struct ChatRewriter {
    stage: Stage,
}

impl ChatRewriter {
    /// Creates a rewriter that uses a model of an inference server.
    pub const fn new(remote: RemoteModel) -> Self {
        Self { stage: Stage::new("llm", remote) }
    }

    /// Rewrites `source_phrase` after the earlier `turns`, until `deadline` at the latest;
    /// returns `None` if the call failed before the first complete word, if the stage is paused,
    /// and after the deadline.
    pub(crate) fn rewrite(
        &self,
        turns: &[Turn],
        source_phrase: &str,
        deadline: Option<Instant>,
    ) -> Option<Vec<String>> {
        self.stage.call(deadline, async |server: &ModelServer| {
            self.request_reply(server, turns, source_phrase).await
        })
    }

    async fn request_reply(
        &self,
        server: &ModelServer,
        turns: &[Turn],
        source_phrase: &str,
    ) -> (Option<Vec<String>>, Result<(), CallError>) {
        let message = |role: &str, content: &str| json!({"role": role, "content": content});
        let mut messages = vec![message("system", INSTRUCTIONS)];
        for turn in turns.iter().skip(turns.len().saturating_sub(MAX_EARLIER_PHRASES)) {
            messages.push(message("user", &turn.source_phrase));
            messages.push(message(
                "assistant",
                if turn.reply.is_empty() { NO_SPEECH } else { turn.reply.as_str() },
            ));
        }
        messages.push(message("user", source_phrase));
        let words = source_phrase.split_whitespace().count();
        let body = json!({
            "model": self.stage.remote.model, "messages": messages, "temperature": 0, "max_tokens": 4 * words + 32,
            "stream": true,
        });
        let mut completion =
            ChatCompletion { content: None, max_words: 2 * words + 8, error: None };
        let result = server.events(CHAT_ROUTE, &body, |event| completion.add(&event)).await;
        match (completion, result) {
            (ChatCompletion { error: Some(error), .. }, _) => {
                (None, Err(CallError::Unusable(error)))
            }
            (ChatCompletion { content: Some(content), .. }, Ok(())) => {
                (Some(spoken_words(&content)), Ok(()))
            }
            (ChatCompletion { content: None, .. }, Ok(())) => {
                (None, Err(CallError::Unusable("the stream has no choices")))
            }
            (ChatCompletion { content, .. }, Err(error)) => {
                let mut content = content.unwrap_or_default();
                // The last word may be incomplete.
                content.truncate(content.rfind(char::is_whitespace).unwrap_or_default());
                let words = spoken_words(&content);
                ((!words.is_empty()).then_some(words), Err(error.into()))
            }
        }
    }
}

/// A completion of the language model, as received so far.
struct ChatCompletion {
    content: Option<String>,
    max_words: usize,
    /// Why the completion cannot be used.
    error: Option<&'static str>,
}

impl ChatCompletion {
    /// Adds an event of the stream, or the complete response of a server that does not stream.
    fn add(&mut self, event: &Value) -> ControlFlow<()> {
        let Some(choice) = event.pointer("/choices/0") else {
            // Some servers begin or end the stream with an event, such as usage statistics, whose
            // list of choices is empty.
            let is_empty = event.get("choices").is_some_and(Value::is_array);
            return if is_empty {
                ControlFlow::Continue(())
            } else {
                self.fail("an event of the stream has no choices")
            };
        };
        let text = match choice.get("delta") {
            Some(delta) => delta.get("content").and_then(Value::as_str).unwrap_or_default(),
            None => match choice.pointer("/message/content").and_then(Value::as_str) {
                Some(content) => content,
                None => return self.fail("the response has no field choices[0].message.content"),
            },
        };
        let content = self.content.get_or_insert_default();
        content.push_str(text);
        // A long completion is a comment, or the model repeats itself.
        if content.len() > MAX_MEAN_WORD_BYTES * self.max_words
            || spoken_words(content).len() > self.max_words
        {
            return self.fail("the answer is much longer than the phrase");
        }
        let is_last = choice.get("finish_reason").is_some_and(Value::is_string);
        if is_last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    const fn fail(&mut self, error: &'static str) -> ControlFlow<()> {
        self.error = Some(error);
        ControlFlow::Break(())
    }
}

/// Returns the words of a completion in lowercase, without punctuation.
pub(crate) fn spoken_words(response: &str) -> Vec<String> {
    let words = response
        .split(|letter: char| letter.is_whitespace() || matches!(letter, '-' | '–' | '—' | '/'));
    words.map(normalized).filter(|word| !word.is_empty()).collect()
}

/// Returns the message for a phrase; without words, the message at the end of speech. `is_start`
/// means that the phrase does not continue the previous one, `is_last` that it is the last one.
pub(crate) fn phrase_message(source_phrase: &[String], is_start: bool, is_last: bool) -> String {
    if source_phrase.is_empty() {
        return END_MESSAGE.to_owned();
    }
    let text = source_phrase.join(" ");
    match (is_start, is_last) {
        (true, true) => text,
        (true, false) => format!("{text} {CONTINUATION_MARK}"),
        (false, true) => format!("{CONTINUATION_MARK} {text}"),
        (false, false) => format!("{CONTINUATION_MARK} {text} {CONTINUATION_MARK}"),
    }
}

/// Returns the arguments of [`phrase_message`] that give this message.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn parse_message(message: &str) -> (Vec<String>, bool, bool) {
    if message == END_MESSAGE {
        return (Vec::new(), true, true);
    }
    let (text, is_start) =
        message.strip_prefix(CONTINUATION_MARK).map_or((message, true), |text| (text, false));
    let (text, is_last) =
        text.strip_suffix(CONTINUATION_MARK).map_or((text, true), |text| (text, false));
    (text.split_whitespace().map(str::to_owned).collect(), is_start, is_last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    /// Columns: words, whether they begin, whether they are last, message.
    #[test]
    fn messages_show_where_a_phrase_continues() {
        let table = [
            ("call it a day", true, true, "call it a day"),
            ("call it", true, false, "call it ..."),
            ("a day", false, true, "... a day"),
            ("it a", false, false, "... it a ..."),
            ("", true, true, "(end of speech)"),
        ];
        for (source_phrase, begins, last, expected) in table {
            assert_eq!(phrase_message(&words(source_phrase), begins, last), expected);
            assert_eq!(parse_message(expected), (words(source_phrase), begins, last));
        }
    }

    #[test]
    fn model_response_is_split_into_words() {
        let table = [
            ("\"We should stop for today.\"", "we should stop for today"),
            ("Twenty-one — don’t ask!", "twenty one don't ask"),
            ("-", ""),
            (" \n", ""),
        ];
        for (answer, expected) in table {
            assert_eq!(spoken_words(answer), words(expected), "{answer}");
        }
    }
}
