use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use reqwest::Client;
use taonet_http::client::join_path;
use taonet_http::download::{RemainingFile, open_at};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::time::timeout;
use url::Url;

use crate::UpdateError;

/// Size of the chunks of a local file, in bytes.
const CHUNK_BYTES: usize = 1 << 16;

/// Address of a release server: an http or https URL, or a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseSource(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Http(Url),
    Directory(PathBuf),
}

impl FromStr for ReleaseSource {
    type Err = UpdateError;

    fn from_str(text: &str) -> Result<Self, UpdateError> {
        Kind::parse(text).map(Self).ok_or_else(|| UpdateError::Address(text.to_owned()))
    }
}

impl Kind {
    fn parse(text: &str) -> Option<Self> {
        if !text.contains("://") {
            return (!text.is_empty()).then(|| Self::Directory(text.into()));
        }
        let url = Url::parse(text).ok()?;
        match url.scheme() {
            "http" | "https" => Some(Self::Http(url)),
            "file" => url.to_file_path().map(Self::Directory).ok(),
            _ => None,
        }
    }
}

impl ReleaseSource {
    /// Returns the path or URL of a file, without credentials.
    pub(crate) fn location(&self, path: &str) -> String {
        match &self.0 {
            Kind::Http(base) => {
                let mut url = join_path(base, path);
                // Both calls fail only for URLs without a host, and http URLs have one.
                let _ = (url.set_username(""), url.set_password(None));
                url.set_query(None);
                url.to_string()
            }
            Kind::Directory(base) => base.join(path).display().to_string(),
        }
    }

    /// Opens a file at a byte offset. A server that ignores the offset starts at 0.
    pub(crate) async fn open(
        &self,
        client: &Client,
        path: &str,
        from: u64,
        stall_timeout: Duration,
    ) -> Result<RemainingFile<UpdateError>, UpdateError> {
        match &self.0 {
            Kind::Http(base) => {
                let location = self.location(path);
                let part = open_at(client, join_path(base, path), from, stall_timeout)
                    .await
                    .map_err(|source| UpdateError::Http { location: location.clone(), source })?;
                Ok(part.map_err(move |source| UpdateError::Http {
                    location: location.clone(),
                    source,
                }))
            }
            Kind::Directory(base) => {
                let path = base.join(path);
                let (file, from, total) = open_file_at(&path, from)
                    .await
                    .map_err(|source| UpdateError::Read { path: path.clone(), source })?;
                let chunks = stream::try_unfold((file, path), |(mut file, path)| async move {
                    let mut chunk = Vec::with_capacity(CHUNK_BYTES);
                    let read = (&mut file).take(CHUNK_BYTES as u64).read_to_end(&mut chunk).await;
                    match read {
                        Ok(_) => Ok((!chunk.is_empty()).then(|| (chunk.into(), (file, path)))),
                        Err(source) => Err(UpdateError::Read { path, source }),
                    }
                });
                Ok(RemainingFile { from, total: Some(total), chunks: chunks.boxed() })
            }
        }
    }

    /// Reads a file into memory, up to a maximum size.
    pub(crate) async fn read(
        &self,
        client: &Client,
        path: &str,
        limit: u64,
        time_limit: Duration,
    ) -> Result<Vec<u8>, UpdateError> {
        let reading = async {
            let mut part = self.open(client, path, 0, time_limit).await?;
            let mut content = Vec::new();
            while let Some(bytes) = part.chunks.next().await.transpose()? {
                content.extend_from_slice(&bytes);
                if content.len() as u64 > limit {
                    return Err(UpdateError::TooLarge { location: self.location(path), limit });
                }
            }
            Ok(content)
        };
        timeout(time_limit, reading).await.map_err(|_| UpdateError::Timeout(self.location(path)))?
    }
}

/// Opens a file at an offset, or at its end if it is shorter. Returns the file, the offset and the
/// length of the file.
async fn open_file_at(path: &Path, from: u64) -> io::Result<(File, u64, u64)> {
    let mut file = File::open(path).await?;
    let total = file.metadata().await?.len();
    let from = from.min(total);
    file.seek(SeekFrom::Start(from)).await?;
    Ok((file, from, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn release_source_is_a_url_or_a_directory() {
        let location = |text: &str| {
            text.parse::<ReleaseSource>().map(|source| source.location("latest.json")).ok()
        };
        assert_eq!(location("releases").as_deref(), Some("releases/latest.json"));
        assert_eq!(location("file:///srv/releases").as_deref(), Some("/srv/releases/latest.json"));
        assert_eq!(
            location("https://example.com").as_deref(),
            Some("https://example.com/latest.json")
        );
        let secret = "https://ada:secret@example.com/taonet/?token=secret";
        assert_eq!(location(secret).as_deref(), Some("https://example.com/taonet/latest.json"));
        for bad in ["", "ftp://example.com", "http://", "file://elsewhere/srv"] {
            assert_eq!(location(bad), None, "{bad}");
        }
    }
}
