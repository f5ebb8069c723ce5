//! Config files, right and wrong ones.

use super::*;
use crate::limits::Limits;
use crate::net::tls::{ClientAuthMode, ClientName};
use crate::plugin::{PluginKeys, Unload, Watch};
use crate::xmlrpc::{Dates, I8Style, InvalidChars, NilStyle};
use std::num::{NonZeroU16, NonZeroUsize};

fn read(text: &str) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hotcall.toml");
    fs::write(&path, text).unwrap();
    Config::read(&path)
        .map_err(|error| error.to_string().replace(dir.path().to_str().unwrap(), "DIR"))
}

#[test]
fn every_key_is_read() {
    let config = read(
        "plugins_dir = '/srv/plugins'\nhttps = ['0.0.0.0:443', '[::]:443']\n\
         http = ['127.0.0.1:80']\nunix = ['/run/hotcall.sock']\nunix_mode = '0660'\n\
         unix_group = 'g'\nuser = 'u'\ngroup = 'h'\ncore_dumps = true\ncert = '/etc/c.pem'\n\
         key = '/etc/k.pem'\nkey_passphrase_file = '/etc/p'\ndirect_lane = false\n\
         client_ca = '/ca'\nclient_auth = 'optional'\nclient_crl = '/crl'\n\
         client_name = 'uri'\nstate_dir = '/var/lib/h'\nhosts = ['h']\norigins = ['https://o']\n\
         users = '/u'\nallow_anonymous = true\nworkers = 3\nwatch = 'poll'\nprobe = false\n\
         check_permissions = false\nfollow_symlinks = true\n[[allow]]\nusers = ['a']\n\
         addresses = ['unix']\nmethods = ['m']\n[trust]\nsha256 = []\n[limits]\n\
         body_bytes_max = 5\n[xmlrpc]\ninvalid_chars = 'replace'\ni8 = 'ex:i8'\nnil = 'refuse'\n\
         dates = 'exact'\n[plugins.counter]\nstart = 7\nbig = 5000000000\n\
         since = 2026-01-31T12:00:00Z\nday = 2026-01-31\nnested = { a = [true, 0.5] }\n\
         [plugin_options.counter]\nunload = 'close'\n[methods.m]\nconcurrency_max = 1\n\
         [[certificates]]\ncert = '/d.pem'\nkey = '/d.key'\n",
    )
    .unwrap();
    assert_eq!(config.https.len(), 2);
    assert_eq!(
        (config.unix_mode().unwrap(), config.unix_group.as_deref()),
        (Some(0o660), Some("g"))
    );
    assert_eq!((config.user.as_deref(), config.group.as_deref()), (Some("u"), Some("h")));
    assert!(config.core_dumps);
    let access = config.access();
    assert_eq!(
        (access.allow.len(), access.allow[0].methods.as_slice()),
        (1, &["m".to_owned()][..])
    );
    assert_eq!((access.keys.users, access.keys.allow_anonymous), (Some(PathBuf::from("/u")), true));
    assert_eq!(
        (access.keys.hosts, access.keys.origins),
        (vec!["h".to_owned()], vec!["https://o".to_owned()])
    );
    assert_eq!(config.plugin_options["counter"].unload, Unload::Close);
    assert_eq!(config.watch, Watch::Poll);
    assert_eq!((config.probe, config.check_permissions), (false, Some(false)));
    assert!(config.follow_symlinks && !config.trust().unwrap().is_open());
    assert_eq!(config.limits, Limits { body_bytes_max: 5, ..Limits::default() });
    let style = config.xmlrpc;
    assert_eq!((style.invalid_chars, style.i8), (InvalidChars::Replace, I8Style::Ex));
    assert_eq!((style.nil, style.dates), (NilStyle::Refuse, Dates::Exact));
    let certificates = config.certificates().unwrap();
    assert_eq!(certificates.len(), 2);
    assert_eq!(certificates[0].key_passphrase_file.as_deref(), Some(Path::new("/etc/p")));
    let ClientAuth { ca, keys } = config.clients().unwrap().unwrap();
    assert_eq!((ca, keys.client_crl), ("/ca".into(), Some("/crl".into())));
    assert_eq!(keys.client_auth, Some(ClientAuthMode::Optional));
    assert_eq!(keys.client_name, Some(ClientName::Uri));
    assert!(!config.direct_lane && config.methods["m"].concurrency_max.is_some());
    let settings = &config.plugin_settings()["counter"];
    assert_eq!(settings.get("start"), Some(&Value::Int(7)));
    assert_eq!(settings.get("big"), Some(&Value::Long(5_000_000_000)));
    assert_eq!(settings.get("day"), Some(&Value::from("2026-01-31")));
    let Some(Value::DateTime(since)) = settings.get("since") else { panic!("{settings:?}") };
    assert_eq!(since.to_string(), "20260131T12:00:00Z");
    let nested = settings.get("nested").and_then(|nested| nested.get("a")).cloned();
    assert_eq!(nested, Some(Value::Array(vec![Value::Bool(true), Value::Double(0.5)])));
}

