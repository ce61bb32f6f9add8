use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use taonet_service::{Access, atomic_write_with};

/// Maximum length of a line in bytes; two minutes of speech take about 30 KB.
const MAX_LINE_BYTES: u64 = 1 << 20;

/// An append-only file of lines, which drops its older half when it exceeds its size limit.
pub(super) struct LineFile {
    path: PathBuf,
    file: File,
    max_bytes: u64,
}

impl LineFile {
    /// Opens the file with a limit in bytes; creates it and its folder if missing.
    pub(super) fn open(path: &Path, max_bytes: u64) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut lines = Self { path: path.to_owned(), file: append_to(path)?, max_bytes };
        lines.trim_to_limit()?;
        Ok(lines)
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Appends a line, which must end with a line feed, in a single write, so that lines of
    /// concurrent processes do not mix. Starts a new line after one that a crash truncated.
    pub(super) fn append(&mut self, mut line: Vec<u8>) -> io::Result<()> {
        if !ends_with_newline(&mut self.file)? {
            line.insert(0, b'\n');
        }
        self.file.write_all(&line)?;
        self.trim_to_limit()
    }

    /// Drops the older half of a file above the limit. May lose lines that another process appends
    /// concurrently; their audio is then recognised again.
    fn trim_to_limit(&mut self) -> io::Result<()> {
        if self.file.metadata()?.len() <= self.max_bytes {
            return Ok(());
        }
        let mut old_file = File::open(&self.path)?;
        old_file
            .seek(SeekFrom::Start(old_file.metadata()?.len().saturating_sub(self.max_bytes / 2)))?;
        let mut old_file = BufReader::new(old_file);
        old_file.skip_until(b'\n')?;
        atomic_write_with(&self.path, Access::Everyone, |new_file| {
            io::copy(&mut old_file, new_file).map(drop)
        })
        .map_err(|error| error.source)?;
        self.file = append_to(&self.path)?;
        Ok(())
    }
}

/// Calls `callback` with each line, or with `None` for a line that is too long.
pub(super) fn for_each_line(
    file: &File,
    mut callback: impl FnMut(Option<&[u8]>),
) -> io::Result<()> {
    let mut file = BufReader::new(file);
    let mut line = Vec::new();
    while (&mut file).take(MAX_LINE_BYTES).read_until(b'\n', &mut line)? > 0 {
        let is_truncated = line.len() as u64 == MAX_LINE_BYTES && !line.ends_with(b"\n");
        if is_truncated {
            file.skip_until(b'\n')?;
        }
        callback((!is_truncated).then_some(&line));
        line.clear();
    }
    Ok(())
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).read(true).append(true).open(path)
}

fn ends_with_newline(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}
