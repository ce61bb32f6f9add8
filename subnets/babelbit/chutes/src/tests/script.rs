//! Tests of the script of a chute, and of its image and names.

use std::path::Path;

use super::*;

fn script(template: Option<&Path>) -> Script<'_> {
    Script {
        model: "al/m",
        revision: REVISION,
        username: "a",
        name: "n",
        image: ("babelbit", "1"),
        template,
    }
}

#[test]
fn script_quotes_values_and_uses_template_files() {
    let script = Script { model: "al/\"m\"\n", username: "alice", ..script(None) };
    let text = script.render().unwrap();
    assert!(text.contains(r#"HF_REPO_NAME = "al/\"m\"\n""#), "{text}");
    assert!(
        !text.contains('@')
            || text.split('@').skip(1).all(|decorator| decorator.starts_with("chute.")),
        "{text}"
    );
    let directory = tempfile::tempdir().unwrap();
    let own_script = Script { template: Some(directory.path()), ..script };
    assert!(
        own_script
            .render()
            .unwrap_err()
            .to_string()
            .ends_with("has none of setup.py, load.py and predict.py")
    );
    std::fs::write(
        directory.path().join("load.py"),
        "def load(repository, revision):\n    return 1, 2\n",
    )
    .unwrap();
    let text = own_script.render().unwrap();
    assert!(
        text.contains("return 1, 2")
            && text.contains("def complete(")
            && !text.contains("AutoModelForCausalLM")
    );
    std::fs::write(directory.path().join("load.py"), "#".repeat(200_000)).unwrap();
    assert!(own_script.render().unwrap_err().to_string().starts_with("the script has 20"));
}

#[test]
fn byte_order_mark_of_template_files_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    for (name, content) in [
        ("setup.py", "SETUP = 1"),
        ("load.py", "LOAD = 1"),
        ("predict.py", "PREDICT = 1"),
        ("Dockerfile", "FROM parachutes/vllm:1"),
    ] {
        std::fs::write(directory.path().join(name), format!("\u{feff}{content}\n")).unwrap();
    }
    let script = script(Some(directory.path()));
    let text = script.render().unwrap();
    for line in ["SETUP = 1", "LOAD = 1", "PREDICT = 1"] {
        assert!(text.lines().any(|other| other == line), "{line}: {text}");
    }
    assert_eq!(script.dockerfile().unwrap(), "FROM parachutes/vllm:1");
}

/// Columns: files of the template · Dockerfile, or the error
#[test]
fn dockerfile_matches_the_template() {
    let built_in = "FROM parachutes/python:3.12\nRUN pip install --no-cache-dir torch transformers accelerate huggingface_hub";
    for (files, expected) in [
        (&[][..], built_in),
        (&[("load.py", "")], built_in),
        (&[("setup.py", ""), ("Dockerfile", "FROM parachutes/vllm:1\n")], "FROM parachutes/vllm:1"),
        (
            &[("setup.py", "")],
            "DIR/setup.py defines an image, but there is no Dockerfile beside it\nhint: ",
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        for (name, content) in files {
            std::fs::write(directory.path().join(name), content).unwrap();
        }
        let template = (!files.is_empty()).then(|| directory.path());
        let script = script(template);
        let dockerfile = script.dockerfile().unwrap_or_else(|error| error.to_string());
        let dockerfile = dockerfile.replace(&directory.path().display().to_string(), "DIR");
        let is_error = expected.ends_with("hint: ");
        assert!(
            if is_error { dockerfile.starts_with(expected) } else { dockerfile == expected },
            "{files:?}: {dockerfile}"
        );
    }
    // The built-in Dockerfile is that of the image in the built-in setup.py.
    let setup = include_str!("../template/setup.py");
    for line in built_in.lines() {
        let (_, value) = line.split_once(' ').unwrap();
        assert!(setup.contains(&format!("(\"{value}\")")), "{value}");
    }
}

#[test]
fn chute_name_and_slug_are_derived_from_user_and_revision() {
    let name = chute_name("al", REVISION);
    assert_eq!(name, "al-Babelbit-0123456789ab");
    assert_eq!(guessed_slug("Al.ice", &name), "al-ice-al-babelbit-0123456789ab");
}
