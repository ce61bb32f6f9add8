use taonet_speech::models::{ModelError, ModelSpec, ModelStore};

use crate::{Check, Finding};

/// Effect of a missing model on the daemon that needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfMissing {
    /// The daemon does not start.
    DoesNotStart,
    /// The daemon downloads the model.
    Downloads,
}

/// Checks that a model is installed and that its files have the published SHA-256 sums. `purpose`
/// says what needs it.
pub fn model(purpose: &str, name: &str, store: &ModelStore, if_missing: IfMissing) -> Finding {
    let subject = format!("{purpose}: {name}");
    let pull_hint = format!("run `tao models pull {name}`");
    let verified = ModelSpec::find(name).and_then(|spec| store.verify(spec));
    match verified {
        Ok(directory) => {
            Finding::ok(Check::Models, subject, format!("verified in {}", directory.display()))
        }
        Err(ModelError::BuiltIn { .. }) => Finding::ok(Check::Models, subject, "built in"),
        Err(ModelError::Missing { .. }) => match if_missing {
            IfMissing::DoesNotStart => {
                Finding::fault(Check::Models, subject, "not installed", pull_hint)
            }
            IfMissing::Downloads => Finding::warning(
                Check::Models,
                subject,
                "not installed: downloaded at the first start",
                pull_hint,
            ),
        },
        Err(error @ ModelError::Unknown { .. }) => {
            let remedy = "select a model that `tao models list` shows";
            Finding::error(Check::Models, subject, &error, remedy)
        }
        Err(error) => Finding::error(Check::Models, subject, &error, &pull_hint),
    }
}

#[cfg(test)]
mod tests {
    use taonet_speech::models::ALL_MINILM_L6_V2;

    use super::*;
    use crate::Status;

    #[test]
    fn missing_and_corrupt_models_are_reported() {
        let directory = tempfile::tempdir().unwrap();
        let store = ModelStore::with(vec![directory.path().to_owned()], "http://hub.invalid");
        let name = ALL_MINILM_L6_V2.name;
        for (if_missing, status) in
            [(IfMissing::DoesNotStart, Status::Fault), (IfMissing::Downloads, Status::Warning)]
        {
            assert_eq!(model("embedder", name, &store, if_missing).status, status);
        }

        let files = directory.path().join(name);
        std::fs::create_dir(&files).unwrap();
        for file in ALL_MINILM_L6_V2.files {
            std::fs::write(files.join(file.name), "not the model").unwrap();
        }
        let corrupt = model("embedder", name, &store, IfMissing::Downloads);
        assert_eq!(corrupt.status, Status::Fault);
        assert!(corrupt.seen.contains("is corrupt: expected SHA-256"), "{corrupt:?}");
        assert!(corrupt.remedy.unwrap().contains("tao models pull all-MiniLM-L6-v2"));
    }

    #[test]
    fn unknown_model_is_fault_and_embedded_model_is_ok() {
        let store = ModelStore::with(Vec::new(), "http://hub.invalid");
        let unknown = model("recogniser", "whisper-enormous", &store, IfMissing::DoesNotStart);
        assert_eq!(unknown.status, Status::Fault);
        let remedy = unknown.remedy.unwrap();
        assert_eq!(remedy, "select a model that `tao models list` shows");
        assert_eq!(
            model("recogniser", "tiny-ctc", &store, IfMissing::DoesNotStart).status,
            Status::Ok
        );
    }
}
