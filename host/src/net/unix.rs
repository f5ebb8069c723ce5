//! Unix sockets that listen, and their files.
//!
//! A socket's file is created with mode 0600, then gets its owner and group, and its mode last.
//! These changes go through a descriptor of the file itself, so a link that replaces the file is
//! not followed.

use mio::net::UnixListener;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};
use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// As many connections wait to be accepted as the system lets wait.
const BACKLOG: i32 = i32::MAX;

/// What the system takes of a path: `sun_path` less the zero at its end (unix(7)).
const PATH_BYTES_MAX: usize = 107;

/// Who may connect to Unix sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnixAccess {
    /// The sockets' mode, nine bits.
    pub mode: u32,
    /// Their owner, where it is not this process's user.
    pub owner: Option<u32>,
    /// Their group, where it is not this process's.
    pub group: Option<u32>,
}

impl UnixAccess {
    /// Nobody but the owner may connect.
    const PRIVATE_MODE: u32 = 0o600;
}

impl Default for UnixAccess {
    fn default() -> Self {
        Self { mode: Self::PRIVATE_MODE, owner: None, group: None }
    }
}

/// A socket's file, which goes with this.
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            log::debug!("{} stays until the next start: {error}", self.0.display());
        }
    }
}

/// Whether a path can be a socket's.
///
/// # Errors
/// Why it cannot.
pub(super) fn check(path: &Path) -> Result<(), String> {
    let path = std::path::absolute(path).map_err(|error| error.to_string())?;
    let bytes = path.as_os_str().len();
    if bytes > PATH_BYTES_MAX {
        return Err(format!(
            "the path has {bytes} bytes and may have {PATH_BYTES_MAX}; name a shorter one"
        ));
    }
    Ok(())
}

/// Listens on a path. A socket that a dead server left there is replaced.
pub(super) fn bind(path: &Path, access: UnixAccess) -> io::Result<(UnixListener, SocketFile)> {
    let path = std::path::absolute(path)?;
    if let Ok(meta) = fs::symlink_metadata(&path) {
        if !meta.file_type().is_socket() {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "the file there is not a socket",
            ));
        }
        if UnixStream::connect(&path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another server listens there"));
        }
        fs::remove_file(&path)?;
    }
    let socket = listen_privately(&path)?;
    let file = SocketFile(path);
    if access != UnixAccess::default() {
        open_up(&file.0, access)?;
    }
    socket.set_nonblocking(true)?;
    Ok((UnixListener::from_std(socket), file))
}

/// Listens on a Unix socket to which nobody else can connect, whatever the umask, not even for a
/// moment.
pub(super) fn listen_privately(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    // On Linux `bind` makes the file with the socket's own mode, less the umask. A `chmod` after
    // `bind` would come too late for clients that connect in between.
    rustix::fs::fchmod(&socket, Mode::from_raw_mode(UnixAccess::PRIVATE_MODE))?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// Gives a private socket's file to whom it is meant for: first its owner and group, and then the
/// mode that lets them in. What is changed is the file that was opened: a link that somebody has
/// put there meanwhile is refused and not followed.
fn open_up(path: &Path, access: UnixAccess) -> io::Result<()> {
    let file =
        rustix::fs::open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FileType::Socket {
        return Err(io::Error::other("somebody has replaced the socket that was made there"));
    }
    let (owner, group) = (access.owner.map(Uid::from_raw), access.group.map(Gid::from_raw));
    // A service manager's filter may refuse even a chown that changes nothing.
    if owner.is_some() || group.is_some() {
        rustix::fs::chownat(&file, "", owner, group, AtFlags::EMPTY_PATH)?;
    }
    // A descriptor of this kind has no chmod of its own.
    let itself = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(rustix::fs::chmod(itself, Mode::from_raw_mode(access.mode))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_socket_has_the_mode_that_is_meant_and_goes_with_its_listener() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        for mode in [0o600, 0o660, 0o666, 0o400] {
            let bound = bind(&path, UnixAccess { mode, ..UnixAccess::default() }).unwrap();
            assert_eq!(fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o777, mode);
            drop(bound);
            assert!(!path.exists(), "{mode:o}");
        }
    }

    #[test]
    fn a_path_is_as_long_as_the_system_takes_it() {
        let dir = tempfile::tempdir().unwrap();
        let used = dir.path().as_os_str().len() + 1;
        for (bytes, fits) in [(PATH_BYTES_MAX, true), (PATH_BYTES_MAX + 1, false)] {
            let path = dir.path().join("s".repeat(bytes - used));
            assert_eq!(check(&path).is_ok(), fits, "{bytes}");
            let listens = bind(&path, UnixAccess::default())
                .is_ok_and(|_bound| UnixStream::connect(&path).is_ok());
            assert_eq!(listens, fits, "{bytes}");
        }
    }

    #[test]
    fn what_is_no_socket_is_neither_replaced_nor_opened_up() {
        let dir = tempfile::tempdir().unwrap();
        let (secret, path) = (dir.path().join("secret"), dir.path().join("s"));
        fs::write(&secret, "").unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&secret, &path).unwrap();
        let wide = UnixAccess { mode: 0o666, ..UnixAccess::default() };
        assert!(bind(&path, wide).is_err() && bind(&secret, wide).is_err());
        assert!(open_up(&path, wide).is_err() && open_up(&secret, wide).is_err());
        assert_eq!(fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
