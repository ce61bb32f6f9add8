//! Requests to the painter: payloads of the miners' image routes.

use serde_json::{Map, Value};
use taonet_nineteen_core::payload::MAX_SEED;
use taonet_nineteen_core::task::Endpoint;

use crate::{Picture, PictureError};

/// Default number of denoising steps.
const DEFAULT_STEPS: u32 = 8;
/// Default width and height, in pixels.
const DEFAULT_SIDE: u32 = 1_024;
/// Default guidance scale: how closely an image follows the prompt.
const DEFAULT_CFG_SCALE: f32 = 3.0;
/// Default of each strength field.
const DEFAULT_STRENGTH: f32 = 0.5;

/// Why the payload of an image request is invalid.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PaintRequestError {
    /// The painter does not serve the route.
    #[error("route {0} is not served")]
    Route(&'static str),
    /// A field is missing, or its value is out of range.
    #[error("{name} must be {expected}")]
    Field {
        /// Name of the field.
        name: &'static str,
        /// Permitted values.
        expected: &'static str,
    },
    /// A field is not a valid image.
    #[error("{name} {reason}")]
    Picture {
        /// Name of the field.
        name: &'static str,
        /// Why the image is invalid.
        reason: PictureError,
    },
}

impl PaintRequestError {
    /// Returns the name of the invalid field.
    pub const fn field(&self) -> Option<&'static str> {
        match self {
            Self::Route(_) => None,
            Self::Field { name, .. } | Self::Picture { name, .. } => Some(name),
        }
    }
}

/// Input of an image request besides the prompt.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ImageSource {
    /// Noise.
    Noise,
    /// An image, of which a share in `0..=1` is kept.
    Image(Picture, f32),
    /// An image, of which the white part of the mask is replaced.
    Masked(Picture, Picture),
    /// The image of a face: the share of it that is kept, and how much the face is protected from
    /// changes.
    Face(Picture, f32, f32),
}

/// A parsed request. Limits are those of the reference's image workers.
#[derive(Debug, Clone, PartialEq)]
pub struct PaintRequest {
    pub(crate) prompt: String,
    pub(crate) negative_prompt: String,
    pub(crate) steps: u32,
    pub(crate) cfg_scale: f32,
    pub(crate) size: (u32, u32),
    pub(crate) seed: u64,
    pub(crate) source: ImageSource,
}

impl PaintRequest {
    /// Parses the payload of a request to an image route. Decodes its images, which takes up to
    /// some 100 ms.
    ///
    /// # Errors
    /// [`PaintRequestError`] with the name of the invalid field.
    pub fn parse(
        endpoint: Endpoint,
        payload: &Map<String, Value>,
    ) -> Result<Self, PaintRequestError> {
        let fields = Fields(payload);
        let source = match endpoint {
            Endpoint::TextToImage => ImageSource::Noise,
            Endpoint::ImageToImage => ImageSource::Image(
                fields.picture("init_image")?,
                fields.strength("image_strength", 0.01..=1.0)?,
            ),
            Endpoint::Inpaint => {
                ImageSource::Masked(fields.picture("init_image")?, fields.picture("mask_image")?)
            }
            Endpoint::Avatar => ImageSource::Face(
                fields.picture("init_image")?,
                fields.strength("ipadapter_strength", 0.1..=1.0)?,
                fields.strength("control_strength", 0.1..=1.01)?,
            ),
            other => return Err(PaintRequestError::Route(other.path())),
        };
        let prompt = fields.text("prompt")?;
        if prompt.trim().is_empty() {
            return Err(PaintRequestError::Field { name: "prompt", expected: "a text" });
        }
        let cfg_scale = fields
            .number("cfg_scale", 1.0..=12.0, "a number in 1..=12")?
            .unwrap_or(DEFAULT_CFG_SCALE);
        let side = |name| fields.integer(name, 513, 2_047, "an integer in 513..=2047");
        Ok(Self {
            prompt,
            negative_prompt: fields.text("negative_prompt")?,
            steps: fields.integer("steps", 5, 49, "an integer in 5..=49")?.unwrap_or(DEFAULT_STEPS),
            cfg_scale,
            size: (side("width")?.unwrap_or(DEFAULT_SIDE), side("height")?.unwrap_or(DEFAULT_SIDE)),
            seed: fields.seed()?,
            source,
        })
    }
}

