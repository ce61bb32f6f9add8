//! The page of all subnets of the chain.

use axum::response::Response;
use maud::{Markup, html};
use taonet_chain::Subnet;

use super::pages::{amount, filter, filter_form, warning};
use super::search;
use super::source::State;
use super::text::{account_link, published_text, subnet_name};
use crate::format::number;
use crate::layout::live;
use crate::table::{Paging, Sort};
use crate::view::View;

/// Maximum number of subnets per page.
const PER_PAGE: usize = 64;
/// Columns, and whether the first click sorts each in descending order.
const COLUMNS: [(&str, bool); 6] = [
    ("netuid", false),
    ("price", true),
    ("tao", true),
    ("alpha", true),
    ("emission", true),
    ("tempo", false),
];

/// Returns the moving average of the price of a subnet's alpha in TAO; `None` if it is not a
/// number.
fn price(subnet: &Subnet) -> Option<f64> {
    subnet.moving_price.parse().ok().filter(|price: &f64| price.is_finite())
}

fn sort(subnets: &mut [&Subnet], key: &str) {
    subnets.sort_by(|a, b| {
        let order = match key {
            "price" => price(a).unwrap_or(-1.0).total_cmp(&price(b).unwrap_or(-1.0)),
            "tao" => a.tao_in.cmp(&b.tao_in),
            "alpha" => a.alpha_in.cmp(&b.alpha_in),
            "emission" => a.tao_in_emission.cmp(&b.tao_in_emission),
            "tempo" => a.tempo.cmp(&b.tempo),
            _ => std::cmp::Ordering::Equal,
        };
        order.then(a.netuid.cmp(&b.netuid))
    });
}

fn matches(subnet: &Subnet, filter: &str) -> bool {
    subnet.netuid.to_string() == filter
        || subnet.name.to_lowercase().contains(&filter.to_lowercase())
        || [subnet.owner_hotkey.to_string(), subnet.owner_coldkey.to_string()]
            .iter()
            .any(|key| key.contains(filter))
}

/// Renders all subnets, sorted and filtered.
pub(super) fn page(view: &View, state: &State) -> Response {
    let filter = filter(view);
    let table = html! {
        @match &state.subnets {
            None => p.empty { "The subnets have not been read yet." },
            Some(subnets) => (list(view, subnets, &filter)),
        }
    };
    let body = html! {
        (view.breadcrumbs(&[("/", "Overview"), ("/chain", "Chain")], "Subnets"))
        (search::heading(view, "Subnets"))
        (live("chain-problem", &warning(state)))
        section.card aria-labelledby="subnets" {
            div.head {
                h2 id="subnets" { "All subnets" }
                (filter_form(view, "/chain/subnets", &filter, "netuid, name or owner"))
            }
            (live("chain-subnets", &table))
        }
    };
    view.page("Subnets", &body)
}

fn list(view: &View, subnets: &[Subnet], filter: &str) -> Markup {
    let order = Sort::of(view, &COLUMNS);
    let mut matching: Vec<_> =
        subnets.iter().filter(|subnet| filter.is_empty() || matches(subnet, filter)).collect();
    sort(&mut matching, order.key());
    order.apply(&mut matching);
    let paging = Paging::of(view, "page", PER_PAGE, matching.len());
    html! {
        @if matching.is_empty() { p.empty { "No subnet matches." } } @else {
            div.scroll tabindex="0" role="region" aria-label="Subnets" {
                table {
                    thead {
                        tr {
                            (order.header(view, "netuid", "Netuid", "num"))
                            th scope="col" { "Name" }
                            (order.header(view, "price", "Price TAO, moving average", "num"))
                            (order.header(view, "tao", "TAO in the pool", "num"))
                            (order.header(view, "alpha", "α in the pool", "num"))
                            (order.header(view, "emission", "TAO per block", "num"))
                            (order.header(view, "tempo", "Tempo", "num"))
                            th.num scope="col" { "Last epoch" }
                            th scope="col" { "Owner" }
                        }
                    }
                    tbody {
                        @for subnet in paging.slice(&matching) {
                            tr {
                                td.num { (subnet.netuid) }
                                th scope="row" {
                                    a href=(view.href(&format!("/chain/subnets/{}", subnet.netuid))) {
                                        (subnet_name(subnet))
                                    }
                                    " " small { (published_text(&subnet.symbol)) }
                                }
                                td.num { (number(price(subnet), 6)) }
                                td.num { (amount(subnet.tao_in.get())) }
                                td.num { (amount(subnet.alpha_in.get())) }
                                td.num { (amount(subnet.tao_in_emission.get())) }
                                td.num { (subnet.tempo) }
                                td.num { (subnet.last_step) }
                                td { (account_link(view, subnet.owner_coldkey)) }
                            }
                        }
                    }
                }
            }
            (paging.links(view, "subnets"))
        }
    }
}
