//! Reads: a bounded pool of read-only connections, and the snapshot that each read sees.
//!
//! A connection is opened when a read finds none free, so an idle daemon holds few. A read runs on a blocking thread
//! inside one transaction: everything it looks at is of the same instant.

use crate::dialect;
use adjutant_model::RunId;
use adjutant_model::run::ErrorClass;
use rusqlite::{Connection, OptionalExtension, Params, Row};
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

/// Why a read gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The database could not be read.
    #[error("the store cannot be read")]
    Database(#[from] rusqlite::Error),
    /// A row holds what this version cannot read.
    #[error("the store holds something unreadable in {column}: {excerpt:?}")]
    Unreadable {
        /// The table and column.
        column: &'static str,
        /// The first characters of what is there.
        excerpt: String,
    },
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
    /// The read panicked.
    #[error("a read of the store has panicked")]
    Panicked,
}

impl ReadError {
    /// Tells what may be done about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            ReadError::Database(_) => ErrorClass::Retry,
            ReadError::Closed => ErrorClass::Gone,
            ReadError::Unreadable { .. } | ReadError::Panicked => ErrorClass::Bug,
        }
    }

    pub(crate) fn unreadable(column: &'static str, text: &str) -> Self {
        ReadError::Unreadable { column, excerpt: text.chars().take(80).collect() }
    }
}

/// The connections that reads share.
#[derive(Debug)]
pub(crate) struct ReaderPool {
    path: PathBuf,
    permits: Semaphore,
    permits_max: u32,
    idle: Mutex<Vec<Connection>>,
}

impl ReaderPool {
    pub(crate) fn new(path: &Path, readers: usize) -> Self {
        let permits_max = u32::try_from(readers.clamp(1, 256)).unwrap_or(1);
        let permits = Semaphore::new(permits_max as usize);
        ReaderPool { path: path.to_owned(), permits, permits_max, idle: Mutex::default() }
    }

    /// Runs a read on a connection of the pool; waits while all are busy.
    pub(crate) async fn read<T, F>(self: &Arc<Self>, read: F) -> Result<T, ReadError>
    where
        T: Send + 'static,
        F: FnOnce(&Snapshot<'_>) -> Result<T, ReadError> + Send + 'static,
    {
        let pool = Arc::clone(self);
        let permit = self.permits.acquire().await.map_err(|_| ReadError::Closed)?;
        let work = tokio::task::spawn_blocking(move || pool.run(read));
        let answer = work.await.unwrap_or(Err(ReadError::Panicked));
        drop(permit);
        answer
    }

    /// Waits for the reads that run, refuses later ones, and closes the connections.
    pub(crate) async fn close(&self) {
        if let Ok(all) = self.permits.acquire_many(self.permits_max).await {
            self.permits.close();
            drop(all);
        }
        self.idle().clear();
    }

    fn run<T>(&self, read: impl FnOnce(&Snapshot<'_>) -> Result<T, ReadError>) -> Result<T, ReadError> {
        let free = self.idle().pop();
        let db = match free {
            Some(db) => db,
            None => dialect::open_for_reading(&self.path)?,
        };
        let answer = {
            let tx = db.unchecked_transaction()?;
            read(&Snapshot { db: &tx })
        };
        // After a failure of the database the connection goes, in case the failure is its own.
        if !matches!(answer, Err(ReadError::Database(_))) && !self.permits.is_closed() {
            self.idle().push(db);
        }
        answer
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The store as it was at one instant.
pub(crate) struct Snapshot<'a> {
    db: &'a Connection,
}

impl Snapshot<'_> {
    /// Runs a query and reads each of its rows.
    pub(crate) fn select<T, P: Params>(
        &self,
        sql: &str,
        params: P,
        mut of_row: impl FnMut(&Row<'_>) -> Result<T, ReadError>,
    ) -> Result<Vec<T>, ReadError> {
        let mut statement = self.db.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(of_row(row)?);
        }
        Ok(found)
    }

    /// Gives the number that the store knows a run by.
    pub(crate) fn run_number(&self, run_id: &RunId) -> Result<Option<i64>, ReadError> {
        let mut statement = self.db.prepare_cached("SELECT number FROM runs WHERE id = ?1")?;
        Ok(statement.query_row((run_id.as_str(),), |row| row.get(0)).optional()?)
    }

    /// Reads an id.
    pub(crate) fn parse<T: FromStr>(&self, column: &'static str, text: &str) -> Result<T, ReadError> {
        text.parse().map_err(|_| ReadError::unreadable(column, text))
    }

    /// Reads a column that holds a record as JSON.
    pub(crate) fn json<T: DeserializeOwned>(
        &self,
        column: &'static str,
        text: Option<String>,
    ) -> Result<Option<T>, ReadError> {
        let Some(text) = text else { return Ok(None) };
        serde_json::from_str(&text).map(Some).map_err(|_| ReadError::unreadable(column, &text))
    }
}

/// Reads a number that was written as unsigned.
pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
