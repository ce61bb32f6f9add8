use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::file::open_file;

/// Distance, in bytes, from the end of a file to the start of the first read.
const TAIL_BYTES: u64 = 4 * 1024 * 1024;
/// Maximum number of bytes in one read.
const MAX_READ_BYTES: u64 = 1024 * 1024;
/// Maximum length of a line in bytes; the rest of a longer line is skipped.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// Reader of a growing file of lines.
#[derive(Debug)]
pub(super) struct LineFile {
    path: PathBuf,
    /// Device and inode of the file, and the position up to which it has been read.
    cursor: Option<((u64, u64), u64)>,
    /// Beginning of a line whose end has not been written.
    partial: Vec<u8>,
    /// Whether the rest of the current line is skipped: the line is too long, or its beginning was
    /// not read.
    is_skipping: bool,
}

impl LineFile {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), cursor: None, partial: Vec::new(), is_skipping: false }
    }

    /// Passes the next complete lines to `on_line`, at most 1 MiB; returns whether there may be
    /// more. A line longer than 64 KiB is passed as an empty line. Blocks the thread.
    ///
    /// The first call starts at most 4 MiB before the end of the file. So does the next call after
    /// the file was replaced or truncated.
    pub(super) fn read(&mut self, mut on_line: impl FnMut(&[u8])) -> io::Result<bool> {
        let mut file = open_file(&self.path)?;
        let metadata = file.metadata()?;
        let (id, length) = ((metadata.dev(), metadata.ino()), metadata.len());
        let position = match self.cursor {
            Some((cursor_id, position)) if cursor_id == id && position <= length => position,
            _ => {
                let start = length.saturating_sub(TAIL_BYTES);
                self.partial.clear();
                self.is_skipping = start > 0;
                start
            }
        };
        file.seek(SeekFrom::Start(position))?;
        let mut bytes = Vec::new();
        file.take(MAX_READ_BYTES).read_to_end(&mut bytes)?;
        let position = position.saturating_add(bytes.len() as u64);
        self.cursor = Some((id, position));
        for fragment in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.push(fragment, &mut on_line);
        }
        Ok(position < length)
    }

    fn push(&mut self, fragment: &[u8], on_line: &mut impl FnMut(&[u8])) {
        let line = fragment.strip_suffix(b"\n");
        if !self.is_skipping {
            self.partial.extend_from_slice(line.unwrap_or(fragment));
            if self.partial.len() > MAX_LINE_BYTES {
                self.is_skipping = true;
                on_line(&[]);
            } else if line.is_some() && !self.partial.is_empty() {
                on_line(&self.partial);
            }
        }
        if line.is_some() || self.is_skipping {
            self.partial.clear();
        }
        if line.is_some() {
            self.is_skipping = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write as _;

    use super::*;

    fn lines(file: &mut LineFile) -> Vec<String> {
        let mut lines = Vec::new();
        while file.read(|line| lines.push(String::from_utf8(line.to_vec()).unwrap())).unwrap() {}
        lines
    }

    #[test]
    fn complete_lines_are_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let mut file = LineFile::new(&path);
        assert_eq!(file.read(|_| panic!("no file")).unwrap_err().kind(), io::ErrorKind::NotFound);
        let append = |text: &str| {
            let mut file = OpenOptions::new().append(true).create(true).open(&path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        append("one\ntw");
        assert_eq!(lines(&mut file), ["one"]);
        assert!(lines(&mut file).is_empty());
        append("o\n\nthree\n");
        assert_eq!(lines(&mut file), ["two", "three"]);
        // A line beyond the limit is reported as one empty line; the next one is complete.
        append(&format!("{}\nfour\n", "x".repeat(3 * MAX_LINE_BYTES)));
        assert_eq!(lines(&mut file), ["", "four"]);
        append(&"x".repeat(3 * MAX_LINE_BYTES));
        assert_eq!(lines(&mut file), [""]);
        append("end\nfive\n");
        assert_eq!(lines(&mut file), ["five"]);
        std::fs::rename(&path, folder.path().join("log.jsonl.1")).unwrap();
        append("six\n");
        assert_eq!(lines(&mut file), ["six"]);
        OpenOptions::new().write(true).truncate(true).open(&path).unwrap();
        append("7\n");
        assert_eq!(lines(&mut file), ["7"]);
        assert!(LineFile::new(folder.path()).read(|_| {}).is_err());
    }

    #[test]
    fn only_the_end_of_a_long_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let line = "0123456789abcdef".repeat(64);
        std::fs::write(&path, format!("{line}\n").repeat(8_192)).unwrap();
        let read = lines(&mut LineFile::new(&path));
        assert!(
            read.len() > 4_000 && read.len() < 4_096 && read.iter().all(|read| *read == line),
            "{}",
            read.len()
        );
    }
}
