//! The crate hotcall-plugin as this program carries it.
//!
//! No registry has the crate, so a plugin that is created outside a checkout of Hotcall gets its
//! sources. Knows no folders: the caller decides where they are written.

use super::template::Template;

/// A file of `plugin-api/` under its own path.
macro_rules! sources {
    ($($path:literal),* $(,)?) => {
        [$(($path, include_str!(concat!("../../../../plugin-api/", $path)))),*]
    };
}

/// All that it is built from, but for the manifests: those of the repository speak of its
/// workspace.
const SOURCES: [Template; 27] = sources![
    "include/hotcall_plugin.h",
    "macros/src/derive.rs",
    "macros/src/lib.rs",
    "macros/src/method.rs",
    "macros/src/names.rs",
    "macros/src/plugin.rs",
    "macros/src/signature.rs",
    "src/abi.rs",
    "src/arena.rs",
    "src/bytes.rs",
    "src/call.rs",
    "src/convert.rs",
    "src/copy.rs",
    "src/export.rs",
    "src/fault.rs",
    "src/from_value.rs",
    "src/host.rs",
    "src/into_value.rs",
    "src/lib.rs",
    "src/members.rs",
    "src/method.rs",
    "src/panics.rs",
    "src/state.rs",
    "src/tree.rs",
    "src/types.rs",
    "src/value.rs",
    "src/walk.rs",
];

const REST: [Template; 4] = [
    ("LICENSE", include_str!("../../../../LICENSE")),
    ("README.md", include_str!("api/README.md.template")),
    ("macros/Cargo.toml", include_str!("api/macros.Cargo.toml.template")),
    ("Cargo.toml", include_str!("api/Cargo.toml.template")),
];

/// Its files, the crate's own manifest last.
pub(super) fn files() -> Vec<(String, String)> {
    let sources = SOURCES.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
    let version = |text: &str| text.replace("{{version}}", env!("CARGO_PKG_VERSION"));
    sources.chain(REST.iter().map(|(path, text)| ((*path).to_owned(), version(text)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    fn repository() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
    }

    #[test]
    fn no_source_is_forgotten() {
        let plugin_api = repository().join("plugin-api");
        let mut there = BTreeSet::new();
        for folder in ["include", "macros/src", "src"] {
            for entry in fs::read_dir(plugin_api.join(folder)).unwrap().flatten() {
                assert!(
                    entry.path().is_file(),
                    "{:?}: this test reads no folders in folders",
                    entry.path()
                );
                there.insert(format!("{folder}/{}", entry.file_name().to_str().unwrap()));
            }
        }
        let carried: BTreeSet<String> =
            SOURCES.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(carried, there);
    }

    /// A manifest of this repository with what it has from the workspace.
    fn manifest(path: &str) -> toml::Table {
        let read = |path: &str| -> toml::Table {
            fs::read_to_string(repository().join(path)).unwrap().parse().unwrap()
        };
        let (mut manifest, workspace) = (read(path), read("Cargo.toml"));
        for (key, value) in manifest["package"].as_table_mut().unwrap() {
            if value.is_table() {
                *value = workspace["workspace"]["package"][key].clone();
            }
        }
        manifest
    }

    #[test]
    fn the_manifests_are_those_of_the_repository_apart_from_it() {
        for (carried, original) in [
            ("Cargo.toml", "plugin-api/Cargo.toml"),
            ("macros/Cargo.toml", "plugin-api/macros/Cargo.toml"),
        ] {
            let (_, text) = files().into_iter().find(|(path, _)| path == carried).unwrap();
            let (mut carried, original): (toml::Table, _) =
                (text.parse().unwrap(), manifest(original));
            carried["package"].as_table_mut().unwrap().remove("publish");
            for part in ["package", "dependencies"] {
                assert_eq!(carried[part], original[part], "{text}");
            }
        }
    }
}
