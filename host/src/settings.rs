//! How settings are declared: each once, with its key, type, default, documentation, flag and
//! whether a reload takes it.
//!
//! [`settings!`] turns declarations into a struct that serde reads and a table of [`Setting`]s. The
//! example file, the flags, the suggestions for unknown keys, the check of ranges and the log's
//! list of changes that need a restart are made from that table. A new setting therefore touches
//! two places: its declaration and the code that uses it. A room that knows no config file, such as
//! `plugin`, declares its settings itself, and the config takes them in. Knows no setting, no file
//! and no command.

use clap::ArgMatches;
use clap::builder::ValueParser;
use std::any::Any;
use std::path::{Path, PathBuf};

#[cfg(test)]
mod tests;

/// Text by lines.
type Lines = &'static [&'static str];

/// One key of the config file, as it is declared.
#[derive(Debug)]
pub(crate) struct Setting {
    /// Its name in the file.
    pub(crate) key: &'static str,
    /// Its value in the example, as TOML: the default, unless [`Self::is_example`].
    pub(crate) value: &'static str,
    /// Its documentation, by lines. The first paragraph is its comment in the example.
    pub(crate) doc: Lines,
    /// Whether the value only shows how one is written.
    pub(crate) is_example: bool,
    /// What stands above it in the example, where a group of keys begins.
    pub(crate) heading: Option<&'static str>,
    /// The keys that flags replace together and that the log names together.
    pub(crate) group: Option<&'static str>,
    /// Whether a running server takes a change of it.
    pub(crate) is_reloaded: bool,
    /// The least number that it may be, if it is a limit.
    pub(crate) least: u64,
    /// The largest number that it may be, if it is a limit.
    pub(crate) most: u64,
    /// The flag that replaces it.
    pub(crate) flag: Option<Flag>,
    /// The table that the key is the name of.
    pub(crate) table: Option<&'static Table>,
}

impl Setting {
    /// A key that only a start takes. A limit must be at least 1.
    pub(crate) const fn new(key: &'static str, value: &'static str, doc: Lines) -> Self {
        Self {
            key,
            value,
            doc,
            is_example: false,
            heading: None,
            group: None,
            is_reloaded: false,
            least: 1,
            most: u64::MAX,
            flag: None,
            table: None,
        }
    }

    /// Shows the default in the example as this, because the code does not say it as TOML does.
    pub(crate) const fn shown(mut self, value: &'static str) -> Self {
        self.value = value;
        self
    }

    /// Shows this value in the example, which is not the default.
    pub(crate) const fn example(mut self, value: &'static str) -> Self {
        self.value = value;
        self.is_example = true;
        self
    }

    /// Begins a group of keys in the example.
    pub(crate) const fn heading(mut self, text: &'static str) -> Self {
        self.heading = Some(text);
        self
    }

    /// Belongs to these keys. A flag of one of them replaces them all.
    pub(crate) const fn group(mut self, keys: &'static str) -> Self {
        self.group = Some(keys);
        self
    }

    /// Is taken by a running server too, on a reload.
    pub(crate) const fn reloaded(mut self) -> Self {
        self.is_reloaded = true;
        self
    }

    /// May be a number from `least` to `most`.
    pub(crate) const fn range(mut self, least: u64, most: u64) -> Self {
        self.least = least;
        self.most = most;
        self
    }

    /// May be this number or a larger one.
    pub(crate) const fn at_least(self, least: u64) -> Self {
        self.range(least, u64::MAX)
    }

    /// Has this flag.
    pub(crate) const fn flag(mut self, flag: Flag) -> Self {
        self.flag = Some(flag);
        self
    }

    /// Is a table.
    pub(crate) const fn table(mut self, table: &'static Table) -> Self {
        self.table = Some(table);
        self
    }

    /// What the log calls it.
    pub(crate) fn name(&self) -> &'static str {
        self.group.or(self.table.map(|table| table.title)).unwrap_or(self.key)
    }
}

/// A table of the config file.
#[derive(Debug)]
pub(crate) struct Table {
    /// As in `[methods.NAME]`.
    pub(crate) title: &'static str,
    /// The same in the example, with a name.
    pub(crate) example: &'static str,
    /// Whether other keys are refused there.
    pub(crate) is_closed: bool,
    /// Its keys.
    pub(crate) settings: &'static [Setting],
}

impl Table {
    /// A table with these keys and no other.
    pub(crate) const fn new(title: &'static str, settings: &'static [Setting]) -> Self {
        Self { title, example: title, is_closed: true, settings }
    }

    /// Has this title in the example.
    pub(crate) const fn example(mut self, title: &'static str) -> Self {
        self.example = title;
        self
    }

    /// Takes any key. The declared ones show how they are written.
    pub(crate) const fn open(mut self) -> Self {
        self.is_closed = false;
        self
    }
}

