use super::{Interpretation, Profile, ProfileError, ProfileName, Reply};

/// Profile that returns the source unchanged, frame by frame.
#[derive(Debug, Clone, Copy, Default)]
pub struct Parrot;

impl Profile for Parrot {
    fn name(&self) -> ProfileName {
        ProfileName::Parrot
    }

    fn open(&self, _channels: u16, _language: Option<&str>) -> Box<dyn Interpretation> {
        Box::new(Self)
    }
}

impl Interpretation for Parrot {
    fn push(&mut self, frame: &[f32], is_last_frame: bool) -> Result<Reply, ProfileError> {
        Ok(Reply { samples: frame.to_vec(), done: is_last_frame })
    }
}
