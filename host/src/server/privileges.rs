//! The user that the server runs as, and who may see its memory. A server that root started
//! becomes an ordinary user before it starts a thread or loads a plugin.
//!
//! - `no_new_privs` and capabilities belong to a thread, so the threads are counted first.
//! - Keys and passwords are in memory, so the process is not dumpable and its core limit is 0.
//!   Both are needed: a core handler behind a pipe, such as systemd's, ignores the limit, and
//!   programs that plugins start are dumpable again.
//! - A reload that brings the first users applies this too. No reload reverts it.
//! - Giving root up makes the process undumpable in any case, and `/proc/self` becomes root's.
//!   `core_dumps = true` reverts both.
//! - An undumpable process can still use its own `fd`, `task`, `exe` and its threads' `comm`.
//!   Nothing else below `/proc/self` may be opened for writing.

use super::environment;
use super::error::Error;
use super::options::Options;
use nix::unistd::{self, Gid, Group, Uid, User};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use std::ffi::{CString, OsStr};
use std::fmt::Display;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

/// Whom to become.
pub(super) struct Identity {
    user: User,
    group: Gid,
}

impl Identity {
    /// The user that the options name, or `None` if they name none or this process is that user.
    ///
    /// # Errors
    /// There is no such user or group, or this process may not become it.
    pub(super) fn of(options: &Options) -> Result<Option<Self>, Error> {
        let Some(name) = &options.config.user else {
            return match options.config.group {
                Some(_) => Err(Error::Options("group says nothing without user: give both".into())),
                None => Ok(None),
            };
        };
        let user = look_up("user", name, |id| User::from_uid(Uid::from_raw(id)), User::from_name)?;
        let group = options.config.group.as_deref().map(group_id).transpose()?.unwrap_or(user.gid);
        if Uid::effective().is_root() {
            return Ok(Some(Self { user, group }));
        }
        if user.uid == Uid::effective() && group == Gid::effective() {
            return Ok(None);
        }
        let why = format!(
            "only root can become the user {name}: start as root, or leave user and group out"
        );
        Err(Error::Options(why))
    }

    pub(super) const fn uid(&self) -> u32 {
        self.user.uid.as_raw()
    }

    pub(super) const fn gid(&self) -> u32 {
        self.group.as_raw()
    }

    /// `USER:GROUP`, as `chown` takes it.
    fn shown(&self) -> String {
        let group = Group::from_gid(self.group).ok().flatten();
        let group = group.map_or_else(|| self.group.to_string(), |group| group.name);
        format!("{}:{group}", self.user.name)
    }

    /// Makes a directory that is theirs, if there is none. A user who can write to the directory
    /// above can put another one in its place. The check as that user finds this out: what is given
    /// away here is what was made, or another directory.
    ///
    /// # Errors
    /// It cannot be made, or is somebody else's.
    pub(super) fn make_directory(&self, path: &Path) -> Result<(), Error> {
        const MODE: u32 = 0o700;
        let shown = path.display();
        let failed = |error: io::Error| {
            Error::Options(format!(
                "cannot make the state directory {shown}: {error}; make the one above it first"
            ))
        };
        let given = || -> io::Result<()> {
            use rustix::fs::{Mode, OFlags};
            DirBuilder::new().mode(MODE).create(path)?;
            let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let made = rustix::fs::open(path, flags, Mode::empty())?;
            let (owner, group) = (self.uid(), self.gid());
            let owner = Some(rustix::fs::Uid::from_raw(owner));
            Ok(rustix::fs::fchown(&made, owner, Some(rustix::fs::Gid::from_raw(group)))?)
        };
        match given() {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map_err(failed),
        }
        let owner = fs::metadata(path).map_err(failed)?.uid();
        if owner == self.uid() {
            return Ok(());
        }
        Err(Error::Options(format!(
            "the state directory {shown} belongs to user {owner}, and the server becomes {name}: \
             chown -R {theirs} {shown}",
            name = self.user.name,
            theirs = self.shown()
        )))
    }

