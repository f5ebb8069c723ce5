//! How the surroundings of a new crate affect its manifest: the workspace around it, and the place
//! of hotcall-plugin. Reads manifests as cargo does, without needing cargo.

use crate::cli::output::Failure;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// How a crate stands to the cargo workspaces above it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Surroundings {
    /// There is none.
    Alone,
    /// The workspace in this folder lists it.
    Member(PathBuf),
    /// The workspace in this folder does not: cargo would refuse to build it unless it is a
    /// workspace itself.
    Beside(PathBuf),
}

impl Surroundings {
    /// Where cargo puts what it builds, as seen from the crate.
    pub(super) fn target_of(&self, folder: &Path) -> PathBuf {
        match self {
            Self::Member(root) => relative(folder, &root.join("target")),
            _ => "target".into(),
        }
    }
}

/// The folder of a hotcall-plugin that this program has written.
const CARRIED: &str = "hotcall-plugin";

/// Looks for the workspace that cargo would find for `folder`, which is absolute and need not
/// exist.
pub(super) fn surroundings(folder: &Path) -> Surroundings {
    for root in folder.ancestors().skip(1) {
        let Some(manifest) = manifest(root) else { continue };
        let Some(workspace) = manifest.get("workspace") else { continue };
        let listed = |key: &str| {
            let list =
                workspace.get(key).and_then(toml::Value::as_array).cloned().unwrap_or_default();
            list.into_iter().filter_map(|item| item.as_str().map(str::to_owned)).collect::<Vec<_>>()
        };
        let inside = folder.strip_prefix(root).unwrap_or(folder);
        let is_member = listed("members").iter().any(|pattern| matches(Path::new(pattern), inside));
        let is_excluded = listed("exclude").iter().any(|path| inside.starts_with(path));
        return if is_member && !is_excluded {
            Surroundings::Member(root.to_owned())
        } else {
            Surroundings::Beside(root.to_owned())
        };
    }
    Surroundings::Alone
}

/// Where hotcall-plugin is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Api {
    /// As the new crate's manifest names it, in TOML.
    pub(super) path: String,
    /// Where it must be made first, if there is none.
    pub(super) missing: Option<PathBuf>,
}

/// Finds the hotcall-plugin for the crate in `folder`, or the place for one: in the crate itself,
/// so that it moves with it. Members of a workspace share one, because cargo takes no two packages
/// of one name there.
///
/// # Errors
/// The folder asked for does not hold it.
pub(super) fn api(
    asked: Option<&Path>,
    folder: &Path,
    surroundings: &Surroundings,
) -> Result<Api, Failure> {
    let found = match asked {
        Some(path) if !is_api(path) => {
            return Err(Failure::new(format!(
                "{} is not the folder of hotcall-plugin",
                path.display()
            ))
            .hint("--api names the plugin-api folder of a checkout of Hotcall"));
        }
        // Absolute only when asked for as such: other paths move with the folders that they
        // connect.
        Some(path) if path.is_absolute() => Some(path.to_owned()),
        Some(path) => Some(relative(folder, &fs::canonicalize(path).map_err(Failure::new)?)),
        None => {
            let above = folder.ancestors().skip(1);
            let above =
                above.flat_map(|above| ["plugin-api", CARRIED].map(|name| above.join(name)));
            above.into_iter().find(|path| is_api(path)).map(|path| relative(folder, &path))
        }
    };
    let (path, missing) = match (found, surroundings) {
        (Some(path), _) => (path, None),
        (None, Surroundings::Member(root)) => {
            let path = root.join(CARRIED);
            (relative(folder, &path), Some(path))
        }
        (None, _) => (CARRIED.into(), Some(folder.join(CARRIED))),
    };
    let text =
        path.to_str().ok_or_else(|| Failure::new("the path of hotcall-plugin is not UTF-8"))?;
    Ok(Api { path: toml::Value::from(text).to_string(), missing })
}

fn is_api(folder: &Path) -> bool {
    let name = manifest(folder).and_then(|manifest| {
        Some(manifest.get("package")?.get("name")?.as_str()? == "hotcall-plugin")
    });
    name.unwrap_or(false)
}

