//! Finds the environment variables that a command reads, in the source of the command line's
//! crates.
//!
//! A function reads the settings whose fields of `Config` it names, the variables that it names in
//! literals, and what the functions that it calls read. This relies on the layout of rustfmt and on
//! our names: a `Config` is called `config`, and a file is a module of its name. A crate such as
//! `taonet-cli-wallet` counts as a module `wallet`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use taonet_settings::NETWORK_VARIABLES;

/// The functions of the source and the settings table, indexed by name.
pub(super) struct Source {
    functions: Vec<Function>,
    files: BTreeMap<PathBuf, File>,
    /// Paths of the fields of `Config`, such as `operator.signer_port`, with their variables.
    fields: BTreeMap<String, &'static str>,
}

#[derive(Clone)]
struct Function {
    file: PathBuf,
    /// Type of the `impl` block that contains the function.
    self_type: Option<String>,
    name: String,
    body: String,
}

struct File {
    /// The module's name, which is the file's stem.
    module: String,
    text: String,
    imports: Vec<String>,
}

impl Source {
    /// Reads the sources of the commands, and of the settings for the methods of `Config`.
    pub(super) fn open(root: &Path, variables: &[&'static str]) -> Self {
        let settings = root.join("../../subnets/babelbit/config/src");
        let operator = root.join("../neuron/src/operator.rs");
        let mut source =
            Self { functions: Vec::new(), files: BTreeMap::new(), fields: BTreeMap::new() };
        let mut folders = vec![root.join("src"), settings.clone()];
        let packages = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path().join("src"));
        folders.extend(packages.filter(|source| source.is_dir()));
        while let Some(folder) = folders.pop() {
            for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                let is_skipped = path.file_stem().is_some_and(|stem| {
                    // The table names every variable, and this folder the ones that it looks for.
                    stem == "tests"
                        || stem == "help"
                        || path.parent() == Some(&settings)
                            && (stem == "lib" || stem == "variables")
                });
                if path.is_dir() && !is_skipped {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") && !is_skipped
                {
                    source.add(&path);
                }
            }
        }
        let own = fs::read_to_string(settings.join("variables.rs")).unwrap();
        let operator = fs::read_to_string(operator).unwrap();
        for name in variables {
            let name_in =
                |table: &'_ str| Some(table.split_once(&format!("\"{name}\""))?.1.to_owned());
            let fields = match name_in(&own) {
                Some(row) => field(&row),
                None => {
                    field(&name_in(&operator).unwrap()).map(|field| format!("operator.{field}"))
                }
            };
            source.fields.extend(fields.map(|field| (field, *name)));
        }
        // Settings that `Config::from_variables` copies from others.
        let settings = fs::read_to_string(settings.join("lib.rs")).unwrap();
        for line in settings.lines().map(str::trim) {
            let assignment = line.strip_prefix("config.").and_then(|line| line.strip_suffix(';'));
            let Some((to, from)) =
                assignment.and_then(|assignment| assignment.split_once(" = config."))
            else {
                continue;
            };
            let name = source.fields.get(from).copied();
            source.fields.extend(name.map(|name| (to.to_owned(), name)));
        }
        source
    }