struct Fields<'a>(&'a Map<String, Value>);

impl Fields<'_> {
    /// Returns the value of a field; `null` counts as absent.
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn text(&self, name: &'static str) -> Result<String, PaintRequestError> {
        match self.get(name) {
            None => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(_) => Err(PaintRequestError::Field { name, expected: "a text" }),
        }
    }

    fn picture(&self, name: &'static str) -> Result<Picture, PaintRequestError> {
        let expected = "an image in base64";
        let text = self
            .get(name)
            .and_then(Value::as_str)
            .ok_or(PaintRequestError::Field { name, expected })?;
        Picture::from_base64(text).map_err(|reason| PaintRequestError::Picture { name, reason })
    }

    fn number(
        &self,
        name: &'static str,
        range: std::ops::RangeInclusive<f64>,
        expected: &'static str,
    ) -> Result<Option<f32>, PaintRequestError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let number = value.as_f64().filter(|number| range.contains(number));
        number.map(|number| Some(number as f32)).ok_or(PaintRequestError::Field { name, expected })
    }

    fn strength(
        &self,
        name: &'static str,
        range: std::ops::RangeInclusive<f64>,
    ) -> Result<f32, PaintRequestError> {
        Ok(self
            .number(name, range, "a number above 0, at most 1")?
            .unwrap_or(DEFAULT_STRENGTH)
            .min(1.0))
    }

    fn integer(
        &self,
        name: &'static str,
        minimum: u32,
        maximum: u32,
        expected: &'static str,
    ) -> Result<Option<u32>, PaintRequestError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        let number = number.filter(|number| (minimum..=maximum).contains(number));
        number.map(Some).ok_or(PaintRequestError::Field { name, expected })
    }

    fn seed(&self) -> Result<u64, PaintRequestError> {
        let Some(value) = self.get("seed") else { return Ok(1) };
        let expected = "an integer in 0..=100000000";
        let seed = value.as_u64().filter(|seed| *seed <= MAX_SEED);
        seed.ok_or(PaintRequestError::Field { name: "seed", expected })
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use image::RgbaImage;
    use serde_json::json;

    use super::*;

    #[test]
    fn invalid_paint_field_is_named_in_the_error() {
        let png = STANDARD.encode(Picture::from_pixels(RgbaImage::new(8, 8)).to_png().unwrap());
        let parse =
            |endpoint, body: &Value| PaintRequest::parse(endpoint, body.as_object().unwrap());
        let complete =
            json!({"prompt": "a", "init_image": png, "mask_image": png, "negative_prompt": null});
        for endpoint in
            [Endpoint::TextToImage, Endpoint::ImageToImage, Endpoint::Inpaint, Endpoint::Avatar]
        {
            let request = parse(endpoint, &complete).unwrap();
            assert_eq!((request.steps, request.size, request.seed), (8, (1_024, 1_024), 1));
        }
        for (endpoint, field, value) in [
            (Endpoint::TextToImage, "prompt", json!(" ")),
            (Endpoint::TextToImage, "prompt", json!(7)),
            (Endpoint::TextToImage, "steps", json!(4)),
            (Endpoint::TextToImage, "steps", json!(50)),
            (Endpoint::TextToImage, "width", json!(512)),
            (Endpoint::TextToImage, "height", json!(2_048)),
            (Endpoint::TextToImage, "cfg_scale", json!("3")),
            (Endpoint::TextToImage, "seed", json!(-1)),
            (Endpoint::ImageToImage, "init_image", json!("aGVsbG8=")),
            (Endpoint::ImageToImage, "image_strength", json!(0)),
            (Endpoint::Inpaint, "mask_image", json!("%")),
            (Endpoint::Inpaint, "mask_image", Value::Null),
            (Endpoint::Avatar, "ipadapter_strength", json!(1.1)),
            (Endpoint::Avatar, "control_strength", json!(0.05)),
        ] {
            let mut body = complete.clone();
            body[field] = value;
            let error = parse(endpoint, &body).unwrap_err();
            assert_eq!(error.field(), Some(field), "{error}");
            assert!(error.to_string().starts_with(field), "{error}");
        }
        assert!(matches!(
            parse(Endpoint::Upscale, &complete),
            Err(PaintRequestError::Route("/upscale"))
        ));
    }
}
