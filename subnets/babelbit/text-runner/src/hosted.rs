//! Miners with commitments on the chain: models on Chutes, with an axon as the fallback.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};
use reqwest::StatusCode;
use taonet_babelbit_chutes::{
    ChuteClient, ChuteError, ChutesApi, ChutesSettings, Commitment, HubApi,
};
use taonet_babelbit_core::records::MinerKey;
use taonet_babelbit_core::text_api::PredictedUtterance;
use taonet_babelbit_runner::{AddressPolicy, CallError, MinerEntry, RoundError, announced_miners};
use taonet_primitives::{Hotkey, Uid};

use super::{AxonMiners, MAX_PREDICTION_BYTES, TextConnection, TextMiner, TextMiners};

/// Timeout of a request for a model.
const HUB_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout of a request for a chute.
const CHUTES_TIMEOUT: Duration = Duration::from_secs(15);
/// Lifetime of a cached response about a model.
const CACHE_LIFETIME: Duration = Duration::from_mins(5);
/// Maximum number of models in the cache.
const MAX_CACHED: usize = 4_096;
/// Number of miners that are checked at a time.
const MAX_CONCURRENT_CHECKS: usize = 16;

/// A text that a neuron has published on the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedText {
    /// Hotkey of the neuron.
    pub hotkey: Hotkey,
    /// Height of the block in which the text became readable.
    pub block: u64,
    /// The text.
    pub text: String,
}

/// Why the commitments could not be read.
pub type ReadError = Box<dyn std::error::Error + Send + Sync>;
/// Function that reads the subnet's commitments.
pub type ReadCommitments =
    Arc<dyn Fn() -> BoxFuture<'static, Result<Vec<PublishedText>, ReadError>> + Send + Sync>;

/// Source of the miners of the metagraph: those whose commitment names a model on Chutes, and those
/// that only serve an axon.
pub struct CommittedMiners {
    axons: AxonMiners,
    policy: AddressPolicy,
    read: ReadCommitments,
    settings: ChutesSettings,
    hub: HubApi,
    chutes: ChutesApi,
    /// Whether access to a model is gated, by repository.
    gated: Mutex<HashMap<String, (Instant, bool)>>,
}

/// A neuron that may be a miner.
#[derive(Debug, Clone, PartialEq)]
struct Candidate {
    key: MinerKey,
    /// Block of the commitment; 0 without one.
    block: u64,
    commitment: Option<Commitment>,
    axon: Option<MinerEntry>,
}

impl Candidate {
    fn slug(&self) -> Option<&str> {
        self.commitment.as_ref()?.slug.as_deref()
    }

    fn model(&self) -> Option<&str> {
        self.commitment.as_ref()?.model.as_deref()
    }
}

impl CommittedMiners {
    /// Creates a source of the subnet's miners. `axons` connects to axons and limits the number of
    /// miners; `policy` admits their addresses; `read` reads the commitments.
    ///
    /// # Errors
    /// [`ApiError`](taonet_babelbit_chutes::ApiError) when TLS initialisation fails.
    pub fn new(
        axons: AxonMiners,
        policy: AddressPolicy,
        read: ReadCommitments,
        settings: ChutesSettings,
    ) -> Result<Self, taonet_babelbit_chutes::ApiError> {
        Ok(Self {
            hub: HubApi::with_timeout(&settings, HUB_TIMEOUT)?,
            chutes: ChutesApi::with_timeout(&settings, CHUTES_TIMEOUT)?,
            axons,
            policy,
            read,
            settings,
            gated: Mutex::default(),
        })
    }

    async fn list(&self) -> Result<Vec<TextMiner>, RoundError> {
        let neurons = self.axons.chain.neurons().await?;
        let axons = announced_miners(&neurons, &self.policy);
        let keys =
            neurons.list.iter().map(|neuron| MinerKey { uid: neuron.uid, hotkey: neuron.hotkey });
        let texts = (self.read)().await.map_err(RoundError::Contest)?;
        let mut candidates = candidates(keys, &axons, &texts);
        if self.settings.api_key.is_none() {
            candidates = without_chutes(candidates);
        }
        let (all, candidates) = (candidates.len(), keep_earliest(candidates, Candidate::slug));
        let checks = stream::iter(candidates).map(|candidate| async move {
            let is_valid = self.is_valid(&candidate).await;
            is_valid.then_some(candidate)
        });
        let mut valid: Vec<Candidate> =
            checks.buffered(MAX_CONCURRENT_CHECKS).filter_map(std::future::ready).collect().await;
        valid = keep_earliest(valid, Candidate::model);
        tracing::info!(
            neurons = neurons.registered,
            candidates = all,
            miners = valid.len(),
            "commitments read"
        );
        Ok(self
            .axons
            .selection
            .select(valid.iter().filter_map(|candidate| self.connect(candidate)).collect()))
    }

