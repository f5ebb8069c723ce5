//! The contents that were refused. None is loaded again before something changes that the refusal
//! depends on.
//!
//! A refusal of its surroundings is not remembered here: a full disk, permissions, no process or
//! memory. Such a file is blocked and retried; see `slot`.

use crate::plugin::directory::content::ContentHash;
use std::collections::VecDeque;

/// Refused contents that are remembered.
const ENTRIES_MAX: usize = 1_000;

/// What was refused, the newest first.
#[derive(Default)]
pub(super) struct Quarantine(VecDeque<Entry>);

/// One refused content.
pub(super) struct Entry {
    pub(super) hash: ContentHash,
    pub(super) why: String,
    /// The plugin's name, when it came to that.
    pub(super) plugin: Option<String>,
    /// The generation whose state it refused: beside another one it may serve.
    pub(super) beside: Option<u64>,
}

impl Quarantine {
    /// Remembers a refusal. The oldest one is forgotten when there are too many.
    pub(super) fn put(&mut self, entry: Entry) {
        self.0.retain(|old| old.hash != entry.hash);
        self.0.truncate(ENTRIES_MAX - 1);
        self.0.push_front(entry);
    }

    /// The refusal that still holds for this content.
    pub(super) fn get(&self, hash: ContentHash, runs: impl Fn(u64) -> bool) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.hash == hash && entry.beside.is_none_or(&runs))
    }

    /// Forgets that this content was refused.
    pub(super) fn forget(&mut self, hash: ContentHash) {
        self.0.retain(|entry| entry.hash != hash);
    }

    /// The contents that were refused beside this generation.
    pub(super) fn beside(&self, generation: u64) -> impl Iterator<Item = ContentHash> {
        self.0.iter().filter(move |entry| entry.beside == Some(generation)).map(|entry| entry.hash)
    }

    /// Forgets what was refused of a plugin.
    pub(super) fn forgive(&mut self, plugin: &str) {
        self.0.retain(|entry| entry.plugin.as_deref() != Some(plugin));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(content: &str, plugin: Option<&str>, beside: Option<u64>) -> Entry {
        let hash = ContentHash::of(content.as_bytes());
        Entry { hash, why: content.into(), plugin: plugin.map(Into::into), beside }
    }

    #[test]
    fn holds_until_forgiven_or_until_the_other_side_is_gone() {
        let mut quarantine = Quarantine::default();
        quarantine.put(entry("a", Some("p"), None));
        quarantine.put(entry("b", Some("q"), Some(7)));
        let get = |quarantine: &Quarantine, content: &str, running| {
            quarantine.get(ContentHash::of(content.as_bytes()), |id| id == running).is_some()
        };
        assert!(get(&quarantine, "a", 1) && get(&quarantine, "b", 7));
        assert!(!get(&quarantine, "b", 8) && !get(&quarantine, "c", 7));
        quarantine.forgive("p");
        assert!(!get(&quarantine, "a", 1) && get(&quarantine, "b", 7));
    }

    #[test]
    fn is_bounded() {
        let mut quarantine = Quarantine::default();
        for number in 0..ENTRIES_MAX + 5 {
            quarantine.put(entry(&number.to_string(), None, None));
            quarantine.put(entry("same", None, None));
        }
        assert_eq!(quarantine.0.len(), ENTRIES_MAX);
    }
}