    fn add(&mut self, path: &Path) {
        let text = fs::read_to_string(path).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        // Imports from other crates are like those from this crate. The modules of `base` are
        // top-level ones.
        let text = text.replace("taonet_cli_base::", "").replace("taonet_cli_", "");
        let path = module_path(path);
        let mut impl_type = None;
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            if line.starts_with("impl") {
                impl_type = Some(impl_type_name(line));
            } else if *line == "}" {
                impl_type = None;
            }
            let Some(name) = function_name(line) else { continue };
            let indent = &line[..line.len() - line.trim_start().len()];
            let end = format!("{indent}}}");
            let last = lines[number..].iter().position(|line| *line == end).unwrap_or(0);
            let body = if line.ends_with('}') {
                (*line).to_owned()
            } else {
                lines[number..=number + last].join("\n")
            };
            self.functions.push(Function {
                file: path.clone(),
                self_type: impl_type.clone(),
                name,
                body,
            });
        }
        let uses =
            ["\nuse ", "\npub(crate) use ", "\npub use "].map(|start| text.split(start).skip(1));
        let imports = uses.into_iter().flatten().filter_map(|part| part.split(';').next());
        let imports = imports.map(str::to_owned).collect();
        let module = path.file_stem().unwrap().to_string_lossy().into_owned();
        self.files.insert(path, File { module, text, imports });
    }

    /// Returns the variables that a command reads, such as `bb score`.
    pub(super) fn reads(&self, command: &str) -> BTreeSet<String> {
        let (program, words) = command.split_once(' ').unwrap();
        let mut words: Vec<&str> = words.split(' ').collect();
        if program == "bb" {
            words.insert(0, "babelbit");
        }
        let mut at: Vec<Function> = self
            .indices_of(|function| function.name == "run_tao")
            .into_iter()
            .map(|at| self.functions[at].clone())
            .collect();
        let mut entries = Vec::new();
        for word in words {
            let variant = variant(word);
            // The variant is matched in the same function if it is one of a nested enum, else in a
            // called one.
            let mut arms: Vec<_> =
                at.iter().filter_map(|function| function.arm(&variant)).collect();
            if arms.is_empty() {
                arms = self
                    .callees(&at)
                    .iter()
                    .filter_map(|function| function.arm(&variant))
                    .collect();
            }
            assert!(!arms.is_empty(), "no function of `{command}` is found at {word}");
            entries.extend(
                arms.iter()
                    .map(|(_, outside_arms)| outside_arms.clone())
                    .filter(|outside_arms| outside_arms.name != "run_tao"),
            );
            at = arms.into_iter().map(|(arm, _)| arm).collect();
        }
        entries.extend(at);
        self.all_reads(&entries)
    }

    /// Returns the variables that the functions of this name read.
    pub(super) fn reads_of_functions(&self, name: &str) -> BTreeSet<String> {
        let named: Vec<_> =
            self.functions.iter().filter(|function| function.name == name).cloned().collect();
        self.all_reads(&named)
    }

    fn all_reads(&self, entries: &[Function]) -> BTreeSet<String> {
        let (mut visited, mut reads) = (BTreeSet::new(), BTreeSet::new());
        let mut pending = Vec::new();
        for function in entries {
            self.add_direct_reads(function, &mut reads);
            pending.extend(self.calls(function));
        }
        while let Some(index) = pending.pop() {
            if visited.insert(index) {
                let function = &self.functions[index];
                self.add_direct_reads(function, &mut reads);
                pending.extend(self.calls(function));
            }
        }
        reads
    }

    /// Returns the functions that the given ones call.
    fn callees(&self, callers: &[Function]) -> Vec<Function> {
        let callees = callers.iter().flat_map(|function| self.calls(function));
        callees.map(|callee| self.functions[callee].clone()).collect()
    }

    fn indices_of(&self, predicate: impl Fn(&Function) -> bool) -> Vec<usize> {
        self.functions
            .iter()
            .enumerate()
            .filter(|(_, function)| predicate(function))
            .map(|(index, _)| index)
            .collect()
    }

    /// Adds the variables that a function names directly, without the functions that it calls.
    fn add_direct_reads(&self, function: &Function, reads: &mut BTreeSet<String>) {
        let text = &self.files[&function.file].text;
        let is_settings = matches!(function.self_type.as_deref(), Some("Config" | "RoundSettings"));
        let mut body = function.body.clone();
        // Constants of the file that the function names, such as lists of variables.
        for constant in text.split("\nconst ").skip(1).filter_map(|part| part.split_once(";\n")) {
            let name = constant.0.split(':').next().unwrap();
            if words(&function.body).any(|word| word == name) {
                body += constant.0;
            }
        }
        reads.extend(
            body.split('"').skip(1).step_by(2).filter(|text| is_variable(text)).map(str::to_owned),
        );
        // The names are in `taonet-settings`.
        if body.contains("selected_network(") {
            reads.extend(NETWORK_VARIABLES.map(str::to_owned));
        }
        if !["babelbit_config", "settings::", "setup.config"].iter().any(|part| text.contains(part))
            && !is_settings
        {
            return;
        }
        let mut named = vec![("config.", ""), ("load()?.", "")];
        match function.self_type.as_deref() {
            Some("Config") => named.push(("self.", "")),
            Some("RoundSettings") => named.push(("self.", "rounds.")),
            _ => {}
        }
        if body.contains("settings: &WalletSettings")
            || body.contains("settings: &mut WalletSettings")
        {
            named.push(("settings.", "operator.wallet."));
        }
        if body.contains("let services = &") {
            named.push(("services.", "services."));
        }
        for (root, prefix) in named {
            for (path, after) in field_paths(&body, root) {
                self.field(&format!("{prefix}{path}"), after, reads);
            }
        }
    }

    /// Adds the variable of a field; for a struct of settings that is passed on as one value, those
    /// of its fields.
    fn field(&self, path: &str, after: &str, reads: &mut BTreeSet<String>) {
        let path = path.strip_suffix(".clone").unwrap_or(path);
        let prefix = format!("{path}.");
        let is_assigned = after.starts_with(" = ");
        for (field, name) in &self.fields {
            let is_field = *field == path
                || path.strip_prefix(field.as_str()).is_some_and(|after| after.starts_with('.'));
            // The switch of the uploads has no effect on the storage; functions read single fields
            // of the services' part.
            let is_below =
                field.starts_with(&prefix) && path != "services" && field != "operator.s3.enabled";
            if !is_assigned && (is_field || is_below) {
                reads.insert((*name).to_owned());
            }
        }
    }

    /// Returns the functions that a function calls.
    fn calls(&self, function: &Function) -> Vec<usize> {
        let mut calls = Vec::new();
        for (start, _) in function.body.match_indices('(') {
            let before = &function.body[..start];
            let (before, name) =
                before.split_at(before.rfind(|c: char| !is_word(c)).map_or(0, |last| last + 1));
            if before.ends_with("fn ") {
                continue;
            }
            let callees = self.indices_of(|callee| {
                callee.name == name && callee.self_type.is_some() == before.ends_with('.')
            });
            calls.extend(match before.strip_suffix("::").and_then(|before| words(before).last()) {
                Some("Self") => self.indices_of(|callee| {
                    callee.name == name && callee.self_type == function.self_type
                }),
                Some(impl_type) if impl_type.starts_with(char::is_uppercase) => {
                    self.indices_of(|callee| {
                        callee.name == name && callee.self_type.as_deref() == Some(impl_type)
                    })
                }
                Some(module) => self.nearest_module(function, callees, module),
                None => {
                    let receiver = words(before).last().unwrap_or_default();
                    let callees =
                        callees.into_iter().filter(|callee| self.is_in_scope(function, *callee));
                    self.declared_by_receiver(function, callees.collect(), receiver)
                }
            });
        }
        calls
    }

    /// Returns those of the methods whose type the file declares for a receiver of this name; all
    /// of them if the file declares no such type.
    fn declared_by_receiver(
        &self,
        function: &Function,
        callees: Vec<usize>,
        receiver: &str,
    ) -> Vec<usize> {
        let text = &self.files[&function.file].text;
        let is_declared = |callee: &usize| {
            let impl_type = self.functions[*callee].self_type.as_deref();
            impl_type.is_some_and(|impl_type| text.contains(&format!(" {receiver}: {impl_type},")))
        };
        if callees.iter().any(is_declared) {
            callees.into_iter().filter(is_declared).collect()
        } else {
            callees
        }
    }

    /// Returns those of the functions that are in the nearest module of this name: a child of the
    /// caller's module, a sibling of it, or else any other.
    fn nearest_module(&self, function: &Function, callees: Vec<usize>, module: &str) -> Vec<usize> {
        let file = |callee: usize| &self.functions[callee].file;
        let own = function.file.with_extension("");
        let distance = |callee: usize| match file(callee).parent() {
            Some(parent) if parent == own => 0,
            Some(parent) if function.file.parent() == Some(parent) => 1,
            _ => 2,
        };
        let named = callees.into_iter().filter(|callee| self.files[file(*callee)].module == module);
        let named: Vec<usize> = named.collect();
        let nearest = named.iter().map(|callee| distance(*callee)).min();
        named.into_iter().filter(|callee| Some(distance(*callee)) == nearest).collect()
    }

    /// Returns whether a function, or the type of a method, is defined in the caller's file or
    /// imported there.
    fn is_in_scope(&self, function: &Function, callee: usize) -> bool {
        let callee = &self.functions[callee];
        let name = callee.self_type.as_ref().unwrap_or(&callee.name);
        let module = &self.files[&callee.file].module;
        let folder = callee.file.parent().and_then(Path::file_name).unwrap_or_default();
        let is_parent = Some(callee.file.with_extension("").as_path()) == function.file.parent();
        let is_imported = |import: &String| {
            let has = |name: &str| words(import).any(|word| word == name);
            has(name)
                && (is_parent && has("super") || has(module) || folder.to_str().is_some_and(has))
        };
        let is_setting = matches!(name.as_str(), "Config" | "RoundSettings");
        let imports = |file: &Path| {
            self.files.get(file).is_some_and(|file| file.imports.iter().any(is_imported))
        };
        // The parent module may import it for the modules in its folder.
        let parent = function.file.parent().map(|folder| folder.with_extension("rs"));
        let is_shared = || {
            self.files[&function.file].imports.iter().any(|import| {
                words(import).any(|word| word == "super") && words(import).any(|word| word == name)
            })
        };
        callee.file == function.file
            || is_setting
            || imports(&function.file)
            || is_shared() && parent.is_some_and(|parent| imports(&parent))
    }
}

