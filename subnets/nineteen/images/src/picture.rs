//! Images in memory: decoding with limits, encoding, scaling and masks.

use std::io::Cursor;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType as PngFilter, PngEncoder};
use image::imageops::FilterType;
use image::{DynamicImage, GrayImage, ImageFormat, ImageReader, Limits, Luma, Rgba, RgbaImage};

/// Maximum width and height of a decoded image, in pixels: twice those of the largest image that
/// miners create.
pub const MAX_SIDE: u32 = 4_096;
/// Maximum memory of a decoder, in bytes: an image of the largest sides with four channels of 16
/// bits.
const MAX_DECODER_BYTES: u64 = 8 * (MAX_SIDE as u64) * (MAX_SIDE as u64);
/// Smallest value of a channel that counts as set in a mask: half of the range.
const MASK_THRESHOLD: u8 = 128;

/// Format of an image file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// PNG.
    Png,
    /// JPEG.
    Jpeg,
    /// WebP.
    WebP,
}

impl Format {
    /// Returns the format of a file, judged by its first bytes.
    pub fn detect(file: &[u8]) -> Option<Self> {
        match image::guess_format(file).ok()? {
            ImageFormat::Png => Some(Self::Png),
            ImageFormat::Jpeg => Some(Self::Jpeg),
            ImageFormat::WebP => Some(Self::WebP),
            _ => None,
        }
    }

    /// Returns the media type, such as `image/png`.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::WebP => "image/webp",
        }
    }

    const fn image_format(self) -> ImageFormat {
        match self {
            Self::Png => ImageFormat::Png,
            Self::Jpeg => ImageFormat::Jpeg,
            Self::WebP => ImageFormat::WebP,
        }
    }
}

/// Why an image cannot be decoded or encoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PictureError {
    /// The text is not base64.
    #[error("is not valid base64")]
    Base64,
    /// The file has another format.
    #[error("is not a PNG, JPEG or WebP image")]
    Format,
    /// The image has more pixels than [`MAX_SIDE`] allows, or its decoding takes too much
    /// memory.
    #[error("is larger than 4096x4096 pixels")]
    TooLarge,
    /// The file is truncated or malformed.
    #[error("is a damaged image: {0}")]
    Damaged(String),
    /// The mask has no alpha channel, so that no pixel can be transparent.
    #[error("has no alpha channel; hint: make the part to replace transparent")]
    NoAlpha,
}

impl From<image::ImageError> for PictureError {
    fn from(error: image::ImageError) -> Self {
        match error {
            image::ImageError::Limits(_) => Self::TooLarge,
            image::ImageError::Unsupported(_) => Self::Format,
            // Decoders quote bytes of the file.
            error => Self::Damaged(
                error.to_string().chars().filter(|char| !char.is_control()).take(200).collect(),
            ),
        }
    }
}

/// A decoded image.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture(DynamicImage);

impl Picture {
    /// Decodes a PNG, JPEG or WebP file. Takes up to some 100 ms.
    ///
    /// # Errors
    /// [`PictureError`] when the file is malformed or too large.
    pub fn decode(file: &[u8]) -> Result<Self, PictureError> {
        let format = Format::detect(file).ok_or(PictureError::Format)?;
        let mut limits = Limits::default();
        (limits.max_image_width, limits.max_image_height) = (Some(MAX_SIDE), Some(MAX_SIDE));
        limits.max_alloc = Some(MAX_DECODER_BYTES);
        let mut reader = ImageReader::with_format(Cursor::new(file), format.image_format());
        reader.limits(limits);
        Ok(Self(reader.decode()?))
    }

    /// Decodes a base64-encoded file.
    ///
    /// # Errors
    /// [`PictureError`] when the file is malformed or too large.
    pub fn from_base64(text: &str) -> Result<Self, PictureError> {
        Self::decode(&STANDARD.decode(text).map_err(|_| PictureError::Base64)?)
    }

    /// Creates an image from one byte of brightness for each pixel, row by row, such as a mask;
    /// `None` unless there are as many bytes as pixels.
    pub fn from_grey(width: u32, height: u32, pixels: Vec<u8>) -> Option<Self> {
        let is_complete = u64::try_from(pixels.len())
            .is_ok_and(|count| count == u64::from(width) * u64::from(height));
        let image = if is_complete { GrayImage::from_raw(width, height, pixels) } else { None };
        image.map(|image| Self(image.into()))
    }

