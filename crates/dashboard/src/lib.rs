//! Web pages that show a running network, rendered by the server and updated live through
//! server-sent events.
//!
//! A [`Dashboard`] consists of [`Section`]s. A section reads one source of data, renders its pages
//! with a [`View`], and reports changes through [`Changes`]; open pages then refresh the parts
//! marked with [`live`]. A subnet adds its pages by implementing [`Section`]; [`ChainSection`]
//! shows the chain, [`WeightsSection`] the weight ledger, [`ServicesSection`] the state of daemons,
//! and [`LogSection`] log files. While a section has [`problems`](Section::problems), such as a
//! service that has failed, open pages show their number in place of "live". A strip at the top of
//! each page shows the [`health`](Section::health) of every subnet. [`NoticeSection`] shows a
//! message, such as what has stopped at the end of a demonstration.
//!
//! ```
//! use taonet_dashboard::{Access, BasePath, Changes, Dashboard, LogSection};
//! use taonet_service::Shutdown;
//!
//! let log = LogSection::new(vec!["validator.log".into()]);
//! let dashboard = Dashboard::new(Access::Local, BasePath::default(), Changes::default()).with(log);
//! // For `taonet_http::serve`.
//! let routes = dashboard.router(Shutdown::new());
//! # let _ = routes;
//! ```
//!
//! - **The pages of this crate are complete without scripts.** Their script only refreshes parts
//!   and controls playback; charts are SVG from the server ([`draw`]).
//! - **Untrusted text** (names, errors, transcripts) is escaped by maud, and [`printable`] escapes
//!   control characters, including those that reverse the direction of text.
//! - **Pages load nothing from other hosts**: style sheet and script are embedded in the program,
//!   and the content security policy forbids all other sources.
//! - **In a terminal**, [`Top`] shows the overview from the same sections, as [`Panel`]s.
//! - **Read-only**: the pages of this crate answer GET and HEAD only. A section may have routes for
//!   other methods; the server refuses their requests unless they come from a page of this site
//!   (header `Origin`).
//!
//! A section is empty until its method `follow` runs, usually as a task of the daemon; an
//! unreachable chain or a malformed file appears on the page as an error and is read again later.
//! [`Access::Local`] is for loopback addresses only; elsewhere a token is needed
//! ([`Access::Token`]). At most 512 pages receive live updates at a time. The crate stores nothing:
//! pages show as much history as the sources keep.
//!
//! Uses `taonet-http` (server, access token), `taonet-chain` (reads), `taonet-ledger`
//! (submissions), `taonet-service`, `taonet-primitives`, maud and ratatui. Used by
//! `taonet-babelbit-dashboard`, `taonet-nineteen-dashboard`, `taonet-prompting-dashboard`,
//! `taonet-proof-dashboard`, `tao dashboard`, `tao top` and `tao demo`.

mod access;
mod assets;
mod base_path;
mod chain;
mod changes;
pub mod draw;
mod file;
mod format;
mod health;
mod layout;
mod log;
mod notice;
mod panel;
mod poll;
mod services;
mod site;
#[cfg(test)]
mod speed;
mod table;
mod top;
mod view;
mod weights;

pub use access::Access;
pub use base_path::{BasePath, BasePathError};
pub use chain::ChainSection;
pub use changes::Changes;
pub use file::{open_file, send_file};
pub use format::{
    ago, duration, grouped, now_unix, number, percent, printable, shortened, timestamp,
};
pub use health::{AnsweringMiners, Condition, Health};
pub use layout::{activity, live, problem};
pub use log::LogSection;
pub use notice::NoticeSection;
pub use panel::{Column, Content, Panel, PlainTable};
pub use poll::poll;
pub use services::{ServiceAddress, ServiceAddressError, ServicesSection};
pub use site::{Dashboard, Link, Section, Site};
pub use table::{Paging, Sort};
pub use top::Top;
pub use view::{Page, Refusal, Theme, View};
pub use weights::WeightsSection;
