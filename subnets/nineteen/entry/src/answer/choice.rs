//! A choice of an answer that is returned as one JSON document.

use serde_json::{Map, Value, json};
use taonet_nineteen_query::Chunk;

use super::functions::function_call;
use super::{ChoiceEnd, ChoiceFormat, ResponseHead};
use crate::items::MAX_CALLS;

/// Content of a choice, put together from chunks.
#[derive(Debug, Default)]
pub(super) struct Choice {
    text: String,
    /// Tool calls with their indices.
    calls: Vec<(u64, Value)>,
    logprobs: Vec<Value>,
    /// Other texts of a chat, such as `reasoning_content`.
    extra_fields: Map<String, Value>,
    /// Number of a completion's tokens with log-probabilities, if these are relayed.
    token_count: u32,
    /// Sum of the log-probabilities of these tokens.
    logprob_sum: f64,
}

impl Choice {
    /// Adds a chunk.
    pub(super) fn add(&mut self, chunk: &Chunk, wants_logprobs: bool) {
        self.text.push_str(chunk.text().unwrap_or_default());
        for logprob in token_logprobs(chunk) {
            // The logarithm of a probability is at most 0.
            self.token_count = self.token_count.saturating_add(1);
            self.logprob_sum += logprob.min(0.0);
        }
        merge_texts(&mut self.extra_fields, chunk);
        for call in chunk.tool_calls().unwrap_or_default() {
            merge_call(&mut self.calls, call);
        }
        if wants_logprobs {
            self.logprobs.extend(chunk.choice().and_then(|choice| choice.get("logprobs")).cloned());
        }
    }

    /// Returns whether tokens have log-probabilities.
    pub(super) const fn has_logprobs(&self) -> bool {
        self.token_count > 0
    }

    pub(super) fn has_text(&self) -> bool {
        !self.text.is_empty()
    }

    /// Returns the mean log-probability of the tokens; the lowest value without any.
    pub(super) fn mean_logprob(&self) -> f64 {
        if self.token_count == 0 {
            return f64::NEG_INFINITY;
        }
        self.logprob_sum / f64::from(self.token_count)
    }

    /// Returns the choice as a JSON document.
    pub(super) fn document(self, head: &ResponseHead, index: usize, end: &ChoiceEnd) -> Value {
        let Self { mut text, calls, logprobs, extra_fields, .. } = self;
        let finish_reason = head.finish_reason(end);
        if !head.choice_format.is_chat() {
            text.insert_str(0, head.echoed_prompt(index));
            let names = ["tokens", "token_logprobs", "top_logprobs", "text_offset"];
            let lists = names.iter().map(|name| ((*name).to_owned(), join_lists(&logprobs, name)));
            let logprobs = head.wants_logprobs.then(|| Value::Object(lists.collect()));
            return json!({"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish_reason});
        }
        let content = if text.is_empty() && !calls.is_empty() { Value::Null } else { text.into() };
        let mut message = json!({"role": "assistant", "content": content, "refusal": null});
        if let Some(message) = message.as_object_mut() {
            message.extend(extra_fields);
            if head.choice_format == ChoiceFormat::FunctionChat {
                message
                    .extend(function_call(&calls).map(|call| ("function_call".to_owned(), call)));
            } else if !calls.is_empty() {
                let calls: Vec<Value> = calls.into_iter().map(|(_, call)| call).collect();
                message.insert("tool_calls".to_owned(), calls.into());
            }
        }
        let logprobs = head
            .wants_logprobs
            .then(|| json!({"content": join_lists(&logprobs, "content"), "refusal": null}));
        json!({"index": index, "message": message, "logprobs": logprobs, "finish_reason": finish_reason})
    }
}

/// Returns the log-probabilities of a completion's tokens.
fn token_logprobs(chunk: &Chunk) -> impl Iterator<Item = f64> {
    let logprobs =
        chunk.choice().and_then(|choice| choice.pointer("/logprobs/token_logprobs")?.as_array());
    logprobs.into_iter().flatten().filter_map(Value::as_f64)
}

/// Concatenates the lists called `name` in the chunks' log-probabilities.
fn join_lists(logprobs: &[Value], name: &str) -> Value {
    let lists = logprobs.iter().filter_map(|logprobs| logprobs.get(name)?.as_array());
    lists.flatten().cloned().collect()
}

/// Appends the other texts of a chat, such as `reasoning_content`, to those of the same name.
fn merge_texts(texts: &mut Map<String, Value>, chunk: &Chunk) {
    let delta = chunk.choice().and_then(|choice| choice.get("delta")?.as_object());
    for (name, fragment) in delta.into_iter().flatten() {
        let Some(fragment) =
            fragment.as_str().filter(|_| !matches!(name.as_str(), "role" | "content"))
        else {
            continue;
        };
        match texts.get_mut(name) {
            Some(Value::String(text)) => text.push_str(fragment),
            _ => _ = texts.insert(name.clone(), fragment.into()),
        }
    }
}

/// Merges a fragment into the tool call with its index. Arguments arrive in fragments, other fields
/// complete.
fn merge_call(calls: &mut Vec<(u64, Value)>, fragment: &Value) {
    let index = fragment.get("index").and_then(Value::as_u64).unwrap_or(0);
    let mut fragment = fragment.clone();
    if let Some(fragment) = fragment.as_object_mut() {
        fragment.shift_remove("index");
    }
    if let Some((_, call)) = calls.iter_mut().find(|(call_index, _)| *call_index == index) {
        merge_fields(call, fragment);
    } else if calls.len() < MAX_CALLS {
        calls.push((index, fragment));
    }
}

/// Adds the fields of a fragment that a tool call lacks, and appends the arguments.
fn merge_fields(call: &mut Value, fragment: Value) {
    let (Some(call), Value::Object(fragment)) = (call.as_object_mut(), fragment) else { return };
    for (name, value) in fragment {
        match call.get_mut(&name) {
            Some(Value::String(arguments)) if name == "arguments" => {
                arguments.push_str(value.as_str().unwrap_or_default());
            }
            Some(function) if name == "function" => merge_fields(function, value),
            Some(field) if field.is_null() || field.as_str() == Some("") => *field = value,
            Some(_) => {}
            None => _ = call.insert(name, value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::items::testing::fragments;

    #[test]
    fn tool_call_fragments_are_joined() {
        let mut calls = Vec::new();
        let (fragments, expected) = fragments();
        for fragment in &fragments {
            merge_call(&mut calls, fragment);
        }
        let expected = expected.map(|[id, name, arguments]| {
            json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
        });
        let [first, second] = expected;
        assert_eq!(calls, [(0, first), (7, second)]);
        for index in 0..200 {
            merge_call(&mut calls, &json!({ "index": index }));
        }
        assert_eq!(calls.len(), MAX_CALLS);
    }
}
