//! Fragments of tool calls, in the form that OpenAI's clients expect.

use serde_json::Value;

use crate::{Chunk, ChunkBody};

/// Converts the arguments of a tool call's fragment to a string: some servers send null in place of
/// an empty one, or an object in place of its JSON.
pub(crate) fn stringify_arguments(call: &mut Value) {
    if let Some(arguments) = call.pointer_mut("/function/arguments") {
        match arguments {
            Value::String(_) => {}
            Value::Null => *arguments = "".into(),
            _ => *arguments = arguments.to_string().into(),
        }
    }
}

/// Assigns indices to tool calls whose fragments have none.
#[derive(Debug, Default)]
pub(crate) struct CallIndexer {
    /// Index of the next tool call.
    next: u64,
    /// Index and ID of the latest tool call.
    latest: Option<(u64, Option<String>)>,
}

impl CallIndexer {
    /// Fills in the missing indices of a chunk's fragments. A fragment with a new ID, or with a
    /// name, begins a call.
    pub(crate) fn fill_indices(&mut self, chunk: &mut Chunk) {
        let ChunkBody::Object(value) = &mut chunk.body else { return };
        let choices = value.get_mut("choices").and_then(Value::as_array_mut).into_iter().flatten();
        let calls = choices
            .filter_map(|choice| choice.pointer_mut("/delta/tool_calls")?.as_array_mut())
            .flatten();
        for call in calls.filter_map(Value::as_object_mut) {
            let id = call
                .get("id")
                .and_then(Value::as_str)
                .filter(|id| !id.is_empty())
                .map(str::to_owned);
            let index = call.get("index").and_then(Value::as_u64).unwrap_or_else(|| {
                let name = call.get("function").and_then(|function| function.get("name")?.as_str());
                let has_name = name.is_some_and(|name| !name.is_empty());
                match &self.latest {
                    Some((index, latest))
                        if id.as_ref().map_or(!has_name, |id| latest.as_ref() == Some(id)) =>
                    {
                        *index
                    }
                    _ => self.next,
                }
            });
            call.insert("index".to_owned(), index.into());
            self.next = self.next.max(index.saturating_add(1));
            let id = id.or_else(|| self.latest.take().filter(|(latest, _)| *latest == index)?.1);
            self.latest = Some((index, id));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn chunk(calls: &Value) -> Chunk {
        Chunk::from_stream(json!({"choices": [{"delta": {"tool_calls": calls}}]})).unwrap()
    }

    #[test]
    fn tool_call_arguments_are_serialised_to_strings() {
        for (arguments, expected) in [
            (json!(null), ""),
            (json!("{}"), "{}"),
            (json!({"a": [1]}), r#"{"a":[1]}"#),
            (json!(7), "7"),
        ] {
            let chunk =
                chunk(&json!([{"index": 0, "function": {"name": "f", "arguments": arguments}}]));
            assert_eq!(chunk.tool_calls().unwrap()[0]["function"]["arguments"], expected);
            assert_eq!(chunk.texts().collect::<Vec<_>>(), ["f", expected]);
        }
    }

    #[test]
    fn fragments_without_index_are_numbered() {
        let begin = |id: &str| json!({"id": id, "function": {"name": "f", "arguments": ""}});
        let more = json!({"function": {"arguments": "a"}});
        for (chunks, expected) in [
            (
                vec![json!([begin("a")]), json!([more]), json!([begin("b")]), json!([more])],
                vec![0, 0, 1, 1],
            ),
            (vec![json!([begin("a"), begin("b")])], vec![0, 1]),
            // The ID is repeated with each fragment.
            (vec![json!([begin("a")]), json!([begin("a")]), json!([begin("b")])], vec![0, 0, 1]),
            // Names without IDs.
            (
                vec![
                    json!([{"function": {"name": "f"}}]),
                    json!([more]),
                    json!([{"function": {"name": "g"}}]),
                ],
                vec![0, 0, 1],
            ),
            (
                vec![json!([{"index": 3, "id": "a"}]), json!([more]), json!([begin("b")])],
                vec![3, 3, 4],
            ),
            (vec![json!([more])], vec![0]),
        ] {
            let (mut indexer, mut indices) = (CallIndexer::default(), Vec::new());
            for calls in &chunks {
                let mut chunk = chunk(calls);
                indexer.fill_indices(&mut chunk);
                indices.extend(
                    chunk.tool_calls().unwrap().iter().map(|call| call["index"].as_u64().unwrap()),
                );
            }
            assert_eq!(indices, expected, "{chunks:?}");
        }
    }
}