impl Function {
    /// Splits a function at its match arms: returns the arms of a variant, and the function without
    /// its arms, each as a separate function.
    fn arm(&self, variant: &str) -> Option<(Self, Self)> {
        let part = |lines: &[&str]| Self { body: lines.join("\n"), ..self.clone() };
        if self.body.contains(&format!("let Command::{variant}(")) {
            return Some((self.clone(), part(&[])));
        }
        let lines: Vec<&str> = self.body.lines().collect();
        let is_named =
            |line: &str| is_arm(line) && words(pattern(line)).any(|word| word == variant);
        let depth = indent(lines.iter().find(|line| is_named(line))?);
        let (mut arms, mut outside_arms, mut line) = (Vec::new(), Vec::new(), 0);
        while let Some(text) = lines.get(line) {
            let is_arm = is_arm(text) && indent(text) == depth;
            let is_inner =
                |line: &&&str| indent(line) > depth || indent(line) == depth && line.trim() == "}";
            let end = line
                + 1
                + if is_arm { lines[line + 1..].iter().take_while(is_inner).count() } else { 0 };
            match (is_arm, is_named(text)) {
                (true, true) => arms.extend(&lines[line..end]),
                (true, false) => {}
                (false, _) => outside_arms.push(*text),
            }
            line = end;
        }
        Some((part(&arms), part(&outside_arms)))
    }
}

