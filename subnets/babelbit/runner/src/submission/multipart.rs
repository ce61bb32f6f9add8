use std::io;

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use uuid::Uuid;

/// Number of bytes read from the file at a time.
const CHUNK: usize = 64 << 10;

/// A multipart form with a field `metadata` and a file `file`, which is streamed.
pub(super) struct Form {
    boundary: String,
    head: String,
    tail: String,
    size: u64,
}

impl Form {
    pub(super) fn new(metadata: &str, file_name: &str, content_type: &str, size: u64) -> Self {
        let boundary = format!("taonet-{}", Uuid::new_v4().simple());
        let head = format!(
            "--{boundary}\r\ncontent-disposition: form-data; name=\"metadata\"\r\n\r\n{metadata}\r\n\
             --{boundary}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{file_name}\"\r\n\
             content-type: {content_type}\r\n\r\n"
        );
        Self { tail: format!("\r\n--{boundary}--\r\n"), boundary, head, size }
    }

    pub(super) fn content_type(&self) -> String {
        format!("multipart/form-data; boundary={}", self.boundary)
    }

    pub(super) fn length(&self) -> u64 {
        self.head.len() as u64 + self.size + self.tail.len() as u64
    }

    pub(super) fn body(self, file: File) -> reqwest::Body {
        let (head, tail) = (Bytes::from(self.head), Bytes::from(self.tail));
        let parts = stream::iter([Ok(head)]).chain(content(file, self.size)).chain(stream::iter([Ok(tail)]));
        reqwest::Body::wrap_stream(parts)
    }
}

/// Streams `size` bytes of a file; fails if the file is shorter.
fn content(file: File, size: u64) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::try_unfold((file, size), |(mut file, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let mut chunk = vec![0; CHUNK.min(usize::try_from(left).unwrap_or(CHUNK))];
        let read = file.read(&mut chunk).await?;
        if read == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        chunk.truncate(read);
        Ok(Some((Bytes::from(chunk), (file, left - read as u64))))
    })
}
