//! Who could have changed a plugin's bytes: OpenSSH's rule for files that decide about access.
//!
//! Anyone who can change a plugin file can run code in the server. So the file, its directory and
//! all directories above must belong to root or to the server's user, and nobody else may write to
//! them. Then nobody else can change the file or swap what leads to it, and no check races with a
//! change.
//!
//! A file is opened by a walk from the root that checks every directory and link. The open file is
//! then checked, and only bytes read from it are hashed, verified, copied and loaded.
//!
//! A directory above may be writable by all when it is sticky, as /tmp is: others cannot rename
//! there what is not theirs. Knows paths, owners and modes; nothing of what a file holds.

use crate::plugin::refusal::Refusal;
use rustix::fs::OFlags;
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

/// Symbolic links on the way to one file, as many as the kernel follows.
const LINKS_MAX: usize = 40;
/// Writable by the group or by others.
const WRITABLE: u32 = 0o022;
const STICKY: u32 = 0o1000;
const ROOT: u32 = 0;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// Whether owners and modes count.
    pub(crate) is_checked: bool,
    /// Whether the file may be a symbolic link. The directories above always may.
    pub(crate) follows_links: bool,
}

/// Opens a regular file for reading, without ever waiting for one that is something else.
///
/// # Errors
/// A symbolic link, something else than a file, or one that somebody else could change.
pub(crate) fn open(path: &Path, policy: Policy) -> Result<File, Refusal> {
    if !policy.is_checked {
        return open_at(path, policy.follows_links).and_then(regular).map(|(file, _)| file);
    }
    let path = std::path::absolute(path).map_err(Refusal::io("open it"))?;
    // What was walked through is safe, so nobody else can change where this leads.
    let path = Walk::new(&path).resolve(policy)?;
    let (file, meta) = open_at(&path, false).and_then(regular)?;
    safe(&path, &meta, false)?;
    Ok(file)
}

/// Checks a directory that only the server's user should write to, and all that leads to it. What
/// is not there yet is safe when its place is: only who may write there can make it.
///
/// A user who could rename a directory above could put another one in its place at any time,
/// whatever its own mode. If all are safe, nobody can: this path later leads to what was checked,
/// and one look is enough.
///
/// # Errors
/// [`Refusal::Unsafe`], or that it cannot be looked at.
pub(crate) fn check_private(directory: &Path) -> Result<(), Refusal> {
    let directory = std::path::absolute(directory).map_err(Refusal::io("find it"))?;
    Walk::new(&directory).check_directory()
}

/// Opens without waiting, whatever is there: a FIFO with no writer, say.
pub(crate) fn open_at(path: &Path, follows_links: bool) -> Result<File, Refusal> {
    let nofollow = if follows_links { OFlags::empty() } else { OFlags::NOFOLLOW };
    let flags = (nofollow | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC).bits();
    let opened = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path);
    opened.map_err(|error| match error.raw_os_error() {
        Some(code) if code == rustix::io::Errno::LOOP.raw_os_error() && !follows_links => {
            Refusal::Symlink
        }
        _ => Refusal::Io { what: "open it", source: error },
    })
}

fn regular(file: File) -> Result<(File, Metadata), Refusal> {
    let meta = file.metadata().map_err(Refusal::io("look at it"))?;
    if meta.is_file() { Ok((file, meta)) } else { Err(NOT_REGULAR) }
}

const NOT_REGULAR: Refusal = Refusal::NotElf("it is not a regular file");

/// A way through the directories, link by link.
struct Walk {
    /// A directory without links in its path.
    at: PathBuf,
    left: VecDeque<OsString>,
    links: usize,
}

impl Walk {
    fn new(path: &Path) -> Self {
        let mut walk = Self { at: PathBuf::from("/"), left: VecDeque::new(), links: 0 };
        walk.insert(path);
        walk
    }

    /// Puts a path's parts before what is left.
    fn insert(&mut self, path: &Path) {
        for part in path.components().rev() {
            match part {
                Component::Normal(name) => self.left.push_front(name.to_owned()),
                Component::ParentDir => self.left.push_front("..".into()),
                Component::RootDir => self.at = PathBuf::from("/"),
                Component::CurDir | Component::Prefix(_) => {}
            }
        }
    }

    /// Checks every directory on the way, and gives the path of the file at its end.
    fn resolve(mut self, policy: Policy) -> Result<PathBuf, Refusal> {
        while let Some(name) = self.next() {
            let is_last = self.left.is_empty();
            let (path, meta) = self.look_at(&name, !is_last)?;
            if meta.is_symlink() {
                if is_last && !policy.follows_links {
                    return Err(Refusal::Symlink);
                }
                self.follow(&path, &meta)?;
            } else if meta.is_dir() {
                self.at = path;
            } else if is_last && meta.is_file() {
                return Ok(path);
            } else {
                return Err(NOT_REGULAR);
            }
        }
        Err(NOT_REGULAR)
    }

