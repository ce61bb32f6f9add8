//! Checks that the documents agree with the code.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test helper panics as a test does")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(root().join(&path))
        .unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}

/// Returns the contents of every Rust file below the given directories.
fn sources(folders: &[&str]) -> Vec<String> {
    let mut pending: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    let mut texts = Vec::new();
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            texts.push(fs::read_to_string(&path).unwrap());
        }
    }
    texts
}

/// Returns the parts of `text` between `open` and `close`.
fn text_between<'a>(text: &'a str, open: &'a str, close: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(open)
        .skip(1)
        .filter_map(move |remaining| remaining.split_once(close))
        .map(|(inner, _)| inner)
}

/// Folders of the crates that define metrics.
const METRICS: [&str; 7] = [
    "subnets",
    "crates/cli/axon/src",
    "crates/http/src",
    "crates/kit/src",
    "crates/localnet/node/src",
    "crates/update/src",
    "crates/validator/src",
];

fn is_metric(text: &&str) -> bool {
    let is_name_character = |c: char| c.is_ascii_lowercase() || c == '_';
    text.starts_with("taonet_")
        && text.chars().all(is_name_character)
        && text.matches('_').count() >= 2
}

/// Names that a file passes to `describe_counter!` and the like, as text or as a constant of the
/// file.
fn described_metrics(file: &str) -> BTreeSet<String> {
    let first_argument = |call: &str| {
        let (_, arguments) = call.split_once("!(")?;
        let argument = arguments.trim_start().split(',').next()?.trim().to_owned();
        if argument.starts_with('"') {
            return Some(argument.trim_matches('"').to_owned());
        }
        text_between(file, &format!("const {argument}: &str = \""), "\"").next().map(str::to_owned)
    };
    file.split("describe_").skip(1).filter_map(first_argument).collect()
}

#[test]
fn every_metric_has_a_help_text() {
    let described: BTreeSet<_> =
        sources(&METRICS).iter().flat_map(|file| described_metrics(file)).collect();
    let document = read("docs/metrics.md");
    let documented: BTreeSet<_> = document.split('`').filter(is_metric).collect();
    let undescribed: Vec<_> =
        documented.iter().filter(|name| !described.contains(**name)).collect();
    assert!(undescribed.is_empty(), "call describe_counter! or the like for {undescribed:?}");
}

#[test]
fn every_metric_is_documented_and_every_documented_metric_exists() {
    let code = sources(&METRICS).join("\n");
    let used: BTreeSet<_> =
        text_between(&code, "\"taonet", "\"").map(|suffix| format!("taonet{suffix}")).collect();
    let used: BTreeSet<_> = used.iter().map(String::as_str).filter(is_metric).collect();
    let document = read("docs/metrics.md");
    let documented: BTreeSet<_> = document.split('`').filter(is_metric).collect();
    assert!(!used.is_empty());
    assert_eq!(used, documented);
}

/// Crate prefixes of test paths in the documents, and the directories of their modules.
const CRATES: [(&str, &str); 42] = [
    ("arena", "subnets/babelbit/arena/src"),
    ("audit", "subnets/babelbit/audit/src"),
    ("babelbit_validator", "subnets/babelbit/validator/src"),
    ("challenges", "subnets/babelbit/challenges/src"),
    ("chain", "crates/chain"),
    ("chutes", "subnets/babelbit/chutes/src"),
    ("cli", "crates/cli/src"),
    ("cli_axon", "crates/cli/axon/src"),
    ("cli_babelbit", "crates/cli/babelbit/src"),
    ("cli_base", "crates/cli/base/src"),
    ("cli_chain", "crates/cli/chain/src"),
    ("cli_dashboard", "crates/cli/dashboard/src"),
    ("cli_demo", "crates/cli/demo/src"),
    ("cli_localnet", "crates/cli/localnet/src"),
    ("cli_models", "crates/cli/models/src"),
    ("cli_nineteen", "crates/cli/nineteen/src"),
    ("cli_prompting", "crates/cli/prompting/src"),
    ("cli_proof", "crates/cli/proof/src"),
    ("cli_subnets", "crates/cli/subnets/src"),
    ("cli_wallet", "crates/cli/wallet/src"),
    ("config", "subnets/babelbit/config/src"),
    ("core", "subnets/babelbit/core/src"),
    ("e2e", "tests/e2e"),
    ("engine", "subnets/babelbit/engine/src"),
    ("http", "crates/http/src"),
    ("ledger", "crates/ledger/src"),
    ("lm", "crates/lm/src"),
    ("miner", "subnets/babelbit/miner/src"),
    ("neuron", "crates/neuron/src"),
    ("objects", "crates/objects/src"),
    ("operations", "crates/cli/tests/operations"),
    ("runner", "subnets/babelbit/runner/src"),
    ("scorer", "subnets/babelbit/scorer/src"),
    ("scoring_api", "subnets/babelbit/scoring-api/src"),
    ("speech", "crates/speech/src"),
    ("telemetry", "crates/telemetry/src"),
    ("text_miner", "subnets/babelbit/text-miner/src"),
    ("text_runner", "subnets/babelbit/text-runner/src"),
    ("validator", "crates/validator/src"),
    ("wallet", "crates/wallet"),
    ("whisper", "crates/whisper/src"),
    ("wire", "crates/wire"),
];

