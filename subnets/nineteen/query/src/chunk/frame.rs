//! Fast parser of the text chunks of one stream. They differ only in their texts and
//! log-probabilities, so that all other fields need not be parsed for each chunk.

use memchr::memchr2;
use memchr::memmem;
use serde::de::IgnoredAny;

use super::{Chunk, TextLogprobs};

/// Names of fields with the text, up to its first character.
const TEXT_STARTS: [&[u8]; 4] =
    [b"\"content\":\"", b"\"content\": \"", b"\"text\":\"", b"\"text\": \""];
/// Name of the field with log-probabilities.
const LOGPROBS: &[u8] = b"\"logprobs\":";
/// Maximum number of chunks of a stream in which a frame is searched: those of some servers differ
/// in more.
const MAX_SEARCHES: u8 = 8;
/// Maximum size of a frame, in bytes: it is kept as long as the stream lasts.
const MAX_FRAME_BYTES: usize = 4 * 1024;

/// Parser of text chunks, which caches the bytes around the texts of a stream.
#[derive(Debug, Default)]
pub(crate) struct TextChunkParser {
    frame: Option<Frame>,
    searches: u8,
}

impl TextChunkParser {
    /// Parses a chunk like [`Chunk::text_only`].
    pub(crate) fn parse(&mut self, data: &[u8], keeps_logprobs: bool) -> Option<Chunk> {
        if keeps_logprobs {
            return Chunk::text_only(data, keeps_logprobs);
        }
        if let Some(chunk) = self.frame.as_ref().and_then(|frame| frame.parse(data)) {
            return Some(chunk);
        }
        let chunk = Chunk::text_only(data, keeps_logprobs)?;
        if self.searches < MAX_SEARCHES {
            self.searches += 1;
            if let Some(frame) = Frame::from_chunk(data) {
                self.frame = Some(frame);
            }
        }
        Some(chunk)
    }
}

/// JSON of a text chunk without its text and its log-probabilities.
#[derive(Debug)]
struct Frame {
    /// Bytes up to the first character of the text.
    prefix: Vec<u8>,
    /// Bytes from the end of the text to the log-probabilities, or to the end of the chunk.
    middle: Vec<u8>,
    /// Bytes after the log-probabilities; `None` for chunks without that field.
    suffix: Option<Vec<u8>>,
}

impl Frame {
    /// Finds the frame of a text chunk; `None` for an unusual one.
    fn from_chunk(data: &[u8]) -> Option<Self> {
        let start = TEXT_STARTS.iter().find_map(|start| {
            memmem::find(data, start).map(|position| position.saturating_add(start.len()))
        })?;
        let (prefix, text) = data.split_at_checked(start)?;
        let (_, remaining) = text.split_at_checked(unescaped_length(text)?)?;
        let frame = match memmem::find(remaining, LOGPROBS) {
            None => Self { prefix: prefix.to_vec(), middle: remaining.to_vec(), suffix: None },
            Some(name_start) => {
                let (middle, logprobs) =
                    remaining.split_at_checked(name_start.saturating_add(LOGPROBS.len()))?;
                let mut values =
                    serde_json::Deserializer::from_slice(logprobs).into_iter::<IgnoredAny>();
                values.next()?.ok()?;
                let suffix = logprobs.get(values.byte_offset()..)?;
                Self {
                    prefix: prefix.to_vec(),
                    middle: middle.to_vec(),
                    suffix: Some(suffix.to_vec()),
                }
            }
        };
        (frame.size() <= MAX_FRAME_BYTES && frame.is_valid()).then_some(frame)
    }

    fn size(&self) -> usize {
        self.prefix.len() + self.middle.len() + self.suffix.as_ref().map_or(0, Vec::len)
    }

    /// Whether the frame surrounds the text and the log-probabilities of a text chunk, and not
    /// those of another field: then, any text and log-probabilities in it are a text chunk. Two
    /// texts are tried: that of another field would be the same both times.
    fn is_valid(&self) -> bool {
        let logprobs = if self.suffix.is_some() {
            [("null", 0), ("{\"content\":[0,0]}", 2)]
        } else {
            [("", 0); 2]
        };
        let is_parsed = |(text, (logprobs, logprob_count)): (&str, (&str, usize))| {
            Chunk::text_only(&self.render(text, logprobs), false)
                .is_some_and(|chunk| chunk.text() == Some(text) && chunk.entries == logprob_count)
        };
        ["one text", "another"].into_iter().zip(logprobs).all(is_parsed)
    }

