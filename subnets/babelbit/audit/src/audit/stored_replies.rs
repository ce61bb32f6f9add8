use std::path::PathBuf;

use rayon::prelude::*;
use serde_json::{Value, json};
use taonet_service::read_bounded;
use taonet_speech::WavHeader;

use super::{ChallengeRecord, StoredReplies};
use taonet_babelbit_runner::ResultRow;
use taonet_babelbit_runner::files::Layout;
use taonet_babelbit_scorer::AudioHash;

/// Maximum size of a reply in bytes: two minutes with eight channels take 46 MB.
pub(crate) const MAX_REPLY_BYTES: u64 = 64 << 20;

/// A stored reply, and its differences from the record.
#[derive(Debug)]
pub(crate) struct StoredReply {
    pub(crate) path: PathBuf,
    /// Field, recorded value, actual value; empty for an unchanged reply.
    pub(crate) differences: Vec<(&'static str, Value, Value)>,
}

impl StoredReply {
    pub(crate) fn is_intact(&self) -> bool {
        self.differences.is_empty()
    }
}

/// Compares every stored reply with its row, several in parallel.
pub(super) fn check_replies(record: &ChallengeRecord, layout: &Layout) -> StoredReplies {
    let check = |row: &ResultRow| {
        let path = layout.predicted(row.miner, row.utterance_index);
        let reply = check_reply(row, record.channels(row.utterance_index), path)?;
        Some(((row.miner, row.utterance_index), reply))
    };
    record.rows.par_iter().filter_map(check).collect()
}

/// Compares a stored reply with its row; `None` for a failed reply, which has no audio.
pub(crate) fn check_reply(
    row: &ResultRow,
    channels: Option<u16>,
    path: PathBuf,
) -> Option<StoredReply> {
    let hash = row.outcome.as_deref().ok()?;
    let differences = match read_bounded(&path, MAX_REPLY_BYTES) {
        Err(error) => vec![("audio", json!(hash), json!(error.to_string()))],
        Ok(wav) => {
            let actual = AudioHash::of(&wav).to_string();
            if actual == hash {
                audio_differences(row, channels, &wav)
            } else {
                vec![("audio.sha256", json!(hash), json!(actual))]
            }
        }
    };
    Some(StoredReply { path, differences })
}

/// Returns properties of the audio with their recorded and actual values.
fn audio_differences(
    row: &ResultRow,
    channels: Option<u16>,
    wav: &[u8],
) -> Vec<(&'static str, Value, Value)> {
    let header = match WavHeader::read(wav) {
        Ok(header) => header,
        Err(error) => return vec![("audio", json!("a WAV file"), json!(error.to_string()))],
    };
    let timeline = &row.reply.timeline;
    // Samples arrive as 32-bit floats and are stored as 16-bit integers.
    let arrived =
        (header.frames as u64).saturating_mul(u64::from(header.channels)).saturating_mul(4);
    let first =
        timeline.arrivals.iter().find(|(_, bytes)| *bytes > 0).map_or(0, |(frame, _)| *frame);
    let properties = [
        ("audio.bytes", json!(row.reply.wav_bytes), json!(wav.len())),
        ("audio.frames", json!(row.reply.frames), json!(header.frames)),
        ("audio.channels", json!(channels), json!(header.channels)),
        ("timeline.arrivals", json!(timeline.total_bytes()), json!(arrived)),
        ("timeline.first_output_frame", json!(timeline.first_output_frame), json!(first)),
    ];
    properties.into_iter().filter(|(_, recorded, actual)| recorded != actual).collect()
}
