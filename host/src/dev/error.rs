//! Why plugins are not built: all of them, or one.

use super::child::ChildError;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::{fmt, io};

/// Why building could not start. A plugin that does not build is no such reason.
#[derive(Debug)]
pub enum Error {
    /// A directory of plugins cannot be read.
    Directory(PathBuf, io::Error),
    /// Another process builds into the output directory.
    Busy(PathBuf),
    /// The output directory cannot be made or written.
    Output(PathBuf, io::Error),
    /// The system gives no thread.
    Thread(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path, error) => {
                write!(
                    f,
                    "cannot read {}: {error}; name a directory that holds plugins",
                    path.display()
                )
            }
            Self::Busy(path) => write!(
                f,
                "another hotcall dev builds these plugins into {}; end it, or choose another \
                 --state-dir",
                path.display()
            ),
            Self::Output(path, error) => {
                write!(
                    f,
                    "cannot install plugins in {}: {error}; choose another --state-dir",
                    path.display()
                )
            }
            Self::Thread(error) => write!(f, "cannot start a thread to build plugins: {error}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Directory(_, error) | Self::Output(_, error) | Self::Thread(error) => Some(error),
            Self::Busy(_) => None,
        }
    }
}

/// Why a plugin was not built or not installed.
#[derive(Debug)]
pub(super) enum BuildError {
    /// The builder is being stopped.
    Ended,
    /// A program could not be run.
    Run(io::Error),
    /// A program ran and failed; it has said why on standard error.
    Failed(&'static str, ExitStatus),
    /// A program ran and did not give what it should.
    Output(String),
    /// A file could not be written.
    Write(PathBuf, io::Error),
    /// The file's name belongs to the plugin in this folder.
    Taken(String, PathBuf),
}

impl From<ChildError> for BuildError {
    fn from(error: ChildError) -> Self {
        match error {
            ChildError::Ended => Self::Ended,
            ChildError::System(error) => Self::Run(error),
        }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("the build was stopped"),
            Self::Run(error) => {
                write!(f, "cannot run the build: {error}; are cargo and make installed?")
            }
            Self::Failed(program, status) => {
                write!(f, "{program} failed ({status}); its output is above")
            }
            Self::Output(text) => f.write_str(text),
            Self::Write(path, error) => write!(f, "cannot write {}: {error}", path.display()),
            Self::Taken(file, folder) => {
                write!(
                    f,
                    "the plugin in {} is installed as {file} already; rename one",
                    folder.display()
                )
            }
        }
    }
}
