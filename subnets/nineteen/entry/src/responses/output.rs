//! Output items of a response: messages, reasoning and function calls.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use taonet_nineteen_query::Chunk;

use crate::items::{Addition, Item, Items};

/// Type and fields of a server-sent event.
pub(super) type Event = (&'static str, Value);

/// Output items of a response in progress.
pub(super) struct Output {
    /// ID of the response, from which the IDs of the items are derived.
    id: String,
    items: Items,
    wants_logprobs: bool,
    /// Log-probabilities of each text's tokens, by the index of its item.
    logprobs: BTreeMap<usize, Vec<Value>>,
    /// Log-probabilities of tokens without text, which are the first bytes of the next text.
    pending_logprobs: Vec<Value>,
    /// Index of the text or reasoning that has begun and not ended. Calls end with the answer,
    /// because servers may mix their fragments.
    open_item: Option<usize>,
    is_finished: bool,
}

impl Output {
    pub(super) fn new(id: String, wants_logprobs: bool) -> Self {
        Self {
            id,
            items: Items::new(true, "call_"),
            wants_logprobs,
            logprobs: BTreeMap::new(),
            pending_logprobs: Vec::new(),
            open_item: None,
            is_finished: false,
        }
    }

    /// Returns the items as JSON documents.
    pub(super) fn items(&self) -> Vec<Value> {
        self.items.iter().enumerate().map(|(index, item)| self.document(index, item)).collect()
    }

    fn item_id(&self, index: usize, item: &Item) -> String {
        let kind = match item {
            Item::Text(_) => "msg",
            Item::Reasoning(_) => "rs",
            Item::Call { .. } => "fc",
        };
        format!("{kind}_{}_{index}", self.id)
    }

    fn document(&self, index: usize, item: &Item) -> Value {
        let is_complete = self.is_finished || !is_call(item) && self.open_item != Some(index);
        let status = if is_complete { "completed" } else { "in_progress" };
        let id = self.item_id(index, item);
        let content = || {
            let has_begun = is_complete || !item.content().is_empty();
            has_begun.then(|| self.content_part(index, item)).into_iter().collect::<Vec<_>>()
        };
        match item {
            Item::Text(_) => {
                json!({"id": id, "type": "message", "status": status, "role": "assistant", "content": content()})
            }
            // The model's own reasoning, of which miners write no summary.
            Item::Reasoning(_) => {
                json!({"id": id, "type": "reasoning", "status": status, "summary": [], "content": content()})
            }
            Item::Call { id: call_id, name, arguments, .. } => json!({
                "id": id, "type": "function_call", "status": status, "call_id": call_id, "name": name,
                "arguments": arguments,
            }),
        }
    }

    /// Returns the part of a message or of reasoning with its content.
    fn content_part(&self, index: usize, item: &Item) -> Value {
        let text = item.content();
        if matches!(item, Item::Reasoning(_)) {
            return json!({"type": "reasoning_text", "text": text});
        }
        json!({"type": "output_text", "text": text, "annotations": [], "logprobs": self.logprobs_of(index)})
    }

    fn logprobs_of(&self, index: usize) -> &[Value] {
        self.logprobs.get(&index).map(Vec::as_slice).unwrap_or_default()
    }

    /// Adds a chunk to the items; returns the resulting events.
    pub(super) fn add(&mut self, chunk: &Chunk) -> Vec<Event> {
        let mut events = Vec::new();
        if self.wants_logprobs {
            let logprobs =
                chunk.choice().and_then(|choice| choice.pointer("/logprobs/content")?.as_array());
            self.pending_logprobs.extend(logprobs.into_iter().flatten().cloned());
        }
        let additions = self.items.add(chunk);
        for addition in &additions {
            self.push_delta(addition, &mut events);
        }
        if !additions.is_empty() {
            // The remaining log-probabilities belong to reasoning or calls.
            self.pending_logprobs.clear();
        }
        events
    }

    /// Appends the events of an addition.
    fn push_delta(&mut self, addition: &Addition, events: &mut Vec<Event>) {
        let Addition { index, is_new, content } = addition;
        if *is_new {
            self.push_item_start(*index, events);
        }
        let Some(item) = self.items.get(*index).filter(|_| !content.is_empty()) else { return };
        let mut delta =
            json!({"item_id": self.item_id(*index, item), "output_index": index, "delta": content});
        let (kind, extra_fields) = match item {
            Item::Text(_) => {
                let logprobs = std::mem::take(&mut self.pending_logprobs);
                self.logprobs.entry(*index).or_default().extend(logprobs.iter().cloned());
                (
                    "response.output_text.delta",
                    vec![("content_index", json!(0)), ("logprobs", logprobs.into())],
                )
            }
            Item::Reasoning(_) => {
                ("response.reasoning_text.delta", vec![("content_index", json!(0))])
            }
            Item::Call { .. } => ("response.function_call_arguments.delta", Vec::new()),
        };
        if let Some(delta) = delta.as_object_mut() {
            delta.extend(extra_fields.into_iter().map(|(name, value)| (name.to_owned(), value)));
        }
        events.push((kind, delta));
    }

    /// Appends the events at the beginning of an item. The text or reasoning before it has ended.
    fn push_item_start(&mut self, index: usize, events: &mut Vec<Event>) {
        if let Some(open_item) = self.open_item.take() {
            self.push_item_end(open_item, events);
        }
        let Some(item) = self.items.get(index) else { return };
        let (item, has_parts) = (item.without_content(), !is_call(item));
        self.open_item = has_parts.then_some(index);
        events.push((
            "response.output_item.added",
            json!({"output_index": index, "item": self.document(index, &item)}),
        ));
        if has_parts {
            let (id, part) = (self.item_id(index, &item), self.content_part(index, &item));
            let data =
                json!({"item_id": id, "output_index": index, "content_index": 0, "part": part});
            events.push(("response.content_part.added", data));
        }
    }

    /// Appends the events at the end of an item.
    fn push_item_end(&self, index: usize, events: &mut Vec<Event>) {
        let Some(item) = self.items.get(index) else { return };
        let (id, text) = (self.item_id(index, item), item.content());
        match item {
            Item::Text(_) => {
                let logprobs = self.logprobs_of(index);
                let data = json!({
                    "item_id": id, "output_index": index, "content_index": 0, "text": text, "logprobs": logprobs,
                });
                events.push(("response.output_text.done", data));
            }
            Item::Reasoning(_) => {
                let data =
                    json!({"item_id": id, "output_index": index, "content_index": 0, "text": text});
                events.push(("response.reasoning_text.done", data));
            }
            Item::Call { name, .. } => {
                let data =
                    json!({"item_id": id, "output_index": index, "arguments": text, "name": name});
                events.push(("response.function_call_arguments.done", data));
            }
        }
        if !is_call(item) {
            let part = self.content_part(index, item);
            let data =
                json!({"item_id": id, "output_index": index, "content_index": 0, "part": part});
            events.push(("response.content_part.done", data));
        }
        let item = self.document(index, item);
        events.push(("response.output_item.done", json!({"output_index": index, "item": item})));
    }

    /// Completes all items; returns the resulting events.
    pub(super) fn finish(&mut self) -> Vec<Event> {
        self.is_finished = true;
        let open_item = self.open_item.take();
        let mut events = Vec::new();
        for (index, item) in self.items.iter().enumerate() {
            if is_call(item) || open_item == Some(index) {
                self.push_item_end(index, &mut events);
            }
        }
        events
    }
}

const fn is_call(item: &Item) -> bool {
    matches!(item, Item::Call { .. })
}

#[cfg(test)]
mod tests {
    use taonet_nineteen_query::ChunkBody;

    use super::*;

    fn chunk(delta: &Value, logprobs: &Value) -> Chunk {
        let body = ChunkBody::Object(
            json!({"choices": [{"delta": delta, "logprobs": {"content": logprobs}}]}),
        );
        let is_content = delta.as_object().unwrap().values().any(|value| value != "");
        Chunk { body, characters: 0, entries: 0, is_content }
    }

    fn kinds(events: &[Event]) -> Vec<&'static str> {
        events.iter().map(|(kind, _)| kind.trim_start_matches("response.")).collect()
    }

    #[test]
    fn text_and_reasoning_end_when_the_next_item_begins() {
        let mut output = Output::new("resp-1".to_owned(), false);
        let call = json!({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}]});
        let mut events = Vec::new();
        for delta in [
            json!({"reasoning_content": "hm"}),
            json!({"content": "one"}),
            call,
            json!({"content": "two"}),
        ] {
            events.extend(output.add(&chunk(&delta, &json!([]))));
        }
        assert_eq!(
            kinds(&events),
            [
                "output_item.added",
                "content_part.added",
                "reasoning_text.delta",
                "reasoning_text.done",
                "content_part.done",
                "output_item.done",
                "output_item.added",
                "content_part.added",
                "output_text.delta",
                "output_text.done",
                "content_part.done",
                "output_item.done",
                "output_item.added",
                "function_call_arguments.delta",
                "output_item.added",
                "content_part.added",
                "output_text.delta",
            ]
        );
        let reasoning = json!({
            "id": "rs_resp-1_0", "type": "reasoning", "status": "completed", "summary": [],
            "content": [{"type": "reasoning_text", "text": "hm"}],
        });
        let data = json!({
            "id": "rs_resp-1_0", "type": "reasoning", "status": "in_progress", "summary": [], "content": [],
        });
        assert_eq!((&events[0].1["item"], &events[5].1["item"]), (&data, &reasoning));
        let statuses = |output: &Output| -> Vec<Value> {
            output.items().into_iter().map(|item| item["status"].clone()).collect()
        };
        assert_eq!(statuses(&output), ["completed", "completed", "in_progress", "in_progress"]);
        let last = output.finish();
        assert_eq!(
            kinds(&last),
            [
                "function_call_arguments.done",
                "output_item.done",
                "output_text.done",
                "content_part.done",
                "output_item.done",
            ]
        );
        assert_eq!(statuses(&output), ["completed"; 4]);
        assert_eq!(output.items()[0], reasoning);
    }

    /// A character of several tokens has a text only with its last token.
    #[test]
    fn log_probabilities_belong_to_their_text() {
        let mut output = Output::new("resp-1".to_owned(), true);
        let token =
            |token: &str| json!({"token": token, "logprob": -0.5, "bytes": [], "top_logprobs": []});
        let mut logprobs = Vec::new();
        for (delta, tokens) in [
            (json!({"reasoning_content": "hm"}), json!([token("hm")])),
            (json!({"content": "one"}), json!([token("one")])),
            (json!({"content": ""}), json!([token("a")])),
            (json!({"content": "\u{1f98a}"}), json!([token("b"), token("c")])),
        ] {
            let events = output.add(&chunk(&delta, &tokens));
            let deltas = events.iter().filter(|(kind, _)| *kind == "response.output_text.delta");
            logprobs.extend(deltas.map(|(_, event)| event["logprobs"].clone()));
        }
        assert_eq!(logprobs, [json!([token("one")]), json!([token("a"), token("b"), token("c")])]);
        let all = json!([token("one"), token("a"), token("b"), token("c")]);
        let last = output.finish();
        assert_eq!((&last[0].1["logprobs"], &last[1].1["part"]["logprobs"]), (&all, &all));
        assert_eq!(output.items()[1]["content"][0]["logprobs"], all);
    }
}
