//! The web page of a running network: server-rendered, read-only, live by server-sent events.
//!
//! A [`Dashboard`] consists of [`Section`]s. A section reads one source of data, renders its pages with a [`View`], and
//! reports changes through [`Changes`]; open pages then refresh the parts marked with [`live`]. A subnet adds its pages
//! by implementing [`Section`]; [`ChainSection`] shows the chain.
//!
//! - **Without scripts** every page reads completely. The script only refreshes parts; charts are SVG from the server
//!   ([`draw`]).
//! - **Untrusted text** (names, errors, transcripts) is escaped by maud, and [`shown`] replaces control characters,
//!   including those that reverse the direction of text.
//! - **Nothing leaves the host**: style sheet and script are embedded; the content security policy allows nothing else.
//! - **Read-only**: the server answers GET and HEAD only.
//!
//! Uses `taonet-http` (server, access token), `taonet-chain` (reads) and maud.
//! Used by `taonet-babelbit-dashboard`, `tao dashboard` and `tao demo`.

mod access;
mod assets;
mod base_path;
mod chain;
mod changes;
pub mod draw;
mod file;
mod format;
mod layout;
mod site;
mod table;
mod view;

pub use access::Access;
pub use base_path::{BasePath, BasePathError};
pub use chain::ChainSection;
pub use changes::Changes;
pub use file::send_file;
pub use format::{ago, duration, number, percent, shortened, shown, timestamp};
pub use layout::{live, problem};
pub use site::{Dashboard, Link, Section, Site};
pub use table::{Paging, Sort};
pub use view::{Page, Refusal, Theme, View};
