//! Routes that send recordings.

use std::path::Path;

use axum::http::HeaderMap;
use taonet_babelbit_core::records::{ChallengeType, MinerKey, is_safe_name};
use taonet_babelbit_runner::RunPaths;
use taonet_babelbit_runner::files::Layout;
use taonet_dashboard::{Page, Refusal, View, send_file};

use crate::section::BabelbitSection;

/// Returns the file layout of a challenge; `None` if the challenge's ID could escape the directory.
pub(crate) fn layout(
    paths: &RunPaths,
    uid: &str,
    contest: ChallengeType,
    timestamp: &str,
) -> Option<Layout> {
    is_safe_name(uid).then(|| Layout::of(paths, uid, contest, timestamp))
}

/// Sends the recording of a source.
pub(crate) async fn source(
    section: &BabelbitSection,
    view: &View,
    challenge: i64,
    utterance: u32,
    headers: &HeaderMap,
) -> Page {
    let layout = find_layout(section, view, challenge).await?;
    send_recording(view, &layout.shared_source(utterance), headers).await
}

/// Sends the recording of a reply.
pub(crate) async fn reply(
    section: &BabelbitSection,
    view: &View,
    challenge: i64,
    utterance: u32,
    miner: MinerKey,
    headers: &HeaderMap,
) -> Page {
    let layout = find_layout(section, view, challenge).await?;
    send_recording(view, &layout.predicted(miner, utterance), headers).await
}

async fn find_layout(section: &BabelbitSection, view: &View, id: i64) -> Result<Layout, Refusal> {
    let indexed = section.run_directory.index().challenge(id).map(|challenge| {
        let header = &challenge.header;
        layout(section.run_directory.paths(), &header.challenge_uid, header.challenge_type, "")
    });
    let layout = match indexed {
        Some(layout) => layout,
        None => match section.run_directory.challenge(id).await {
            Ok(row) => row.and_then(|row| {
                layout(section.run_directory.paths(), &row.challenge_uid, row.challenge_type, "")
            }),
            Err(error) => return Err(view.unavailable("Recording", &error.0)),
        },
    };
    layout.ok_or_else(|| view.missing("This recording"))
}

async fn send_recording(view: &View, path: &Path, headers: &HeaderMap) -> Page {
    send_file(path, "audio/wav", headers).await.map_err(|error| {
        tracing::debug!(%error, recording = %path.display(), "recording not sent");
        view.missing("This recording")
    })
}
