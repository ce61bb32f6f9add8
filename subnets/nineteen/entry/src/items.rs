//! Items of a chat completion: texts, reasoning and tool calls, in the order in which they begin.
//! The answers of the other protocols are lists of such items.

use std::mem::discriminant;

use serde_json::Value;
use taonet_nineteen_query::Chunk;

use crate::bill::random_id;

/// Maximum number of tool calls in an answer; later ones are dropped.
pub(crate) const MAX_CALLS: usize = 128;
/// Names of the field of a chunk with reasoning; inference servers differ.
const REASONING_FIELDS: [&str; 2] = ["reasoning_content", "reasoning"];

/// An item of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    Text(String),
    Reasoning(String),
    /// A tool call; `chunk_index` is its index in the chunks.
    Call {
        chunk_index: u64,
        id: String,
        name: String,
        arguments: String,
    },
}

impl Item {
    /// Returns the part of the item that chunks extend.
    pub(crate) fn content(&self) -> &str {
        match self {
            Self::Text(text) | Self::Reasoning(text) => text,
            Self::Call { arguments, .. } => arguments,
        }
    }

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
    /// Index of the item.
    pub(crate) index: usize,
    /// Whether the item begins with this addition.
    pub(crate) is_new: bool,
    /// Added content: text, reasoning or a fragment of a call's arguments. Can be empty.
    pub(crate) content: String,
}

/// A tool call whose name has not arrived.
#[derive(Debug, Default)]
struct UnnamedToolCall {
    chunk_index: u64,
    id: String,
    arguments: String,
}

/// Items of an answer in progress.
#[derive(Debug)]
pub(crate) struct Items {
    started: Vec<Item>,
    /// Tool calls that begin when their names arrive.
    unnamed: Vec<UnnamedToolCall>,
    /// Number of tool calls, also of those without a name.
    call_count: usize,
    keeps_reasoning: bool,
    /// Prefix of the IDs of tool calls to which the server gives none.
    id_prefix: &'static str,
}

impl Items {
    /// Creates an empty list, which ignores reasoning unless `keeps_reasoning` is set. IDs of tool
    /// calls that the server does not name begin with `id_prefix`.
    pub(crate) const fn new(keeps_reasoning: bool, id_prefix: &'static str) -> Self {
        Self { started: Vec::new(), unnamed: Vec::new(), call_count: 0, keeps_reasoning, id_prefix }
    }

