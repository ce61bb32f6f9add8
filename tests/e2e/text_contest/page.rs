//! The page of `tao demo --contest text`.

use crate::axon;
use crate::support::{Terminal, require_sentence_model, tao};

/// On a terminal, the page is served after the contest.
#[test]
fn demo_page_shows_every_prediction() {
    require_sentence_model();
    let mut demo = tao();
    demo.args(["demo", "--contest", "text", "--once"]);
    let mut terminal = Terminal::start(demo);
    terminal.expect("Every prediction is shown at http://");
    let line = terminal.read_line();
    let (address, _) = line.split_once("/text").unwrap();
    let list = axon::get(address, "/text");
    let links = list.split("href=\"").filter_map(|text| text.split(['"', '?']).next());
    let runs: Vec<_> = links.filter(|link| link.starts_with("/text/challenge_run_")).collect();
    assert_eq!(runs.len(), 2, "the silent miner has no scores: {list}");
    for run in runs {
        let page = axon::get(address, run);
        let utterances = page.matches("stops after word").count();
        assert!(utterances > 1 && page.matches("stops here").count() == utterances, "{page}");
        assert!(page.contains("aria-label=\"Dialogues\"") && page.contains("Earliness"), "{page}");
    }
}
