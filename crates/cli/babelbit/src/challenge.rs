//! Challenges that arguments name.

use std::path::Path;

use anyhow::Context as _;
use taonet_babelbit_challenges::{Challenge, Challenges};
use taonet_cli_base::exit::ClassifiedError;

/// Finds a shipped challenge by name, or loads one from a file. `label` is the argument of the
/// command line.
pub fn find(label: &str, path: &Path) -> anyhow::Result<Challenge> {
    if let Some(challenge) = Challenges::find(path.to_str().unwrap_or_default())? {
        return Ok(challenge);
    }
    if path.extension().is_none() && !path.exists() {
        let names = Challenges::names().collect::<Vec<_>>().join(", ");
        return Err(ClassifiedError::usage(format!(
            "{label}: neither a shipped challenge nor a file\nhint: the shipped challenges are {names}"
        )));
    }
    load(path)
}

/// Loads a challenge file.
///
/// # Errors
/// If the file or one of its recordings is unreadable or invalid; the cause names it.
pub(crate) fn load(path: &Path) -> anyhow::Result<Challenge> {
    Challenge::load(path).context(
        "cannot load the challenge\nhint: subnets/babelbit/challenges/README.md describes the format",
    )
}

#[cfg(test)]
mod tests {
    use taonet_cli_base::exit::error_document;

    use super::*;

    #[test]
    fn unusable_challenge_file_is_named_once_with_a_hint() {
        let folder = tempfile::tempdir().unwrap();
        let [malformed, missing] = ["malformed.json", "missing.json"]
            .map(|name| folder.path().join(name).to_str().unwrap().to_owned());
        std::fs::write(&malformed, "{}").unwrap();
        for (file, cause) in [
            (&malformed, format!("{malformed}: missing field `title` at line 1 column 2")),
            (&missing, format!("cannot read {missing}: No such file or directory (os error 2)")),
        ] {
            let error = error_document(&find(file, Path::new(file)).unwrap_err());
            assert_eq!(error.error, format!("cannot load the challenge: {cause}"));
            let hint = "subnets/babelbit/challenges/README.md describes the format";
            assert_eq!(error.hint.as_deref(), Some(hint));
        }
    }
}
