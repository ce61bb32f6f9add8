use axum::body::{Body, BodyDataStream};
use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use memchr::memmem::find;

/// Maximum size of a part's head in bytes.
const MAX_HEAD_BYTES: usize = 8 << 10;
/// Maximum length of a boundary in bytes, by RFC 2046.
const MAX_BOUNDARY: usize = 70;

/// Why a form is malformed.
#[derive(Debug, thiserror::Error)]
pub(super) enum FormError {
    #[error("the content type must be multipart/form-data with a boundary")]
    ContentType,
    #[error("the form ends before its final boundary")]
    Truncated,
    #[error("malformed form: {0}")]
    Malformed(&'static str),
    #[error("the form lacks the field {0}; hint: send `metadata` first, then `file`")]
    Missing(&'static str),
    #[error("the field {field} is larger than {limit} bytes")]
    TooLarge { field: &'static str, limit: usize },
    #[error("cannot read the body: {0}")]
    Read(axum::Error),
}

impl FormError {
    pub(super) const fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            // A retry may have a better connection.
            Self::Truncated | Self::Read(_) => StatusCode::REQUEST_TIMEOUT,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// Streaming parser of a `multipart/form-data` body. It buffers one chunk of the body at a time.
/// The usual parser (multer) buffers all data that the connection has ready, which is too much for
/// large files.
pub(super) struct Form {
    stream: BodyDataStream,
    buffer: BytesMut,
    delimiter: Vec<u8>,
    /// Whether the next bytes belong to a part or to the preamble; false after a boundary.
    is_inside: bool,
}

impl Form {
    pub(super) fn new(content_type: &str, body: Body) -> Result<Self, FormError> {
        let (media_type, parameters) =
            content_type.split_once(';').ok_or(FormError::ContentType)?;
        let boundary = parameter(parameters, "boundary")
            .filter(|text| (1..=MAX_BOUNDARY).contains(&text.len()));
        if !media_type.trim().eq_ignore_ascii_case("multipart/form-data") {
            return Err(FormError::ContentType);
        }
        let delimiter = format!("\r\n--{}", boundary.ok_or(FormError::ContentType)?).into_bytes();
        // A virtual line ending, because the first delimiter may lack the one that precedes all
        // other delimiters.
        Ok(Self {
            stream: body.into_data_stream(),
            buffer: BytesMut::from(&b"\r\n"[..]),
            delimiter,
            is_inside: true,
        })
    }

    /// Advances to the next part, which must have this name.
    pub(super) async fn next_part(&mut self, name: &'static str) -> Result<(), FormError> {
        while self.chunk().await?.is_some() {}
        // `--` ends the form; otherwise, only a line ending may follow a boundary.
        while self.buffer.len() < 2 {
            self.read_more().await?;
        }
        match self.buffer.split_to(2).as_ref() {
            b"\r\n" => {}
            b"--" => return Err(FormError::Missing(name)),
            _ => return Err(FormError::Malformed("a boundary is not followed by a line break")),
        }
        let head = self.head().await?;
        self.is_inside = true;
        let head = str::from_utf8(&head)
            .map_err(|_| FormError::Malformed("a part header is not UTF-8"))?;
        let is_named = head.split("\r\n").any(|line| {
            let (header, value) = line.split_once(':').unwrap_or_default();
            header.trim().eq_ignore_ascii_case("content-disposition")
                && parameter(value, "name").is_some_and(|part_name| part_name == name)
        });
        if is_named { Ok(()) } else { Err(FormError::Missing(name)) }
    }

    /// Reads the next chunk of the part; `None` at its end.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, FormError> {
        while self.is_inside {
            match find(&self.buffer, &self.delimiter) {
                Some(0) => {
                    let _ = self.buffer.split_to(self.delimiter.len());
                    self.is_inside = false;
                }
                Some(end) => return Ok(Some(self.buffer.split_to(end).freeze())),
                // The end of the buffer may be the start of a delimiter.
                None if self.buffer.len() >= self.delimiter.len() => {
                    let content_len = self.buffer.len() - self.delimiter.len() + 1;
                    return Ok(Some(self.buffer.split_to(content_len).freeze()));
                }
                None => self.read_more().await?,
            }
        }
        Ok(None)
    }

    /// Reads the complete part, up to `limit` bytes.
    pub(super) async fn read_part(
        &mut self,
        field: &'static str,
        limit: usize,
    ) -> Result<Vec<u8>, FormError> {
        let mut content = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if content.len() + chunk.len() > limit {
                return Err(FormError::TooLarge { field, limit });
            }
            content.extend_from_slice(&chunk);
        }
        Ok(content)
    }

    /// Reads the header lines of a part.
    async fn head(&mut self) -> Result<Bytes, FormError> {
        const END: &[u8] = b"\r\n\r\n";
        loop {
            if let Some(end) = find(&self.buffer, END) {
                let head = self.buffer.split_to(end).freeze();
                let _ = self.buffer.split_to(END.len());
                return Ok(head);
            }
            if self.buffer.len() > MAX_HEAD_BYTES {
                return Err(FormError::Malformed("a part header is incomplete"));
            }
            self.read_more().await?;
        }
    }

    async fn read_more(&mut self) -> Result<(), FormError> {
        let chunk =
            self.stream.next().await.ok_or(FormError::Truncated)?.map_err(FormError::Read)?;
        self.buffer.extend_from_slice(&chunk);
        Ok(())
    }
}

/// Returns a parameter of a header: `name=value` or `name="value"`.
fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    parameters.split(';').find_map(|parameter| {
        let (key, value) = parameter.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"'))
    })
}

#[cfg(test)]
mod tests;