    pub(crate) fn get(&self, index: usize) -> Option<&Item> {
        self.started.get(index)
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Item> {
        self.started.iter()
    }

    /// Adds a chunk of the answer; returns the resulting additions.
    pub(crate) fn add(&mut self, chunk: &Chunk) -> Vec<Addition> {
        let mut additions = Vec::new();
        if !chunk.is_content {
            return additions;
        }
        if self.keeps_reasoning {
            let delta = chunk.choice().and_then(|choice| choice.get("delta"));
            let reasoning = REASONING_FIELDS
                .iter()
                .find_map(|name| delta?.get(name)?.as_str().filter(|text| !text.is_empty()));
            additions.extend(
                reasoning.map(|text| self.extend_last(Item::Reasoning(String::new()), text)),
            );
        }
        let text = chunk.text().filter(|text| !text.is_empty());
        additions.extend(text.map(|text| self.extend_last(Item::Text(String::new()), text)));
        for call in chunk.tool_calls().unwrap_or_default() {
            additions.extend(self.add_call(call));
        }
        additions
    }

    /// Appends a text to the last item if that is of the same kind as `empty`; otherwise, begins a
    /// new item with it.
    fn extend_last(&mut self, empty: Item, text: &str) -> Addition {
        if self.started.last().is_none_or(|last| discriminant(last) != discriminant(&empty)) {
            return self.push(empty, text);
        }
        self.extend(self.started.len().saturating_sub(1), text)
    }

    /// Adds a fragment of a tool call; `None` while the call has no name, or if there are too many
    /// calls.
    fn add_call(&mut self, fragment: &Value) -> Option<Addition> {
        let text = |path: &str| fragment.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let fragment_index = fragment.get("index").and_then(Value::as_u64).unwrap_or(0);
        let (id, name, arguments) =
            (text("/id"), text("/function/name"), text("/function/arguments"));
        let is_same_call = |item: &Item| match item {
            Item::Call { chunk_index, .. } => *chunk_index == fragment_index,
            Item::Text(_) | Item::Reasoning(_) => false,
        };
        if let Some(index) = self.started.iter().rposition(is_same_call) {
            return Some(self.extend(index, arguments));
        }
        let mut call = match self.unnamed.iter().position(|call| call.chunk_index == fragment_index)
        {
            Some(index) => self.unnamed.swap_remove(index),
            None if self.call_count >= MAX_CALLS => return None,
            None => {
                self.call_count += 1;
                UnnamedToolCall { chunk_index: fragment_index, ..UnnamedToolCall::default() }
            }
        };
        if call.id.is_empty() {
            id.clone_into(&mut call.id);
        }
        call.arguments.push_str(arguments);
        if name.is_empty() {
            self.unnamed.push(call);
            return None;
        }
        let UnnamedToolCall { chunk_index, mut id, arguments } = call;
        if id.is_empty() {
            id = format!("{}{}", self.id_prefix, random_id());
        }
        Some(self.push(
            Item::Call { chunk_index, id, name: name.to_owned(), arguments: String::new() },
            &arguments,
        ))
    }

    fn push(&mut self, empty: Item, content: &str) -> Addition {
        self.started.push(empty);
        Addition { is_new: true, ..self.extend(self.started.len().saturating_sub(1), content) }
    }

    fn extend(&mut self, index: usize, content: &str) -> Addition {
        if let Some(item) = self.started.get_mut(index) {
            item.content_mut().push_str(content);
        }
        Addition { index, is_new: false, content: content.to_owned() }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use serde_json::json;

    use super::*;

    /// Returns fragments of two tool calls, and the ID, name and arguments of each.
    pub(crate) fn fragments() -> ([Value; 6], [[&'static str; 3]; 2]) {
        let fragments = [
            json!({"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x"}}),
            json!({"index": 7, "type": "function", "function": {"name": "", "arguments": ""}}),
            json!({"index": 0, "function": {"arguments": "\":1}"}}),
            json!({"index": 7, "id": "b", "function": {"arguments": "{"}}),
            json!({"index": 7, "id": "b", "function": {"name": "g"}}),
            json!({"index": 7, "id": "b", "function": {"name": "g", "arguments": "}"}}),
        ];
        (fragments, [["a", "f", "{\"x\":1}"], ["b", "g", "{}"]])
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use taonet_nineteen_query::ChunkBody;

    use super::testing::fragments;
    use super::*;

    fn chunk(delta: &Value) -> Chunk {
        let body = ChunkBody::Object(json!({"choices": [{"delta": delta}]}));
        Chunk { body, characters: 0, entries: 0, is_content: true }
    }

    fn call(index: u64, id: &str, arguments: &str) -> Value {
        json!({"tool_calls": [{"index": index, "id": id, "function": {"name": id, "arguments": arguments}}]})
    }

    fn item(chunk_index: u64, [id, name, arguments]: [&str; 3]) -> Item {
        Item::Call {
            chunk_index,
            id: id.to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
        }
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
        let texts = |text: &str| Item::Text(text.to_owned());
        let without_reasoning =
            [texts("One two"), item(0, ["f", "f", "{}"]), item(1, ["g", "g", ""]), texts("three")];
        for keeps_reasoning in [false, true] {
            let mut items = Items::new(keeps_reasoning, "call_");
            let additions: Vec<Addition> =
                deltas.iter().flat_map(|delta| items.add(&chunk(delta))).collect();
            let reasoning = keeps_reasoning.then(|| Item::Reasoning("hm so".to_owned()));
            let expected: Vec<Item> =
                reasoning.into_iter().chain(without_reasoning.clone()).collect();
            assert_eq!(items.iter().cloned().collect::<Vec<_>>(), expected);
            // The additions put together are the items.
            for (index, item) in items.iter().enumerate() {
                let item_additions = || additions.iter().filter(|addition| addition.index == index);
                assert_eq!(
                    item_additions().map(|addition| addition.content.as_str()).collect::<String>(),
                    item.content()
                );
                assert_eq!(item_additions().filter(|addition| addition.is_new).count(), 1);
            }
        }
    }

    #[test]
    fn tool_call_begins_with_name_and_buffered_fragments() {
        let mut items = Items::new(false, "call_");
        let (fragments, [first, second]) = fragments();
        let add = |fragment: &Value| items.add(&chunk(&json!({ "tool_calls": [fragment] })));
        let additions: Vec<Vec<Addition>> = fragments.iter().map(add).collect();
        assert_eq!(items.iter().cloned().collect::<Vec<_>>(), [item(0, first), item(7, second)]);
        let addition = Addition { index: 1, is_new: true, content: "{".to_owned() };
        assert_eq!(
            (additions[1].as_slice(), additions[3].as_slice(), &additions[4][..]),
            (&[][..], &[][..], &[addition][..])
        );
    }

    #[test]
    fn call_without_an_id_gets_one() {
        let mut items = Items::new(false, "toolu_");
        for index in 0..2 {
            items.add(&chunk(
                &json!({"tool_calls": [{"index": index, "id": "", "function": {"name": "f"}}]}),
            ));
        }
        let ids: Vec<&str> = items
            .iter()
            .map(|item| match item {
                Item::Call { id, .. } => id.as_str(),
                _ => panic!("{item:?}"),
            })
            .collect();
        assert!(
            ids.iter().all(|id| id.len() == 38 && id.starts_with("toolu_")) && ids[0] != ids[1],
            "{ids:?}"
        );
    }

    #[test]
    fn calls_beyond_the_limit_are_dropped() {
        let mut items = Items::new(false, "call_");
        for index in 0..200 {
            items.add(&chunk(&call(index, "f", "{}")));
        }
        items.add(&chunk(&json!({"content": "text"})));
        assert_eq!(items.iter().count(), MAX_CALLS + 1);
    }
}
