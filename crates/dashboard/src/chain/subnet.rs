//! The page of one subnet.

use std::sync::Arc;

use maud::{Markup, html};
use taonet_chain::{
    At, Chain as _, ChainError, Client, Detail, Hyperparameters, Metagraph, Schedule, Subnet,
};
use taonet_primitives::{MechId, NetUid, Rao, counted};

use super::pages::{self, amount, filter, filter_form, hyperparameters};
use super::reads::ReadFailure;
use super::search;
use super::source::{Source, State};
use super::text::{account_link, published_text};
use crate::format::number;
use crate::layout::{live, problem};
use crate::view::{Page, View};

/// A subnet after a block, as far as it has been read.
#[derive(Debug, Clone, Default)]
pub(super) struct SubnetDetails {
    pub(super) summary: Option<Subnet>,
    pub(super) price: Option<Rao>,
    pub(super) schedule: Option<Schedule>,
    pub(super) hyperparameters: Option<Arc<Hyperparameters>>,
    pub(super) metagraph: Option<Arc<Metagraph>>,
}

impl SubnetDetails {
    pub(super) async fn read(client: &Client, netuid: NetUid, at: At) -> Result<Self, ChainError> {
        // The first read caches the runtime version of the block for the others.
        let summary = client.subnet(netuid, at).await?;
        let (price, rules, hyperparameters, metagraph) = tokio::try_join!(
            client.price(netuid, at),
            client.weight_rules(netuid, at),
            client.hyperparameters(netuid, at),
            client.metagraph(netuid, MechId(0), Detail::Lite, at)
        )?;
        Ok(Self {
            summary: Some(summary),
            price: Some(price),
            schedule: Some(rules.schedule),
            hyperparameters: Some(Arc::new(hyperparameters)),
            metagraph: Some(Arc::new(metagraph)),
        })
    }

    /// Returns the details of a subnet that the follower of the chain has read. `default_netuid` is
    /// the subnet in `--netuid`.
    fn from_state(state: &State, netuid: NetUid, default_netuid: NetUid) -> Self {
        let summary = state
            .subnets
            .iter()
            .flat_map(|subnets| subnets.iter())
            .find(|subnet| subnet.netuid == netuid);
        let summary = summary.cloned();
        if netuid != default_netuid {
            return Self { summary, ..Self::default() };
        }
        let (hyperparameters, metagraph) = (state.hyperparameters.clone(), state.metagraph.clone());
        Self { summary, price: None, schedule: state.schedule, hyperparameters, metagraph }
    }
}

/// Renders a subnet at the newest block. `default_netuid` is the subnet in `--netuid`.
pub(super) async fn page(
    view: &View,
    source: &Source,
    netuid: NetUid,
    default_netuid: NetUid,
) -> Page {
    let state = source.state();
    let read = match state.blocks.front() {
        Some(head) => source.reader.subnet(netuid, head.block.hash).await,
        None => Err(ReadFailure::Disconnected),
    };
    let (details, reason) = match read {
        Ok(details) => (details, None),
        Err(reason) if reason.is_missing() => return Err(view.missing("This subnet")),
        Err(reason) => {
            (Arc::new(SubnetDetails::from_state(&state, netuid, default_netuid)), Some(reason))
        }
    };
    let title = format!("Subnet {netuid}");
    let filter = filter(view);
    let path = format!("/chain/subnets/{netuid}");
    let neurons = html! {
        @match &details.metagraph {
            Some(metagraph) => (pages::neurons(view, metagraph, &filter, netuid == default_netuid)),
            None => p.empty { "The neurons have not been read." },
        }
    };
    let facts = html! {
        @if let Some(reason) = &reason { (problem("The subnet cannot be read", &reason.to_string())) }
        (figures(&state, &details))
        @if let Some(summary) = &details.summary { (pools(view, summary)) }
    };
    let body = html! {
        (view.breadcrumbs(&[("/", "Overview"), ("/chain", "Chain"), ("/chain/subnets", "Subnets")], &title))
        (search::heading(view, &title))
        (live("subnet", &facts))
        section.card aria-labelledby="neurons" {
            div.head {
                h2 id="neurons" { "Neurons" }
                (filter_form(view, &path, &filter, "uid, hotkey, coldkey or address"))
            }
            (live("subnet-neurons", &neurons))
        }
        (live("subnet-hyperparameters", &hyperparameters(details.hyperparameters.as_deref())))
    };
    Ok(view.page(&title, &body))
}

