use super::{Interpretation, Profile, ProfileError, ProfileName, Reply};

/// Profile that returns no speech and ends with the source.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Profile for Silent {
    fn name(&self) -> ProfileName {
        ProfileName::Silent
    }

    fn open(&self, _channels: u16, _language: Option<&str>) -> Box<dyn Interpretation> {
        Box::new(Self)
    }
}

impl Interpretation for Silent {
    fn push(&mut self, _frame: &[f32], is_last_frame: bool) -> Result<Reply, ProfileError> {
        Ok(Reply { samples: Vec::new(), done: is_last_frame })
    }
}