/// Returns whether a path such as `core::weights::tests::ties` names a test of a crate, and not
/// only a module.
fn test_exists(path: &str) -> bool {
    let Some((name, test_path)) = path.split_once("::") else { return false };
    let folders = CRATES
        .iter()
        .filter(|(package, _)| *package == name)
        .map(|(_, folder)| root().join(folder));
    let module_paths =
        folders.flat_map(|folder| [folder.clone(), folder.join("src"), folder.join("tests")]);
    module_paths.into_iter().any(|module_path| is_in(module_path, test_path))
}

/// Returns whether the crate whose modules are in `module_path` has the test that `path` names.
fn is_in(mut module_path: PathBuf, path: &str) -> bool {
    let crate_sources = ["lib.rs", "main.rs"]
        .iter()
        .find_map(|file| fs::read_to_string(module_path.join(file)).ok());
    let mut text = crate_sources.unwrap_or_default();
    for segment in path.split("::") {
        let files = [
            module_path.join(segment).with_extension("rs"),
            module_path.join(segment).join("main.rs"),
        ];
        if let Some(file) = files.iter().find_map(|file| fs::read_to_string(file).ok()) {
            module_path.push(segment);
            text = file;
        } else if let Some((_, inside)) = text.split_once(&format!("mod {segment} {{")) {
            text = inside.to_owned();
        } else {
            return text.contains(&format!("fn {segment}("))
                && path.ends_with(&format!("::{segment}"));
        }
    }
    false
}

#[test]
fn test_paths_are_resolved_by_module() {
    assert!(test_exists("core::weights::tests::arena_winner_has_the_highest_score"));
    assert!(test_exists("neuron::address::tests::public_addresses_are_permitted"));
    assert!(!test_exists("core::weights::arena_winner_has_the_highest_score"));
    assert!(!test_exists("core::scoring::tests::arena_winner_has_the_highest_score"));
    assert!(!test_exists("arena_winner_has_the_highest_score"));
    assert!(
        !test_exists("core::weights::tests") && !test_exists("operations::compose"),
        "modules are no tests"
    );
}

#[test]
fn every_test_that_the_comparison_names_exists() {
    for (document, minimum) in
        [("docs/compat.md", 60), ("docs/compat-tests.md", 60), ("docs/text-miner.md", 20)]
    {
        let text = read(document);
        // A guide has other tables before the comparison.
        let text = text.rsplit("## Steps of the reference's guide").next().unwrap();
        let rows = text
            .lines()
            .filter(|line| line.starts_with("| "))
            .filter_map(|line| line.rsplit('|').nth(1));
        let mut name_count = 0;
        for path in rows.flat_map(|cell| cell.split('`').skip(1).step_by(2)) {
            assert!(test_exists(path), "{document} names the test {path}, which does not exist");
            name_count += 1;
        }
        assert!(name_count > minimum, "only {name_count} tests found in the tables of {document}");
    }
}

/// Each fact is "same", with a test, or "different", with a reason.
#[test]
fn every_reference_test_fact_is_same_or_different() {
    let document = read("docs/compat-tests.md");
    let rows =
        document.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| Fact"));
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, _, our_cell, tests, _] = cells[..] else { panic!("not three cells: {row}") };
        let is_same =
            our_cell == "same" || our_cell.starts_with("same: ") || our_cell.starts_with("same, ");
        assert!(is_same || our_cell.starts_with("different: "), "{row}");
        assert!(
            !is_same || tests.starts_with('`'),
            "marked as the same, but without a test: {row}"
        );
    }
}

/// Returns the facts of the comparison with the reference's tests, by test.
fn compared_facts(document: &str) -> BTreeMap<String, Vec<String>> {
    let mut facts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut test = String::new();
    for line in document.lines() {
        // A heading can name the test of the rows below it. Otherwise, a row names its test, which
        // also applies to the rows after it.
        if line.starts_with('#') {
            let name = text_between(line, "(", ")").find(|name| name.starts_with("test_"));
            name.unwrap_or_default().clone_into(&mut test);
        }
        let Some(fact) = line.strip_prefix("| ").and_then(|row| row.split(" | ").next()) else {
            continue;
        };
        if let Some((name, _)) = fact.split_once(": ").filter(|(name, _)| name.starts_with("test_"))
        {
            name.clone_into(&mut test);
        }
        if fact != "Fact" {
            facts.entry(test.clone()).or_default().push(fact.to_owned());
        }
    }
    facts
}