fn figures(state: &State, details: &SubnetDetails) -> Markup {
    let moving =
        details.summary.as_ref().and_then(|summary| summary.moving_price.parse::<f64>().ok());
    let next = details.schedule.zip(state.blocks.front()).map(|(schedule, head)| {
        let next = schedule.next_epoch(head.block.number);
        next.map_or("none".to_owned(), |next| {
            format!("in {}", counted(next.since(head.block.number), "block"))
        })
    });
    html! {
        dl.figures {
            @if let Some(spot) = details.price {
                div { dt { "Price of 1 α, spot" } dd { (number(Some(spot.get() as f64 / 1e9), 6)) small { "TAO" } } }
            }
            @if moving.is_some() {
                div { dt { "Price of 1 α, moving average" } dd { (number(moving, 6)) small { "TAO" } } }
            }
            @if let Some(summary) = &details.summary {
                div { dt { "Tempo" } dd { (summary.tempo) small { "blocks" } } }
            }
            @if let Some(next) = next { div { dt { "Next epoch" } dd { (next) } } }
            @if let Some(schedule) = details.schedule { div { dt { "Epochs so far" } dd { (schedule.epoch_index) } } }
            @if let Some(metagraph) = &details.metagraph {
                div { dt { "Neurons" } dd { (metagraph.neurons.len()) small { "of " (metagraph.max_uids) } } }
                div { dt { "Registration" } dd { (amount(metagraph.burn.get())) small { "TAO" } } }
            }
        }
    }
}

/// Renders the pools, the owner and the identity of a subnet.
fn pools(view: &View, summary: &Subnet) -> Markup {
    let identity = summary.identity.as_ref().map(|identity| {
        [
            ("Name", &identity.subnet_name),
            ("Description", &identity.description),
            ("Source", &identity.github_repo),
            ("Website", &identity.subnet_url),
            ("Contact", &identity.subnet_contact),
            ("Discord", &identity.discord),
            ("Further information", &identity.additional),
        ]
    });
    html! {
        section.card aria-label="Pools and owner" {
            table.facts {
                tbody {
                    tr {
                        th scope="row" { "Name" }
                        td { (published_text(&summary.name)) " " (published_text(&summary.symbol)) }
                    }
                    tr { th scope="row" { "TAO in the pool" } td { (summary.tao_in) } }
                    tr { th scope="row" { "α in the pool" } td { (summary.alpha_in) } }
                    tr { th scope="row" { "α outside the pool" } td { (summary.alpha_out) } }
                    tr { th scope="row" { "TAO to the pool per block" } td { (summary.tao_in_emission) } }
                    tr { th scope="row" { "α to the pool per block" } td { (summary.alpha_in_emission) } }
                    tr { th scope="row" { "α to neurons and owner per block" } td { (summary.alpha_out_emission) } }
                    tr { th scope="row" { "Last epoch" } td { "block " (summary.last_step) } }
                    tr { th scope="row" { "Registered" } td { "block " (summary.registered_at) } }
                    tr { th scope="row" { "Owner's coldkey" } td { (account_link(view, summary.owner_coldkey)) } }
                    tr { th scope="row" { "Owner's hotkey" } td { (account_link(view, summary.owner_hotkey)) } }
                    @for (name, text) in identity.iter().flatten() {
                        @if !text.is_empty() {
                            tr { th scope="row" { "Identity: " (name) } td { (published_text(text)) } }
                        }
                    }
                }
            }
        }
    }
}
