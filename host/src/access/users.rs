//! The users file: each line has a name and an argon2id hash of a password. The server reads it,
//! and `hotcall passwd` writes it.

use argon2::password_hash::PasswordHasher;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, Version};
use rustix::fs::{Gid, Mode, OFlags, Uid};
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A name, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// A password, in bytes.
pub(super) const PASSWORD_BYTES_MAX: usize = 1_024;
/// The users file.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// What one verification may cost: a file from elsewhere may ask for more than this machine has.
const MEMORY_KIB_MAX: u32 = 256 << 10;
const ITERATIONS_MAX: u32 = 16;
const LANES_MAX: u32 = 16;
/// Only the owner reads hashes.
const MODE: u32 = 0o600;
const FOR_OTHERS: u32 = 0o077;
const ROOT: u32 = 0;

/// Users by their names.
#[derive(Default)]
pub(super) struct Users(HashMap<String, Entry>);

/// What a password is verified against.
pub(super) struct Entry {
    pub(super) hash: PasswordHash,
    /// As it stands in the file.
    pub(super) text: String,
}

impl Users {
    /// Reads a users file, which nobody but its owner may read.
    ///
    /// # Errors
    /// A file that cannot be read or that others can, or a line that is none of a users file, by
    /// its number.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let mut file = open(path).map_err(|error| {
            format!(
                "cannot read the users file {shown}: {error}; make it with: hotcall passwd {shown} \
                 NAME"
            )
        })?;
        let text = text_of(&mut file).map_err(|why| format!("the users file {shown} {why}"))?;
        Self::parse(&text).map_err(|why| format!("{shown}: {why}"))
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut users = HashMap::new();
        for (number, line) in (1..).zip(text.lines()) {
            let Some((name, hash)) = entry_of(line) else {
                if is_filler(line) {
                    continue;
                }
                return Err(format!("line {number} is not NAME:$argon2id$…"));
            };
            check_name(name)
                .and_then(|()| check_hash(hash))
                .map_err(|why| format!("line {number}: {why}"))?;
            let parsed =
                PasswordHash::new(hash).map_err(|error| format!("line {number}: {error}"))?;
            let entry = Entry { hash: parsed, text: hash.to_owned() };
            if users.insert(name.to_owned(), entry).is_some() {
                return Err(format!("line {number}: {name:?} stands twice"));
            }
        }
        Ok(Self(users))
    }

    pub(super) fn get(&self, name: &str) -> Option<&Entry> {
        self.0.get(name)
    }

    /// Somebody's entry, always the same one for the same number. `None` when there is nobody.
    pub(super) fn any(&self, number: usize) -> Option<&Entry> {
        self.0.values().nth(number.checked_rem(self.0.len())?)
    }
}

/// Gives a user a password: in place of the one before, or as one more line. Makes the file when
/// there is none.
///
/// # Errors
/// A name or password that cannot be one, or a file that cannot be read or written; nothing has
/// changed then.
pub fn set_password(path: &Path, name: &str, password: &str) -> Result<(), String> {
    check_name(name)?;
    check_password(password)?;
    let hash = Argon2::default()
        .hash_password(password.as_bytes())
        .map(|hash: PasswordHash| hash.to_string())
        .map_err(|error| format!("cannot hash the password: {error}"))?;
    // A link is followed here, because the file that takes the other's place would replace the
    // link.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let shown = path.display();
    let (mut file, new) = begin(&path)?;
    let written = old_text(&path).and_then(|(old, owner)| {
        let failed = |error: io::Error| format!("cannot write {}: {error}", new.display());
        file.write_all(with_line(&old, name, &hash).as_bytes()).map_err(failed)?;
        if let Some((user, group)) = owner {
            // A file of the server's user stays that when root changes it.
            rustix::fs::fchown(&file, Some(user), Some(group))
                .map_err(|error| failed(error.into()))?;
        }
        file.sync_all()
            .and_then(|()| fs::rename(&new, &path))
            .map_err(|error| format!("cannot replace {shown}: {error}"))
    });
    if written.is_err() {
        drop(fs::remove_file(&new));
    }
    written
}