/// Compares with a separate list, so that no fact can be dropped unnoticed.
#[test]
fn no_reference_test_fact_is_missing() {
    let compared = compared_facts(&read("docs/compat-tests.md"));
    let list = read("crates/cli/tests/docs/reference-facts.txt");
    let mut pinned: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut test = "";
    for line in list.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix("  ") {
            Some(fact) => pinned.entry(test).or_default().push(fact),
            None => test = line,
        }
    }
    let names: Vec<_> = pinned.keys().copied().collect();
    assert_eq!(compared.keys().collect::<Vec<_>>(), names);
    for (test, facts) in pinned {
        let rows = &compared[test];
        for fact in &facts {
            assert!(rows.iter().any(|row| row.contains(fact)), "{test}: no row says `{fact}`");
        }
        for row in rows {
            assert!(
                facts.iter().any(|fact| row.contains(fact)),
                "{test}: `{row}` is not on the list"
            );
        }
    }
}

/// Lists the Markdown files of a directory.
fn documents(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    let names = entries.map(|entry| Path::new(folder).join(entry.unwrap().file_name()));
    names.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

/// Lists the Markdown files of the repository, except those of builds and installed packages.
fn markdown_files() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        ["crates", "docs", "examples", "python", "subnets", "vectors"].map(PathBuf::from).into();
    let mut files = documents("");
    while let Some(folder) = folders.pop() {
        files.extend(documents(folder.to_str().unwrap()));
        for entry in fs::read_dir(root().join(&folder)).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            let is_installed = name.starts_with('.') || name == "target" || name == "node_modules";
            if entry.file_type().unwrap().is_dir() && !is_installed {
                folders.push(folder.join(name));
            }
        }
    }
    files
}

/// Returns the anchors of the headings, as mdBook and GitHub generate them: a repeated heading has
/// a number at its end.
fn anchors(text: &str) -> BTreeSet<String> {
    let anchor = |heading: &str| -> String {
        let anchor_characters = heading.trim_start_matches('#').trim().chars().filter_map(
            |character| match character {
                '-' | '_' => Some(character),
                _ if character.is_alphanumeric() => Some(character.to_ascii_lowercase()),
                _ => character.is_whitespace().then_some('-'),
            },
        );
        anchor_characters.collect()
    };
    let outside_code = text.split("```").step_by(2).flat_map(str::lines);
    let mut repetitions: BTreeMap<String, usize> = BTreeMap::new();
    let numbered = |anchor: String| {
        let number = repetitions.entry(anchor.clone()).or_default();
        let numbered = if *number == 0 { anchor } else { format!("{anchor}-{number}") };
        *number += 1;
        numbered
    };
    outside_code.filter(|line| line.starts_with('#')).map(anchor).map(numbered).collect()
}

#[test]
fn repeated_headings_have_numbered_anchors() {
    let text = "# A page\n## Run it\n```\n# a comment\n```\n## `tao x`: run\n## Run it\n";
    let expected = ["a-page", "run-it", "run-it-1", "tao-x-run"].map(str::to_owned);
    assert_eq!(anchors(text), BTreeSet::from(expected));
}

/// Returns the links of a document without those to other hosts. The text in code is no link.
fn relative_links(text: &str) -> Vec<String> {
    let outside_blocks = text.split("```").step_by(2).collect::<String>();
    let outside_code = outside_blocks.split('`').step_by(2).collect::<Vec<_>>().join("`");
    let links = text_between(&outside_code, "](", ")").filter(|link| !link.contains("://"));
    links.map(str::to_owned).collect()
}

#[test]
fn every_document_link_has_a_target() {
    let (mut followed, mut headings) = (0, 0);
    for document in markdown_files() {
        let page = root().join(&document);
        for link in relative_links(&read(&document)) {
            let (file, heading) = link
                .split_once('#')
                .map_or((link.as_str(), None), |(file, heading)| (file, Some(heading)));
            let target =
                if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            assert!(target.exists(), "{}: {link} leads nowhere", document.display());
            followed += 1;
            if let Some(heading) =
                heading.filter(|_| target.extension().is_some_and(|extension| extension == "md"))
            {
                let existing = anchors(&fs::read_to_string(&target).unwrap());
                assert!(
                    existing.contains(heading),
                    "{}: {link} names no heading of {existing:?}",
                    document.display()
                );
                headings += 1;
            }
        }
    }
    assert!(
        followed > 100 && headings > 40,
        "only {followed} links found, {headings} of them to headings"
    );
}

