//! The refusal matrix: every fault, sent to a server of every scheme. The outcomes are listed in
//! `docs/wire-security.md`: `TAONET_UPDATE_DOCS=1 cargo test -p taonet-wire --test refusals`
//! regenerates it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::wildcard_imports,
    clippy::enum_glob_use,
    reason = "helpers of tests fail like the tests themselves, and are one namespace"
)]

mod document;
mod faults;
mod flips;
mod harness;
mod options;

use std::path::Path;
use std::time::Duration;

use axum::Router;
use taonet_wire::{Limits, Load, Policy, Rate};

use document::{Row, document};
use faults::{Expected, ExpectedOutcome, FAULTS, RAW};
use harness::*;

const UPDATE: &str = "TAONET_UPDATE_DOCS";

/// The rows with their checked outcomes, and the number of accepted requests.
#[derive(Default)]
struct Matrix {
    rows: Vec<Row>,
    refused: usize,
    accepted: usize,
}

impl Matrix {
    fn add(&mut self, fault: &'static str, reason: Expected, cells: Vec<Option<Outcome>>) {
        for (kind, outcome) in KINDS.into_iter().zip(&cells) {
            let Some(outcome) = outcome else { continue };
            let reason = reason(kind);
            assert!(
                reason.matches(kind, outcome),
                "{}: {fault}: {outcome:?}, not {reason:?}",
                kind.title()
            );
            *if reason == ExpectedOutcome::Accepted {
                &mut self.accepted
            } else {
                &mut self.refused
            } += 1;
        }
        self.rows.push(Row { fault, cells });
    }

    async fn add_faults(&mut self) {
        for (fault, reason, prepare) in FAULTS {
            let mut cells = Vec::new();
            for kind in KINDS {
                cells.push(match prepare(kind) {
                    Some(sent) => Some(Server::new(kind).send(&sent).await),
                    None => None,
                });
            }
            self.add(fault, *reason, cells);
        }
        for (fault, reason, bytes) in RAW {
            let mut cells = Vec::new();
            for kind in KINDS {
                cells.push(Some(Server::new(kind).send_raw(bytes(kind)).await));
            }
            self.add(fault, *reason, cells);
        }
    }

    async fn add_replays(&mut self) {
        let [mut again, mut restarted, mut later, mut at_once] = [const { Vec::new() }; 4];
        for kind in KINDS {
            let (server, sent) = (Server::new(kind), SentRequest::fresh(kind));
            assert!(
                ExpectedOutcome::Accepted.matches(kind, &server.send(&sent).await),
                "the original passes"
            );
            server.clock.advance(Duration::from_secs(1));
            again.push(Some(server.send(&sent).await));
            restarted.push(Some(server.restarted(kind).send(&sent).await));

            let (server, signer) = (Server::new(kind), kind.signer("//Alice", NOW));
            let (first, second) = (
                SentRequest::signed_by(&signer, "//Bob"),
                SentRequest::signed_by(&signer, "//Bob"),
            );
            assert_eq!(server.send(&second).await.status, 200);
            later.push(if kind == Dendrite { Some(server.send(&first).await) } else { None });

            let (server, sent) = (Server::new(kind), SentRequest::fresh(kind));
            let calls = (0..8).map(|_| tokio::spawn(call(server.router(), sent.clone())));
            let outcomes = futures::future::join_all(calls).await.into_iter().map(Result::unwrap);
            let (accepted, refused): (Vec<_>, Vec<_>) =
                outcomes.partition(|outcome| outcome.status == 200);
            assert!(
                accepted.len() == 1 && refused.iter().all(|outcome| *outcome == refused[0]),
                "{refused:?}"
            );
            at_once.push(refused.into_iter().next());
        }
        self.add("replayed", |_| ExpectedOutcome::Replayed, again);
        self.add("replayed after a server restart", |_| ExpectedOutcome::Replayed, restarted);
        self.add(
            "sent eight times concurrently: all but the first",
            |_| ExpectedOutcome::Replayed,
            at_once,
        );
        self.add("nonce lower than the process's last one", |_| ExpectedOutcome::Replayed, later);
    }

    async fn add_bounds(&mut self) {
        let unlimited = Load::default();
        let rate = Load { rate: Some(Rate { per_second: 1, burst: 1 }), ..Load::default() };
        let bounds: [(_, Expected, _, _); 5] = [
            (
                "hotkey not on the allowlist",
                |_| ExpectedOutcome::NotAllowed,
                Policy::only([hotkey("//Charlie")]),
                unlimited,
            ),
            (
                "hotkey on the blocklist",
                |_| ExpectedOutcome::NotAllowed,
                Policy::open().block([hotkey("//Alice")]),
                unlimited,
            ),
            (
                "too little stake",
                |_| ExpectedOutcome::StakeTooLow,
                Policy::open().min_stake(1_000),
                unlimited,
            ),
            (
                "no validator permit",
                |_| ExpectedOutcome::NoPermit,
                Policy::open().validators_only(),
                unlimited,
            ),
            (
                "second request within a second, with a limit of 1 per second",
                |_| ExpectedOutcome::RateLimited,
                Policy::open(),
                rate,
            ),
        ];
        for (fault, reason, policy, load) in bounds {
            let mut cells = Vec::new();
            for kind in KINDS {
                let server = Server::with_settings(kind, Limits::default(), policy.clone(), load);
                let signer = kind.signer("//Alice", NOW);
                if load.rate.is_some() {
                    assert_eq!(
                        server.send(&SentRequest::signed_by(&signer, "//Bob")).await.status,
                        200
                    );
                }
                cells.push(Some(server.send(&SentRequest::signed_by(&signer, "//Bob")).await));
            }
            self.add(fault, reason, cells);
        }
        let mut cells = Vec::new();
        for kind in KINDS {
            let limits = Limits { answer_timeout: Duration::from_millis(10), ..Limits::default() };
            let server = Server::with_settings(kind, limits, Policy::open(), unlimited);
            let stuck =
                Router::new().fallback(std::future::pending::<()>).layer(server.layer.clone());
            cells.push(Some(call(stuck, SentRequest::fresh(kind)).await));
        }
        self.add(
            "handler exceeds the response timeout",
            |_| ExpectedOutcome::ResponseTimeout,
            cells,
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_match_the_documented_matrix() {
    let mut matrix = Matrix::default();
    matrix.add_faults().await;
    matrix.add_replays().await;
    matrix.add_bounds().await;
    println!("{} refused, {} accepted", matrix.refused, matrix.accepted);
    assert_eq!((matrix.refused, matrix.accepted), (250, 41));

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/wire-security.md");
    let document = document(&matrix.rows, &options::rows().await);
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, &document).unwrap();
    }
    let current = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(current == document, "docs/wire-security.md is out of date; {UPDATE}=1 updates it");
}