/// Opens the file that is to take the other's place. There is one at a time, so two changes do not
/// undo each other.
fn begin(path: &Path) -> Result<(File, PathBuf), String> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let opened = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&new);
    let file = opened.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            format!(
                "{} is there: another hotcall passwd is at work; or was killed, then remove it",
                new.display()
            )
        }
        _ => format!("cannot write {}: {error}", new.display()),
    })?;
    Ok((file, new))
}

type Owner = (Uid, Gid);

fn old_text(path: &Path) -> Result<(String, Option<Owner>), String> {
    let shown = path.display();
    let mut file = match open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((String::new(), None)),
        Err(error) => return Err(format!("cannot read {shown}: {error}")),
    };
    let meta = file.metadata().map_err(|error| format!("cannot look at {shown}: {error}"))?;
    let text = text_of(&mut file).map_err(|why| format!("{shown} {why}"))?;
    // Another file that is named by mistake must not get a line.
    Users::parse(&text).map_err(|why| format!("{shown}: {why}"))?;
    Ok((text, Some((Uid::from_raw(meta.uid()), Gid::from_raw(meta.gid())))))
}

/// Does not wait for what is no file, such as a pipe.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

/// The text of a file that is its owner's alone.
fn text_of(file: &mut File) -> Result<String, String> {
    let failed = |error: io::Error| format!("cannot be read: {error}");
    let meta = file.metadata().map_err(failed)?;
    let (owner, us) = (meta.uid(), rustix::process::geteuid().as_raw());
    if !meta.is_file() {
        return Err("is not a regular file".into());
    }
    if meta.mode() & FOR_OTHERS != 0 {
        return Err(format!(
            "has mode {:03o}: others must not read or change it; chmod 600",
            meta.mode() & 0o777
        ));
    }
    if owner != us && owner != ROOT && us != ROOT {
        return Err(format!("belongs to user {owner}, and should to root or this one"));
    }
    let mut text = String::new();
    let read = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
    if read as u64 > FILE_BYTES_MAX {
        return Err(format!("is larger than {FILE_BYTES_MAX} bytes"));
    }
    Ok(text)
}

fn with_line(old: &str, name: &str, hash: &str) -> String {
    let line = format!("{name}:{hash}");
    let is_theirs = |line: &str| entry_of(line).is_some_and(|(theirs, _)| theirs == name);
    let mut lines: Vec<&str> = old.lines().collect();
    match lines.iter_mut().find(|line| is_theirs(line)) {
        Some(theirs) => *theirs = &line,
        None => lines.push(&line),
    }
    lines.iter().flat_map(|line| [line, "\n"]).collect()
}

fn entry_of(line: &str) -> Option<(&str, &str)> {
    if is_filler(line) { None } else { line.split_once(':') }
}

fn is_filler(line: &str) -> bool {
    line.trim().is_empty() || line.starts_with('#')
}

fn check_name(name: &str) -> Result<(), String> {
    let why = match name {
        _ if name.is_empty() || name.len() > NAME_BYTES_MAX => "has 1 to 128 bytes",
        _ if name.contains(':') => "has no colon",
        _ if name.contains(char::is_control) => "has no control characters",
        _ if name.starts_with('#') || name.trim() != name => {
            "begins with no # and has no spaces around it"
        }
        _ => return Ok(()),
    };
    Err(format!("{name:?} cannot be a user: a name {why}"))
}

fn check_password(password: &str) -> Result<(), String> {
    let why = match password {
        "" => "is not empty",
        _ if password.len() > PASSWORD_BYTES_MAX => "has at most 1024 bytes",
        _ if password.contains(char::is_control) => "has no control characters",
        _ => return Ok(()),
    };
    Err(format!("a password {why}"))
}