    /// Checks every directory on the way and the one at its end, as far as they are there.
    fn check_directory(mut self) -> Result<(), Refusal> {
        while let Some(name) = self.next() {
            let (path, meta) = match self.look_at(&name, true) {
                Err(Refusal::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                    return Ok(());
                }
                found => found?,
            };
            if meta.is_symlink() {
                self.follow(&path, &meta)?;
            } else {
                self.at = path;
            }
        }
        let meta = fs::symlink_metadata(&self.at).map_err(Refusal::io("look at it"))?;
        safe(&self.at, &meta, false)
    }

    /// The next part of the way that goes down.
    fn next(&mut self) -> Option<OsString> {
        loop {
            match self.left.pop_front()? {
                name if name == ".." => drop(self.at.pop()),
                name => return Some(name),
            }
        }
    }

    /// What has this name here, in a directory that is safe.
    fn look_at(&self, name: &OsStr, may_be_sticky: bool) -> Result<(PathBuf, Metadata), Refusal> {
        let directory =
            fs::symlink_metadata(&self.at).map_err(Refusal::io("look at its directory"))?;
        safe(&self.at, &directory, may_be_sticky)?;
        let path = self.at.join(name);
        let meta = fs::symlink_metadata(&path).map_err(Refusal::io("look at it"))?;
        Ok((path, meta))
    }

    fn follow(&mut self, link: &Path, meta: &Metadata) -> Result<(), Refusal> {
        self.links += 1;
        if self.links > LINKS_MAX {
            let source = io::Error::other("too many symbolic links");
            return Err(Refusal::Io { what: "follow it", source });
        }
        // A link has no mode, but in a sticky directory its owner can replace it.
        owned(link, meta, server_user())?;
        let target = fs::read_link(link).map_err(Refusal::io("follow it"))?;
        self.insert(&target);
        Ok(())
    }
}

fn safe(path: &Path, meta: &Metadata, may_be_sticky: bool) -> Result<(), Refusal> {
    owned(path, meta, server_user())?;
    let writable = meta.mode() & WRITABLE;
    if writable == 0 || (may_be_sticky && meta.mode() & STICKY != 0) {
        return Ok(());
    }
    let (who, flags) = match writable {
        0o020 => ("its group", "g-w"),
        0o002 => ("others", "o-w"),
        _ => ("its group and others", "go-w"),
    };
    Err(Refusal::Unsafe {
        what: format!(
            "{} is writable by {who} (mode {:04o})",
            path.display(),
            meta.mode() & 0o7777
        ),
        remedy: format!("chmod {flags} {}", quoted(path)),
    })
}

fn server_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Refuses what belongs to another user than root and `ours`.
fn owned(path: &Path, meta: &Metadata, ours: u32) -> Result<(), Refusal> {
    if [ROOT, ours].contains(&meta.uid()) {
        return Ok(());
    }
    Err(Refusal::Unsafe {
        what: format!(
            "{} belongs to user {}, not to the server's user {ours}",
            path.display(),
            meta.uid()
        ),
        remedy: format!("chown -h {ours} {}", quoted(path)),
    })
}

