//! Members with unique names, whatever they are made of. Must not know where they come from.

use super::resources::{Meter, Stop};
use std::collections::{HashMap, HashSet};

/// Up to so many members, comparing each name with each is cheaper than hashing them.
const COMPARED_MEMBERS_MAX: usize = 8;

/// Bytes per member of the hash tables: a name's slice, two numbers, and the unused slots.
const BYTES_HASHED: usize = 96;

/// The last of a name wins and stands where the first stood.
pub(super) fn unique<T>(
    members: Vec<T>,
    meter: &Meter<'_>,
    name: impl Fn(&T) -> &[u8],
) -> Result<Vec<T>, Stop> {
    if members.len() <= COMPARED_MEMBERS_MAX {
        return Ok(deduplicated(members, name));
    }
    // A list with duplicates is copied twice.
    let _memory =
        meter.take_for_now(members.len().saturating_mul(BYTES_HASHED + 2 * size_of::<T>()))?;
    Ok(deduplicated(members, name))
}

fn deduplicated<T>(members: Vec<T>, name: impl Fn(&T) -> &[u8]) -> Vec<T> {
    if !has_duplicates(&members, &name) {
        return members;
    }
    // For each name, in the order of the first ones, where its last one is.
    let (mut places, mut last) = (HashMap::with_capacity(members.len()), Vec::new());
    for (at, member) in members.iter().enumerate() {
        let place = *places.entry(name(member)).or_insert(last.len());
        match last.get_mut(place) {
            Some(earlier) => *earlier = at,
            None => last.push(at),
        }
    }
    let mut members: Vec<Option<T>> = members.into_iter().map(Some).collect();
    last.into_iter().filter_map(|at| members.get_mut(at)?.take()).collect()
}

fn has_duplicates<T>(members: &[T], name: impl Fn(&T) -> &[u8]) -> bool {
    let names = || members.iter().map(&name);
    if members.len() <= COMPARED_MEMBERS_MAX {
        return (1..)
            .zip(names())
            .any(|(after, name)| names().skip(after).any(|other| other == name));
    }
    let mut seen = HashSet::with_capacity(members.len());
    !names().all(|name| seen.insert(name))
}
