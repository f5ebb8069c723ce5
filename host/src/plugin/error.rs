//! Why the life cycle cannot start. Must not know plugins: a plugin is never the reason.

use std::path::{Path, PathBuf};
use std::{fmt, io};

/// Why the life cycle cannot start: always the operator's to solve.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The state directory cannot be used.
    State {
        /// The path that failed.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another user could change what the state directory holds; the text says how to fix that.
    UnsafeState(String),
    /// Code in the state directory cannot be loaded.
    NoExec(PathBuf),
    /// A plugin's settings are not a struct.
    Settings(String),
    /// The loader thread cannot be started.
    Thread(io::Error),
}

impl Error {
    pub(crate) fn state(path: &Path) -> impl Fn(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::State { path: path.clone(), source }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State { path, source } => write!(
                f,
                "cannot use {} for the server's state: {source}; name a directory of its own with \
                 --state-dir",
                path.display()
            ),
            Self::UnsafeState(what) => write!(f, "the state directory is not safe: {what}"),
            Self::NoExec(path) => write!(
                f,
                "{} is on a file system mounted noexec, where no plugin can be loaded; \
                 name a directory elsewhere with --state-dir",
                path.display()
            ),
            Self::Settings(name) => {
                write!(f, "the configuration of plugin {name} is not a table; make it one")
            }
            Self::Thread(source) => write!(f, "cannot start the plugin loader's thread: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::State { source, .. } | Self::Thread(source) => Some(source),
            Self::UnsafeState(_) | Self::NoExec(_) | Self::Settings(_) => None,
        }
    }
}
