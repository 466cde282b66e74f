//! Which files of a room name each other in a circle?
//!
//! A file that names another can be read after it; in a circle none can be read first. What a file re-exports (`pub use`) is not counted as named by
//! it, and who names it there names the file that has it: so a module that only declares and re-exports is in no circle. Methods are not seen,
//! nor what comes by `*`.

use super::tokens::{self, Token};

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A module's path below the crate.
pub type Module = Vec<String>;

/// Who names whom, and in which line first.
#[derive(Default)]
struct Names(BTreeMap<Module, BTreeMap<Module, usize>>);

/// The shortest circle among modules, each with the line in which it names the next; the last names the first.
pub fn shortest(files: &BTreeMap<Module, Vec<Token>>) -> Option<Vec<(Module, usize)>> {
    let names = Names::of(files);
    files.keys().filter_map(|module| names.circle_through(module)).min_by_key(Vec::len)
}

/// The tokens without `pub use`, and those of `pub use`.
fn apart(tokens: &[Token]) -> (Vec<Token>, Vec<Token>) {
    let (mut rest, mut shared, mut i) = (Vec::new(), Vec::new(), 0);
    while i < tokens.len() {
        let is = |at: usize, text: &str| tokens.get(at).is_some_and(|token| token.is(text));
        let mut after = i + 1;
        if is(after, "(") {
            after = tokens[i..].iter().position(|token| token.is(")")).map_or(tokens.len(), |close| i + close + 1);
        }
        if is(i, "pub") && is(after, "use") {
            let end = tokens[after..].iter().position(|token| token.is(";")).map_or(tokens.len(), |end| after + end + 1);
            shared.extend_from_slice(&tokens[after..end]);
            i = end;
        } else {
            rest.push(tokens[i].clone());
            i += 1;
        }
    }
    (rest, shared)
}

/// The paths of some tokens, absolute where they are about these modules.
fn paths(tokens: &[Token], module: &Module, files: &BTreeMap<Module, Vec<Token>>) -> Vec<(Module, usize)> {
    let absolute = |named: tokens::Named| {
        let path = named.path;
        let child = [module.as_slice(), &path[..1]].concat();
        match path[0].as_str() {
            "crate" => Some((path[1..].to_vec(), named.line)),
            _ if files.contains_key(&child) => Some(([module.as_slice(), &path].concat(), named.line)),
            _ => None,
        }
    };
    tokens::paths(tokens, module).into_iter().filter_map(absolute).collect()
}

/// The module that a path leads to, and how many of its parts that takes.
fn target(path: &[String], files: &BTreeMap<Module, Vec<Token>>) -> Option<(Module, usize)> {
    (1..=path.len()).rev().find(|n| files.contains_key(&path[..*n])).map(|n| (path[..n].to_vec(), n))
}

impl Names {
    fn of(files: &BTreeMap<Module, Vec<Token>>) -> Self {
        let apart: BTreeMap<_, _> = files.iter().map(|(module, tokens)| (module, apart(tokens))).collect();
        // For each module, what it has from others by `use`.
        let taken = |module: &Module, name: &str| {
            let (rest, shared) = &apart[module];
            let all = paths(shared, module, files).into_iter().chain(paths(rest, module, files));
            let of = |path: &Module| target(path, files).map(|(of, _)| of).filter(|of| of != module && of.starts_with(module));
            all.filter(|(path, _)| path.last().is_some_and(|last| last == name)).find_map(|(path, _)| of(&path))
        };
        let mut names = Names::default();
        for (module, (rest, _)) in &apart {
            for (path, line) in paths(rest, module, files) {
                let Some((mut to, n)) = target(&path, files) else { continue };
                while let Some(of) = path.get(n).and_then(|name| taken(&to, name)) {
                    to = of;
                }
                if to != **module {
                    names.0.entry((*module).clone()).or_default().entry(to).or_insert(line);
                }
            }
        }
        names
    }

    /// The shortest way from a module back to itself.
    fn circle_through(&self, module: &Module) -> Option<Vec<(Module, usize)>> {
        let mut waiting = VecDeque::from([vec![]]);
        let mut seen = BTreeSet::new();
        while let Some(way) = waiting.pop_front() {
            let at = way.last().map_or(module, |(_, to): &((Module, usize), Module)| to);
            for (to, line) in self.0.get(at).into_iter().flatten() {
                let step = ((at.clone(), *line), to.clone());
                if to == module {
                    return Some(way.into_iter().chain([step]).map(|(from, _)| from).collect());
                }
                if seen.insert(to.clone()) {
                    waiting.push_back(way.iter().cloned().chain([step]).collect());
                }
            }
        }
        None
    }
}
