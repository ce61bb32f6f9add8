//! Output items of a response: a message and function calls.

use serde_json::{Value, json};
use taonet_nineteen_query::Chunk;

/// Maximum number of output items; further function calls are dropped.
const MOST_CALLS: usize = 128;

/// Type and fields of a server-sent event.
pub(super) type Event = (&'static str, Value);

enum Item {
    Message { text: String },
    Call { index: u64, call_id: String, name: String, arguments: String },
}

/// Output items of a response in progress.
pub(super) struct Output {
    /// ID of the response, from which the IDs of the items are derived.
    id: String,
    items: Vec<Item>,
    ended: bool,
}

impl Output {
    pub(super) const fn new(id: String) -> Self {
        Self { id, items: Vec::new(), ended: false }
    }

    /// Returns the items as JSON documents.
    pub(super) fn items(&self) -> Vec<Value> {
        (0..self.items.len()).map(|place| self.item(place)).collect()
    }

    fn item_id(&self, place: usize) -> String {
        let kind = if matches!(self.items.get(place), Some(Item::Message { .. })) { "msg" } else { "fc" };
        format!("{kind}_{}_{place}", self.id)
    }

    fn item(&self, place: usize) -> Value {
        let (id, status) = (self.item_id(place), if self.ended { "completed" } else { "in_progress" });
        match self.items.get(place) {
            None => Value::Null,
            Some(Item::Message { text }) => {
                let content = if text.is_empty() && !self.ended { json!([]) } else { json!([part(text)]) };
                json!({"id": id, "type": "message", "status": status, "role": "assistant", "content": content})
            }
            Some(Item::Call { call_id, name, arguments, .. }) => json!({
                "id": id, "type": "function_call", "status": status, "call_id": call_id, "name": name,
                "arguments": arguments,
            }),
        }
    }

    /// Adds a chunk to the items; returns the resulting events.
    pub(super) fn take(&mut self, chunk: &Chunk) -> Vec<Event> {
        let mut events = Vec::new();
        if !chunk.is_content {
            return events;
        }
        if let Some(text) = chunk.text().filter(|text| !text.is_empty()) {
            self.take_text(text, &mut events);
        }
        for call in chunk.tool_calls().unwrap_or_default() {
            self.take_call(call, &mut events);
        }
        events
    }

    fn take_text(&mut self, piece: &str, events: &mut Vec<Event>) {
        let known = self.items.iter().position(|item| matches!(item, Item::Message { .. }));
        let place = known.unwrap_or_else(|| {
            self.items.push(Item::Message { text: String::new() });
            self.items.len() - 1
        });
        let id = self.item_id(place);
        if known.is_none() {
            events.push(("response.output_item.added", json!({"output_index": place, "item": self.item(place)})));
            let added = json!({"item_id": id, "output_index": place, "content_index": 0, "part": part("")});
            events.push(("response.content_part.added", added));
        }
        if let Some(Item::Message { text }) = self.items.get_mut(place) {
            text.push_str(piece);
        }
        let delta = json!({"item_id": id, "output_index": place, "content_index": 0, "delta": piece, "logprobs": []});
        events.push(("response.output_text.delta", delta));
    }

    fn take_call(&mut self, piece: &Value, events: &mut Vec<Event>) {
        let text = |path: &str| piece.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let number = piece.get("index").and_then(Value::as_u64).unwrap_or(0);
        let known = self.items.iter().position(|item| matches!(item, Item::Call { index, .. } if *index == number));
        if known.is_none() && self.items.len() >= MOST_CALLS {
            return;
        }
        let place = known.unwrap_or_else(|| {
            let (call_id, name) = (text("/id").to_owned(), text("/function/name").to_owned());
            self.items.push(Item::Call { index: number, call_id, name, arguments: String::new() });
            self.items.len() - 1
        });
        if known.is_none() {
            events.push(("response.output_item.added", json!({"output_index": place, "item": self.item(place)})));
        }
        let more = text("/function/arguments");
        if more.is_empty() {
            return;
        }
        if let Some(Item::Call { arguments, .. }) = self.items.get_mut(place) {
            arguments.push_str(more);
        }
        let delta = json!({"item_id": self.item_id(place), "output_index": place, "delta": more});
        events.push(("response.function_call_arguments.delta", delta));
    }

    /// Completes all items; returns the resulting events.
    pub(super) fn finish(&mut self) -> Vec<Event> {
        self.ended = true;
        let mut events = Vec::new();
        for (place, item) in self.items.iter().enumerate() {
            let id = self.item_id(place);
            match item {
                Item::Message { text } => {
                    let head = json!({"item_id": id, "output_index": place, "content_index": 0});
                    let with = |name: &str, value: Value| {
                        let mut event = head.clone();
                        if let Some(event) = event.as_object_mut() {
                            event.insert(name.to_owned(), value);
                        }
                        event
                    };
                    let mut done = with("text", text.as_str().into());
                    if let Some(done) = done.as_object_mut() {
                        done.insert("logprobs".to_owned(), json!([]));
                    }
                    events.push(("response.output_text.done", done));
                    events.push(("response.content_part.done", with("part", part(text))));
                }
                Item::Call { arguments, name, .. } => {
                    let done = json!({"item_id": id, "output_index": place, "arguments": arguments, "name": name});
                    events.push(("response.function_call_arguments.done", done));
                }
            }
            events.push(("response.output_item.done", json!({"output_index": place, "item": self.item(place)})));
        }
        events
    }
}

fn part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}
