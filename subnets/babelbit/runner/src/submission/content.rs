use std::io;

use bytes::Bytes;
use futures::{Stream, stream};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

/// Number of bytes read from the file at a time.
const CHUNK: usize = 64 << 10;

/// Streams `size` bytes of a file; fails if the file is shorter.
pub(super) fn content(
    file: File,
    size: u64,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
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
