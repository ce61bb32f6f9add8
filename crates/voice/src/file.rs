//! Files of a voice, which are read as a whole.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use crate::VoiceError;

/// Reads a regular file of at most `limit` bytes.
///
/// # Errors
/// [`VoiceError::Io`] or [`VoiceError::TooLarge`].
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, VoiceError> {
    let metadata = std::fs::metadata(path).map_err(|source| VoiceError::io(path, source))?;
    // Opening a pipe would wait for its writer.
    if !metadata.is_file() {
        let source = io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file");
        return Err(VoiceError::io(path, source));
    }
    if metadata.len() > limit {
        return Err(VoiceError::TooLarge { path: path.to_owned(), limit });
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    // A file that grows meanwhile is cut off.
    File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .map_err(|source| VoiceError::io(path, source))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_above_the_limit_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("voice.onnx");
        std::fs::write(&path, [7_u8; 4]).unwrap();
        assert_eq!(read(&path, 4).unwrap(), [7; 4]);
        let error = read(&path, 3).unwrap_err();
        assert!(matches!(error, VoiceError::TooLarge { limit: 3, .. }), "{error}");
    }

    #[test]
    fn directory_as_voice_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = taonet_primitives::with_causes(&read(folder.path(), 4).unwrap_err());
        assert!(
            error.contains("it is not a regular file\nhint: a voice of Piper has two files"),
            "{error}"
        );
    }
}