    pub(crate) const fn from_pixels(pixels: RgbaImage) -> Self {
        Self(DynamicImage::ImageRgba8(pixels))
    }

    /// Returns the width, in pixels.
    pub fn width(&self) -> u32 {
        self.0.width()
    }

    /// Returns the height, in pixels.
    pub fn height(&self) -> u32 {
        self.0.height()
    }

    /// Returns the image as a PNG file. Transparency is kept if the image has any.
    ///
    /// # Errors
    /// [`PictureError::Damaged`] when the image has no pixels.
    pub fn to_png(&self) -> Result<Vec<u8>, PictureError> {
        let mut file = Vec::new();
        let encoder =
            PngEncoder::new_with_quality(&mut file, CompressionType::Fast, PngFilter::Adaptive);
        self.without_opaque_alpha().write_with_encoder(encoder)?;
        Ok(file)
    }

    /// Returns the image as a JPEG file of a quality in `1..=100`, without transparency.
    ///
    /// # Errors
    /// [`PictureError::Damaged`] when the image has no pixels.
    pub fn to_jpeg(&self, quality: u8) -> Result<Vec<u8>, PictureError> {
        let mut file = Vec::new();
        self.0
            .to_rgb8()
            .write_with_encoder(JpegEncoder::new_with_quality(&mut file, quality.clamp(1, 100)))?;
        Ok(file)
    }

    /// Returns the image scaled to this size.
    #[must_use]
    pub fn scaled(&self, width: u32, height: u32) -> Self {
        if (self.width(), self.height()) == (width, height) {
            return self.clone();
        }
        Self(self.0.resize_exact(width.max(1), height.max(1), FilterType::Triangle))
    }

    /// Converts an OpenAI mask, which marks the pixels to replace as transparent, to a mask of the
    /// miners, which marks them as white.
    ///
    /// # Errors
    /// [`PictureError::NoAlpha`] when the mask has no alpha channel.
    pub fn transparent_to_white(&self) -> Result<Self, PictureError> {
        if !self.0.color().has_alpha() {
            return Err(PictureError::NoAlpha);
        }
        let pixels = self.0.to_rgba8();
        let mut mask = GrayImage::new(pixels.width(), pixels.height());
        for (mask_pixel, Rgba([.., alpha])) in mask.pixels_mut().zip(pixels.pixels()) {
            *mask_pixel = Luma([if *alpha < MASK_THRESHOLD { u8::MAX } else { 0 }]);
        }
        Ok(Self(mask.into()))
    }

    /// Converts a mask of the miners, which marks the pixels to replace as white, to an OpenAI
    /// mask, which marks them as transparent.
    #[must_use]
    pub fn white_to_transparent(&self) -> Self {
        let pixels = self.0.to_luma8();
        let mut mask = RgbaImage::new(pixels.width(), pixels.height());
        for (mask_pixel, Luma([white])) in mask.pixels_mut().zip(pixels.pixels()) {
            *mask_pixel = Rgba([0, 0, 0, if *white < MASK_THRESHOLD { u8::MAX } else { 0 }]);
        }
        Self::from_pixels(mask)
    }

    /// Returns which pixels of a mask of the miners are white (to be replaced), row by row.
    pub(crate) fn white_pixels(&self) -> Vec<bool> {
        self.0.to_luma8().pixels().map(|Luma([white])| *white >= MASK_THRESHOLD).collect()
    }

    /// Returns the colours, row by row.
    pub(crate) fn rgb(&self) -> image::RgbImage {
        self.0.to_rgb8()
    }

