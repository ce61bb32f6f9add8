//! Images of Nineteen's requests and answers: formats, masks, hashes, and a painter for development
//! networks.
//!
//! - [`Picture`]: a decoded image. Decoding limits dimensions and memory, because images come from
//!   buyers and miners;
//! - [`parse_edit_form`]: the form of `/v1/images/edits` as a JSON object;
//! - [`hashes`] and [`embedding`]: similarity data that an image server sends with each image, by
//!   which validators compare images;
//! - [`paint`]: draws the image for a request to a miner ([`PaintRequest`]), as a pure function of
//!   its fields;
//! - [`router`]: an image server with the routes of the reference's image workers and of OpenAI's
//!   API, over the painter; [`worker_answer`] is a worker's response with an image.
//!
//! The painter is not a diffusion model: it draws gradients and ellipses in colours that follow
//! from the words of the prompt. But its image depends on every field of the request as that of a
//! model does: a miner that computes fewer steps, or that ignores seed or prompt, sends another
//! image than the validator expects. So a market of image tasks runs, and is tested, without a
//! model and a GPU.
//!
//! ```
//! use serde_json::json;
//! use taonet_nineteen_core::task::Endpoint;
//! use taonet_nineteen_images::{PaintRequest, paint};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let payload = json!({"prompt": "a red boat", "steps": 8, "width": 640, "height": 576, "seed": 7});
//! let request = PaintRequest::parse(Endpoint::TextToImage, payload.as_object().ok_or("an object")?)?;
//! let picture = paint(&request);
//! assert_eq!((picture.width(), picture.height()), (640, 576));
//! assert_eq!(picture.to_png()?, paint(&request).to_png()?);
//! # Ok(())
//! # }
//! ```
//!
//! Uses `taonet-nineteen-core` (routes, hashes). Used by `taonet-nineteen-entry` (formats, masks,
//! forms), `taonet-nineteen-miner` (masks) and `tao nineteen`.

// Colours and hashes are compared exactly.
#![cfg_attr(test, allow(clippy::float_cmp))]

mod colours;
mod form;
mod hashes;
mod painter;
mod picture;
mod request;
mod server;

pub use form::{FormError, parse_edit_form};
pub use hashes::{embedding, hashes};
pub use painter::paint;
pub use picture::{Format, MAX_SIDE, Picture, PictureError};
pub use request::{PaintRequest, PaintRequestError};
pub use server::{router, worker_answer};
