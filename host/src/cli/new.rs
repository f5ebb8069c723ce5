//! `hotcall new NAME`: a plugin's folder, ready to build. Knows files and text; it runs neither cargo nor a compiler.

mod name;
mod place;

use super::Failure;
use clap::Args;
use name::Name;
use place::Surroundings;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// What a crate that is built apart from any checkout depends on: the hotcall-plugin of this release.
const API_VERSION: &str = concat!(env!("CARGO_PKG_VERSION_MAJOR"), ".", env!("CARGO_PKG_VERSION_MINOR"));

/// Makes a plugin to start from: a crate, or C with a Makefile, that builds, passes its test and loads
///
/// A crate depends on hotcall-plugin. With --api it is the one in that folder. Without, it is the one of the checkout of
/// Hotcall that the new folder lies in (the nearest folder above it that has a plugin-api/), named by a relative path; outside
/// of one it is the registry's.
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

/// A file of the new folder: where, and its text.
type Template = (&'static str, &'static str);

/// The manifest stands last, here and below: until it is there, `hotcall dev` sees no plugin in the folder.
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
    let (templates, values, advice) = if args.c { c(&args.name) } else { rust(args, &folder)? };
    let files = templates.iter().map(|(path, text)| (fill(path, &values), fill(text, &values)));
    let files = files.collect::<Vec<_>>();
    let shown = args.path.join(args.name.as_str());
    let shown = shown.strip_prefix(".").unwrap_or(&shown).display();
    make(&folder, &files).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::new(format!("{shown} exists and is left as it is"))
            .hint("choose another name, or remove it"),
        _ => Failure::new(format!("cannot make {shown}: {error}")),
    })?;
    super::print(format!("made {shown}; in it:\n{advice}"))
}

/// What stands for the marks in a template.
type Values = Vec<(&'static str, String)>;

fn c(name: &Name) -> (&'static [Template], Values, String) {
    let library = format!("{name}.so");
    let advice = advice("make check", "make", &library);
    (&C, values(name, library), advice)
}

fn rust(args: &NewArgs, folder: &Path) -> Result<(&'static [Template], Values, String), Failure> {
    let surroundings = place::surroundings(folder);
    let (dependency, source) = match place::api(args.api.as_deref(), folder)? {
        Some(path) => (format!("{{ path = {path} }}"), String::new()),
        None => (
            format!("\"{API_VERSION}\""),
            format!(
                "It takes hotcall-plugin {API_VERSION} from the registry; --api PATH names a folder instead.\n"
            ),
        ),
    };
    let target = surroundings.target_of(folder);
    let library = target.join(format!("release/lib{}.so", args.name.ident())).display().to_string();
    let mut advice = advice("cargo test", "cargo build --release", &library) + &source;
    let mut workspace = "";
    if let Surroundings::Beside(root) = &surroundings {
        workspace = "\n\n# A workspace of its own, since it lies in one that does not list it.\n[workspace]";
        // Writing to a String cannot fail.
        let _ = writeln!(
            advice,
            "It lies in the workspace of {} and is none of it; to join, list it in `members` there and remove \
             [workspace] from its own Cargo.toml.",
            root.display()
        );
    }
    let mut values = values(&args.name, library);
    values.push(("{{dependency}}", dependency));
    values.push(("{{workspace}}", workspace.to_owned()));
    Ok((&RUST, values, advice))
}

fn values(name: &Name, library: String) -> Values {
    vec![("{{name}}", name.to_string()), ("{{ident}}", name.ident()), ("{{library}}", library)]
}

fn advice(test: &str, build: &str, library: &str) -> String {
    format!(
        "  {test:<22}  tests it\n  {:<22}  serves it and rebuilds what changes\n  {build:<22}  writes {library}, for a \
         plugins directory\n",
        "hotcall dev ."
    )
}

fn fill(template: &str, values: &Values) -> String {
    values.iter().fold(template.to_owned(), |text, (mark, value)| text.replace(mark, value))
}

/// Making the folder claims the name: whatever stands there already is never touched.
fn make(folder: &Path, files: &[(String, String)]) -> io::Result<()> {
    fs::create_dir(folder)?;
    let written = files.iter().try_for_each(|(path, text)| write(&folder.join(path), text));
    written.inspect_err(|_| {
        // All of it is ours. If it cannot be removed either, the first error says more.
        let _ = fs::remove_dir_all(folder);
    })
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::File::create_new(path)?.write_all(text.as_bytes())
}
