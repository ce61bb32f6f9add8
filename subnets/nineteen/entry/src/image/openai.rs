//! Requests to OpenAI's image routes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use taonet_nineteen_core::task::Endpoint;
use taonet_nineteen_images::{Format, Picture, PictureError};

use super::output::OpenAiOutput;
use super::{DEFAULT_SIDE, ImageRequest, Output, SIDE_RANGE, parse_payload};
use crate::GatewayError;
use crate::request::{Fields, as_integer};

/// Default number of denoising steps, as in synthetic requests; also that of the qualities `medium`
/// and `standard`.
const DEFAULT_STEPS: u64 = 8;
/// Denoising steps of the quality `low`.
const LOW_STEPS: u64 = 5;
/// Denoising steps of the qualities `high` and `hd`.
const HIGH_STEPS: u64 = 20;
/// Maximum number of images of a request, as in OpenAI's API.
const MAX_IMAGES: u64 = 10;
/// Sizes of OpenAI's API that are smaller than those of miners: a larger image is scaled to them.
const SMALL_SIZES: [(&str, u32); 2] = [("256x256", 256), ("512x512", 512)];
/// Both sides of a scaled image are multiples of this number of pixels, as diffusion models need.
const SIDE_MULTIPLE: u64 = 8;
/// Default quality of JPEG files.
const JPEG_QUALITY: u64 = 90;

impl ImageRequest {
    /// Parses a request to `POST /v1/images/generations`.
    pub(crate) fn parse_generation(body: &[u8]) -> Result<Self, GatewayError> {
        let mut fields = Fields::parse(body)?;
        let options = ImageOptions::take(&mut fields)?;
        let model = fields.take_model()?;
        let size = options.size.unwrap_or((DEFAULT_SIDE, DEFAULT_SIDE));
        options.into_request(Some(model), fields, Endpoint::TextToImage, size)
    }

    /// Parses a request to `POST /v1/images/edits`, whose form was converted to an object: with a
    /// mask, to the inpaint route, otherwise to the route for a prompt and an image. Decodes the
    /// images, which takes up to some 100 ms.
    pub(crate) fn parse_edit(body: &[u8]) -> Result<Self, GatewayError> {
        let mut fields = Fields::parse(body)?;
        let options = ImageOptions::take(&mut fields)?;
        fields.refuse_unless(
            "input_fidelity",
            |value| value == "low",
            "only input_fidelity = low is supported",
        )?;
        let model = if fields.has("model") { Some(fields.take_model()?) } else { None };
        let (file, image) = take_picture(&mut fields, "image")?.ok_or_else(|| {
            GatewayError::field("image", "image must be a PNG, JPEG or WebP file")
        })?;
        let size = match options.size {
            Some(size) => size,
            None => supported_size(&image)?,
        };
        let mut images = Map::new();
        images.insert("init_image".to_owned(), file.into());
        let mut endpoint = Endpoint::ImageToImage;
        if let Some((_, mask)) = take_picture(&mut fields, "mask")? {
            images.insert("mask".to_owned(), to_white_mask(&mask, &image)?.into());
            endpoint = Endpoint::Inpaint;
        }
        fields.0.extend(images);
        options.into_request(model, fields, endpoint, size)
    }
}

/// Options of both routes.
struct ImageOptions {
    count: u64,
    output: OpenAiOutput,
    /// `None` for `auto`.
    size: Option<(u64, u64)>,
    steps: u64,
}

impl ImageOptions {
    fn take(fields: &mut Fields) -> Result<Self, GatewayError> {
        let is_one_of = |expected: &'static [&'static str]| {
            move |value: &Value| value.as_str().is_some_and(|value| expected.contains(&value))
        };
        fields.refuse_unless(
            "background",
            is_one_of(&["auto", "opaque"]),
            "background must be auto or opaque",
        )?;
        fields.refuse_unless(
            "moderation",
            is_one_of(&["auto"]),
            "only moderation = auto is supported",
        )?;
        fields.refuse_unless(
            "stream",
            |value| *value == Value::Bool(false),
            "images are not streamed",
        )?;
        fields.refuse_unless(
            "partial_images",
            |value| as_integer(value) == Some(0),
            "partial_images must be 0",
        )?;
        let is_url = match fields.take("response_format") {
            None => false,
            Some(format) if format == "b64_json" => false,
            Some(format) if format == "url" => true,
            Some(_) => {
                return Err(GatewayError::field(
                    "response_format",
                    "response_format must be b64_json or url",
                ));
            }
        };
        let steps = match fields.take("quality").as_ref().map(Value::as_str) {
            None | Some(Some("auto" | "standard" | "medium")) => DEFAULT_STEPS,
            Some(Some("low")) => LOW_STEPS,
            Some(Some("high" | "hd")) => HIGH_STEPS,
            Some(_) => {
                let message = "quality must be auto, low, medium, high, standard or hd";
                return Err(GatewayError::field("quality", message));
            }
        };
        let format = match fields.take("output_format").as_ref().map(Value::as_str) {
            None => None,
            Some(Some("png")) => Some(Format::Png),
            Some(Some("jpeg")) => Some(Format::Jpeg),
            Some(_) => {
                return Err(GatewayError::field(
                    "output_format",
                    "output_format must be png or jpeg",
                ));
            }
        };
        let quality = fields.take_integer("output_compression", 0, 100)?;
        if quality.is_some() && format != Some(Format::Jpeg) {
            let message = "output_compression requires output_format = jpeg";
            return Err(GatewayError::field("output_compression", message));
        }
        let quality = u8::try_from(quality.unwrap_or(JPEG_QUALITY)).unwrap_or(u8::MAX);
        let (size, side) = parse_size(fields.take("size"))?;
        Ok(Self {
            count: fields.take_integer("n", 1, MAX_IMAGES)?.unwrap_or(1),
            output: OpenAiOutput { is_url, format, quality, side },
            size,
            steps,
        })
    }

    fn into_request(
        self,
        model: Option<String>,
        fields: Fields,
        endpoint: Endpoint,
        size: (u64, u64),
    ) -> Result<ImageRequest, GatewayError> {
        Ok(ImageRequest {
            model,
            payload: parse_payload(fields, endpoint, size, self.steps)?,
            endpoint,
            count: usize::try_from(self.count).unwrap_or(1),
            output: Output::OpenAi(self.output),
        })
    }
}

