//! Responses that are not an answer of a miner, and the remedy for each kind.

use std::borrow::Cow;

use super::Rule;
use super::probe::Reply;

/// Remedy for a web page in place of a miner's response.
pub const PAGE_REMEDY: &str = "a proxy or web server answered in place of the miner: start the miner behind it, and check the \
    proxy's upstream address and timeout";

/// Why a request has no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoReply {
    /// The connection failed.
    Unreachable,
    /// The connection failed after earlier responses.
    Ended,
    /// The peer does not speak HTTP, or the response is malformed.
    NotHttp,
    /// The response was not complete in time.
    TimedOut,
    /// The response exceeds the limit.
    TooLarge,
    /// The request could not be made.
    Unsent,
}

/// A failed exchange: its kind, and a description for the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FailedExchange {
    pub(super) kind: Fault,
    pub(super) observation: String,
}

/// Kind of a response that is not an answer of a miner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// No response.
    NoReply(NoReply),
    /// A redirect.
    Redirect,
    /// A compressed body, although the request has no `Accept-Encoding`.
    Compressed,
    /// A web page, as proxies and web servers return.
    Page,
    /// An HTTP status other than 200 that is none of the above.
    Status(u16),
    /// Status 200 without a JSON object, or with a JSON object that has the key `error`.
    NotAnswer,
}

impl Fault {
    /// Returns the kind of a response with this status and body; `None` if its status is 200 and it
    /// is not a page.
    pub(super) fn of(reply: &Reply) -> Option<Self> {
        match reply.status {
            300..400 => Some(Self::Redirect),
            404 | 405 => Some(Self::Status(reply.status)),
            _ if reply.encoding.is_some() => Some(Self::Compressed),
            _ if reply.is_page() => Some(Self::Page),
            200 => None,
            status => Some(Self::Status(status)),
        }
    }

    /// Returns the remedy. `rule` is the rule that the request checked, `path` the route of the
    /// request; `is_text` tells the text contest, which has neither audio nor frames, from the
    /// speech contest.
    pub(super) fn remedy(&self, rule: Rule, path: &str, is_text: bool) -> Cow<'static, str> {
        let signature = Rule::SignedRequest.fix_hint();
        Cow::Borrowed(match self {
            Self::NoReply(NoReply::Unreachable) => {
                "start the miner, and check scheme, host, port and firewall: no connection can be opened"
            }
            Self::NoReply(NoReply::Ended) => {
                "read the miner's log: it ended or restarted during the test, or closed the connection"
            }
            Self::NoReply(NoReply::NotHttp) => {
                "check scheme and port: the peer does not speak HTTP there, or closed the connection"
            }
            Self::NoReply(NoReply::TimedOut) if is_text => {
                "respond in time: load models before the first request"
            }
            Self::NoReply(NoReply::TimedOut) => {
                "respond in time: load models before the first request, and process audio in the background"
            }
            Self::NoReply(NoReply::TooLarge) => {
                "limit the response: a validator reads no more bytes"
            }
            Self::NoReply(NoReply::Unsent) => "correct the address of the miner",
            Self::Redirect => {
                "serve the route itself: validators follow no redirects. If the new address is the miner's, use and \
                 register that address"
            }
            Self::Compressed => {
                "disable compression, in a proxy too: the request has no Accept-Encoding, and validators read JSON \
                 as it is"
            }
            Self::Page => PAGE_REMEDY,
            Self::Status(404 | 405) if rule == Rule::Health => rule.fix_hint(),
            // The route of the text contest has no setting.
            Self::Status(404 | 405) if is_text => return Cow::Owned(format!("serve POST {path}")),
            Self::Status(404 | 405) => {
                return Cow::Owned(format!(
                    "serve POST {path}, or set BB_MINER_PREDICT_ENDPOINT if the miner has another route"
                ));
            }
            Self::Status(401) => signature,
            Self::Status(403) => {
                "allow the calling validator: sign with the hotkey of a validator that it knows (--wallet-name)"
            }
            Self::Status(400 | 422) => {
                "accept the request's fields: the response names the field that the miner does not accept"
            }
            Self::Status(413) if is_text => {
                "accept larger bodies: a request repeats the dialogue up to its last word"
            }
            Self::Status(413) => {
                "accept larger bodies: a frame of audio has about 10 kB per channel"
            }
            Self::Status(429) if is_text => {
                "do not limit the rate of validators: they send a request for each word as soon as they can"
            }
            Self::Status(429) => {
                "do not limit the rate of validators: they send a frame as soon as they can"
            }
            Self::Status(502 | 504) => {
                "the miner did not answer its proxy: start it, and check the proxy's upstream address and timeout"
            }
            Self::Status(503) => {
                "wait until the miner has loaded its model, or start it if it has ended"
            }
            Self::Status(500..) => "read the miner's log: its handler failed with this error",
            Self::Status(_) => "respond with status 200",
            Self::NotAnswer if rule == Rule::SignedRequest => {
                "respond with a JSON object that has no key \"error\""
            }
            Self::NotAnswer => rule.fix_hint(),
        })
    }
}