    /// Whether the model of a candidate is public and its chute serves the committed revision. If a
    /// service does not respond, the candidate counts as valid.
    async fn is_valid(&self, candidate: &Candidate) -> bool {
        let (Some(commitment), uid) = (&candidate.commitment, candidate.key.uid) else {
            return true;
        };
        let Some(model) = &commitment.model else { return true };
        if self.is_gated(model).await {
            tracing::debug!(%uid, model, "miner skipped: access to its model is gated");
            return false;
        }
        if let Some(revision) = &commitment.revision {
            let mut call = self.hub.model(model, Some(revision));
            let is_keyless = self.settings.hub_key.is_none();
            if is_keyless {
                call = call.without_key();
            }
            // Without a key, the hub answers 401 for private and unknown models.
            if let Err(error) = self.hub.send(&call).await
                && (is_refusal(error.status())
                    || (is_keyless && error.status() == Some(StatusCode::UNAUTHORIZED)))
            {
                tracing::debug!(%uid, model, revision, %error, "miner skipped: its revision is not readable");
                return false;
            }
        }
        let Some(id) = &commitment.chute_id else { return true };
        let call = self.chutes.get(id);
        let chute = match self.chutes.send(&call).await {
            Ok(answer) => match ChutesApi::chute(&call, &answer) {
                Ok(chute) => chute,
                Err(error) => {
                    tracing::debug!(%uid, %error, "miner skipped: its chute is unreadable");
                    return false;
                }
            },
            Err(error) => {
                let is_refused = is_refusal(error.status());
                tracing::debug!(%uid, %error, is_refused, "cannot read the miner's chute");
                return !is_refused;
            }
        };
        let is_consistent = |stated: &Option<String>, committed: &Option<String>| {
            stated
                .as_ref()
                .zip(committed.as_ref())
                .is_none_or(|(stated, committed)| stated.eq_ignore_ascii_case(committed))
        };
        let matches_commitment = is_consistent(&chute.slug, &commitment.slug)
            && is_consistent(&chute.revision, &commitment.revision);
        if !matches_commitment {
            tracing::debug!(%uid, id, "miner skipped: its chute has another slug or revision than its commitment");
        }
        matches_commitment
    }

    /// Whether access to a model is gated; an unknown model is not.
    async fn is_gated(&self, model: &str) -> bool {
        let cached = self.gated.lock().unwrap_or_else(PoisonError::into_inner).get(model).copied();
        if let Some((_, is_gated)) = cached.filter(|(since, _)| since.elapsed() < CACHE_LIFETIME) {
            return is_gated;
        }
        let call = self.hub.public_model(model);
        let Ok(answer) = self.hub.send(&call).await else { return false };
        let is_gated = HubApi::info(&call, &answer).is_ok_and(|info| info.is_gated());
        let mut gated = self.gated.lock().unwrap_or_else(PoisonError::into_inner);
        if gated.len() >= MAX_CACHED {
            gated.clear();
        }
        gated.insert(model.to_owned(), (Instant::now(), is_gated));
        is_gated
    }

    fn connect(&self, candidate: &Candidate) -> Option<TextMiner> {
        let axon = candidate
            .axon
            .as_ref()
            .and_then(|entry| AxonMiners::connect_axon(&self.axons.connect, entry));
        let Some(slug) = candidate.slug() else { return axon };
        match ChuteClient::from_slug(&self.settings, slug) {
            Ok(chute) => {
                let axon = axon.map(|miner| miner.connection);
                Some(TextMiner {
                    key: candidate.key,
                    name: None,
                    connection: Arc::new(ChuteWithFallback { chute, axon }),
                })
            }
            Err(error) => {
                tracing::debug!(uid = %candidate.key.uid, %error, "the miner's chute has no address");
                axon
            }
        }
    }
}

impl TextMiners for CommittedMiners {
    fn miners(&self) -> BoxFuture<'_, Result<Vec<TextMiner>, RoundError>> {
        self.list().boxed()
    }
}

const fn is_refusal(status: Option<StatusCode>) -> bool {
    match status {
        // Too many requests, or a rejected key of ours, say nothing about the miner.
        Some(
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT | StatusCode::UNAUTHORIZED,
        )
        | None => false,
        Some(status) => {
            let status = status.as_u16();
            status >= 400 && status < 500
        }
    }
}