/// A manifest that cannot be read is none: cargo has more to say about it than we do.
fn manifest(folder: &Path) -> Option<toml::Table> {
    fs::read_to_string(folder.join("Cargo.toml")).ok()?.parse().ok()
}

/// The way from one folder to another, both absolute.
fn relative(from: &Path, to: &Path) -> PathBuf {
    let shared = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(shared).map(|_| Component::ParentDir);
    up.chain(to.components().skip(shared)).collect()
}

/// Whether a member's pattern, of components with `*` and `?`, gives this path.
fn matches(pattern: &Path, path: &Path) -> bool {
    let pattern =
        pattern.components().filter(|part| *part != Component::CurDir).collect::<Vec<_>>();
    let path = path.components().collect::<Vec<_>>();
    let same = |(a, b): (&Component<'_>, &Component<'_>)| {
        wildcard(a.as_os_str().as_encoded_bytes(), b.as_os_str().as_encoded_bytes())
    };
    pattern.len() == path.len() && pattern.iter().zip(&path).all(same)
}

fn wildcard(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (Some((b'*', rest)), _) => {
            wildcard(rest, text)
                || text.split_first().is_some_and(|(_, text)| wildcard(pattern, text))
        }
        (Some((p, pattern)), Some((t, text))) => (*p == b'?' || p == t) && wildcard(pattern, text),
        (None, None) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_between_folders_goes_over_what_they_share() {
        let way = |from: &str, to: &str| relative(Path::new(from), Path::new(to));
        assert_eq!(way("/a/b/new", "/a/plugin-api"), Path::new("../../plugin-api"));
        assert_eq!(way("/a/new", "/a/new/x"), Path::new("x"));
    }

    #[test]
    fn member_patterns_match_as_cargo_s_do() {
        let is = |pattern: &str, path: &str| matches(Path::new(pattern), Path::new(path));
        assert!(
            is("plugins/*", "plugins/greet")
                && is("./p*/g?eet", "plugins/greet")
                && is("greet", "greet")
        );
        assert!(
            !is("plugins/*", "plugins/a/greet")
                && !is("plugins", "plugins/greet")
                && !is("*s", "greet")
        );
    }

    #[test]
    fn a_workspace_above_is_joined_only_where_it_lists_the_crate() {
        let root = tempfile::tempdir().unwrap();
        let write = |text: &str| fs::write(root.path().join("Cargo.toml"), text).unwrap();
        let found = |name: &str| surroundings(&root.path().join(name));
        write("[package]\nname = \"alone\"\n");
        assert_eq!(found("p/new"), Surroundings::Alone);
        write("[workspace]\nmembers = [\"p/*\"]\nexclude = [\"p/out\"]\n");
        let here = root.path().to_owned();
        assert_eq!(found("p/new"), Surroundings::Member(here.clone()));
        assert_eq!(found("p/out"), Surroundings::Beside(here.clone()));
        assert_eq!(found("q/new"), Surroundings::Beside(here));
        assert_eq!(found("p/new").target_of(&root.path().join("p/new")), Path::new("../../target"));
    }

    #[test]
    fn the_nearest_checkout_is_used_and_a_wrong_folder_refused() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("deep/new");
        let found = |asked: Option<&Path>| api(asked, &folder, &Surroundings::Alone);
        assert_eq!(found(None).unwrap().missing, Some(folder.join("hotcall-plugin")));
        let member = api(None, &folder, &Surroundings::Member(root.path().to_owned())).unwrap();
        assert_eq!(member.path, "\"../../hotcall-plugin\"");
        assert_eq!(member.missing, Some(root.path().join("hotcall-plugin")));
        for name in ["hotcall-plugin", "plugin-api"] {
            let it = root.path().join(name);
            fs::create_dir(&it).unwrap();
            fs::write(it.join("Cargo.toml"), "[package]\nname = \"hotcall-plugin\"\n").unwrap();
            let near = Api { path: format!("\"../../{name}\""), missing: None };
            assert_eq!(found(None).unwrap(), near);
            assert_eq!(found(Some(&it)).unwrap().path, format!("\"{}\"", it.display()));
        }
        assert!(found(Some(root.path())).unwrap_err().to_string().contains("--api"));
    }
}
