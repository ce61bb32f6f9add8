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

This page is generated: `TAONET_UPDATE_DOCS=1 cargo test -p taonet-wire --test refusals` updates it.

HTTP requests are signed with btauth/1 of SDK 11, dendrite of SDK 10, or Babelbit's scheme, with one
form for calls to axons and one for calls to the managed miners of the arena.

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

**No scheme encrypts requests**: if others can read the traffic, use TLS or a private network. An
attacker in transit can change everything that is not signed. Use btauth/1 if both sides support it.

- **Chunked requests.** Chunked transfer encoding takes precedence over `Content-Length` (RFC 9112).
  A reverse proxy must do the same.
- **Replays.** Each server accepts a request once, with a replay log also across restarts; two
  servers of one hotkey accept it once each. If the log is new, missing or damaged, the server
  refuses all requests that an earlier process could have accepted: those signed before its start,
  and those whose time is ahead of its clock by no more than that of the requests accepted so far.
  It logs the time from which it accepts all requests again.

## What is refused

The cases differ from a valid request. **accepted** means that the scheme does not sign the altered
part, or that the server handles the variant safely; a dash means that the case does not apply.
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
                Some(outcome) => write!(cells, " {} |", outcome.table_cell()).unwrap(),
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
        writeln!(text, "| {option} | {fault} | {} |", outcome.table_cell()).unwrap();
    }
    text
}

const OPTIONS: &str = "
## Permissive options

`BtauthScheme::accept_unbound` and `DendriteScheme::accept_old_versions` are disabled by default.

| Option | Request | Outcome |
|---|---|---|
";