    /// Becomes that user with its groups, irrevocably: no program that it starts gains rights.
    ///
    /// # Errors
    /// The system refuses, or there are other threads, which would keep what this one gives up.
    pub(super) fn assume(&self) -> Result<(), Error> {
        let failed = |error: &dyn Display| {
            Error::Options(format!("cannot become the user {}: {error}", self.user.name))
        };
        let (uid, gid) = (self.user.uid, self.group);
        environment::must_be_alone().map_err(|error| failed(&error))?;
        let name = CString::new(self.user.name.as_str()).map_err(|error| failed(&error))?;
        unistd::initgroups(&name, gid).map_err(|error| failed(&error))?;
        unistd::setresgid(gid, gid, gid).map_err(|error| failed(&error))?;
        unistd::setresuid(uid, uid, uid).map_err(|error| failed(&error))?;
        rustix::thread::set_no_new_privs(true).map_err(|error| failed(&error))?;
        if !uid.is_root() && unistd::setresuid(Uid::from_raw(0), uid, uid).is_ok() {
            return Err(failed(&"it could become root again"));
        }
        // What looks for a home, a plugin among them, must not look in root's.
        let name = OsStr::new(&self.user.name);
        let home = self.user.dir.as_os_str();
        let variables = [("HOME", Some(home)), ("USER", Some(name)), ("LOGNAME", Some(name))];
        environment::change(&variables).map_err(|error| failed(&error))?;
        log::info!("runs as {} from here on", self.shown());
        Ok(())
    }

    /// Warns of files that root read and that this user cannot reload.
    pub(super) fn warn_of_unreadable(&self, options: &Options) {
        for path in options.files() {
            let Err(error) = File::open(path) else { continue };
            let (shown, theirs) = (path.display(), self.shown());
            let (_, group) = theirs.split_once(':').unwrap_or_default();
            // A users file is its owner's alone; a key may be its group's too.
            let is_shared = options.access.keys.users.as_deref() != Some(path);
            let or = if is_shared {
                format!(", or chgrp {group} {shown}; chmod 640 {shown}")
            } else {
                String::new()
            };
            log::warn!(
                "{shown} cannot be reloaded after a change or on SIGHUP: {error} for {}; \
                 chown {theirs} {shown}{or}; and let that user pass through every directory above",
                self.user.name
            );
        }
    }
}

/// A group's id, by its name or as a number.
pub(super) fn group_id(name: &str) -> Result<Gid, Error> {
    look_up("group", name, |id| Group::from_gid(Gid::from_raw(id)), Group::from_name)
        .map(|group| group.gid)
}

/// A user or a group, by its name or as a number.
fn look_up<T>(
    kind: &str,
    name: &str,
    by_id: impl FnOnce(u32) -> nix::Result<Option<T>>,
    by_name: impl FnOnce(&str) -> nix::Result<Option<T>>,
) -> Result<T, Error> {
    let found = name.parse().map_or_else(|_| by_name(name), by_id);
    let found = found
        .map_err(|error| Error::Options(format!("cannot look for the {kind} {name}: {error}")))?;
    found.ok_or_else(|| {
        Error::Options(format!(
            "there is no {kind} {name}: make it with: {kind}add --system {name}"
        ))
    })
}

/// Decides whether a crash may write this process's memory to disk, and whether other processes of
/// the same user may look into it. Decided again, it is the same: nothing takes it back. After
/// [`Identity::assume`], which changes the one of these that the kernel keeps with the memory.
///
/// # Errors
/// The system refuses.
pub(super) fn decide_about_core_dumps(are_allowed: bool) -> Result<(), Error> {
    let failed = |error: rustix::io::Errno| {
        Error::Options(format!("cannot decide about core dumps: {error}"))
    };
    if are_allowed {
        return set_dumpable_behavior(DumpableBehavior::Dumpable).map_err(failed);
    }
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(failed)?;
    // For programs that it starts, which the kernel makes dumpable again: a plugin may give them
    // what it knows.
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).map_err(failed)
}
