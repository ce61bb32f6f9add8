//! Output items of a response: a message and function calls.

use serde_json::{Value, json};
use taonet_nineteen_query::Chunk;

use crate::items::{Addition, Item, Items};

/// Type and fields of a server-sent event.
pub(super) type Event = (&'static str, Value);

/// Output items of a response in progress.
pub(super) struct Output {
    /// ID of the response, from which the IDs of the items are derived.
    id: String,
    /// Texts and calls, without reasoning.
    items: Items,
    ended: bool,
}

impl Output {
    pub(super) fn new(id: String) -> Self {
        Self { id, items: Items::new(false, "call_"), ended: false }
    }

    /// Returns the items as JSON documents.
    pub(super) fn items(&self) -> Vec<Value> {
        self.items.iter().enumerate().map(|(index, item)| self.document(index, item)).collect()
    }

    fn item_id(&self, index: usize, item: &Item) -> String {
        let kind = if matches!(item, Item::Call { .. }) { "fc" } else { "msg" };
        format!("{kind}_{}_{index}", self.id)
    }

    fn document(&self, index: usize, item: &Item) -> Value {
        let (id, status) =
            (self.item_id(index, item), if self.ended { "completed" } else { "in_progress" });
        match item {
            Item::Text(text) | Item::Reasoning(text) => {
                let content =
                    if text.is_empty() && !self.ended { json!([]) } else { json!([part(text)]) };
                json!({"id": id, "type": "message", "status": status, "role": "assistant", "content": content})
            }
            Item::Call { id: call_id, name, arguments, .. } => json!({
                "id": id, "type": "function_call", "status": status, "call_id": call_id, "name": name,
                "arguments": arguments,
            }),
        }
    }

    /// Adds a chunk to the items; returns the resulting events.
    pub(super) fn add(&mut self, chunk: &Chunk) -> Vec<Event> {
        let mut events = Vec::new();
        for addition in self.items.add(chunk) {
            self.report(&addition, &mut events);
        }
        events
    }

    /// Appends the events of an addition.
    fn report(&self, addition: &Addition, events: &mut Vec<Event>) {
        let Addition { index, is_new, content } = addition;
        let Some(item) = self.items.get(*index) else { return };
        let id = self.item_id(*index, item);
        let is_call = matches!(item, Item::Call { .. });
        if *is_new {
            let begun = self.document(*index, &item.without_content());
            events.push((
                "response.output_item.added",
                json!({"output_index": index, "item": begun}),
            ));
            if !is_call {
                let added = json!({"item_id": id, "output_index": index, "content_index": 0, "part": part("")});
                events.push(("response.content_part.added", added));
            }
        }
        if content.is_empty() {
            return;
        }
        events.push(if is_call {
            let delta = json!({"item_id": id, "output_index": index, "delta": content});
            ("response.function_call_arguments.delta", delta)
        } else {
            let delta =
                json!({"item_id": id, "output_index": index, "content_index": 0, "delta": content, "logprobs": []});
            ("response.output_text.delta", delta)
        });
    }

    /// Completes all items; returns the resulting events.
    pub(super) fn finish(&mut self) -> Vec<Event> {
        self.ended = true;
        let mut events = Vec::new();
        for (index, item) in self.items.iter().enumerate() {
            let id = self.item_id(index, item);
            match item {
                Item::Text(text) | Item::Reasoning(text) => {
                    let head = json!({"item_id": id, "output_index": index, "content_index": 0});
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
                    let done = json!({"item_id": id, "output_index": index, "arguments": arguments, "name": name});
                    events.push(("response.function_call_arguments.done", done));
                }
            }
            events.push((
                "response.output_item.done",
                json!({"output_index": index, "item": self.document(index, item)}),
            ));
        }
        events
    }
}

fn part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}
