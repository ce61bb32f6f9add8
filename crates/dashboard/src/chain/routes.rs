//! Routes of the chain's pages.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use taonet_primitives::NetUid;

use super::{
    ChainSection, account, block, blocks, neuron, pages, search, storage, subnet, subnets,
};
use crate::site::Site;
use crate::view::View;

pub(super) fn of(section: &Arc<ChainSection>) -> Router<Site> {
    let [chain, found, all, one, accounts, items, list, seen, neurons] =
        std::array::from_fn(|_| Arc::clone(section));
    let chain = move |view: View| async move { pages::metagraph(&view, &chain.source.state()) };
    let search = move |view: View| async move { search::page(&view, &found.source).await };
    let subnets = move |view: View| async move { subnets::page(&view, &all.source.state()) };
    let subnet = move |view: View, Path(netuid): Path<u16>| async move {
        subnet::page(&view, &one.source, NetUid(netuid), one.netuid).await
    };
    let account = move |view: View, Path(address): Path<String>| async move {
        account::page(&view, &accounts.source, &address).await
    };
    let storage = move |view: View, Path((pallet, item)): Path<(String, String)>| async move {
        storage::page(&view, &items.source, &pallet, &item).await
    };
    let blocks = move |view: View| async move { blocks::page(&view, &list.source.state()) };
    let block = move |view: View, Path(id): Path<String>| async move {
        block::page(&view, &seen.source, &id).await
    };
    let neuron = move |view: View, Path(uid): Path<u16>| async move {
        neuron::page(&view, &neurons.source.state(), uid)
    };
    Router::new()
        .route("/chain", get(chain))
        .route("/chain/search", get(search))
        .route("/chain/subnets", get(subnets))
        .route("/chain/subnets/{netuid}", get(subnet))
        .route("/chain/accounts/{address}", get(account))
        .route("/chain/storage/{pallet}/{item}", get(storage))
        .route("/chain/blocks", get(blocks))
        .route("/chain/blocks/{id}", get(block))
        .route("/chain/{uid}", get(neuron))
}
