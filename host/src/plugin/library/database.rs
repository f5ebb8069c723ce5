//! Finds out whether a plugin's file holds its own copy of an embedded database.
//!
//! Such a database guards its files with POSIX locks, which are per process, and with variables,
//! which are per copy. Two versions of a plugin in one process have two copies, which do not see
//! each other, so committed data can be lost.

/// A database, and what shows that a file holds it: a function that it defines, or, when its
/// symbols were stripped, texts that nobody but the database itself has all of.
struct Sign {
    name: &'static str,
    function: &'static str,
    texts: &'static [&'static str],
}

const SIGNS: [Sign; 7] = [
    Sign {
        name: "SQLite",
        function: "sqlite3_open_v2",
        texts: &["SQLite format 3\0", "sqlite_temp_master\0", "malformed database schema"],
    },
    Sign {
        name: "LMDB",
        function: "mdb_env_open",
        texts: &[
            "MDB_KEYEXIST: Key/data pair already exists",
            "MDB_MAP_FULL: Environment mapsize limit reached",
        ],
    },
    Sign {
        name: "libmdbx",
        function: "mdbx_env_open",
        texts: &["MDBX_KEYEXIST: ", "MDBX_MAP_FULL: "],
    },
    Sign { name: "LevelDB", function: "leveldb_open", texts: &[] },
    Sign { name: "RocksDB", function: "rocksdb_open", texts: &[] },
    Sign { name: "DuckDB", function: "duckdb_open", texts: &[] },
    Sign { name: "UnQLite", function: "unqlite_open", texts: &[] },
];

/// Whether the file defines this function: which database that is of.
pub(crate) fn of_function(name: &[u8]) -> Option<&'static str> {
    SIGNS.iter().find(|sign| sign.function.as_bytes() == name).map(|sign| sign.name)
}

/// The database whose texts the bytes hold.
pub(crate) fn of_texts(bytes: &[u8]) -> Option<&'static str> {
    let holds = |text: &&'static str| memchr::memmem::find(bytes, text.as_bytes()).is_some();
    let all = |sign: &&Sign| !sign.texts.is_empty() && sign.texts.iter().all(holds);
    SIGNS.iter().find(all).map(|sign| sign.name)
}

/// What an operator should know of a file that holds one, unless it is replaced exclusively.
pub(crate) fn warning(name: &str, plugin: &str) -> String {
    format!(
        "it holds its own copy of {name}; while it is reloaded two copies use the same files and \
         do not see each other's locks, which can lose committed data: set reload = \"exclusive\" \
         under [plugin_options.{plugin}], have the plugin declare it, or link the system's library"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_alone_shows_nothing() {
        let text = |texts: &[&str]| of_texts(texts.join("-").as_bytes());
        assert_eq!(
            text(&["SQLite format 3\0"]),
            None,
            "programs that detect file types contain it"
        );
        assert_eq!(text(SIGNS[0].texts), Some("SQLite"));
        assert_eq!(
            (of_function(b"mdb_env_open"), of_function(b"sqlite3_open")),
            (Some("LMDB"), None)
        );
    }
}