/// A flag of the command line that replaces a key of the config file. [`flag!`] makes one.
#[derive(Debug)]
pub(crate) struct Flag {
    /// Its name, without `--`.
    pub(crate) long: &'static str,
    /// What stands for its value in the help.
    pub(crate) value_name: &'static str,
    /// Its help.
    pub(crate) help: &'static str,
    /// The key whose flag must be given with it. Given alone, that flag resets this key.
    pub(crate) requires: Option<&'static str>,
    /// Whether `hotcall dev` has it too, and not `hotcall serve` alone.
    pub(crate) is_of_dev: bool,
    /// Its rank in the help: flags of one rank stand in the order of their declarations.
    pub(crate) rank: u8,
    /// Whether it may be given several times.
    pub(crate) is_repeated: bool,
    /// Makes the parser of its values.
    pub(crate) parser: fn() -> ValueParser,
    /// Puts what was given under this id into the value of the setting.
    pub(crate) assign: fn(&ArgMatches, &str, &mut dyn Any),
}

impl Flag {
    /// Is of `hotcall serve` alone.
    pub(crate) const fn of_serve_alone(mut self) -> Self {
        self.is_of_dev = false;
        self
    }

    /// Stands below all flags of a lower rank in the help. Others have rank 0.
    pub(crate) const fn rank(mut self, rank: u8) -> Self {
        self.rank = rank;
        self
    }

    /// Must be given with the flag of this key.
    pub(crate) const fn requires(mut self, key: &'static str) -> Self {
        self.requires = Some(key);
        self
    }
}

/// What clap can parse a flag's value into.
pub(crate) trait FlagValue: Any + Clone + Send + Sync {}

impl<T: Any + Clone + Send + Sync> FlagValue for T {}

/// Puts a flag's value into a setting of the type `T` or `Option<T>`.
pub(crate) fn assign_one<T: FlagValue>(given: &ArgMatches, id: &str, value: &mut dyn Any) {
    let given: Option<T> = given.get_one(id).cloned();
    if let Some(value) = value.downcast_mut::<Option<T>>() {
        *value = given;
    } else if let Some((value, given)) = value.downcast_mut::<T>().zip(given) {
        *value = given;
    }
}

/// Puts a flag's values into a setting of the type `Vec<T>`.
pub(crate) fn assign_all<T: FlagValue>(given: &ArgMatches, id: &str, value: &mut dyn Any) {
    if let Some(value) = value.downcast_mut::<Vec<T>>() {
        *value = given.get_many(id).into_iter().flatten().cloned().collect();
    }
}

/// A struct that [`settings!`] has made.
pub(crate) trait Section: Values {
    /// The declarations, in their order.
    const SETTINGS: &'static [Setting];

    /// The settings whose values differ between the two.
    fn differing(&self, other: &Self) -> Vec<&'static Setting>;
}

/// The settings and values of any [`Section`].
pub(crate) trait Values {
    /// The declarations, in their order.
    fn settings(&self) -> &'static [Setting];

    /// The values, in the same order.
    fn values(&self) -> Vec<&dyn Any>;

    /// The values, to change them.
    fn values_mut(&mut self) -> Vec<&mut dyn Any>;

    /// Whether all numbers are in their ranges. `place` is what stands before their keys, as in
    /// `limits.`.
    ///
    /// # Errors
    /// A key whose value is out of its range, and the range.
    fn check_ranges(&self, place: &str) -> Result<(), String> {
        for (setting, value) in self.settings().iter().zip(self.values()) {
            let Setting { key, least, most, .. } = setting;
            let is_wrong = |number: &u64| !(least..=most).contains(&number);
            let Some(number) = number(value).filter(is_wrong) else { continue };
            return Err(if *most == u64::MAX {
                format!("{place}{key} is {number} and must be at least {least}")
            } else {
                format!("{place}{key} is {number} and may be {least} to {most}")
            });
        }
        Ok(())
    }

    /// Makes all relative paths start at a directory.
    fn anchor(&mut self, base: &Path) {
        for value in self.values_mut() {
            let paths: &mut [PathBuf] = if let Some(path) = value.downcast_mut::<PathBuf>() {
                std::slice::from_mut(path)
            } else if value.is::<Option<PathBuf>>() {
                value.downcast_mut::<Option<PathBuf>>().map_or(&mut [], Option::as_mut_slice)
            } else {
                value.downcast_mut::<Vec<PathBuf>>().map_or(&mut [], Vec::as_mut_slice)
            };
            for path in paths {
                *path = base.join(&*path);
            }
        }
    }
}

/// The value of a setting that is a number.
fn number(value: &dyn Any) -> Option<u64> {
    let size = one::<usize>(value).and_then(|number| u64::try_from(number).ok());
    size.or_else(|| one::<u32>(value).map(u64::from)).or_else(|| one::<u64>(value))
}

