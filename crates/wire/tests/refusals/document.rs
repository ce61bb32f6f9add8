//! Generator of `docs/wire-security.md`.

use std::fmt::Write as _;

use crate::harness::*;
use crate::options::OptionRow;

/// A case and its outcome for each scheme.
pub(crate) struct Row {
    pub(crate) fault: &'static str,
    pub(crate) cells: Vec<Option<Outcome>>,
}

const INTRODUCTION: &str = "\
# Wire protocol security

This page is generated from the responses of a server: `TAONET_UPDATE_DOCS=1 cargo test -p taonet-wire --test refusals`
updates it, and the same test without the variable checks it.

taonet supports three schemes for signed HTTP requests: btauth/1 of SDK 11, dendrite of SDK 10, and Babelbit's scheme,
which has one form for calls to axons and one for calls to managed miners (those of the arena).

## What a signature covers

| | btauth/1 | dendrite | Babelbit, axon call | Babelbit, managed call |
|---|---|---|---|---|
| Sender, receiver, nonce | signed | signed | signed | signed |
| Process UUID | not sent | signed | signed | signed |
| Method, path, query | signed | **not signed**; the path must name a known synapse class, but any class with the \
same hashed values verifies | **not signed** | **not signed** |
| Body | signed, byte for byte | only the values of the synapse class's `required_hash_fields`, as Python's `str()` \
formats them, in order; **not** the field names, the value types (`1` and `\"1\"` are equal) or the class. Many \
classes have **no** such fields | **not signed** | signed, as compact JSON |
| Timeout | not sent | **not signed**; capped at 60 s | **not signed**; capped at 60 s | **not signed**; capped at \
60 s |
| Version | signed (must be 1) | **not signed**, no effect | **not signed**, no effect | **not signed**, no effect |
| Addresses, message name, other headers | **not signed** | **not signed** | **not signed** | **not signed** |
| Response | **not signed** | **not signed**, except refusals with `DendriteScheme::sign_refusals` | **not signed** \
| **not signed** |

No scheme encrypts requests: if others can read the traffic, use TLS or a private network. An attacker who can modify
requests in transit can change everything that is not signed. btauth/1 signs the most: use it if both sides support it.

- **Chunked requests.** If a request has both `Content-Length` and chunked transfer encoding, the chunked encoding takes
  precedence, as RFC 9112 requires. A reverse proxy must do the same.
- **Fragments.** A fragment (`#…`) in the request target, which HTTP does not allow, is dropped before routing.
- **Replays.** Each server has its own replay cache: if two servers have the same hotkey and scheme, each server accepts
  a request once. A server with a replay log keeps this cache across restarts. If the log is new, missing or damaged,
  the server refuses only what may be a replay: requests signed before its start, or dated ahead of it by as much as
  accepted requests have been. The server logs the end of this period.

## What is refused

The first column states how a case differs from a valid request that the server accepts; cases with the same outcomes
share a row. **accepted** means that the scheme does not sign the altered part, or that the server handles the variant
safely; a dash means that the case does not apply to the scheme.
";

pub(crate) fn document(rows: &[Row], options: &[OptionRow]) -> String {
    let mut text = INTRODUCTION.to_owned();
    text.push_str("\n| Cases |");
    for kind in KINDS {
        write!(text, " {} |", kind.title()).unwrap();
    }
    text.push_str("\n|---|---|---|---|---|\n");
    // Cases with the same outcomes are one row.
    let mut cases: Vec<(String, Vec<&str>)> = Vec::new();
    for row in rows {
        let mut cells = String::new();
        for outcome in &row.cells {
            match outcome {
                None => cells.push_str(" – |"),
                Some(outcome) => write!(cells, " {} |", outcome.cell()).unwrap(),
            }
        }
        match cases.iter_mut().find(|(other, _)| *other == cells) {
            Some((_, faults)) => faults.push(row.fault),
            None => cases.push((cells, vec![row.fault])),
        }
    }
    for (cells, faults) in cases {
        writeln!(text, "| {} |{cells}", faults.join("; ")).unwrap();
    }
    text.push_str(OPTIONS);
    for (option, fault, outcome) in options {
        writeln!(text, "| {option} | {fault} | {} |", outcome.cell()).unwrap();
    }
    text
}

const OPTIONS: &str = "
## Permissive options

`BtauthScheme::accept_unbound` and `DendriteScheme::accept_old_versions` are disabled by default.

| Option | Request | Outcome |
|---|---|---|
";