#[test]
fn a_mode_is_octal_and_has_nine_bits() {
    let mode = |text: &str| read(text).unwrap().unix_mode().map_err(|error| error.to_string());
    assert_eq!(mode(""), Ok(None));
    assert_eq!(mode("unix_mode = '666'"), Ok(Some(0o666)));
    for wrong in ["0800", "1777", "rw", "", "-1"] {
        let why = mode(&format!("unix_mode = '{wrong}'")).unwrap_err();
        assert!(why.contains(&format!("{wrong:?}")) && why.contains("chmod"), "{why}");
    }
}

#[test]
fn trust_is_in_something() {
    let trust = |text: &str| read(text).unwrap().trust().map_err(|error| error.to_string());
    assert!(trust("").unwrap().is_open());
    assert!(trust("[trust]").unwrap_err().contains("says nothing"));
    let pin = trust("[trust]\nsha256 = ['12']").unwrap_err();
    assert!(pin.contains("\"12\"") && pin.contains("64 hexadecimal digits"), "{pin}");
    let key = trust("[trust]\nminisign_keys = ['RWQ']").unwrap_err();
    assert!(key.contains("\"RWQ\"") && key.contains("second line of minisign.pub"), "{key}");
    assert!(read("[trust]\nsha512 = []\n").unwrap_err().contains("line 2, column 1: unknown key"));
}

#[test]
fn relative_paths_start_at_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hotcall.toml");
    let text = "plugins_dir = 'so'\nunix = ['s']\ncert = '/c'\n[[certificates]]\ncert = 'd'\n\
                key = '/d'\n";
    fs::write(&path, text).unwrap();
    let config = Config::read(&path).unwrap();
    assert_eq!(config.certificates[0].cert, dir.path().join("d"));
    assert_eq!(config.plugins_dir, Some(dir.path().join("so")));
    assert_eq!(config.unix, [dir.path().join("s")]);
    assert_eq!(config.cert, Some(PathBuf::from("/c")));
}

#[test]
fn numbers_outside_of_their_ranges_are_refused_everywhere() {
    let why = |text: &str| read(text).unwrap().check().map_err(|error| error.to_string());
    assert_eq!(why("workers = 1024\n[limits]\nqueue_len_max = 1\n"), Ok(()));
    let refused = |why: &str| Err(why.to_owned());
    assert_eq!(why("workers = 0\n"), refused("workers is 0 and may be 1 to 1024"));
    let refused = refused("limits.queue_len_max is 0 and must be at least 1");
    assert_eq!(why("[limits]\nqueue_len_max = 0\n"), refused);
}

