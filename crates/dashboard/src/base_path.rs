use std::fmt;
use std::str::FromStr;

/// URL path under which a reverse proxy serves the dashboard: empty, or for example `/contest`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BasePath(String);

/// Error for a text that is not a valid base path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "malformed base path {0:?}, expected a path such as /contest with only letters, digits, `-`, `_`, `.` and `/`"
)]
pub struct BasePathError(String);

impl BasePath {
    /// Returns the path, without a trailing slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Removes the base path from a request's path and query. Changes nothing if the proxy has
    /// already removed the base path.
    pub(crate) fn strip<'a>(&self, target: &'a str) -> &'a str {
        match target.strip_prefix(&self.0) {
            Some("") => "/",
            Some(path) if path.starts_with('/') => path,
            _ => target,
        }
    }
}

fn is_segment(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('.')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

impl FromStr for BasePath {
    type Err = BasePathError;

    fn from_str(text: &str) -> Result<Self, BasePathError> {
        let path = text.trim_end_matches('/');
        let is_path =
            path.strip_prefix('/').is_some_and(|segments| segments.split('/').all(is_segment));
        if path.is_empty() || is_path {
            Ok(Self(path.to_owned()))
        } else {
            Err(BasePathError(text.to_owned()))
        }
    }
}

impl fmt::Display for BasePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_base_paths_are_refused() {
        for (text, path) in [("", ""), ("/", ""), ("/a", "/a"), ("/a/b-c/", "/a/b-c")] {
            assert_eq!(text.parse::<BasePath>().unwrap().as_str(), path);
        }
        for text in ["a", "//host", "/a//b", "/a b", "/\"><script>", "/..", "/a/../b"] {
            assert!(text.parse::<BasePath>().is_err(), "{text}");
        }
    }

    #[test]
    fn base_path_is_stripped_where_present() {
        let base: BasePath = "/tao".parse().unwrap();
        for (target, below) in [
            ("/tao", "/"),
            ("/tao/", "/"),
            ("/tao/chain?a=b", "/chain?a=b"),
            ("/chain", "/chain"),
            ("/taos", "/taos"),
        ] {
            assert_eq!(base.strip(target), below);
        }
        assert_eq!(BasePath::default().strip("/chain"), "/chain");
    }
}
