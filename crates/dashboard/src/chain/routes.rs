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

pub(super) fn section_routes(section: &Arc<ChainSection>) -> Router<Site> {
    let [chain, search, subnets, subnet, account, storage, blocks, block, neuron] =
        std::array::from_fn(|_| Arc::clone(section));
    Router::new()
        .route(
            "/chain",
            get(move |view: View| async move { pages::metagraph(&view, &chain.source.state()) }),
        )
        .route(
            "/chain/search",
            get(move |view: View| async move { search::page(&view, &search.source).await }),
        )
        .route(
            "/chain/subnets",
            get(move |view: View| async move { subnets::page(&view, &subnets.source.state()) }),
        )
        .route(
            "/chain/subnets/{netuid}",
            get(move |view: View, Path(netuid): Path<u16>| async move {
                subnet::page(&view, &subnet.source, NetUid(netuid), subnet.netuid).await
            }),
        )
        .route(
            "/chain/accounts/{address}",
            get(move |view: View, Path(address): Path<String>| async move {
                account::page(&view, &account.source, &address).await
            }),
        )
        .route(
            "/chain/storage/{pallet}/{item}",
            get(move |view: View, Path((pallet, item)): Path<(String, String)>| async move {
                storage::page(&view, &storage.source, &pallet, &item).await
            }),
        )
        .route(
            "/chain/blocks",
            get(move |view: View| async move { blocks::page(&view, &blocks.source.state()) }),
        )
        .route(
            "/chain/blocks/{id}",
            get(move |view: View, Path(id): Path<String>| async move {
                block::page(&view, &block.source, &id).await
            }),
        )
        .route(
            "/chain/{uid}",
            get(move |view: View, Path(uid): Path<u16>| async move {
                neuron::page(&view, &neuron.source.state(), uid)
            }),
        )
}
