use std::fmt::Write as _;
use std::io;

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};

/// The file of a [`MultipartForm`].
#[derive(Debug, Clone, Copy)]
pub struct FormFile<'a> {
    /// Name of the field.
    pub field: &'a str,
    /// Name of the file.
    pub name: &'a str,
    /// Content type of the file.
    pub content_type: &'a str,
}

/// A form of type `multipart/form-data`: text fields, followed by one file.
///
/// Names, values and content types are sent as they are: names and content types must contain
/// neither quotes nor line breaks.
#[derive(Debug)]
pub struct MultipartForm {
    boundary: String,
    /// The body before the content of the file.
    head: String,
    /// The body after the content of the file.
    tail: String,
}

impl MultipartForm {
    /// Builds a form with a random boundary from the names and values of its fields, and its file.
    pub fn new<'a>(
        fields: impl IntoIterator<Item = (&'a str, &'a str)>,
        file: FormFile<'_>,
    ) -> Self {
        let boundary = format!("taonet-{:032x}", rand::random::<u128>());
        let mut head = String::new();
        for (name, value) in fields {
            let _ = write!(
                head,
                "--{boundary}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            );
        }
        let FormFile { field, name, content_type } = file;
        let _ = write!(
            head,
            "--{boundary}\r\ncontent-disposition: form-data; name=\"{field}\"; filename=\"{name}\"\r\n\
             content-type: {content_type}\r\n\r\n"
        );
        Self { tail: format!("\r\n--{boundary}--\r\n"), boundary, head }
    }

    /// Returns the content type of the body.
    pub fn content_type(&self) -> String {
        format!("multipart/form-data; boundary={}", self.boundary)
    }

    /// Returns the length of the body in bytes if the file has `size` bytes.
    pub fn length(&self, size: u64) -> u64 {
        self.head.len() as u64 + size + self.tail.len() as u64
    }

    /// Returns the body with this content of the file.
    pub fn body(self, content: &[u8]) -> Vec<u8> {
        [self.head.as_bytes(), content, self.tail.as_bytes()].concat()
    }

    /// Returns the body with streamed content of the file.
    pub fn stream(
        self,
        content: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> reqwest::Body {
        let (head, tail) = (Bytes::from(self.head), Bytes::from(self.tail));
        reqwest::Body::wrap_stream(
            stream::iter([Ok(head)]).chain(content).chain(stream::iter([Ok(tail)])),
        )
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    fn form() -> MultipartForm {
        let file = FormFile { field: "file", name: "a.wav", content_type: "audio/wav" };
        MultipartForm::new([("model", "whisper-1"), ("words[]", "a\r\nb")], file)
    }

    #[test]
    fn file_is_the_last_part_of_the_form() {
        let form = form();
        let boundary = form.boundary.clone();
        assert!(boundary.len() <= 70 && boundary != self::form().boundary, "{boundary}");
        assert_eq!(form.content_type(), format!("multipart/form-data; boundary={boundary}"));
        let length = form.length(4);
        let body = String::from_utf8(form.body(b"RIFF")).unwrap();
        assert_eq!(body.len() as u64, length);
        let expected = "--B\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n\
                        --B\r\ncontent-disposition: form-data; name=\"words[]\"\r\n\r\na\r\nb\r\n\
                        --B\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\
                        content-type: audio/wav\r\n\r\nRIFF\r\n--B--\r\n";
        assert_eq!(body.replace(&boundary, "B"), expected);
    }

    #[tokio::test]
    async fn streamed_body_equals_buffered_body() {
        let form = form();
        let boundary = form.boundary.clone();
        let streamed = form.stream(stream::iter(["RI", "FF"].map(|part| Ok(Bytes::from(part)))));
        let streamed = streamed.collect().await.unwrap().to_bytes();
        let streamed = String::from_utf8(streamed.to_vec()).unwrap().replace(&boundary, "B");
        let buffered_form = self::form();
        let boundary = buffered_form.boundary.clone();
        assert_eq!(
            streamed,
            String::from_utf8(buffered_form.body(b"RIFF")).unwrap().replace(&boundary, "B")
        );
    }
}