    fn render(&self, text: &str, logprobs: &str) -> Vec<u8> {
        let mut data = [self.prefix.as_slice(), text.as_bytes(), &self.middle].concat();
        if let Some(suffix) = &self.suffix {
            data.extend_from_slice(logprobs.as_bytes());
            data.extend_from_slice(suffix);
        }
        data
    }

    /// Parses a chunk with this frame; `None` if it has another one, or an escape in its text.
    fn parse(&self, data: &[u8]) -> Option<Chunk> {
        let remaining = data.strip_prefix(self.prefix.as_slice())?;
        let (text, remaining) = remaining.split_at_checked(unescaped_length(remaining)?)?;
        let remaining = remaining.strip_prefix(self.middle.as_slice())?;
        let logprob_count = match &self.suffix {
            None if remaining.is_empty() => 0,
            None => return None,
            Some(suffix) => {
                let logprobs = remaining.strip_suffix(suffix.as_slice())?;
                let logprobs: Option<TextLogprobs> = serde_json::from_slice(logprobs).ok()?;
                logprobs.map_or(0, |TextLogprobs(logprob_count)| logprob_count)
            }
        };
        Some(Chunk::from_text(std::str::from_utf8(text).ok()?.to_owned(), logprob_count))
    }
}

/// Returns the length of the JSON string whose first character `bytes` begin with; `None` if it has
/// escapes, or characters that must be escaped.
fn unescaped_length(bytes: &[u8]) -> Option<usize> {
    let length = memchr2(b'"', b'\\', bytes)?;
    let (text, remaining) = bytes.split_at_checked(length)?;
    (remaining.first() == Some(&b'"') && text.iter().all(|byte| *byte >= b' ')).then_some(length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// Returns a chunk in vLLM's format.
    fn chunk(text: &str, logprobs: &Value) -> String {
        let delta = json!({ "content": text });
        let choice =
            json!({"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": null});
        json!({"id": "chatcmpl-\"content\":\"", "created": 7, "choices": [choice]}).to_string()
    }

    fn logprobs(tokens: usize) -> Value {
        let entry = json!({"token": "\"a\"", "logprob": -0.5, "top_logprobs": []});
        json!({ "content": vec![entry; tokens] })
    }

    /// Returns a parser that knows the frame of a chunk.
    fn parser(data: &str) -> TextChunkParser {
        let mut parser = TextChunkParser::default();
        assert!(parser.parse(data.as_bytes(), false).is_some(), "{data}");
        parser
    }

    #[test]
    fn chunks_with_the_frame_of_an_earlier_one_are_parsed_by_it() {
        let completion =
            |text: &str| format!("{{\"choices\": [{{\"text\": \"{text}\", \"index\": 0}}]}}");
        for (first, second) in [
            (chunk("one", &logprobs(1)), chunk("two \u{e9}", &logprobs(3))),
            (chunk("one", &logprobs(1)), chunk("", &Value::Null)),
            (chunk("one", &Value::Null), chunk("two", &logprobs(0))),
            (completion("one"), completion("two")),
        ] {
            let parser = parser(&first);
            let expected = Chunk::text_only(second.as_bytes(), false);
            assert!(expected.is_some(), "{second}");
            assert_eq!(parser.frame.unwrap().parse(second.as_bytes()), expected, "{second}");
        }
    }

    #[test]
    fn chunks_with_another_frame_are_parsed_completely() {
        let mut parser = parser(&chunk("one", &logprobs(1)));
        let frame = format!("{:?}", parser.frame);
        for data in [
            chunk("a \"quote\"", &logprobs(1)),
            chunk("a\nb", &logprobs(1)),
            chunk("two", &json!(7)),
            chunk("two", &json!({"content": 7})),
            chunk("two", &logprobs(1))
                .replace("\"finish_reason\":null", "\"finish_reason\":\"stop\""),
            chunk("two", &logprobs(1)).replace("two", "t\u{1}wo"),
            chunk("two", &logprobs(1)) + "x",
            "{}".to_owned(),
            String::new(),
        ] {
            let expected = Chunk::text_only(data.as_bytes(), false);
            assert_eq!(parser.parse(data.as_bytes(), false), expected, "{data}");
        }
        assert_eq!(format!("{:?}", parser.frame), frame);
        // Log-probabilities that are relayed are no text.
        assert_eq!(parser.parse(chunk("two", &logprobs(1)).as_bytes(), true), None);
    }

    /// A miner must not be able to hide what it sends.
    #[test]
    fn text_outside_the_content_field_forms_no_frame() {
        for data in [
            r#"{"x":{"content":"fake"},"choices":[{"delta":{"content":"real"}}]}"#,
            r#"{"choices":[{"delta":{"content":"real"}}],"logprobs":{"content":[1]}}"#,
            r#"{"choices":[{"delta":{"content":"real"}}],"x":{"logprobs":null}}"#,
            // The real text is one that the parser might insert.
            r#"{"x":{"content":"fake"},"choices":[{"delta":{"content":"one text"}}]}"#,
            r#"{"x":{"content":"fake"},"choices":[{"delta":{"content":"another"}}]}"#,
            r#"{"x":{"text":"fake"},"choices":[{"text":"one text"}]}"#,
        ] {
            let parser = parser(data);
            assert!(parser.frame.is_none(), "{data}");
        }
    }

    #[test]
    fn large_frame_is_not_kept() {
        let data = |id: usize| chunk("one", &logprobs(1)).replace("chatcmpl", &"x".repeat(id));
        assert!(parser(&data(MAX_FRAME_BYTES / 2)).frame.is_some());
        assert!(parser(&data(MAX_FRAME_BYTES)).frame.is_none());
    }

    proptest! {
        #[test]
        fn frame_parser_equals_full_parser(
            characters in prop::collection::vec(any::<char>(), 0..6),
            tokens in 0_usize..3,
            position in any::<prop::sample::Index>(),
            byte: u8,
            is_changed: bool,
        ) {
            let mut parser = parser(&chunk("one", &logprobs(1)));
            let text = String::from_iter(characters);
            let mut data = chunk(&text, &logprobs(tokens)).into_bytes();
            if is_changed {
                *position.get_mut(&mut data) = byte;
            }
            let expected = Chunk::text_only(&data, false);
            prop_assert_eq!(parser.parse(&data, false), expected);
        }
    }

    /// Fields of a delta. `T` stands for a text.
    const DELTA_FIELDS: [&str; 4] =
        [r#""content":"T""#, r#""content": "T""#, r#""cont\u0065nt":"T""#, r#""x":"T""#];
    /// Other fields. `L` stands for log-probabilities.
    const OTHER_FIELDS: [&str; 10] = [
        r#""text":"T""#,
        r#""logprobs":L"#,
        r#""logpr\u006fbs":L"#,
        r#""x\"logprobs":L"#,
        r#""x":"\"logprobs\":null""#,
        r#""x":{"content":"T"}"#,
        r#""x":{"logprobs":L}"#,
        r#""x\"content":"T""#,
        r#""x":"\"content\":\"T""#,
        r#""error":null"#,
    ];
    /// Texts as JSON; the first two are those that [`Frame::is_valid`] inserts.
    const TEXTS: [&str; 4] = ["one text", "another", r#"\""#, "\u{e9}"];
    const LISTS: [&str; 4] =
        ["null", r#"{"content":[0,0]}"#, r#"{"token_logprobs":[0],"logprobs":null}"#, "[]"];

    /// A field of both chunks, with the index of its text or log-probabilities in each of them.
    type Field = (&'static str, [usize; 2]);

    fn field(forms: &[&'static str]) -> impl Strategy<Value = Field> + use<> {
        (prop::sample::select(forms.to_vec()), [0..TEXTS.len(), 0..TEXTS.len()])
    }

    /// Returns two chunks with the same fields, but with different texts and log-probabilities.
    fn hostile_chunks(root: &[Field], choice: &[Field], delta: Option<&Field>) -> [String; 2] {
        [0, 1].map(|chunk| {
            let write = |(form, values): &Field| {
                let value = values[chunk];
                form.replace('T', TEXTS[value]).replace('L', LISTS[value])
            };
            let delta = delta.map(|field| format!("\"delta\":{{{}}}", write(field)));
            let choice: Vec<_> = choice.iter().map(write).chain(delta).collect();
            let choices = format!("\"choices\":[{{{}}}]", choice.join(","));
            let root: Vec<_> = root.iter().map(write).chain([choices]).collect();
            format!("{{{}}}", root.join(","))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_048))]

        /// A miner chooses the chunk from which the frame is taken.
        #[test]
        fn frame_of_hostile_chunk_equals_full_parser(
            root in prop::collection::vec(field(&OTHER_FIELDS), 0..3),
            choice in prop::collection::vec(field(&OTHER_FIELDS), 0..3),
            delta in prop::option::of(field(&DELTA_FIELDS)),
        ) {
            let mut parser = TextChunkParser::default();
            for data in hostile_chunks(&root, &choice, delta.as_ref()) {
                let expected = Chunk::text_only(data.as_bytes(), false);
                prop_assert_eq!(parser.parse(data.as_bytes(), false), expected, "{}", data);
            }
        }
    }
}
