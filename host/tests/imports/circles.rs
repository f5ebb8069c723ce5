//! Circles of imports between the files of one crate.

use crate::named::named;
use crate::source::{Source, all_modules};
use std::collections::{BTreeMap, BTreeSet};

/// What one file imports: the other files' modules, each with the first line that names it.
type Imports = BTreeMap<String, usize>;

/// One line for each group of files that import each other in a circle, with a shortest such
/// circle.
pub(crate) fn circles(sources: &[Source]) -> Vec<String> {
    let modules = all_modules(sources);
    let files: BTreeMap<&str, (&Source, Imports)> = sources
        .iter()
        .map(|source| (source.module.as_str(), (source, imports(source, &modules))))
        .collect();
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for module in files.keys() {
        let Some(circle) = shortest(module, &files) else { continue };
        if circle.iter().any(|member| seen.contains(member)) {
            continue;
        }
        let step = |member: &String, next: &String| {
            let (source, imports) = &files[member.as_str()];
            format!("{}:{} names {next}", source.path.display(), imports[next])
        };
        let next = circle.iter().cycle().skip(1);
        let steps: Vec<_> =
            circle.iter().zip(next).map(|(member, next)| step(member, next)).collect();
        found.push(format!("a circle of files: {}", steps.join(", ")));
        seen.extend(circle);
    }
    found
}

/// The files that a source imports from: for each path, the file of the longest module in it.
fn imports(source: &Source, modules: &BTreeSet<String>) -> Imports {
    let mut imports = Imports::new();
    for name in named(source, modules) {
        let file = (0..=name.path.len())
            .rev()
            .map(|len| name.path[..len].join("::"))
            .find(|module| modules.contains(module));
        if let Some(file) = file.filter(|file| *file != source.module) {
            imports.entry(file).or_insert(name.line);
        }
    }
    imports
}

/// The shortest way from a file back to itself.
fn shortest(start: &str, files: &BTreeMap<&str, (&Source, Imports)>) -> Option<Vec<String>> {
    let mut ways = vec![vec![start.to_owned()]];
    let mut reached = BTreeSet::new();
    let mut at = 0;
    while let Some(way) = ways.get(at).cloned() {
        at += 1;
        let Some((_, imports)) = way.last().and_then(|last| files.get(last.as_str())) else {
            continue;
        };
        for next in imports.keys() {
            if next == start {
                return Some(way);
            }
            if reached.insert(next.clone()) {
                ways.push(way.iter().chain([next]).cloned().collect());
            }
        }
    }
    None
}