/// Width and height of the image that a miner makes, `None` for the default; and the side of the
/// square to which the gateway scales it, `None` for no scaling.
type RequestedSize = (Option<(u64, u64)>, Option<u32>);

fn parse_size(size: Option<Value>) -> Result<RequestedSize, GatewayError> {
    let Some(size) = size else { return Ok((None, None)) };
    let text = size.as_str().ok_or_else(invalid_size)?;
    if text == "auto" {
        return Ok((None, None));
    }
    if let Some((_, side)) = SMALL_SIZES.iter().find(|(name, _)| *name == text) {
        return Ok((Some((DEFAULT_SIDE, DEFAULT_SIDE)), Some(*side)));
    }
    let (width, height) = text.split_once('x').ok_or_else(invalid_size)?;
    Ok((Some((parse_side(width)?, parse_side(height)?)), None))
}

fn parse_side(text: &str) -> Result<u64, GatewayError> {
    text.parse().ok().filter(|side| SIDE_RANGE.contains(side)).ok_or_else(invalid_size)
}

fn invalid_size() -> GatewayError {
    GatewayError::field(
        "size",
        "size must be auto, 256x256, 512x512 or WIDTHxHEIGHT, each in 513..=2047",
    )
}

/// Returns the size of an image if miners support it, otherwise the nearest supported size with
/// nearly the same ratio.
fn supported_size(image: &Picture) -> Result<(u64, u64), GatewayError> {
    let image_size = (u64::from(image.width()), u64::from(image.height()));
    let (shorter, longer) = (image_size.0.min(image_size.1), image_size.0.max(image_size.1));
    let scaled = |to: u64, from: u64| {
        let side = |side: u64| {
            (side * to / from.max(1) + SIDE_MULTIPLE / 2) / SIDE_MULTIPLE * SIDE_MULTIPLE
        };
        (side(image_size.0), side(image_size.1))
    };
    let (width, height) = if shorter < *SIDE_RANGE.start() {
        scaled(SIDE_RANGE.start().next_multiple_of(SIDE_MULTIPLE), shorter)
    } else if longer > *SIDE_RANGE.end() {
        scaled(*SIDE_RANGE.end() / SIDE_MULTIPLE * SIDE_MULTIPLE, longer)
    } else {
        image_size
    };
    if SIDE_RANGE.contains(&width) && SIDE_RANGE.contains(&height) {
        return Ok((width, height));
    }
    Err(GatewayError::field("image", "image is too narrow; hint: set size, to which it is scaled"))
}

/// Takes an image file; returns it in base64 in a format that miners read, and decoded.
fn take_picture(
    fields: &mut Fields,
    name: &'static str,
) -> Result<Option<(String, Picture)>, GatewayError> {
    let Some(value) = fields.take(name) else { return Ok(None) };
    let file = value.as_str().and_then(|text| STANDARD.decode(text).ok());
    let file = file.ok_or_else(|| invalid_picture(name, &PictureError::Base64))?;
    let picture = Picture::decode(&file).map_err(|error| invalid_picture(name, &error))?;
    let file = match Format::detect(&file) {
        // The reference's routes accept no WebP files.
        Some(Format::WebP) => picture.to_png().map_err(|error| invalid_picture(name, &error))?,
        _ => file,
    };
    Ok(Some((STANDARD.encode(file), picture)))
}

fn invalid_picture(name: &str, error: &PictureError) -> GatewayError {
    GatewayError::field(name, format!("{name} {error}"))
}

/// Converts an OpenAI mask to a mask of the miners, in base64.
fn to_white_mask(mask: &Picture, image: &Picture) -> Result<String, GatewayError> {
    let (width, height) = (image.width(), image.height());
    if (mask.width(), mask.height()) != (width, height) {
        return Err(GatewayError::field(
            "mask",
            format!("mask must have the size of image, {width}x{height}"),
        ));
    }
    let white = mask.transparent_to_white().and_then(|mask| mask.to_png());
    let white = white.map_err(|error| GatewayError::field("mask", format!("mask {error}")))?;
    Ok(STANDARD.encode(white))
}

#[cfg(test)]
mod tests;
