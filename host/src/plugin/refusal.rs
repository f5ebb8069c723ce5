//! Why a plugin file is not served: one closed list. Each text tells the operator what happened
//! and what to do. The code that logs a refusal adds the file's name.

use std::fmt;
use std::io;

/// Why a file is not served.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Its file name has a control character.
    Name,
    /// It is a symbolic link.
    Symlink,
    /// Somebody else than the server's user or root could have changed it.
    Unsafe { what: String, remedy: String },
    /// Neither pinned nor signed, for this reason.
    Untrusted(String),
    /// It could not be read or copied.
    Io { what: &'static str, source: io::Error },
    /// Larger than `plugin_bytes_max`.
    TooLarge { bytes_max: u64 },
    /// Not an ELF file, or none that can be understood.
    NotElf(&'static str),
    /// An ELF file for something else than this machine.
    Foreign(String),
    /// Shorter than its own headers say.
    Truncated { has: u64, needs: u64 },
    /// No Hotcall note.
    NoNote,
    /// A note that is not as the ABI has it.
    BadNote,
    /// Built for another major of the ABI.
    AbiMajor { found: u32, ours: u32 },
    /// A note and no table.
    NoSymbol,
    /// The dynamic loader's own words.
    Dlopen(String),
    /// A table that breaks the ABI's rules.
    Table(String),
    /// What a child process that tried it said of it, or how it ended.
    Probe(String),
    /// The child process that tried it did not come to an end in time.
    Overran { what: String, tries_left: u32 },
    /// `create` failed, with its message.
    Create(String),
    /// `create` panicked, with its message.
    CreatePanicked(String),
    /// It does not take over the running generation's state, for this reason.
    State { generation: u64, why: String },
    /// The running generation cannot save its state, for this reason.
    Save { generation: u64, why: String, tries_left: u32 },
    /// Calls that may be in the running generation do not end, so it cannot be replaced
    /// exclusively.
    Busy { generation: u64, tries_left: u32 },
    /// An instance of its plugin lives that has to end before it.
    Lives { generation: u64 },
    /// Its data directory cannot be made. Not tried again by itself: every try maps the library
    /// once more.
    Data(io::Error),
    /// A name that another plugin's file already serves.
    Conflict { name: String, plugin: String, owner: String, owner_file: String },
    /// The same content was refused before, for this reason.
    Quarantined(String),
}

impl Refusal {
    /// Whether the same content would be refused again whatever changes around it.
    pub(crate) const fn is_of_the_content(&self) -> bool {
        !matches!(
            self,
            Self::Name
                | Self::Symlink
                | Self::Unsafe { .. }
                | Self::Untrusted(_)
                | Self::Io { .. }
                | Self::TooLarge { .. }
                | Self::Data(_)
                | Self::Conflict { .. }
                | Self::Save { .. }
                | Self::Busy { .. }
                | Self::Lives { .. }
        ) && !matches!(self, Self::Overran { tries_left: 1.., .. })
    }

    /// Whether it may pass without a change of the file. Such files are retried with growing waits.
    pub(crate) const fn may_pass(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::Unsafe { .. })
    }

    /// Whether the state directory's file system was full.
    pub(crate) fn is_of_a_full_disk(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull)
    }

    pub(crate) fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}

impl fmt::Display for Refusal {
    #[expect(clippy::too_many_lines, reason = "a table: one text for each refusal")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => f.write_str("its file name has a control character; rename it"),
            Self::Symlink => f.write_str(
                "it is a symbolic link; put the file itself into the directory, or set \
                 follow_symlinks = true",
            ),
            Self::Unsafe { what, remedy } => write!(
                f,
                "{what}, so that somebody else could change it; run {remedy}; \
                 or set check_permissions = false if that is meant"
            ),
            Self::Untrusted(why) => write!(f, "it is not trusted: {why}"),
            Self::Io { what, source } => write!(f, "cannot {what}: {source}"),
            Self::TooLarge { bytes_max } => {
                write!(
                    f,
                    "it is larger than {bytes_max} bytes; raise plugin_bytes_max if that is right"
                )
            }
            Self::NotElf(why) => {
                write!(f, "it is not a shared library ({why}); build it as a cdylib")
            }
            Self::Foreign(what) => write!(f, "it is built for {what}; build it for this machine"),
            Self::Truncated { has, needs } => {
                write!(f, "it is cut off at {has} of {needs} bytes; copy it again")
            }
            Self::NoNote => f.write_str(
                "it has no .note.hotcall section, so it is not a Hotcall plugin; build it with \
                 plugin! or HOTCALL_EXPORT",
            ),
            Self::BadNote => f.write_str("its Hotcall note is damaged; build it again"),
            Self::AbiMajor { found, ours } => write!(
                f,
                "it is built for plugin ABI {found} and this server has ABI {ours}; build it \
                 against this server's version"
            ),
            Self::NoSymbol => write!(
                f,
                "it does not export {}; build it with plugin! or HOTCALL_EXPORT and do not hide \
                 the symbol",
                hotcall_plugin::abi::SYMBOL
            ),
            Self::Dlopen(text) => write!(
                f,
                "the dynamic loader refuses it: {text}; build it again with what it needs"
            ),
            Self::Probe(what) | Self::Overran { what, .. } => f.write_str(what),
            Self::Table(what) => write!(f, "its plugin table is wrong: {what}; correct the plugin"),
            Self::Create(message) => write!(f, "its create function failed: {message}"),
            Self::CreatePanicked(message) => {
                write!(f, "its create function panicked: {message}; correct the plugin")
            }
            Self::State { generation, why } => write!(
                f,
                "it refuses the state of generation {generation}: {why}; let its load_state take \
                 that state, or remove the file for a moment to give the state up"
            ),
            Self::Save { generation, why, tries_left: 0 } => write!(
                f,
                "generation {generation} cannot save its state for it: {why}; given up: solve that \
                 and touch the file, or remove it for a moment to give the state up"
            ),
            Self::Save { generation, why, .. } => {
                write!(
                    f,
                    "generation {generation} cannot save its state for it: {why}; trying again"
                )
            }
            Self::Busy { generation, tries_left } => {
                let then = if *tries_left == 0 {
                    "given up: touch the file to try again"
                } else {
                    "trying again"
                };
                write!(f, "calls that may be in generation {generation} do not end; {then}")
            }
            Self::Lives { generation } => {
                write!(
                    f,
                    "it waits for the end of generation {generation}: no two versions may live at \
                     once"
                )
            }
            Self::Data(source) => {
                write!(
                    f,
                    "its data directory cannot be made: {source}; solve that and touch the file"
                )
            }
            Self::Conflict { name, plugin, owner, owner_file } => write!(
                f,
                "plugin {plugin} has the name {name}, which plugin {owner} of file {owner_file} \
                 already serves; rename one or remove one of the files"
            ),
            Self::Quarantined(why) => write!(f, "the same content was refused before: {why}"),
        }
    }
}

impl std::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } | Self::Data(source) => Some(source),
            _ => None,
        }
    }
}
