//! `docs/wire-security.md`.

use std::fmt::Write as _;

use crate::harness::*;
use crate::options::OptionRow;

/// A row of the document.
pub(crate) struct Row {
    pub(crate) fault: &'static str,
    pub(crate) cells: Vec<Option<Outcome>>,
}

const INTRODUCTION: &str = "\
# What signed requests are safe from

Written by `cargo test -p taonet-wire --test refusals` from what a server did; with `TAONET_UPDATE_DOCS=1` it is written
anew.

## What a signature covers

| | btauth/1 | dendrite | Babelbit, axon call | Babelbit, managed call |
|---|---|---|---|---|
| Sender, receiver, nonce | signed | signed | signed | signed |
| Calling process (UUID) | has none | signed | signed | signed |
| Method, path, query | signed | **not signed**; the path must name a known class, any that hashes the same texts | **not signed** | **not signed** |
| Body | signed, each byte | the text that Python makes of the values of the fields that the class names, in their \
order; **not** the fields' names, the values' types (`1` and `\"1\"` are the same) or the class; of many classes \
**none** | **not signed** | signed, as compact JSON |
| Timeout | has none | **not signed**; at most 60 s count | **not signed**; at most 60 s count | **not signed**; at most \
60 s count |
| Version | signed (it must be 1) | **not signed**, decides nothing | **not signed**, decides nothing | \
**not signed**, decides nothing |
| Addresses, message's name, other headers | **not signed** | **not signed** | **not signed** | **not signed** |
| Answer | **not signed** | **not signed**; refusals on request | **not signed** | **not signed** |

None of the schemes hides anything: where others can listen, put TLS or a private network beneath. Whoever can alter
requests on their way can alter what is not signed. Between peers of taonet the scheme is btauth/1, receiver required.
A request that states a length and comes in chunks is read by its chunks, as RFC 9112 asks; a proxy in front must too.
A fragment (`#…`) in a request's path, which HTTP does not know, is dropped before anything looks at the path.
Each server remembers for itself what it accepted: two servers of one hotkey and one scheme accept a request once each.
A server with a replay log remembers across restarts; one whose log is new, missing or damaged refuses what was signed
before its start, so that for some seconds nobody gets through.

## What is refused

Each request but for its fault is a good one. **Accepted** stands where the scheme does not sign what was altered; a
dash, where the scheme has no such thing.
";

pub(crate) fn document(rows: &[Row], options: &[OptionRow]) -> String {
    let mut text = INTRODUCTION.to_owned();
    text.push_str("\n| Fault |");
    for kind in KINDS {
        write!(text, " {} |", kind.title()).unwrap();
    }
    text.push_str("\n|---|---|---|---|---|\n");
    for row in rows {
        write!(text, "| {} |", row.fault).unwrap();
        for outcome in &row.cells {
            match outcome {
                None => text.push_str(" – |"),
                Some(outcome) => write!(text, " {} |", outcome.cell()).unwrap(),
            }
        }
        text.push('\n');
    }
    text.push_str(OPTIONS);
    for (option, fault, outcome) in options {
        writeln!(text, "| {option} | {fault} | {} |", outcome.cell()).unwrap();
    }
    text
}

const OPTIONS: &str = "
## Options that accept more

`BtauthScheme::accept_unbound` and `DendriteScheme::accept_old_versions` are off unless a server asks for them.

| Option | Request | Outcome |
|---|---|---|
";