/// Returns the path of a source file as if its crate were a module: `wallet/src/lib.rs` is
/// `wallet.rs`.
fn module_path(path: &Path) -> PathBuf {
    if path.ends_with("src/lib.rs") {
        return path.ancestors().nth(2).unwrap().with_extension("rs");
    }
    path.components().filter(|part| part.as_os_str() != "src").collect()
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Returns the pattern of a match arm that starts on a line.
fn pattern(line: &str) -> &str {
    line.trim_start().trim_start_matches("Some(").split("=>").next().unwrap()
}

fn is_arm(line: &str) -> bool {
    let pattern = pattern(line);
    pattern.starts_with(char::is_uppercase) && pattern.contains("::") || pattern == "None "
}

/// Returns the name of the variant of a command, such as `ScoreBatch` for `score-batch`.
fn variant(word: &str) -> String {
    word.split('-').map(|part| part[..1].to_uppercase() + &part[1..]).collect()
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn words(text: &str) -> impl DoubleEndedIterator<Item = &str> {
    text.split(|c: char| !is_word(c)).filter(|word| !word.is_empty())
}

/// Returns the field paths after each occurrence of the word `root`, each with the text after it.
fn field_paths<'a>(text: &'a str, root: &str) -> Vec<(String, &'a str)> {
    let matches = text.match_indices(root).filter(|(start, _)| !text[..*start].ends_with(is_word));
    matches
        .map(|(start, root)| {
            let text = &text[start + root.len()..];
            let end = text
                .find(|c: char| !is_word(c) && c != '.' && !c.is_whitespace())
                .unwrap_or(text.len());
            // A path continues on the next line only before a dot.
            let end = text[..end].find(|c: char| c.is_whitespace()).unwrap_or(end);
            let path = text[..end].trim_end_matches('.');
            (path.to_owned(), &text[path.len()..])
        })
        .collect()
}

/// Returns whether a text is the name of an environment variable at run time.
pub(super) fn is_variable(text: &str) -> bool {
    let is_name = text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    is_name
        && !text.starts_with("CARGO_")
        && !text.ends_with('_')
        && (text.contains('_') || text == "COLUMNS")
}

/// Returns the field that a row of the settings table writes: after its name, the first `FIELD =`
/// or `config.FIELD`.
fn field(row: &str) -> Option<String> {
    // A row ends where the next begins.
    let row =
        row.split("variable!(").next()?.split("shared!(").next()?.split("Variable {").next()?;
    let (before, _) = row.split_once(" = ")?;
    let start = before.rfind(|c: char| !is_word(c) && c != '.').map_or(0, |last| last + 1);
    let field = before[start..].trim_start_matches("config.");
    (!field.is_empty()).then(|| field.to_owned())
}

/// Returns the type that an `impl` line implements.
fn impl_type_name(line: &str) -> String {
    let line = line.rsplit(" for ").next().unwrap().trim_start_matches("impl");
    let line = if line.starts_with('<') {
        line.split_once("> ").map_or(line, |(_, name)| name)
    } else {
        line
    };
    words(line).next().unwrap_or_default().to_owned()
}

/// Returns the name of the function that a line declares.
fn function_name(line: &str) -> Option<String> {
    let (before, after) = line.split_once("fn ")?;
    let is_declaration = before.split_whitespace().all(|word| {
        word.starts_with("pub") || ["const", "async", "super)", "crate)"].contains(&word)
    });
    is_declaration.then(|| words(after).next().unwrap_or_default().to_owned())
}
