//! Items of a chat completion: texts, reasoning and tool calls, in the order in which they begin. Protocols other than
//! chat completions list them.

use std::mem::discriminant;

use serde_json::Value;
use taonet_nineteen_query::Chunk;

/// Maximum number of tool calls in an answer; further ones are dropped.
pub(crate) const MOST_CALLS: usize = 128;
/// Names of the field of a chunk with reasoning; inference servers differ.
const REASONING: [&str; 2] = ["reasoning_content", "reasoning"];

/// An item of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    Text(String),
    Reasoning(String),
    /// A tool call; `index` is its number in the chunks.
    Call {
        index: u64,
        id: String,
        name: String,
        arguments: String,
    },
}

impl Item {
    /// Returns the part of the item that chunks extend.
    const fn content_mut(&mut self) -> &mut String {
        match self {
            Self::Text(text) | Self::Reasoning(text) => text,
            Self::Call { arguments, .. } => arguments,
        }
    }

    /// Returns the item as it begins: without the content that chunks add.
    pub(crate) fn without_content(&self) -> Self {
        let mut item = self.clone();
        item.content_mut().clear();
        item
    }
}

/// Content that a chunk adds to an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Addition {
    /// Position of the item.
    pub(crate) place: usize,
    /// Whether the item begins with this addition.
    pub(crate) is_new: bool,
    /// Added content: text, reasoning or a fragment of a call's arguments. Can be empty.
    pub(crate) content: String,
}

/// Items of an answer in progress.
#[derive(Debug, Default)]
pub(crate) struct Items {
    items: Vec<Item>,
    calls: usize,
    keeps_reasoning: bool,
}

impl Items {
    /// Creates an empty list, which ignores reasoning unless `keeps_reasoning` is set.
    pub(crate) fn new(keeps_reasoning: bool) -> Self {
        Self { keeps_reasoning, ..Self::default() }
    }

    pub(crate) fn get(&self, place: usize) -> Option<&Item> {
        self.items.get(place)
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Item> {
        self.items.iter()
    }

    /// Adds a chunk of the answer; returns the resulting additions.
    pub(crate) fn take(&mut self, chunk: &Chunk) -> Vec<Addition> {
        let mut additions = Vec::new();
        if !chunk.is_content {
            return additions;
        }
        if self.keeps_reasoning {
            let delta = chunk.choice().and_then(|choice| choice.get("delta"));
            let reasoning =
                REASONING.iter().find_map(|name| delta?.get(name)?.as_str().filter(|text| !text.is_empty()));
            additions.extend(reasoning.map(|text| self.extend_last(Item::Reasoning(String::new()), text)));
        }
        let text = chunk.text().filter(|text| !text.is_empty());
        additions.extend(text.map(|text| self.extend_last(Item::Text(String::new()), text)));
        for call in chunk.tool_calls().unwrap_or_default() {
            additions.extend(self.take_call(call));
        }
        additions
    }

    /// Appends a text to the last item if that is of the same kind as `empty`; otherwise, begins a new item with it.
    fn extend_last(&mut self, empty: Item, text: &str) -> Addition {
        let is_new = self.items.last().is_none_or(|last| discriminant(last) != discriminant(&empty));
        if is_new {
            self.items.push(empty);
        }
        self.add(self.items.len().saturating_sub(1), is_new, text)
    }

    /// Adds a fragment of a tool call; `None` if there are too many calls.
    fn take_call(&mut self, piece: &Value) -> Option<Addition> {
        let text = |path: &str| piece.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let number = piece.get("index").and_then(Value::as_u64).unwrap_or(0);
        let known = self.items.iter().rposition(|item| matches!(item, Item::Call { index, .. } if *index == number));
        if known.is_none() {
            if self.calls >= MOST_CALLS {
                return None;
            }
            let (id, name) = (text("/id").to_owned(), text("/function/name").to_owned());
            self.items.push(Item::Call { index: number, id, name, arguments: String::new() });
            self.calls += 1;
        }
        let place = known.unwrap_or(self.items.len().saturating_sub(1));
        Some(self.add(place, known.is_none(), text("/function/arguments")))
    }

    fn add(&mut self, place: usize, is_new: bool, content: &str) -> Addition {
        if let Some(item) = self.items.get_mut(place) {
            item.content_mut().push_str(content);
        }
        Addition { place, is_new, content: content.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use taonet_nineteen_query::ChunkBody;

    use super::*;

    fn chunk(delta: &Value) -> Chunk {
        let body = ChunkBody::Object(json!({"choices": [{"delta": delta}]}));
        Chunk { body, characters: 0, entries: 0, is_content: true }
    }

    fn call(index: u64, id: &str, arguments: &str) -> Value {
        json!({"tool_calls": [{"index": index, "id": id, "function": {"name": id, "arguments": arguments}}]})
    }

    #[test]
    fn items_are_in_the_order_of_their_first_chunks() {
        let deltas = [
            json!({"reasoning_content": "hm"}),
            json!({"reasoning": " so", "content": "One"}),
            json!({"content": " two"}),
            call(0, "f", "{"),
            call(1, "g", ""),
            call(0, "", "}"),
            json!({"content": "three"}),
        ];
        let of_call = |index: u64, name: &str, arguments: &str| Item::Call {
            index,
            id: name.to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
        };
        let texts = |text: &str| Item::Text(text.to_owned());
        let without_reasoning = [texts("One two"), of_call(0, "f", "{}"), of_call(1, "g", ""), texts("three")];
        for keeps_reasoning in [false, true] {
            let mut items = Items::new(keeps_reasoning);
            let additions: Vec<Addition> = deltas.iter().flat_map(|delta| items.take(&chunk(delta))).collect();
            let reasoning = keeps_reasoning.then(|| Item::Reasoning("hm so".to_owned()));
            let expected: Vec<Item> = reasoning.into_iter().chain(without_reasoning.clone()).collect();
            assert_eq!(items.iter().cloned().collect::<Vec<_>>(), expected);
            // The additions put together are the items.
            let content = |place: usize| -> String {
                additions.iter().filter(|it| it.place == place).map(|it| it.content.as_str()).collect()
            };
            for (place, item) in items.iter().enumerate() {
                assert_eq!(content(place), *item.clone().content_mut());
                assert_eq!(additions.iter().filter(|it| it.place == place && it.is_new).count(), 1);
            }
        }
    }

    #[test]
    fn calls_beyond_the_limit_are_dropped() {
        let mut items = Items::new(false);
        for index in 0..200 {
            items.take(&chunk(&call(index, "f", "{}")));
        }
        items.take(&chunk(&json!({"content": "text"})));
        assert_eq!(items.iter().count(), MOST_CALLS + 1);
    }
}
