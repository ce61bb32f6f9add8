use std::io;

use bytes::Bytes;
use futures::{Stream, stream};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

/// Number of bytes read from the file at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// Streams `size` bytes of a file; fails if the file is shorter.
pub(super) fn content(
    file: File,
    size: u64,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::try_unfold((file, size), |(mut file, remaining)| async move {
        if remaining == 0 {
            return Ok(None);
        }
        let mut chunk = vec![0; CHUNK_BYTES.min(usize::try_from(remaining).unwrap_or(CHUNK_BYTES))];
        let read = file.read(&mut chunk).await?;
        if read == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        chunk.truncate(read);
        Ok(Some((Bytes::from(chunk), (file, remaining - read as u64))))
    })
}
