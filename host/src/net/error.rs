//! Why the network side cannot start.

use std::fmt;
use std::path::PathBuf;

/// Why a listener could not serve.
#[derive(Debug)]
pub enum Error {
    /// The address or path could not be bound.
    Bind {
        /// What was to be bound.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The certificate or key cannot be used.
    Tls(String),
    /// The limit of open files leaves none for connections.
    Descriptors,
    /// A thread could not be started.
    Thread(std::io::Error),
    /// The development certificate could not be read or written.
    DevelopmentCertificate {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        why: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind { what, source } => {
                let remedy = match source.kind() {
                    std::io::ErrorKind::AddrInUse => "end what listens there, or name another",
                    std::io::ErrorKind::PermissionDenied => "this user may not; name another",
                    _ => "name another",
                };
                write!(f, "cannot listen on {what}: {source}; {remedy}")
            }
            Self::Tls(why) => f.write_str(why),
            Self::Descriptors => f.write_str(
                "the limit of open files leaves none for connections: raise it with ulimit -n or \
                 LimitNOFILE=",
            ),
            Self::Thread(source) => write!(f, "cannot start a thread: {source}"),
            Self::DevelopmentCertificate { path, why } => {
                write!(f, "development certificate {}: {why}", path.display())
            }
        }
    }
}

impl std::error::Error for Error {}