/// The value of a setting of the type `T` or `Option<T>`.
fn one<T: Any + Copy>(value: &dyn Any) -> Option<T> {
    value.downcast_ref().or_else(|| value.downcast_ref::<Option<T>>()?.as_ref()).copied()
}

/// Declares settings.
///
/// An entry is `KEY: TYPE = DEFAULT => CLAUSE, CLAUSE;` under its documentation. Clauses are
/// methods of [`Setting`], such as `reloaded()` and `flag(..)`; the arrow is left out with them.
/// The default must be written as in TOML, or shown by the clause `shown` or `example`. Entries
/// without defaults make a struct without [`Default`].
///
/// `struct WHOLE { ENTRIES } PART in MACRO! { ENTRIES }` has the entries of a room between its own,
/// and makes a `PART` of them from a `&WHOLE`. `MACRO! { { STRUCT } { ENTRIES } { ENTRIES } REST }`
/// declares a struct with the room's entries between others. `REST` may be further parts. The
/// room's own types and macros stand there with their paths, because the entries are compiled in
/// `config`, too.
macro_rules! settings {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident { $($before:tt)* }
        $part:ident in $keys:ident! { $($after:tt)* }
        $($rest:tt)*
    ) => {
        $keys! { { $(#[$meta])* $vis struct $name } { $($before)* } { $($after)* } $($rest)* }
        $keys! { { impl From<&$name> for $part } {} {} }
    };
    (
        impl From<&$whole:ident> for $part:ident {
            $(
                $(#[$doc:meta])+
                $key:ident: $type:ty = $default:expr $(=> $($clause:ident $values:tt),+)?;
            )+
        }
    ) => {
        impl From<&$whole> for $part {
            fn from(whole: &$whole) -> Self {
                Self { $($key: whole.$key.clone()),+ }
            }
        }
    };
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $(
                $(#[doc = $doc:literal])+
                $key:ident: $type:ty = $default:expr
                $(=> $($clause:ident($($value:expr),* $(,)?)),+)?;
            )+
        }
    ) => {
        $crate::settings::settings! {
            $(#[$meta])*
            $vis struct $name {
                $(
                    $(#[doc = $doc])+
                    $key: $type => shown(stringify!($default)) $($(, $clause($($value),*))+)?;
                )+
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default),+ }
            }
        }
    };
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $(
                $(#[doc = $doc:literal])+
                $key:ident: $type:ty $(=> $($clause:ident($($value:expr),* $(,)?)),+)?;
            )+
        }
    ) => {
        $(#[$meta])*
        $vis struct $name {
            $($(#[doc = $doc])+ $vis $key: $type,)+
        }

        impl $crate::settings::Section for $name {
            const SETTINGS: &'static [$crate::settings::Setting] = &[$(
                $crate::settings::Setting::new(stringify!($key), "", &[$($doc),+])
                    $($(.$clause($($value),*))+)?
            ),+];

            fn differing(&self, other: &Self) -> Vec<&'static $crate::settings::Setting> {
                let differs = [$(self.$key != other.$key),+];
                let both = Self::SETTINGS.iter().zip(differs);
                both.filter_map(|(setting, differs)| differs.then_some(setting)).collect()
            }
        }

        impl $crate::settings::Values for $name {
            fn settings(&self) -> &'static [$crate::settings::Setting] {
                <Self as $crate::settings::Section>::SETTINGS
            }

            fn values(&self) -> Vec<&dyn std::any::Any> {
                vec![$(&self.$key),+]
            }

            fn values_mut(&mut self) -> Vec<&mut dyn std::any::Any> {
                vec![$(&mut self.$key),+]
            }
        }
    };
}
pub(crate) use settings;

/// Makes a [`Flag`] of its value's type, its long name, what stands for the value in the help, and
/// its help. A type in brackets is that of each value of a flag that may be given several times.
macro_rules! flag {
    ([$type:ty], $long:literal, $value_name:literal, $help:literal) => {
        $crate::settings::flag!(@ $type, $long, $value_name, $help, true, assign_all)
    };
    (
        @ $type:ty, $long:literal, $value_name:literal, $help:literal,
        $repeated:literal, $assign:ident
    ) => {
        $crate::settings::Flag {
            long: $long,
            value_name: $value_name,
            help: $help,
            requires: None,
            is_of_dev: true,
            rank: 0,
            is_repeated: $repeated,
            parser: || clap::value_parser!($type).into(),
            assign: $crate::settings::$assign::<$type>,
        }
    };
    ($type:ty, $long:literal, $value_name:literal, $help:literal) => {
        $crate::settings::flag!(@ $type, $long, $value_name, $help, false, assign_one)
    };
}
pub(crate) use flag;
