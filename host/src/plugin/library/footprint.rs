//! The libraries that are mapped into the process, and their private copies. Must not know which
//! of them serve.
//!
//! A retired library usually stays mapped, so operators must be able to read how much memory and
//! disk that takes.

use super::count::Count;
use super::image::Image;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is mapped and what of it has retired.
#[derive(Default)]
pub(crate) struct Footprint {
    mapped: Vec<Arc<Image>>,
    /// By the plugin's name; twice where two generations had one library.
    retired: BTreeMap<String, Vec<Arc<Image>>>,
}

impl Footprint {
    /// A library was mapped, whatever became of it then.
    pub(crate) fn map(&mut self, image: Arc<Image>) {
        self.mapped.push(image);
    }

    /// A generation of this plugin no longer serves.
    pub(crate) fn retire(&mut self, plugin: &str, image: Arc<Image>) {
        self.retired.entry(plugin.to_owned()).or_default().push(image);
    }

    /// The library of a retired generation was unmapped, and its private copy removed.
    pub(crate) fn unmap(&mut self, plugin: &str, image: &Arc<Image>) {
        self.mapped.retain(|mapped| !Arc::ptr_eq(mapped, image));
        if let Some(retired) = self.retired.get_mut(plugin) {
            retired.retain(|retired| !Arc::ptr_eq(retired, image));
            if retired.is_empty() {
                self.retired.remove(plugin);
            }
        }
    }

    /// What is mapped beside what serves: retired generations, and contents that were refused once
    /// mapped.
    pub(crate) fn kept(&self, serving: Count) -> Count {
        let mut kept = sum(&self.mapped);
        kept.take(serving);
        kept
    }

    /// Retired generations of one plugin.
    pub(crate) fn kept_of(&self, plugin: &str) -> Count {
        self.retired.get(plugin).map(|images| sum(images)).unwrap_or_default()
    }
}

fn sum(images: &[Arc<Image>]) -> Count {
    let mut sum = Count::default();
    images.iter().for_each(|image| sum.add(image.count()));
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_unmapped_is_kept() {
        let mut footprint = Footprint::default();
        let [a, b, c] = [10, 20, 30].map(|bytes| Image::of_nothing(bytes, bytes * 100, bytes * 30));
        for image in [&a, &b, &c] {
            footprint.map(Arc::clone(image));
        }
        assert_eq!(
            footprint.kept(c.count()),
            Count { generations: 2, bytes: 30, file_bytes: 3_000 }
        );
        footprint.retire("p", Arc::clone(&a));
        assert_eq!(footprint.kept_of("p"), Count::one(10, 1_000));
        a.shrink_nothing();
        assert_eq!(footprint.kept_of("p"), Count::one(10, 300));
        assert_eq!(
            footprint.kept(c.count()),
            Count { generations: 2, bytes: 30, file_bytes: 2_300 }
        );
        a.keep(Box::new(()), 5);
        assert_eq!(footprint.kept_of("p"), Count::one(15, 300));
        footprint.unmap("p", &a);
        assert_eq!(footprint.kept_of("p"), Count::default());
        assert_eq!(footprint.kept(c.count()), b.count());
    }
}