    /// Returns the image, without its alpha channel if all pixels are opaque.
    fn without_opaque_alpha(&self) -> DynamicImage {
        match &self.0 {
            DynamicImage::ImageRgba8(pixels)
                if pixels.pixels().all(|Rgba([.., alpha])| *alpha == u8::MAX) =>
            {
                self.0.to_rgb8().into()
            }
            other => other.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradient(width: u32, height: u32) -> Picture {
        let pixel = |x: u32, y: u32| Rgba([(x * 7 % 256) as u8, (y * 5 % 256) as u8, 90, u8::MAX]);
        Picture::from_pixels(RgbaImage::from_fn(width, height, pixel))
    }

    #[test]
    fn png_keeps_every_pixel_and_jpeg_nearly() {
        let picture = gradient(40, 30);
        let png = picture.to_png().unwrap();
        assert_eq!(
            (Format::detect(&png), Picture::decode(&png).unwrap().rgb()),
            (Some(Format::Png), picture.rgb())
        );
        let jpeg = picture.to_jpeg(95).unwrap();
        let decoded = Picture::decode(&jpeg).unwrap();
        assert_eq!(
            (Format::detect(&jpeg), decoded.width(), decoded.height()),
            (Some(Format::Jpeg), 40, 30)
        );
        let encoded = Picture::from_base64(&STANDARD.encode(&png)).unwrap();
        assert_eq!(encoded.rgb(), picture.rgb());
        assert_eq!((picture.scaled(10, 20).width(), picture.scaled(10, 20).height()), (10, 20));
    }

    #[test]
    fn malformed_picture_files_are_rejected() {
        let png = gradient(40, 30).to_png().unwrap();
        assert!(matches!(Picture::from_base64("%"), Err(PictureError::Base64)));
        assert!(matches!(Picture::decode(b"GIF89a"), Err(PictureError::Format)));
        assert!(matches!(Picture::decode(b""), Err(PictureError::Format)));
        for file in [
            &png[..png.len() / 2],
            b"\xff\xd8\xff\xe0",
            b"\x89PNG\r\n\x1a\n",
            b"RIFF\x04\0\0\0WEBP",
        ] {
            assert!(Picture::decode(file).is_err(), "{file:?}");
        }
    }

    /// A small file can claim a size that takes gigabytes of memory.
    #[test]
    fn image_above_the_limit_is_rejected_before_decoding() {
        let mut png = gradient(40, 30).to_png().unwrap();
        // Width in the header, whose checksum is not verified before the limit.
        png[16..20].copy_from_slice(&60_000_u32.to_be_bytes());
        let crc = crc_of(&png[12..29]);
        png[29..33].copy_from_slice(&crc.to_be_bytes());
        assert!(
            matches!(Picture::decode(&png), Err(PictureError::TooLarge)),
            "{:?}",
            Picture::decode(&png)
        );
    }

    /// CRC-32 of a PNG chunk.
    fn crc_of(chunk: &[u8]) -> u32 {
        let step = |crc: u32, byte: &u8| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 }
            })
        };
        !chunk.iter().fold(u32::MAX, step)
    }

    #[test]
    fn masks_are_converted_both_ways() {
        let alpha = |x: u32| if x < 4 { 0 } else { u8::MAX };
        let mask = Picture::from_pixels(RgbaImage::from_fn(8, 2, |x, _| Rgba([9, 9, 9, alpha(x)])));
        let decoded = Picture::decode(&mask.to_png().unwrap()).unwrap();
        let white = decoded.transparent_to_white().unwrap();
        assert_eq!(white.white_pixels(), [[true; 4], [false; 4], [true; 4], [false; 4]].concat());
        assert_eq!(
            white.white_to_transparent().transparent_to_white().unwrap().white_pixels(),
            white.white_pixels()
        );
        let opaque = Picture::decode(&gradient(8, 2).to_png().unwrap()).unwrap();
        assert!(matches!(opaque.transparent_to_white(), Err(PictureError::NoAlpha)));
    }

    proptest::proptest! {
        /// Random changes to a file never make the decoder panic or allocate beyond its limits.
        #[test]
        fn damaged_files_are_decoded_or_rejected(at in 0_usize..2_000, byte: u8, cut in 0_usize..2_000, jpeg: bool) {
            let picture = gradient(24, 16);
            let mut file = if jpeg { picture.to_jpeg(80) } else { picture.to_png() }.unwrap();
            let at = at % file.len();
            file[at] = byte;
            file.truncate(file.len().saturating_sub(cut % file.len()));
            if let Ok(picture) = Picture::decode(&file) {
                proptest::prop_assert!(picture.width() <= MAX_SIDE && picture.height() <= MAX_SIDE);
            }
        }
    }
}
