use std::io;

use axum::body::Bytes;
use futures::{Stream, stream};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

/// Number of bytes read from the file at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// Streams the next `size` bytes of a file as a body; fails if the file ends before.
pub fn file_content(
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

#[cfg(test)]
mod tests {
    use futures::TryStreamExt as _;
    use taonet_service::{Access, atomic_write};

    use super::*;

    /// Columns: requested bytes · read bytes, or `None` for an error
    #[tokio::test]
    async fn content_has_the_requested_size_or_fails() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let bytes: Vec<u8> = (0..=255).cycle().take(CHUNK_BYTES + 3).collect();
        atomic_write(&path, &bytes, Access::Everyone).unwrap();
        let len = bytes.len();
        for (size, expected) in [(0, Some(0)), (7, Some(7)), (len, Some(len)), (len + 1, None)] {
            let file = File::open(&path).await.unwrap();
            let content: io::Result<Vec<Bytes>> =
                file_content(file, size as u64).try_collect().await;
            let content = content
                .ok()
                .map(|chunks| chunks.iter().flat_map(|chunk| chunk.to_vec()).collect::<Vec<u8>>());
            assert_eq!(content.as_deref(), expected.map(|count| &bytes[..count]), "{size} bytes");
        }
    }
}
