//! The votes of other validators, which their gateways publish.

use std::collections::HashMap;
use std::sync::Arc;

use futures::future::join_all;
use taonet_chain::Chain;
use taonet_http::{JsonClient, parse_fields};
use taonet_neuron::Neurons;
use taonet_nineteen_core::config::stake_weighted;
use taonet_primitives::Hotkey;
use taonet_service::Shutdown;
use url::Url;

use super::{Ballot, FETCH_INTERVAL, FETCH_TIMEOUT, MAX_RESPONSE_BYTES, Voter, VotesError};

/// Path of a validator's vote below the URL of its gateway.
const VOTE_PATH: &str = "v1/vote";

/// Client that updates a market's task weights from the votes of several validators, weighted by
/// their stakes on the chain.
///
/// Each validator signs its vote, so that a gateway cannot invent those of others. The validator's
/// own vote counts, too. Votes of hotkeys without a validator permit do not count. While a gateway
/// fails, the last vote of its validator remains in effect, for up to a day.
pub struct PeerVotes {
    /// Gateways of the other validators.
    gateways: Vec<(Url, JsonClient)>,
    voter: Voter,
    chain: Arc<dyn Chain>,
    /// The newest valid vote of each validator.
    ballots: HashMap<Hotkey, Ballot>,
}

impl PeerVotes {
    /// Creates a client of the gateways at these base URLs; a gateway's vote is at `URL/v1/vote`.
    ///
    /// # Errors
    /// [`VotesError::Setup`] when TLS cannot be initialised.
    pub fn new(gateways: &[Url], voter: Voter, chain: Arc<dyn Chain>) -> Result<Self, VotesError> {
        let gateways = gateways.iter().map(gateway_client).collect::<Result<_, _>>()?;
        Ok(Self { gateways, voter, chain, ballots: HashMap::new() })
    }

    /// Fetches the votes once, and updates the market's weights; returns the number of votes that
    /// count.
    ///
    /// # Errors
    /// [`VotesError::Stakes`] when the chain fails; the last weights remain.
    pub async fn fetch(&mut self) -> Result<usize, VotesError> {
        let (netuid, now) = (self.voter.netuid(), self.voter.now());
        let fetches = self
            .gateways
            .iter()
            .map(|(url, client)| async move { (url, fetch_ballot(client).await) });
        for (url, result) in join_all(fetches).await {
            let verified = result.and_then(|ballot| {
                ballot.check(netuid, now)?;
                Ok(ballot)
            });
            match verified {
                Ok(ballot) => keep_newest(&mut self.ballots, ballot),
                // The URL may contain a password.
                Err(error) => tracing::warn!(
                    peer = url.host_str().unwrap_or_default(),
                    error = &error as &dyn std::error::Error,
                    "vote of a validator not fetched; its last one remains"
                ),
            }
        }
        keep_newest(&mut self.ballots, self.voter.ballot());
        self.ballots.retain(|_, ballot| ballot.is_current(now));
        let registrations = Neurons::read(&*self.chain, netuid).await?.registrations();
        let votes = self.ballots.values().filter_map(|ballot| {
            let registration = registrations.get(&ballot.hotkey())?;
            let is_eligible = registration.validator_permit && registration.stake > 0;
            is_eligible.then_some((registration.stake, ballot.weights()))
        });
        let votes: Vec<_> = votes.collect();
        let count = votes.len();
        self.voter.market().set_votes(stake_weighted(votes));
        Ok(count)
    }

    /// Fetches the votes immediately and then every ten minutes, until shutdown. Logs failures.
    pub async fn run(mut self, shutdown: &Shutdown) {
        loop {
            match self.fetch().await {
                Ok(votes) => tracing::debug!(votes, "votes fetched"),
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "votes not counted; the last weights remain"
                ),
            }
            if !shutdown.sleep(FETCH_INTERVAL).await {
                return;
            }
        }
    }
}

/// Creates the client of a gateway.
fn gateway_client(url: &Url) -> Result<(Url, JsonClient), VotesError> {
    let client = JsonClient::new(url, None, MAX_RESPONSE_BYTES)
        .map_err(|error| VotesError::Setup(error.into()))?;
    Ok((url.clone(), client))
}

async fn fetch_ballot(client: &JsonClient) -> Result<Ballot, VotesError> {
    Ok(parse_fields(client.get(VOTE_PATH, &[], FETCH_TIMEOUT).await?)?)
}

/// Stores a vote unless a newer one of its validator is stored: a gateway could replay an old one.
fn keep_newest(ballots: &mut HashMap<Hotkey, Ballot>, ballot: Ballot) {
    let previous = ballots.get(&ballot.hotkey());
    if previous.is_none_or(|previous| previous.created() <= ballot.created()) {
        ballots.insert(ballot.hotkey(), ballot);
    }
}

#[cfg(test)]
mod tests;