/// As a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    if text.chars().all(|c| c.is_alphanumeric() || "/._-+:@%=".contains(c)) {
        return text;
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    const CHECKED: Policy = Policy { is_checked: true, follows_links: false };
    const FOLLOWED: Policy = Policy { is_checked: true, follows_links: true };

    /// A directory with a file `a.so`, both of which are safe.
    fn scene() -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("plugins");
        fs::create_dir(&directory).unwrap();
        let file = directory.join("a.so");
        fs::write(&file, "x").unwrap();
        (root, file)
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn refusal(path: &Path, policy: Policy) -> String {
        open(path, policy).err().map(|refusal| refusal.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_safe_file_below_a_sticky_directory_opens() {
        let (root, file) = scene();
        assert_eq!(refusal(&file, CHECKED), "");
        chmod(root.path(), 0o1777);
        assert_eq!(refusal(&file, CHECKED), "");
    }

    #[test]
    fn each_mode_that_lets_others_write_is_named_with_its_remedy() {
        let (root, file) = scene();
        let directory = file.parent().unwrap();
        let cases = [
            (file.as_path(), 0o664, "its group (mode 0664)", "chmod g-w "),
            (file.as_path(), 0o602, "others (mode 0602)", "chmod o-w "),
            (directory, 0o775, "its group (mode 0775)", "chmod g-w "),
            (directory, 0o1777, "its group and others (mode 1777)", "chmod go-w "),
            (root.path(), 0o777, "its group and others (mode 0777)", "chmod go-w "),
        ];
        for (path, mode, who, remedy) in cases {
            let before = fs::metadata(path).unwrap().mode() & 0o7777;
            chmod(path, mode);
            let text = refusal(&file, CHECKED);
            let begins = format!("{} is writable by {who}", path.display());
            assert!(text.starts_with(&begins), "{mode:o}: {text}");
            assert!(text.contains(&format!("{remedy}{};", path.display())), "{mode:o}: {text}");
            assert!(text.contains("check_permissions"), "{mode:o}: {text}");
            assert_eq!(refusal(&file, Policy { is_checked: false, ..CHECKED }), "");
            chmod(path, before);
        }
    }

    #[test]
    fn what_belongs_to_somebody_else_is_refused() {
        let (_root, file) = scene();
        // Root gives the file away, since it may have any file. Others ask in another user's name.
        let given_away = std::os::unix::fs::chown(&file, Some(4242), None).is_ok();
        let (owner, ours) = if given_away { (4242, ROOT) } else { (server_user(), 4243) };
        let refused = owned(&file, &fs::metadata(&file).unwrap(), ours).unwrap_err().to_string();
        let begins =
            format!("{} belongs to user {owner}, not to the server's user {ours}", file.display());
        assert!(refused.starts_with(&begins) && refused.contains("chown -h "), "{refused}");
        assert_eq!(refusal(&file, CHECKED).is_empty(), !given_away);
    }

    #[test]
    fn links_are_followed_when_wanted_and_every_directory_of_them_counts() {
        let (root, file) = scene();
        let elsewhere = root.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        fs::write(elsewhere.join("b.so"), "x").unwrap();
        let link = file.with_file_name("b.so");
        symlink("../elsewhere/b.so", &link).unwrap();
        assert!(matches!(open(&link, CHECKED), Err(Refusal::Symlink)));
        assert_eq!(refusal(&link, FOLLOWED), "");
        chmod(&elsewhere, 0o777);
        assert!(refusal(&link, FOLLOWED).contains("elsewhere is writable"));
        chmod(&elsewhere, 0o755);

        // A directory above may be a link without being asked for.
        let current = root.path().join("current");
        symlink(file.parent().unwrap(), &current).unwrap();
        assert_eq!(refusal(&current.join("a.so"), CHECKED), "");

        let circle = file.with_file_name("circle.so");
        symlink("circle.so", &circle).unwrap();
        assert!(refusal(&circle, FOLLOWED).contains("too many symbolic links"));
        symlink("nowhere", file.with_file_name("c.so")).unwrap();
        assert!(refusal(&file.with_file_name("c.so"), FOLLOWED).contains("No such file"));
    }

    #[test]
    fn a_private_directory_is_as_safe_as_all_that_leads_to_it() {
        let (root, _) = scene();
        let above = root.path().join("above");
        let state = above.join("state");
        let says =
            || check_private(&state).err().map(|refusal| refusal.to_string()).unwrap_or_default();
        assert_eq!(says(), "", "its place is safe");
        fs::create_dir(&above).unwrap();
        chmod(&above, 0o777);
        let unsafe_above =
            format!("{} is writable by its group and others (mode 0777)", above.display());
        assert!(says().starts_with(&unsafe_above), "before it is made: {}", says());
        chmod(&above, 0o1777);
        fs::create_dir(&state).unwrap();
        assert_eq!(says(), "", "nobody else can rename it in a sticky directory");
        chmod(&state, 0o1777);
        assert!(says().contains("mode 1777"), "{}", says());
        chmod(&state, 0o700);
        chmod(&above, 0o777);
        assert!(says().starts_with(&unsafe_above), "{}", says());

        // By a link: what it leads through counts, and whose it is.
        let link = root.path().join("link");
        symlink("above/state", &link).unwrap();
        let says =
            || check_private(&link).err().map(|refusal| refusal.to_string()).unwrap_or_default();
        assert!(says().starts_with(&unsafe_above), "{}", says());
        chmod(&above, 0o755);
        assert_eq!(says(), "");
        if std::os::unix::fs::lchown(&link, Some(4242), None).is_ok() {
            assert!(says().contains("link belongs to user 4242"), "{}", says());
        }
    }

    #[test]
    fn nothing_but_a_file_is_opened_or_waited_for() {
        let (_root, file) = scene();
        let fifo = file.with_file_name("fifo.so");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
        assert!(made.success());
        for policy in [CHECKED, FOLLOWED, Policy { is_checked: false, follows_links: true }] {
            for path in [&fifo, file.parent().unwrap(), Path::new("/dev/zero"), Path::new("/")] {
                let text = refusal(path, policy);
                assert!(text.contains("not a regular file"), "{path:?} {policy:?}: {text}");
            }
        }
    }

    #[test]
    fn a_shell_takes_the_remedy() {
        assert_eq!(quoted(Path::new("/srv/a-b_1.so")), "/srv/a-b_1.so");
        assert_eq!(quoted(Path::new("/it's here")), "'/it'\\''s here'");
    }
}