/// Returns the neurons that may be miners: with a valid commitment that names a chute, or with an
/// axon. A neuron with a malformed commitment is not a candidate, as in the reference.
fn candidates(
    neurons: impl Iterator<Item = MinerKey>,
    axons: &[MinerEntry],
    texts: &[PublishedText],
) -> Vec<Candidate> {
    let axons: HashMap<Hotkey, &MinerEntry> =
        axons.iter().map(|entry| (entry.hotkey, entry)).collect();
    let texts: HashMap<Hotkey, &PublishedText> =
        texts.iter().map(|text| (text.hotkey, text)).collect();
    let candidate = |key: MinerKey| {
        let axon = axons.get(&key.hotkey).map(|entry| (*entry).clone());
        let Some(published) = texts.get(&key.hotkey) else {
            return axon.map(|axon| Candidate {
                key,
                block: 0,
                commitment: None,
                axon: Some(axon),
            });
        };
        let commitment = Commitment::parse(&published.text, &key.hotkey)
            .inspect_err(|error| tracing::debug!(uid = %key.uid, %error, "miner skipped"))
            .ok()?;
        // The first neuron belongs to the subnet's owner.
        let block = if key.uid == Uid(0) { 0 } else { published.block };
        let candidate = Candidate { key, block, commitment: Some(commitment), axon };
        (candidate.slug().is_some() || candidate.axon.is_some()).then_some(candidate)
    };
    neurons.filter_map(candidate).collect()
}

/// Reduces candidates to their axons: chutes need an API key.
fn without_chutes(candidates: Vec<Candidate>) -> Vec<Candidate> {
    let hosted = candidates.iter().filter(|candidate| candidate.slug().is_some()).count();
    if hosted > 0 {
        tracing::warn!(hosted, "miners on Chutes are not called: CHUTES_API_KEY is not set");
    }
    let drop_commitment = |candidate: Candidate| {
        candidate.axon.is_some().then_some(Candidate { block: 0, commitment: None, ..candidate })
    };
    candidates.into_iter().filter_map(drop_commitment).collect()
}

/// Keeps the earliest of the candidates with the same committed text (slug or model), and all
/// candidates without one, in their order.
fn keep_earliest(
    candidates: Vec<Candidate>,
    committed_text: impl Fn(&Candidate) -> Option<&str>,
) -> Vec<Candidate> {
    let mut ordered: Vec<&Candidate> = candidates.iter().collect();
    ordered.sort_by_key(|candidate| (candidate.block, candidate.key.uid));
    let mut seen_texts = HashSet::new();
    let first: HashSet<Uid> = ordered
        .into_iter()
        .filter(|candidate| {
            committed_text(candidate).is_none_or(|text| seen_texts.insert(text.to_owned()))
        })
        .map(|candidate| candidate.key.uid)
        .collect();
    candidates.into_iter().filter(|candidate| first.contains(&candidate.key.uid)).collect()
}

/// A miner on Chutes, with an axon as the fallback. If there is an axon, half of a call's timeout
/// is reserved for it.
struct ChuteWithFallback {
    chute: ChuteClient,
    axon: Option<Arc<dyn TextConnection>>,
}

impl TextConnection for ChuteWithFallback {
    fn predict<'a>(
        &'a self,
        request: &'a PredictedUtterance,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<String, CallError>> {
        let start = Instant::now();
        // A chute that stalls must leave time for the axon.
        let chute_timeout = if self.axon.is_some() { timeout / 2 } else { timeout };
        async move {
            let prediction_result =
                tokio::time::timeout(chute_timeout, self.chute.predict(request, chute_timeout))
                    .await;
            let error = match prediction_result {
                Ok(Ok(prediction)) if prediction.len() <= MAX_PREDICTION_BYTES => {
                    return Ok(prediction);
                }
                Ok(Ok(_)) => CallError::TooLarge { limit: MAX_PREDICTION_BYTES },
                Ok(Err(error)) => call_error(&error, chute_timeout),
                Err(_) => CallError::Timeout(chute_timeout),
            };
            let remaining = timeout.saturating_sub(start.elapsed());
            match &self.axon {
                Some(axon) if !remaining.is_zero() => axon.predict(request, remaining).await,
                _ => Err(error),
            }
        }
        .boxed()
    }
}

fn call_error(error: &ChuteError, timeout: Duration) -> CallError {
    match error {
        error if error.is_timeout() => CallError::Timeout(timeout),
        ChuteError::Reported(text) => CallError::Refused(text.clone()),
        other => CallError::Transport(other.to_string()),
    }
}

#[cfg(test)]
mod tests;
