//! The overview in a terminal.

use taonet_dashboard::{Column, Content, Panel, PlainTable, duration, number, percent, shortened};

use crate::page::{format_size, verified_share};
use crate::proofs::{MinerProofs, Proofs, Totals};

/// Returns the totals and the miners, those with the most work first. `now_unix` is in seconds
/// since the Unix epoch.
pub(crate) fn proof_panels(
    proofs: &Proofs,
    verifications: Option<(f64, f64)>,
    now_unix: i64,
) -> Vec<Panel> {
    let totals = proofs.totals();
    let mut figures = vec![
        ("Proofs verified", totals.verified.to_string()),
        ("Failed", totals.failed.to_string()),
        ("Per second", number(proofs.rate, 2)),
        ("Proof size", format_size(totals.bytes)),
    ];
    if let Some((_, mean)) = verifications {
        figures.push(("Verification", duration(Some(mean))));
    }
    let problem =
        proofs.problems(now_unix).map(|(title, reason)| format!("{title}: {reason}")).next();
    vec![
        Panel { title: "Proof".to_owned(), problem, content: Content::Figures(figures) },
        Panel {
            title: "Proof · miners".to_owned(),
            problem: None,
            content: Content::Table(miners(proofs)),
        },
    ]
}

fn miners(proofs: &Proofs) -> PlainTable {
    let mut miners: Vec<_> = proofs.miners.iter().collect();
    miners.sort_by(|a, b| b.work.total_cmp(&a.work).then_with(|| a.hotkey.cmp(&b.hotkey)));
    let columns = vec![
        Column::text("Hotkey"),
        Column::number("Work"),
        Column::number("Verified"),
        Column::number("Failed"),
        Column::number("Verified share"),
        Column::number("Response"),
        Column::number("Proof size"),
        Column::text("Main failure"),
    ];
    let row = |miner: &&MinerProofs| {
        let totals = Totals::of(std::iter::once(&miner.tally));
        vec![
            shortened(&miner.hotkey.to_string()),
            duration(Some(miner.work)),
            totals.verified.to_string(),
            totals.failed.to_string(),
            percent(verified_share(&totals)),
            duration(totals.seconds),
            format_size(totals.bytes),
            miner.tally.main_fault().map_or_else(|| "–".to_owned(), |fault| fault.to_string()),
        ]
    };
    PlainTable {
        columns,
        rows: miners.iter().map(row).collect(),
        empty: "No miner has been asked for a proof yet.",
    }
}