fn check_hash(hash: &str) -> Result<(), String> {
    let parsed = PasswordHash::new(hash).map_err(|error| format!("not a PHC string: {error}"))?;
    let params = Params::try_from(&parsed).map_err(|error| error.to_string())?;
    let is_id = parsed.algorithm.as_str() == Algorithm::Argon2id.as_str();
    let is_present = parsed.version == Some(Version::V0x13.into());
    if !(is_id && is_present && parsed.salt.is_some() && parsed.hash.is_some()) {
        return Err("a hash is $argon2id$v=19$ with parameters, salt and hash".into());
    }
    let (memory, iterations, lanes) = (params.m_cost(), params.t_cost(), params.p_cost());
    if memory > MEMORY_KIB_MAX || iterations > ITERATIONS_MAX || lanes > LANES_MAX {
        return Err(format!(
            "m={memory},t={iterations},p={lanes} is too costly: at most \
             m={MEMORY_KIB_MAX},t={ITERATIONS_MAX},p={LANES_MAX}"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const SALT_AND_HASH: &str =
        "$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    fn hash(start: &str) -> String {
        format!("{start}{SALT_AND_HASH}")
    }

    fn refused(text: &str) -> String {
        Users::parse(text).err().unwrap_or_else(|| panic!("accepted: {text}"))
    }

    #[test]
    fn lines_are_users() {
        let good = hash("$argon2id$v=19$m=64,t=1,p=1");
        let users =
            Users::parse(&format!("# a comment\n\nann:{good}\nBert Müller:{good}\n")).unwrap();
        assert_eq!(users.get("ann").unwrap().text, good);
        assert!(users.get("Bert Müller").is_some() && users.get("Ann").is_none());
        assert!((0..5).all(|number| users.any(number).is_some()));
        assert!(Users::default().any(3).is_none());
    }

    #[test]
    fn what_is_no_user_is_named_by_its_line_and_never_with_its_hash() {
        let good = hash("$argon2id$v=19$m=64,t=1,p=1");
        let rows = [
            (format!("a:{good}\na:{good}"), "line 2: \"a\" stands twice"),
            ("\nann".into(), "line 2 is not NAME:"),
            (format!(":{good}"), "line 1: \"\" cannot be a user"),
            (format!("a\u{7}:{good}"), "no control characters"),
            (format!(" a:{good}"), "no spaces around it"),
            ("a:secret".into(), "not a PHC string"),
            (format!("a:{}", hash("$argon2i$v=19$m=64,t=1,p=1")), "a hash is $argon2id$v=19$"),
            (format!("a:{}", hash("$argon2id$v=16$m=64,t=1,p=1")), "a hash is $argon2id$v=19$"),
            (
                "a:$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA".into(),
                "a hash is $argon2id$v=19$",
            ),
            (format!("a:{}", hash("$argon2id$v=19$m=999999,t=1,p=1")), "too costly"),
            (format!("a:{}", hash("$argon2id$v=19$m=640,t=99,p=1")), "too costly"),
        ];
        for (text, why) in rows {
            let said = refused(&text);
            assert!(said.contains(why), "{text}: {said}");
            assert!(!said.contains("secret") && !said.contains("c29t"), "{said}");
        }
    }

    #[test]
    fn passwords_are_set_and_replaced_in_a_file_of_one_s_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users");
        set_password(&path, "ann", "one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        let first = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("# kept\n{first}")).unwrap();
        set_password(&path, "bert", "two").unwrap();
        set_password(&path, "ann", "three").unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let starts: Vec<_> = text.lines().map(|line| line.split('$').next().unwrap()).collect();
        assert_eq!(starts, ["# kept", "ann:", "bert:"]);
        assert!(!text.contains(first.trim()));
        assert!(Users::read(&path).is_ok());

        let rows =
            [("a:b", "x"), ("a\nb", "x"), ("", "x"), ("#a", "x"), ("a", ""), ("a", "b\u{3}")];
        for (name, password) in rows {
            assert!(set_password(&path, name, password).is_err(), "{name:?} {password:?}");
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left behind");
    }

    #[test]
    fn files_that_others_read_and_other_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users");
        fs::write(&path, "").unwrap();
        for (mode, is_fine) in
            [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o620, false)]
        {
            fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            let read = Users::read(&path).map(|_| ());
            assert_eq!(read.is_ok(), is_fine, "{mode:o} {read:?}");
        }
        assert!(set_password(&path, "a", "b").unwrap_err().contains("has mode 620"));
        fs::set_permissions(&path, PermissionsExt::from_mode(MODE)).unwrap();
        fs::write(&path, "[section]\n").unwrap();
        assert!(set_password(&path, "a", "b").unwrap_err().contains("line 1 is not NAME:"));
        fs::write(dir.path().join("users.new"), "").unwrap();
        assert!(set_password(&path, "a", "b").unwrap_err().contains("another hotcall passwd"));
        assert!(Users::read(&dir.path().join("none")).err().unwrap().contains("hotcall passwd"));
    }
}