#[test]
fn every_picture_is_shown_by_a_page() {
    let pages: String = [documents(""), documents("docs")].concat().iter().map(read).collect();
    let pictures = fs::read_dir(root().join("docs/images")).unwrap();
    let names = pictures.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let unused: Vec<_> = names.filter(|name| !pages.contains(&format!("images/{name})"))).collect();
    assert!(unused.is_empty(), "no page shows {unused:?}");
}

/// Returns the chapters of the book: path and title, in the order of SUMMARY.md.
fn chapters(summary: &str) -> Vec<(&str, &str)> {
    let chapter =
        |line: &'_ str| -> Option<(usize, usize)> { Some((line.find('[')?, line.find("](")?)) };
    let lines =
        summary.lines().filter_map(|line| chapter(line).map(|(start, end)| (line, start, end)));
    lines
        .map(|(line, start, end)| (line[end + 2..].trim_end_matches(')'), &line[start + 1..end]))
        .collect()
}

#[test]
fn book_has_every_page_once_under_its_title() {
    let summary = read("docs/SUMMARY.md");
    let mut listed = Vec::new();
    for (page, title) in chapters(&summary) {
        let page = Path::new("docs").join(page);
        assert_eq!(
            read(&page).lines().next(),
            Some(format!("# {title}").as_str()),
            "{}",
            page.display()
        );
        listed.push(page);
    }
    listed.sort();
    let mut pages = documents("docs");
    pages.retain(|page| !page.ends_with("SUMMARY.md"));
    pages.sort();
    assert_eq!(listed, pages);
    assert!(read("book.toml").contains("src = \"docs\""));
}

#[test]
fn every_part_of_the_book_begins_with_at_most_ten_commands() {
    let summary = read("docs/SUMMARY.md");
    let parts: Vec<(&str, &str)> =
        summary.split("\n# ").skip(1).map(|part| part.split_once('\n').unwrap()).collect();
    let titles: Vec<&str> = parts.iter().map(|(title, _)| *title).collect();
    assert_eq!(titles, ["Validate", "Mine", "Build", "Use", "Reference"]);
    for (title, part) in parts.iter().take(4) {
        let part = chapters(part);
        let (page, name) = part.first().unwrap();
        assert_eq!(name, title);
        let text = read(Path::new("docs").join(page));
        let lines = text.split("```").skip(1).step_by(2).flat_map(str::lines).map(str::trim);
        let commands =
            lines.filter(|line| !line.is_empty() && !line.starts_with("export ")).count();
        assert!((5..=10).contains(&commands), "{page} has {commands} commands");
        assert!(part.len() > 1, "{title} has no guides");
    }
}

#[test]
fn glossary_is_sorted_and_its_words_are_used() {
    let glossary = read("docs/glossary.md");
    let rows = glossary.lines().filter_map(|line| line.strip_prefix("| ")).skip(1);
    let words: Vec<String> =
        rows.map(|row| row.split(" |").next().unwrap().to_lowercase()).collect();
    assert!(words.is_sorted() && words.len() > 20, "{words:?}");
    let mut pages = documents("docs");
    pages.retain(|page| !page.ends_with("glossary.md"));
    let text = pages.iter().map(read).collect::<String>().to_lowercase();
    let unused: Vec<_> = words.iter().filter(|word| !text.contains(word.as_str())).collect();
    assert!(unused.is_empty(), "no page says {unused:?}");
}

#[test]
fn shipped_challenges_match_the_folder() {
    let list = read("subnets/babelbit/challenges/src/shipped.rs");
    let listed: BTreeSet<_> = text_between(&list, "shipped!(\"", "\"").map(str::to_owned).collect();
    let folder = root().join("subnets/babelbit/challenges");
    let directories = [folder.clone(), folder.join("text")];
    let paths = directories.iter().flat_map(|directory| fs::read_dir(directory).unwrap());
    let challenges =
        paths.map(|entry| entry.unwrap().path().strip_prefix(&folder).unwrap().to_owned());
    let challenges =
        challenges.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    assert_eq!(listed, challenges.map(|path| path.to_str().unwrap().to_owned()).collect());
}

#[test]
fn readme_excepts_no_command_with_documented_json() {
    let readme = read("README.md").split_whitespace().collect::<Vec<_>>().join(" ");
    let (_, exceptions) = readme.split_once("machine-readable output, except ").unwrap();
    let (exceptions, _) = exceptions.split_once(';').unwrap();
    let documents = read("docs/json.md");
    let (documented, _) = documents.split_once("## Commands without a document").unwrap();
    let quoted: Vec<_> = exceptions.split('`').skip(1).step_by(2).collect();
    assert!(quoted.contains(&"bb scorer"), "{quoted:?}");
    for command in quoted {
        assert!(!documented.contains(&format!("\n| `{command}` |")), "{command}");
    }
}
