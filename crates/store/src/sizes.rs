//! What takes how much room, by what it is.
//!
//! One walk over the pages of the database counts the bytes and rows of every table and index; it reads what it counts,
//! so it takes as long as reading the file once. Every table is of one kind, which a test sees to.

use crate::dialect;
use crate::interrupt::Interrupt;
use crate::reader::{ReadError, unsigned};
use crate::restore;
use crate::store::Store;
use rusqlite::{Connection, OptionalExtension};
use std::collections::{BTreeMap, HashMap};

/// What rows and files are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SizeKind {
    /// The journal, with its places and checkpoints.
    Journal,
    /// Tasks and runs, those of clients included, and what belongs to them.
    Runs,
    /// The turns of runs.
    Turns,
    /// Contents of runs and turns that were too large for their rows.
    Contents,
    /// Sessions, their delegations and handoffs, and workspaces as they are known.
    Sessions,
    /// What hooks told.
    HookEvents,
    /// What waits for an answer, or was answered.
    Approvals,
    /// Goals.
    Goals,
    /// What is remembered, with the index of its words.
    Memory,
    /// Blueprints, issues, and what was decided about them.
    Blueprints,
    /// Errors that were captured, and their reports.
    Errors,
    /// Tokens and operators.
    Tokens,
    /// Outputs on the data path, as they are known.
    Outputs,
    /// The bytes of outputs; these are files.
    Bodies,
    /// Stores that were replaced by restores, with their bodies; these are files, and rows are stores here.
    Replaced,
    /// What the database needs for itself.
    Database,
    /// Pages that are free; rows are pages here.
    Free,
    /// The log of what is not in the database yet; a file.
    Log,
}

impl SizeKind {
    /// All kinds, in the order in which they are shown.
    pub const ALL: [SizeKind; 18] = [
        SizeKind::Journal,
        SizeKind::Runs,
        SizeKind::Turns,
        SizeKind::Contents,
        SizeKind::Sessions,
        SizeKind::HookEvents,
        SizeKind::Approvals,
        SizeKind::Goals,
        SizeKind::Memory,
        SizeKind::Blueprints,
        SizeKind::Errors,
        SizeKind::Tokens,
        SizeKind::Outputs,
        SizeKind::Bodies,
        SizeKind::Replaced,
        SizeKind::Database,
        SizeKind::Free,
        SizeKind::Log,
    ];

    /// Gives the name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            SizeKind::Journal => "journal",
            SizeKind::Runs => "runs",
            SizeKind::Turns => "turns",
            SizeKind::Contents => "contents",
            SizeKind::Sessions => "sessions",
            SizeKind::HookEvents => "hook_events",
            SizeKind::Approvals => "approvals",
            SizeKind::Goals => "goals",
            SizeKind::Memory => "memory",
            SizeKind::Blueprints => "blueprints",
            SizeKind::Errors => "errors",
            SizeKind::Tokens => "tokens",
            SizeKind::Outputs => "outputs",
            SizeKind::Bodies => "bodies",
            SizeKind::Replaced => "replaced",
            SizeKind::Database => "database",
            SizeKind::Free => "free",
            SizeKind::Log => "log",
        }
    }

    /// Gives the kind of a table; none for one that is not known.
    fn of_table(table: &str) -> Option<SizeKind> {
        Some(match table {
            "journal" | "journal_places" | "journal_head" | "journal_checkpoints" => SizeKind::Journal,
            "tasks" | "runs" | "run_inputs" | "client_runs" | "calls" | "seats" | "step_stages"
            | "spawn_tokens" => SizeKind::Runs,
            "turns" | "client_turns" => SizeKind::Turns,
            "blobs" => SizeKind::Contents,
            "sessions" | "delegations" | "handoffs" | "discovered" | "context_usage" | "workspaces"
            | "breakers" => SizeKind::Sessions,
            "hook_events" => SizeKind::HookEvents,
            "approvals" => SizeKind::Approvals,
            "goals" => SizeKind::Goals,
            "blueprints" | "blueprint_versions" | "blueprint_heads" | "issues" | "enhance_settings"
            | "enhance_log" => SizeKind::Blueprints,
            "errors" | "report_previews" | "report_filings" => SizeKind::Errors,
            "tokens" | "operators" => SizeKind::Tokens,
            "outputs" | "output_runs" => SizeKind::Outputs,
            "sqlite_schema" | "sqlite_stat1" | "sqlite_stat4" | "schema_versions" => SizeKind::Database,
            table if table == "facts" || table.starts_with("facts_fts") => SizeKind::Memory,
            _ => return None,
        })
    }

    /// Tells whether the rows of a table are what people would count of its kind, and not what belongs to them.
    fn is_counted(table: &str) -> bool {
        matches!(
            table,
            "journal"
                | "runs"
                | "client_runs"
                | "turns"
                | "client_turns"
                | "blobs"
                | "sessions"
                | "hook_events"
                | "approvals"
                | "goals"
                | "facts"
                | "blueprints"
                | "errors"
                | "tokens"
                | "outputs"
        )
    }
}

/// What one kind takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindSize {
    /// What.
    pub kind: SizeKind,
    /// How many rows, files or pages.
    pub rows: u64,
    /// How many bytes on the disk.
    pub bytes: u64,
}

