use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::Variable;

/// A section of the example environment file.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    /// Heading of the section.
    pub title: &'static str,
    /// Name prefixes of the section's variables; the longest matching prefix across all sections
    /// wins.
    pub prefixes: &'static [&'static str],
}

/// Renders the example environment file: every variable, grouped by section and commented out, with
/// its help and its default value.
///
/// `defaults` is a configuration whose home directory is `HOME`: a default path below `HOME`
/// appears as `~/…` in the help and its value is left empty, so that the file is the same on every
/// machine.
///
/// # Errors
/// Returns the name of a variable that belongs to no section.
pub fn example<C>(
    head: &str,
    sections: &[Section],
    variables: &[Variable<C>],
    defaults: &C,
) -> Result<String, &'static str> {
    let mut parts = BTreeMap::<usize, String>::new();
    let mut unused = String::new();
    for variable in variables {
        if variable.apply.is_some() {
            let section = section(sections, variable.name).ok_or(variable.name)?;
            *parts.entry(section).or_default() += &line(variable, defaults);
        } else {
            if !variable.help.is_empty() {
                let _ = writeln!(unused, "# {}", variable.help);
            }
            let _ = writeln!(unused, "#{}=", variable.name);
        }
    }
    let mut text = head.to_owned();
    for (section, lines) in
        sections.iter().enumerate().filter_map(|(i, section)| Some((section, parts.get(&i)?)))
    {
        let _ = write!(text, "\n## {}\n\n{lines}", section.title);
    }
    if !unused.is_empty() {
        let _ =
            write!(text, "\n## Settings of the reference system without effect here\n\n{unused}");
    }
    Ok(text)
}

fn line<C>(variable: &Variable<C>, defaults: &C) -> String {
    let value = (variable.show)(defaults);
    match value.strip_prefix("HOME/") {
        Some(path) => format!("# {}; default: ~/{path}\n#{}=\n", variable.help, variable.name),
        None => format!("# {}\n#{}={value}\n", variable.help, variable.name),
    }
}

fn section(sections: &[Section], name: &str) -> Option<usize> {
    let prefixes = sections
        .iter()
        .enumerate()
        .flat_map(|(i, section)| section.prefixes.iter().map(move |p| (i, *p)));
    let matching = prefixes.filter(|(_, prefix)| name.starts_with(prefix));
    matching.max_by_key(|(_, prefix)| prefix.len()).map(|(i, _)| i)
}
