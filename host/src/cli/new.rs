//! `hotcall new NAME`: creates a plugin's folder, ready to build. Knows files and text; it runs
//! neither cargo nor a compiler.

mod api;
mod name;
mod place;
mod template;

use super::output::Failure;
use crate::text;
use clap::Args;
use name::Name;
use place::{Api, Surroundings};
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use template::Template;

/// Makes a plugin to start from: a crate, or C with a Makefile, that builds, passes its test and
/// loads
///
/// A crate depends on hotcall-plugin. With --api it is the one in that folder. Without, it is the
/// nearest one above the new folder, in a folder plugin-api/ (of a checkout of Hotcall) or
/// hotcall-plugin/, named by a relative path. Where there is none, its sources, which this program
/// carries, are written too: to hotcall-plugin/ in the new folder or, for all its members, in the
/// cargo workspace that lists the crate.
///
/// Inside another cargo workspace that does not list it, the crate is a workspace of its own.
#[derive(Args, Clone, Debug)]
pub(super) struct NewArgs {
    /// The plugin's name: letters, digits, - and _
    name: Name,
    /// Write it in C, with a Makefile and a copy of hotcall_plugin.h
    #[arg(long)]
    c: bool,
    /// The folder to make it in
    #[arg(long, value_name = "DIR", default_value = ".")]
    path: PathBuf,
    /// The folder of the hotcall-plugin crate to depend on
    #[arg(long, value_name = "PATH", conflicts_with = "c")]
    api: Option<PathBuf>,
}

/// The manifest stands last, here and below: until it is there, `hotcall dev` sees no plugin in the
/// folder.
const RUST: [Template; 4] = [
    ("src/lib.rs", include_str!("new/rust/lib.rs.template")),
    (".gitignore", include_str!("new/rust/gitignore.template")),
    ("README.md", include_str!("new/rust/README.md.template")),
    ("Cargo.toml", include_str!("new/rust/Cargo.toml.template")),
];

const C: [Template; 6] = [
    ("{{name}}.c", include_str!("new/c/plugin.c.template")),
    ("test.c", include_str!("new/c/test.c.template")),
    ("hotcall_plugin.h", hotcall_plugin::C_HEADER),
    (".gitignore", include_str!("new/c/gitignore.template")),
    ("README.md", include_str!("new/c/README.md.template")),
    ("Makefile", include_str!("new/c/Makefile.template")),
];

/// Makes the folder, whole or not at all, and says what to do in it.
///
/// # Errors
/// The folder exists, cannot be written, or `--api` names no hotcall-plugin.
pub(super) fn run(args: &NewArgs) -> Result<(), Failure> {
    let parent = fs::canonicalize(&args.path).map_err(|error| {
        Failure::new(format!("cannot use {}: {error}", args.path.display()))
            .hint("--path names a folder that exists")
    })?;
    let folder = parent.join(args.name.as_str());
    let Plan { templates, values, advice, api } =
        if args.c { c(&args.name) } else { rust(args, &folder)? };
    let files = templates.iter().map(|(path, text)| (fill(path, &values), fill(text, &values)));
    let files = files.collect::<Vec<_>>();
    let made = args.path.join(args.name.as_str());
    let made = shown(made.strip_prefix(".").unwrap_or(&made));
    make(&folder, &files, api.as_deref()).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::new(format!("{made} exists and is left as it is"))
            .hint("choose another name, or remove it"),
        _ => Failure::new(format!("cannot make {made}: {error}")),
    })?;
    super::output::print(format!("made {made}; in it:\n{advice}"))
}

/// What is to be made.
struct Plan {
    templates: &'static [Template],
    values: Values,
    advice: String,
    /// Where the sources of hotcall-plugin are written.
    api: Option<PathBuf>,
}

/// What stands for the marks in a template.
type Values = Vec<(&'static str, String)>;

fn c(name: &Name) -> Plan {
    let library = format!("{name}.so");
    let advice = advice("make check", "make", &library);
    Plan { templates: &C, values: values(name, library), advice, api: None }
}

/// Part of a manifest that cargo reads in the root of a workspace only.
const PROFILE: &str = "\n\n[profile.release]\n\
    # A server needs no symbols: panics are logged with file and line all the same.\n\
    strip = \"symbols\"";

/// As much, of a crate that is not listed by the workspace around it.
const WORKSPACE: &str = "\n\n\
    # A workspace of its own, since it lies in one that does not list it.\n[workspace]";

fn rust(args: &NewArgs, folder: &Path) -> Result<Plan, Failure> {
    let surroundings = place::surroundings(folder);
    let Api { path, missing: api } = place::api(args.api.as_deref(), folder, &surroundings)?;
    let target = surroundings.target_of(folder);
    let library = target.join(format!("release/lib{}.so", args.name.ident())).display().to_string();
    let mut advice = advice("cargo test", "cargo build --release", &text::line(&library));
    if let Some(api) = &api {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(
            advice,
            "It depends on hotcall-plugin {}, whose sources are in {}, since no registry has them.",
            env!("CARGO_PKG_VERSION"),
            shown(api)
        );
    }
    let is_member = matches!(surroundings, Surroundings::Member(_));
    let mut root_only = if is_member { "" } else { PROFILE }.to_owned();
    if let Surroundings::Beside(root) = &surroundings {
        root_only += WORKSPACE;
        let _ = writeln!(
            advice,
            "It lies in the workspace of {} and is none of it; to join, list it in `members` there \
             and remove [profile.release] and [workspace] from its own Cargo.toml.",
            shown(root)
        );
    }
    let mut values = values(&args.name, library);
    values.push(("{{api}}", path));
    values.push(("{{root_only}}", root_only));
    Ok(Plan { templates: &RUST, values, advice, api })
}

fn values(name: &Name, library: String) -> Values {
    vec![("{{name}}", name.to_string()), ("{{ident}}", name.ident()), ("{{library}}", library)]
}

/// A path as clean text.
fn shown(path: &Path) -> String {
    text::line(&path.to_string_lossy()).into_owned()
}

fn advice(test: &str, build: &str, library: &str) -> String {
    format!(
        "  {test:<22}  tests it\n  {:<22}  serves it and rebuilds what changes\n  {build:<22}  \
         writes {library}, for a plugins directory\n",
        "hotcall dev ."
    )
}

fn fill(template: &str, values: &Values) -> String {
    values.iter().fold(template.to_owned(), |text, (mark, value)| text.replace(mark, value))
}

/// Makes the plugin's folder, and that of hotcall-plugin if one is wanted, in it or elsewhere.
fn make(folder: &Path, files: &[(String, String)], api: Option<&Path>) -> io::Result<()> {
    let api_files = api.map_or(Vec::new(), |_| api::files());
    claimed(folder, || {
        if let Some(api) = api {
            let made = claimed(api, || {
                write_all(api, &api_files)?;
                write_all(folder, files)
            });
            // The name that is taken here is none that the caller chose.
            return made.map_err(|error| io::Error::other(format!("{}: {error}", api.display())));
        }
        write_all(folder, files)
    })
}

/// Making a folder claims its name: whatever stands there already is never touched.
fn claimed(folder: &Path, fill: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    fs::create_dir(folder)?;
    fill().inspect_err(|_| {
        // All of it is ours. If it cannot be removed either, the first error says more.
        let _ = fs::remove_dir_all(folder);
    })
}

fn write_all(folder: &Path, files: &[(String, String)]) -> io::Result<()> {
    files.iter().try_for_each(|(path, text)| write(&folder.join(path), text))
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::File::create_new(path)?.write_all(text.as_bytes())
}