/// Keys in tables have no flags, and the table says whether a reload takes it. What plugins are
/// started with is handed to none again.
#[test]
fn no_clause_of_a_declaration_is_without_effect() {
    let nested = keys::tables().flat_map(|(_, table)| table.settings);
    let without = |setting: &Setting| setting.flag.is_none() && !setting.is_reloaded;
    assert_eq!(nested.filter(|setting| !without(setting)).count(), 0);
    assert!(PluginKeys::SETTINGS.iter().all(|setting| !setting.is_reloaded));
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let why = read("workers = 2\nplugin_dir = 'x'\n").unwrap_err();
    assert!(
        why.starts_with("DIR/hotcall.toml: line 2, column 1: unknown key `plugin_dir`"),
        "{why}"
    );
    assert!(
        read("[limits]\nbody_max = 1\n").unwrap_err().contains("line 2, column 1: unknown key"),
        "limits"
    );
    assert!(read("https = ['nowhere']\n").unwrap_err().contains("line 1"), "address");
    assert!(
        read("[plugin_options.p]\nunlode = 'x'\n")
            .unwrap_err()
            .contains("line 2, column 1: unknown key"),
        "options"
    );
    let rows = [
        (
            "conections_max = 1\n",
            "`conections_max`; did you mean `connections_max` under [limits]?",
        ),
        ("call_ms_max = 1\n", "`call_ms_max` in this table; it belongs under [limits]"),
        (
            "[xmlrpc]\nconcurrency = 1\n",
            "did you mean `concurrency_max` under [plugin_options.NAME]?",
        ),
        ("unload = 'keep'\n", "it belongs under [plugin_options.NAME]"),
        ("minisign_key = 'x'\n", "did you mean `minisign_keys` under [trust]?"),
        (
            "[[allow]]\nmethods = ['x']\nhost = ['x']\n",
            "did you mean `hosts` above the first [table] of the file?",
        ),
        (
            "[limits]\nworkers = 1\n",
            "in this table; it belongs above the first [table] of the file",
        ),
        ("listeners = 1\n", "known here: `plugins_dir`, "),
    ];
    for (text, says) in rows {
        let why = read(text).unwrap_err();
        assert!(why.contains("unknown key `") && why.contains(says), "{text}: {why}");
    }
    let why = read("[xmlrpc]\nnil = 'none'\n").unwrap_err();
    assert!(
        why.contains(
            "line 2, column 7: unknown value `none`; known here: `nil`, `ex:nil`, `refuse`"
        ),
        "{why}"
    );
    assert!(read("= = =").unwrap_err().contains("line 1"), "syntax");
    let none = Config::read(Path::new("/nonexistent/hotcall.toml")).unwrap_err().to_string();
    assert!(none.starts_with("cannot read /nonexistent/hotcall.toml: No such file"), "{none}");
}

/// The example with all its keys in use.
fn all_in_use() -> String {
    let in_use = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') => rest.to_owned(),
        _ => line.to_owned(),
    };
    example().lines().map(|line| in_use(line) + "\n").collect()
}

#[test]
fn the_example_s_defaults_are_the_defaults() {
    let (used, unused) = (read(&all_in_use()).unwrap(), read(&example()).unwrap());
    assert_eq!((&used.limits, &used.xmlrpc), (&unused.limits, &unused.xmlrpc));
    assert_eq!(used.limits, Limits::default());
    let overlap = Some(crate::plugin::ReloadMode::Overlap);
    let expected = crate::plugin::PluginOptions {
        reload: overlap,
        queue_len_max: NonZeroUsize::new(256),
        weight: NonZeroU16::new(1),
        ..Default::default()
    };
    assert_eq!(used.plugin_options["greet"], expected);
}

#[test]
fn a_certificate_has_its_key() {
    let count = |text: &str| {
        read(text).unwrap().certificates().map(|all| all.len()).map_err(|e| e.to_string())
    };
    assert_eq!(count(""), Ok(0));
    let further = "[[certificates]]\ncert = 'a'\nkey = 'b'\n";
    assert_eq!(count(further), Ok(1));
    assert_eq!(count(&format!("cert = 'c'\nkey = 'd'\n{further}")), Ok(2));
    assert!(count("cert = 'c'\n").unwrap_err().contains("together"));
    assert!(count("key_passphrase_file = 'p'\n").unwrap_err().contains("without a key"));
    assert!(read("[[certificates]]\ncert = 'a'\n").unwrap_err().contains("missing field `key`"));
}
