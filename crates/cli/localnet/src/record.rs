//! `tao localnet record`: records the state of subnets from another node, for
//! `tao localnet --fork`.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use taonet_chain::{At, ChainError, Client, Network, RawState};
use taonet_cli_base::chain::{chain_error, parse_at};
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::ClassifiedError;
use taonet_localnet_recording::{OmittedItem, Origin, RecordError, Source, record};
use taonet_primitives::BlockHash;
use taonet_service::{Access, atomic_write_with};

/// Number of storage keys per request.
const KEYS_PER_REQUEST: usize = 500;
/// Number of requests at a time.
const MAX_CONCURRENT_READS: usize = 16;

/// Record the state of subnets from another node
#[derive(Debug, Args)]
pub(crate) struct RecordArgs {
    /// Node: its URL, or finney, test, archive or local
    #[arg(value_name = "URL")]
    node: String,
    /// Netuids of the subnets
    #[arg(long, value_name = "N", required = true, num_args = 1.., value_delimiter = ',')]
    netuid: Vec<u16>,
    /// Output file
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Block to record: its number or hash [default: the newest finalized block]
    #[arg(long, value_name = "BLOCK", value_parser = parse_at)]
    block: Option<At>,
}

pub(crate) fn run(args: &RecordArgs, context: &Context) -> anyhow::Result<()> {
    let file = args.output.display();
    if args.output.exists() {
        bail!("{file} already exists\nhint: choose another name, or remove the file");
    }
    let network = args.node.parse::<Network>();
    let network = network.map_err(|error| ClassifiedError::usage(format!("URL: {error}")))?;
    let recording = context.block_on(async {
        let client = Client::connect(&network).await.map_err(chain_error)?;
        let at = args.block.unwrap_or(At::Finalized);
        let state = client.raw_state(at).await.map_err(chain_error)?;
        let metadata = state.metadata().await.map_err(chain_error)?;
        let origin = Origin {
            chain: client.chain_name().await.map_err(chain_error)?,
            genesis: hash_bytes(client.genesis()).into(),
            block: state.block().number.get(),
            block_hash: hash_bytes(state.block().hash).into(),
            spec_version: state.spec_version(),
        };
        let source = Node { state, bar: progress_bar()? };
        let outcome = record(&source, origin, &metadata, &args.netuid).await;
        source.bar.finish_and_clear();
        outcome.map_err(|error| match error {
            RecordError::Source(error) => chain_error(error),
            error => anyhow::Error::new(error),
        })
    })?;
    atomic_write_with(&args.output, Access::Everyone, |file| {
        let mut file = BufWriter::new(file);
        recording.write(&mut file)?;
        file.flush()
    })
    .with_context(|| format!("cannot write {file}"))?;
    let origin = recording.origin();
    if context.json {
        return context.print_json(&json!({
            "file": args.output.display().to_string(),
            "chain": origin.chain,
            "genesis": origin.genesis,
            "block": { "number": origin.block, "hash": origin.block_hash },
            "spec_version": origin.spec_version,
            "netuids": recording.netuids(),
            "entries": recording.len(),
            "left_out": recording.omitted_items(),
        }));
    }
    print_omitted_items(recording.omitted_items(), context);
    let (subnets, entries) = (describe_subnets(recording.netuids()), recording.len());
    context.print(&format!(
        "recorded {entries} storage entries of {subnets} in block {} to {file}",
        origin.block
    ))
}

/// Prints the items that were left out, by reason, on standard error.
pub(crate) fn print_omitted_items(omitted_items: &[OmittedItem], context: &Context) {
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for omitted in omitted_items {
        reasons.entry(&omitted.reason).or_default().push(&omitted.item);
    }
    for (reason, items) in reasons {
        context.print_notice(&format!("left out, because {reason}: {}", items.join(", ")));
    }
}

/// Formats netuids, such as `subnets 18 and 59`.
pub(crate) fn describe_subnets(netuids: &[u16]) -> String {
    let netuids: Vec<String> = netuids.iter().map(ToString::to_string).collect();
    match netuids.split_last() {
        Some((last, [])) => format!("subnet {last}"),
        Some((last, others)) => format!("subnets {} and {last}", others.join(", ")),
        None => "no subnets".to_owned(),
    }
}

fn hash_bytes(hash: BlockHash) -> [u8; 32] {
    *hash.as_bytes()
}

fn progress_bar() -> anyhow::Result<ProgressBar> {
    let style =
        ProgressStyle::with_template("{msg}: {pos} of {len} requests [{wide_bar}] {elapsed}")?;
    Ok(ProgressBar::new(0).with_style(style).with_message("recording"))
}

/// A node, read with several requests at a time.
struct Node {
    state: RawState,
    bar: ProgressBar,
}

impl Node {
    fn add_requests(&self, label: &str, requests: usize) {
        self.bar.set_message(label.to_owned());
        self.bar.inc_length(requests as u64);
    }

    /// Reads all keys that begin with a prefix.
    async fn keys_with_prefix(&self, prefix: Vec<u8>) -> Result<Vec<Vec<u8>>, ChainError> {
        let mut keys = Vec::new();
        loop {
            let page =
                self.state.keys(&prefix, KEYS_PER_REQUEST, keys.last().map(Vec::as_slice)).await?;
            self.bar.inc(1);
            let is_last = page.len() < KEYS_PER_REQUEST;
            keys.extend(page);
            if is_last {
                return Ok(keys);
            }
            self.bar.inc_length(1);
        }
    }
}

impl Source for Node {
    type Error = ChainError;

    async fn keys(&self, label: &str, prefixes: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, ChainError> {
        self.add_requests(label, prefixes.len());
        let pages = stream::iter(prefixes)
            .map(|prefix| self.keys_with_prefix(prefix))
            .buffer_unordered(MAX_CONCURRENT_READS);
        pages.try_concat().await
    }

    async fn values(
        &self,
        label: &str,
        keys: Vec<Vec<u8>>,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, ChainError> {
        let pages: Vec<Vec<Vec<u8>>> = keys.chunks(KEYS_PER_REQUEST).map(<[_]>::to_vec).collect();
        self.add_requests(label, pages.len());
        let values = stream::iter(pages).map(|keys| async move {
            let values = self.state.values(&keys).await?;
            self.bar.inc(1);
            Ok::<_, ChainError>(values.into_iter().collect::<Vec<_>>())
        });
        values.buffer_unordered(MAX_CONCURRENT_READS).try_concat().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn netuids_are_joined_to_a_phrase() {
        for (netuids, expected) in [
            (&[59][..], "subnet 59"),
            (&[1, 2], "subnets 1 and 2"),
            (&[1, 2, 3], "subnets 1, 2 and 3"),
        ] {
            assert_eq!(describe_subnets(netuids), expected);
        }
    }
}
