//! A plugin that keeps its rows in SQLite, as plugin authors write one.
#![forbid(unsafe_code)]

use hotcall_plugin::{Fault, Host, State, method, plugin};
use rusqlite::Connection;
use std::sync::{Mutex, MutexGuard, PoisonError};

struct Database(Mutex<Connection>);

impl State for Database {
    fn create(host: Host) -> Result<Self, Fault> {
        let connection = Connection::open(host.data_directory().join("rows.db")).map_err(failed)?;
        connection
            .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS rows (id INTEGER \
                            PRIMARY KEY)")
            .map_err(failed)?;
        Ok(Self(Mutex::new(connection)))
    }
}

impl Database {
    /// Stores a row. Answers once it is committed.
    #[method(name = "database.insert")]
    fn insert(&self, id: i32) -> Result<i32, Fault> {
        self.connection().execute("INSERT INTO rows VALUES (?1)", [id]).map_err(failed)?;
        Ok(id)
    }

    /// All rows.
    #[method(name = "database.rows", idempotent)]
    fn rows(&self) -> Result<Vec<i32>, Fault> {
        let connection = self.connection();
        let mut rows = connection.prepare("SELECT id FROM rows ORDER BY id").map_err(failed)?;
        let ids = rows.query_map([], |row| row.get(0)).map_err(failed)?;
        ids.collect::<Result<_, _>>().map_err(failed)
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failed(error: rusqlite::Error) -> Fault {
    Fault::error(error.to_string())
}

plugin! {
    name: "database",
    state: Database,
    reload: exclusive,
    methods: [Database::insert, Database::rows],
}
