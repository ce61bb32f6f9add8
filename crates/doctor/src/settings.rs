use taonet_settings::{ConfigError, Problem, Warning};

use crate::{Check, Finding};

/// Reports invalid settings as faults, unknown ones and those without effect as warnings.
pub fn settings(result: Result<&[Warning], &ConfigError>) -> Vec<Finding> {
    match result {
        Ok([]) => vec![Finding::ok(Check::Settings, "environment", "all settings are valid")],
        Ok(warnings) => warnings.iter().map(warning).collect(),
        Err(ConfigError { problems }) => problems.iter().map(invalid).collect(),
    }
}

fn invalid(Problem { name, value, expected }: &Problem) -> Finding {
    let remedy = format!("set {name} to {expected}, or remove it");
    Finding::fault(Check::Settings, name, format!("invalid value {value}"), remedy)
}

fn warning(warning: &Warning) -> Finding {
    match warning {
        Warning::Unknown { name, nearest: Some(similar) } => Finding::warning(
            Check::Settings,
            name,
            "unknown setting",
            format!("did you mean {similar}?"),
        ),
        Warning::Unknown { name, nearest: None } => Finding::warning(
            Check::Settings,
            name,
            "unknown setting",
            "remove it, or see `bb config show`",
        ),
        Warning::NoEffect { name, instead: "" } => {
            Finding::warning(Check::Settings, name, "no effect", "remove it")
        }
        Warning::NoEffect { name, instead } => {
            Finding::warning(Check::Settings, name, "no effect", *instead)
        }
    }
}

/// Reports a variable that is set, and that this program reads differently from the reference
/// system: `value` and `reference` are the two meanings.
pub fn difference(name: &str, reference: &str, value: &str, remedy: &str) -> Finding {
    let seen = format!("{value} (in the reference: {reference})");
    Finding::warning(Check::Settings, name, seen, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Status;

    #[test]
    fn invalid_unknown_and_ineffective_settings_are_reported() {
        let warnings = [
            Warning::Unknown { name: "BB_RULE".to_owned(), nearest: Some("BB_RULES") },
            Warning::Unknown { name: "BB_X".to_owned(), nearest: None },
            Warning::NoEffect { name: "BABELBIT_TEMPO".to_owned(), instead: "use --tempo" },
            Warning::NoEffect { name: "SIGNER_SEED".to_owned(), instead: "" },
        ];
        let findings = settings(Ok(&warnings));
        assert!(findings.iter().all(|finding| finding.status == Status::Warning));
        let remedies: Vec<_> =
            findings.iter().map(|finding| finding.remedy.as_deref().unwrap()).collect();
        let expected = [
            "did you mean BB_RULES?",
            "remove it, or see `bb config show`",
            "use --tempo",
            "remove it",
        ];
        assert_eq!(remedies, expected);

        let problem =
            Problem { name: "SIGNER_PORT".to_owned(), value: "x".to_owned(), expected: "a port" };
        let findings = settings(Err(&ConfigError { problems: vec![problem] }));
        assert_eq!(
            (findings[0].exit_code(), findings[0].subject.as_str()),
            (Some(2), "SIGNER_PORT")
        );
        assert_eq!(settings(Ok(&[]))[0].status, Status::Ok);
    }
}
