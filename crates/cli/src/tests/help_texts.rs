//! The help, the man pages and the documented JSON keys of every command.

use super::*;

/// A program's command line at a fixed width, which is slow to build.
struct Program {
    name: &'static str,
    command: clap::Command,
}

impl Program {
    fn new<P: CommandFactory>(name: &'static str) -> Self {
        Self { name, command: command_line::<P>().term_width(100) }
    }

    /// Returns the help of a command, without colours.
    fn help(&self, path: &[&str]) -> String {
        let words = [&[self.name][..], path, &["--help"]].concat();
        let shown = self.command.clone().try_get_matches_from(words).unwrap_err();
        assert_eq!(shown.kind(), ErrorKind::DisplayHelp, "{path:?}: {shown}");
        shown.render().to_string()
    }
}

fn names(command: &clap::Command) -> Vec<&str> {
    command.get_subcommands().map(clap::Command::get_name).collect()
}

/// Compares the help of a command and all its subcommands with the snapshots.
fn check_help(program: &Program, command: &clap::Command, name: &str, path: &[&str]) {
    insta::assert_snapshot!(format!("{name}_help"), program.help(path));
    // `tao babelbit` is covered by `bb`.
    for subcommand in
        command.get_subcommands().filter(|subcommand| subcommand.get_name() != "babelbit")
    {
        let word = subcommand.get_name();
        let name = format!("{name}_{}", word.replace('-', "_"));
        check_help(program, subcommand, &name, &[path, &[word]].concat());
    }
}

#[test]
fn help_of_every_command_matches_snapshot() {
    check_help(&Program::new::<Tao>("tao"), &Tao::command(), "tao", &[]);
    check_help(&Program::new::<Bb>("bb"), &Bb::command(), "bb", &[]);
}

/// Each command in the guide has the options used there.
#[test]
fn wallet_guide_names_existing_options() {
    let guide = std::fs::read_to_string(root().join("docs/wallet.md")).unwrap();
    let tao = Program::new::<Tao>("tao");
    let mut checked = 0;
    for line in guide.lines().filter_map(|line| line.strip_prefix("tao wallet ")) {
        let words: Vec<_> = line.split_whitespace().collect();
        let verbs = if ["ss58", "swap-coldkey"].contains(&words[0]) { 2 } else { 1 };
        let help = tao.help(&[&["wallet"], &words[..verbs]].concat());
        for option in words.iter().filter(|word| word.starts_with("--")) {
            assert!(
                help.contains(&format!("{option} ")) || help.contains(&format!("{option}\n")),
                "{line}: {option}"
            );
            checked += 1;
        }
    }
    assert!(checked > 30, "{checked}");
}

/// Collects the file names of the man pages of a command and its subcommands.
fn man_pages(command: &clap::Command, name: &str, pages: &mut BTreeSet<String>) {
    pages.insert(format!("{name}.1"));
    for subcommand in command.get_subcommands() {
        man_pages(subcommand, &format!("{name}-{}", subcommand.get_name()), pages);
    }
}

#[test]
fn every_command_has_a_man_page() {
    let folder = tempfile::tempdir().unwrap();
    let write = |directory: &Path| {
        run_command(&["tao", "man", directory.to_str().unwrap()], false, |tao: Tao, context| {
            let TaoCommand::Man(args) = tao.command else { panic!("not tao man") };
            man::run(&args, [command_line::<Tao>(), command_line::<Bb>()], context)
        })
    };
    let directory = folder.path().join("share/man1");
    assert_eq!(write(&directory).text(), "");
    let mut expected = BTreeSet::new();
    man_pages(&Tao::command(), "tao", &mut expected);
    man_pages(&Bb::command(), "bb", &mut expected);
    for page in expected {
        let text = std::fs::read_to_string(directory.join(&page))
            .unwrap_or_else(|error| panic!("{page}: {error}"));
        assert!(text.contains(".SH SYNOPSIS") && text.contains(".SH DESCRIPTION"), "{page}");
    }
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = write(&file).refusal(1);
    assert!(error.contains("hint: choose a writable directory"), "{error}");
}

#[test]
fn bb_has_the_commands_of_tao_babelbit() {
    let tao = Tao::command();
    assert_eq!(names(&Bb::command()), names(tao.find_subcommand("babelbit").unwrap()));
}

/// Returns the commands of `tao`, without options, in the tables in docs whose header starts like
/// this.
fn commands_in_tables(header: &str) -> BTreeSet<String> {
    let mut commands = BTreeSet::new();
    for path in files("docs", "md") {
        let text = std::fs::read_to_string(path).unwrap();
        let mut is_inside = false;
        for line in text.lines() {
            is_inside = line.starts_with(header) || (is_inside && line.starts_with('|'));
            let row = line.strip_prefix("| `tao ").and_then(|row| row.split_once('`'));
            if let (true, Some((command, _))) = (is_inside, row) {
                commands.insert(command.split(" --").next().unwrap().to_owned());
            }
        }
    }
    commands
}

#[test]
fn every_command_has_a_row_with_its_json_keys() {
    let mut all = BTreeSet::new();
    visit_leaf_commands(&Tao::command(), &[], &mut |_, path| {
        // `tao babelbit` is `bb`.
        if !path.starts_with("babelbit ") {
            all.insert(path.to_owned());
        }
    });
    assert!(all.len() > 150, "{all:?}");
    let described = commands_in_tables("| Command | Keys |");
    let without_json = commands_in_tables("| Command without JSON |");
    let documented: BTreeSet<_> = described.union(&without_json).cloned().collect();
    let missing: Vec<_> = all.difference(&documented).collect();
    assert!(missing.is_empty(), "no table in docs lists the JSON keys of {missing:?}");
    let unknown: Vec<_> = documented.difference(&all).collect();
    assert!(
        unknown.is_empty(),
        "tables in docs list the JSON keys of commands that do not exist: {unknown:?}"
    );
    let contradictory: Vec<_> = described.intersection(&without_json).collect();
    assert!(contradictory.is_empty(), "{contradictory:?}");
}
