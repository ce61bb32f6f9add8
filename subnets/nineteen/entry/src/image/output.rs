//! Format of the images that buyers receive.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use taonet_nineteen_images::{Format, Picture, PictureError};

use crate::GatewayError;

/// Format of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// The reference's format: `{"image_b64": IMAGE}`.
    Reference,
    /// OpenAI's format.
    OpenAi(OpenAiOutput),
}

/// Options of an answer in OpenAI's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpenAiOutput {
    /// Whether each image is a data URL instead of base64.
    pub(super) is_url: bool,
    /// Format of the files; `None` keeps the format of the miner.
    pub(super) format: Option<Format>,
    /// Quality of JPEG files, in `0..=100`.
    pub(super) quality: u8,
    /// Width and height to which the images are scaled.
    pub(super) side: Option<u32>,
}

impl Output {
    /// Returns whether images may be decoded and encoded, which takes up to some 100 ms each.
    pub(crate) const fn needs_conversion(self) -> bool {
        matches!(self, Self::OpenAi(OpenAiOutput { format, side, .. }) if format.is_some() || side.is_some())
    }

    /// Returns the name of the field with the image to change.
    pub(crate) const fn image_field(self) -> &'static str {
        match self {
            Self::Reference => "init_image",
            Self::OpenAi(_) => "image",
        }
    }

    /// Returns the response with these images of miners, in base64.
    ///
    /// # Errors
    /// [`GatewayError::NoAnswer`] for an image that cannot be converted.
    pub(crate) fn document(self, images: Vec<String>, created: i64) -> Result<Value, GatewayError> {
        match self {
            Self::Reference => match images.into_iter().next() {
                Some(image) => Ok(json!({ "image_b64": image })),
                None => Err(GatewayError::NoAnswer),
            },
            Self::OpenAi(output) => {
                let data = images
                    .into_iter()
                    .map(|image| output.image_entry(image))
                    .collect::<Result<Vec<_>, _>>();
                let data = data.map_err(|error| {
                    tracing::debug!(%error, "a miner's image cannot be converted");
                    GatewayError::NoAnswer
                })?;
                Ok(json!({"created": created, "data": data}))
            }
        }
    }
}

impl OpenAiOutput {
    fn image_entry(self, image: String) -> Result<Value, PictureError> {
        if !self.is_url && self.side.is_none() && self.format.is_none() {
            return Ok(json!({"b64_json": image}));
        }
        let file = STANDARD.decode(&image).map_err(|_| PictureError::Base64)?;
        let file_format = Format::detect(&file);
        // A file in another format, such as GIF, becomes a PNG file if it is converted at all.
        let format = match self.format.or(file_format) {
            Some(Format::Jpeg) => Format::Jpeg,
            _ => Format::Png,
        };
        let image = if self.side.is_none()
            && self.format.is_none_or(|format| file_format == Some(format))
        {
            image
        } else {
            let mut picture = Picture::decode(&file)?;
            if let Some(side) = self.side {
                picture = picture.scaled(side, side);
            }
            STANDARD.encode(match format {
                Format::Jpeg => picture.to_jpeg(self.quality)?,
                _ => picture.to_png()?,
            })
        };
        Ok(if self.is_url {
            json!({"url": format!("data:{};base64,{image}", format.media_type())})
        } else {
            json!({"b64_json": image})
        })
    }
}