impl Store {
    /// Gives what takes how much room, every kind once, in the order of [`SizeKind::ALL`]. Reads the whole database.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn sizes_by_kind(&self, interrupt: &Interrupt) -> Result<Vec<KindSize>, ReadError> {
        let (path, interrupt) = (self.path().to_owned(), interrupt.clone());
        // Not one of the pool's readers: others wait for those.
        let counting = tokio::task::spawn_blocking(move || {
            let db = dialect::open_for_reading(&path)?;
            interrupt.reaches(&db);
            let mut sizes = of_database(&db)?;
            let folder = path.parent().unwrap_or(&path);
            let (rows, bytes) = restore::replaced(folder);
            sizes.insert(SizeKind::Replaced, Tally { rows, bytes });
            Ok(sizes)
        });
        let mut sizes = counting.await.unwrap_or(Err(ReadError::Panicked))?;
        sizes.entry(SizeKind::Log).or_default().bytes = self.sizes().wal;
        Ok(SizeKind::ALL
            .map(|kind| {
                let Tally { rows, bytes } = sizes.get(&kind).copied().unwrap_or_default();
                KindSize { kind, rows, bytes }
            })
            .to_vec())
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    rows: u64,
    bytes: u64,
}

fn of_database(db: &Connection) -> Result<BTreeMap<SizeKind, Tally>, ReadError> {
    let instant = db.unchecked_transaction()?;
    let trees = trees(&instant)?;
    let mut sizes: BTreeMap<SizeKind, Tally> = BTreeMap::new();
    // The entries of a table with row ids stand in its leaves alone; those of any other tree on every level.
    let sql = "SELECT name, sum(pgsize), sum(iif(pagetype = 'leaf', ncell, 0)), \
               sum(iif(pagetype = 'overflow', 0, ncell)) FROM dbstat GROUP BY name";
    let mut statement = instant.prepare(sql)?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        let tree = trees.get(&name).copied().unwrap_or(Tree::UNKNOWN);
        let tally = sizes.entry(tree.kind).or_default();
        tally.bytes += unsigned(row.get(1)?);
        tally.rows += match tree.rows {
            Rows::None => 0,
            Rows::Leaves => unsigned(row.get(2)?),
            Rows::All => unsigned(row.get(3)?),
        };
    }
    let pragma = |sql| instant.query_row(sql, (), |row| row.get::<_, i64>(0)).map(unsigned);
    let (pages, page_bytes) = (pragma("PRAGMA freelist_count")?, pragma("PRAGMA page_size")?);
    sizes.insert(SizeKind::Free, Tally { rows: pages, bytes: pages * page_bytes });
    let sql = "SELECT count(*), coalesce(sum(size), 0) FROM (SELECT max(size) AS size FROM outputs WHERE event IS NULL \
               GROUP BY sha256)";
    let bodies = instant
        .query_row(sql, (), |row| Ok(Tally { rows: unsigned(row.get(0)?), bytes: unsigned(row.get(1)?) }));
    sizes.insert(SizeKind::Bodies, bodies.optional()?.unwrap_or_default());
    Ok(sizes)
}

/// A table or an index.
#[derive(Debug, Clone, Copy)]
struct Tree {
    kind: SizeKind,
    rows: Rows,
}

/// Which entries of a tree are rows that count.
#[derive(Debug, Clone, Copy)]
enum Rows {
    None,
    Leaves,
    All,
}

impl Tree {
    const UNKNOWN: Tree = Tree { kind: SizeKind::Database, rows: Rows::None };
}

/// Gives every table and index by its name.
fn trees(db: &Connection) -> Result<HashMap<String, Tree>, ReadError> {
    let sql = "SELECT s.name, s.tbl_name, s.type = 'table', coalesce(l.wr, 0) FROM sqlite_schema s \
               LEFT JOIN pragma_table_list l ON l.name = s.name AND l.schema = 'main'";
    let mut statement = db.prepare(sql)?;
    let rows = statement.query_map((), |row| {
        let (name, table): (String, String) = (row.get(0)?, row.get(1)?);
        let (is_table, is_without_row_ids): (bool, bool) = (row.get(2)?, row.get(3)?);
        let rows = match (is_table && SizeKind::is_counted(&table), is_without_row_ids) {
            (false, _) => Rows::None,
            (true, false) => Rows::Leaves,
            (true, true) => Rows::All,
        };
        let kind = SizeKind::of_table(&table).unwrap_or(SizeKind::Database);
        Ok((name, Tree { kind, rows }))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrations::MIGRATIONS;

    #[test]
    fn every_table_is_of_a_kind() {
        let db = Connection::open_in_memory().unwrap();
        for step in &MIGRATIONS {
            db.execute_batch(step.sql).unwrap();
        }
        let mut statement = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").unwrap();
        let tables = statement.query_map((), |row| row.get::<_, String>(0)).unwrap();
        let unknown: Vec<String> =
            tables.map(Result::unwrap).filter(|table| SizeKind::of_table(table).is_none()).collect();
        assert_eq!(unknown, Vec::<String>::new());
    }
}
