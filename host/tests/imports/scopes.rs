//! Which item a path of a Rust source leads to: in which block and inline module the path stands,
//! and which names are imported there.

use crate::tokens::{Token, is_word};
use std::collections::{BTreeMap, BTreeSet};

/// One name that is imported.
pub(crate) struct Leaf {
    pub(crate) words: Vec<String>,
    /// As what. `None` for a glob.
    pub(crate) name: Option<String>,
}

/// Imports that lead to imports end here: a compiler refuses longer circles, and nobody writes
/// longer chains.
pub(crate) const STEPS_MAX: usize = 8;

/// What stands in braces, or the whole file.
struct Block {
    parent: Option<usize>,
    /// From the top of the crate, inline modules counted.
    module: Vec<String>,
    is_module: bool,
    /// Each name may be imported more than once: as a module and as a function, or by conditions.
    imports: BTreeMap<String, Vec<Vec<String>>>,
}

/// All blocks of one file.
pub(crate) struct Scopes<'a> {
    blocks: Vec<Block>,
    /// The block of each token.
    block_of: Vec<usize>,
    /// All modules of the crate that are files.
    modules: &'a BTreeSet<String>,
}

impl<'a> Scopes<'a> {
    pub(crate) fn new(tokens: &[Token], module: &str, modules: &'a BTreeSet<String>) -> Self {
        let module: Vec<_> =
            module.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let mut blocks =
            vec![Block { parent: None, module, is_module: true, imports: BTreeMap::new() }];
        let mut block_of = Vec::with_capacity(tokens.len());
        let mut current = 0;
        for (at, (token, _)) in tokens.iter().enumerate() {
            if token == "{" {
                let mut module = blocks[current].module.clone();
                let is_module = at >= 2 && tokens[at - 2].0 == "mod";
                module.extend(is_module.then(|| tokens[at - 1].0.clone()));
                let imports = BTreeMap::new();
                blocks.push(Block { parent: Some(current), module, is_module, imports });
                current = blocks.len() - 1;
            }
            block_of.push(current);
            if token == "}" {
                current = blocks[current].parent.unwrap_or(0);
            }
        }
        Self { blocks, block_of, modules }
    }

    /// Notes what the statement at a token imports.
    pub(crate) fn import(&mut self, at: usize, leaf: &Leaf) {
        let is_name = |name: &&String| name.chars().all(is_word);
        if let Some(name) = leaf.name.as_ref().filter(is_name) {
            let block = &mut self.blocks[self.block_of[at]];
            block.imports.entry(name.clone()).or_default().push(leaf.words.clone());
        }
    }

    /// The full path of what is imported as `name` at a token.
    pub(crate) fn name(&self, at: usize, name: &str) -> Vec<String> {
        let module = &self.blocks[self.block_of[at]].module;
        module.iter().map(String::as_str).chain([name]).map(str::to_owned).collect()
    }

    /// A path at a token, from the top of the crate. `None` for other crates'.
    pub(crate) fn resolve(&self, at: usize, words: &[String]) -> Option<Vec<String>> {
        self.follow(self.block_of[at], words, STEPS_MAX)
    }

    fn follow(&self, block: usize, words: &[String], steps: usize) -> Option<Vec<String>> {
        let steps = steps.checked_sub(1)?;
        let module = &self.blocks[block].module;
        let path = match words.first()?.as_str() {
            "crate" => words[1..].to_vec(),
            "self" | "super" => {
                let relative =
                    words.iter().take_while(|word| matches!(word.as_str(), "self" | "super"));
                let (all, ups) =
                    (relative.clone().count(), relative.filter(|word| *word == "super").count());
                let Some(kept) = module.len().checked_sub(ups) else { return Some(Vec::new()) };
                module[..kept].iter().chain(&words[all..]).cloned().collect()
            }
            first => match self.through_import(block, first, steps) {
                Some(import) => import.into_iter().chain(words[1..].iter().cloned()).collect(),
                None => {
                    let child: Vec<_> = module.iter().chain(words).cloned().collect();
                    if !self.is_module(&child[..=module.len()]) {
                        return None;
                    }
                    child
                }
            },
        };
        Some(self.through_own(path, steps))
    }

    /// `self::name` may be what the file itself imports as `name`.
    fn through_own(&self, path: Vec<String>, steps: usize) -> Vec<String> {
        let own = |(at, block): (usize, &Block)| {
            let name = path.get(block.module.len())?;
            let is_in = block.is_module && path.starts_with(&block.module);
            let imports = block.imports.get(name).filter(|_| is_in)?;
            let rest = &path[block.module.len() + 1..];
            imports.iter().find_map(|import| {
                let mut in_full = self.follow(at, import, steps)?;
                in_full.extend_from_slice(rest);
                (in_full != path).then_some(in_full)
            })
        };
        self.blocks.iter().enumerate().find_map(own).unwrap_or(path)
    }

    /// What a name is imported as where a block stands, in full.
    fn through_import(&self, block: usize, name: &str, steps: usize) -> Option<Vec<String>> {
        let mut at = Some(block);
        while let Some(block) = at {
            let Block { parent, is_module, imports, .. } = &self.blocks[block];
            if let Some(imports) = imports.get(name) {
                // `use access::access` imports a function beside the module.
                let mut others = imports.iter().filter(|import| import[0] != name);
                return others.find_map(|import| self.follow(block, import, steps));
            }
            at = parent.filter(|_| !is_module);
        }
        None
    }

    /// Whether it is a file or an inline module.
    fn is_module(&self, path: &[String]) -> bool {
        self.modules.contains(&path.join("::"))
            || self.blocks.iter().any(|block| block.is_module && block.module == path)
    }
}
