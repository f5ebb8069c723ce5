//! The flags that replace keys of the config file, as the settings declare them.

use crate::config::Config;
use crate::settings::{Flag, Section, Setting, Values};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};

/// The flags that `serve` and `dev` have, or those that only `serve` has.
#[derive(Clone, Debug)]
pub(super) struct Flags<const OF_DEV: bool>(ArgMatches);

/// The flags that `serve` and `dev` have.
pub(super) type CommonFlags = Flags<true>;

/// The flags that only `serve` has.
pub(super) type ServeFlags = Flags<false>;

impl<const OF_DEV: bool> Flags<OF_DEV> {
    fn all() -> impl Iterator<Item = (&'static Setting, &'static Flag)> {
        let flag = |setting: &'static Setting| Some((setting, setting.flag.as_ref()?));
        let flags = Config::SETTINGS.iter().filter_map(flag);
        flags.filter(|(_, flag)| flag.is_of_dev == OF_DEV)
    }

    /// Replaces the settings whose flags are given, and with each those of its group and those
    /// whose flags require it.
    pub(super) fn replace(&self, config: &mut Config) {
        let is_given = |key: &str| self.0.contains_id(key);
        let given = Self::all().map(|(setting, _)| setting).filter(|setting| is_given(setting.key));
        let groups: Vec<_> = given.filter_map(|setting| setting.group).collect();
        for (setting, value) in Config::SETTINGS.iter().zip(config.values_mut()) {
            let flag = setting.flag.as_ref().filter(|flag| flag.is_of_dev == OF_DEV);
            let Some(flag) = flag else { continue };
            let with_another = flag.requires.is_some_and(is_given)
                || setting.group.is_some_and(|group| groups.contains(&group));
            if is_given(setting.key) || with_another {
                (flag.assign)(&self.0, setting.key, value);
            }
        }
    }
}

impl<const OF_DEV: bool> FromArgMatches for Flags<OF_DEV> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        Ok(Self(matches.clone()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl<const OF_DEV: bool> Args for Flags<OF_DEV> {
    fn augment_args(command: Command) -> Command {
        let mut flags: Vec<_> = Self::all().collect();
        flags.sort_by_key(|(_, flag)| flag.rank);
        command.args(flags.into_iter().map(|(setting, flag)| arg(setting, flag)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn arg(setting: &'static Setting, flag: &'static Flag) -> Arg {
    let action = if flag.is_repeated { ArgAction::Append } else { ArgAction::Set };
    let arg = Arg::new(setting.key).long(flag.long).value_name(flag.value_name).help(flag.help);
    let arg = arg.action(action).value_parser((flag.parser)());
    match flag.requires {
        Some(key) => arg.requires(key),
        None => arg,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::Watch;

    fn given(line: &str) -> Config {
        let command = ServeFlags::augment_args(CommonFlags::augment_args(Command::new("serve")));
        let words = ["serve"].into_iter().chain(line.split_whitespace());
        let matches = command.get_matches_from(words);
        let mut config = Config {
            https: vec!["127.0.0.1:443".parse().unwrap()],
            user: Some("of the file".into()),
            group: Some("of the file".into()),
            ..Config::default()
        };
        CommonFlags::from_arg_matches(&matches).unwrap().replace(&mut config);
        ServeFlags::from_arg_matches(&matches).unwrap().replace(&mut config);
        config
    }

    #[test]
    fn every_flag_replaces_its_setting() {
        let parser = |flag: &Flag| {
            let arg = Arg::new("x").value_parser((flag.parser)());
            Command::new("x").no_binary_name(true).arg(arg)
        };
        let sample = |flag: &Flag| {
            let values = (flag.parser)();
            let names = values.possible_values();
            let last = names.and_then(Iterator::last).map(|name| name.get_name().to_owned());
            let mut texts = last.into_iter().chain(["7", "127.0.0.1:1", "x"].map(str::to_owned));
            texts.find(|text| parser(flag).try_get_matches_from([text]).is_ok()).expect("a value")
        };
        let flags: Vec<_> = ServeFlags::all().chain(CommonFlags::all()).collect();
        let line: Vec<_> =
            flags.iter().map(|(_, flag)| format!("--{} {}", flag.long, sample(flag))).collect();
        let changed = given(&line.join(" "));
        let changed = changed.differing(&given(""));
        let changed: Vec<_> = changed.into_iter().map(|setting| setting.key).collect();
        let declared = Config::SETTINGS.iter().filter(|setting| setting.flag.is_some());
        assert_eq!(changed, declared.map(|setting| setting.key).collect::<Vec<_>>());
        assert_eq!(given("--watch off").watch, Watch::Off);
    }

    #[test]
    fn a_listener_replaces_all_and_a_user_its_group() {
        let config = given("--http 127.0.0.1:80 --http 127.0.0.1:81 --user u");
        assert_eq!((config.https.len(), config.http.len()), (0, 2));
        assert_eq!((config.user.as_deref(), config.group), (Some("u"), None));
        let config = given("--workers 3");
        assert_eq!((config.https.len(), config.workers), (1, Some(3)));
        assert_eq!(config.group.as_deref(), Some("of the file"));
    }
}
