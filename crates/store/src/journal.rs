//! The journal: what changed, in order, and the hashes that show tampering.
//!
//! A row's hash is SHA-256 over its place, time, actor, subject and kind, over the SHA-256 of its payload, which whoever
//! makes the row computes before it waits for the writer, and over the hash of the subject's previous row; a subject's
//! first row has 32 zero bytes there. Texts stand in it behind their length, so no two rows give the same bytes. Places
//! are without gaps.
//!
//! # The head
//!
//! `journal_head` says up to which place the journal is known to go, and `journal_places` which places up to there
//! each subject has. Each would cost a page in every commit, so both follow the last row at a distance of less than
//! [`HEAD_LAG_MAX`] rows, catch up when the writer is idle and when the store is opened or closed, and the few rows
//! behind the head are found by walking them.
//!
//! # What `verify` finds, and what it cannot
//!
//! A row that was changed, exchanged, inserted or removed, in the middle or at the end, unless:
//!
//! - the rows cut off the end lie behind the head: less than [`HEAD_LAG_MAX`] of them, while the store is busy or
//!   after a crash and before the next open;
//! - whoever did it also recomputed every later hash of the subject, and the head. No journal without a secret can
//!   show that by itself; [`VerifyReport::root`] is one hash over all of it, to be noted elsewhere and compared.
//!
//! # Retention
//!
//! The beginning of a subject, or all of it, may be replaced by a row of `journal_checkpoints`: up to which place
//! rows were removed, how many, and the hash of the last of them, from which the chain goes on.

mod verify;

use crate::reader::{ReadError, Snapshot};
use crate::store::Store;
use crate::write::{Draft, ExpectedRows, Param, Write, json_text};
use adjutant_model::Timestamp;
use adjutant_model::event::{Event, JournalRow};
use rusqlite::{Connection, Row};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::sync::Arc;
pub(crate) use verify::verify_in;
pub use verify::{Broken, Fault, VerifyError, VerifyReport, verify};

/// A hash of a row.
pub(crate) type RowHash = [u8; 32];

/// What stands for the previous hash in a subject's first row.
pub(crate) const NO_PREVIOUS: RowHash = [0; 32];

/// The head is always less than so many rows behind the last one.
pub(crate) const HEAD_LAG_MAX: i64 = 256;

/// A draft in the form of its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EncodedDraft {
    pub(crate) at: i64,
    pub(crate) actor: Cow<'static, str>,
    pub(crate) subject: Arc<str>,
    pub(crate) kind: &'static str,
    pub(crate) payload: String,
    pub(crate) payload_hash: RowHash,
}

impl From<Draft> for EncodedDraft {
    fn from(draft: Draft) -> Self {
        let kind = draft.event.kind();
        let payload = payload_of_event(kind, json_text(&draft.event));
        let payload_hash = Sha256::digest(&payload).into();
        let Draft { at, actor, subject, event: _ } = draft;
        EncodedDraft { at: at.unix_ms(), actor, subject, kind, payload, payload_hash }
    }
}

/// What a row's hash covers besides the previous hash.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowContent<'a> {
    pub(crate) seq: i64,
    pub(crate) at: i64,
    pub(crate) actor: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) payload_hash: RowHash,
}

impl RowContent<'_> {
    /// Computes the row's hash.
    pub(crate) fn hash(&self, previous: &RowHash) -> RowHash {
        let mut hasher = Sha256::new();
        hasher.update(b"adjutant journal 2\0");
        hasher.update(self.seq.to_be_bytes());
        hasher.update(self.at.to_be_bytes());
        for text in [self.actor, self.subject, self.kind] {
            hasher.update((text.len() as u64).to_be_bytes());
            hasher.update(text);
        }
        hasher.update(self.payload_hash);
        hasher.update(previous);
        hasher.finalize().into()
    }
}

/// Takes the tag out of an event's JSON, where it always comes first; the column `kind` carries it.
fn payload_of_event(kind: &str, json: String) -> String {
    let rest = json.strip_prefix("{\"kind\":\"").and_then(|rest| rest.strip_prefix(kind)?.strip_prefix('"'));
    let rest = rest.expect("an event is serialised as an object that begins with its tag");
    format!("{{{}", rest.strip_prefix(',').unwrap_or(rest))
}

/// Puts the tag back.
fn event_of_payload(kind: &str, payload: &str) -> Option<Event> {
    let rest = payload.strip_prefix('{')?;
    let comma = if rest.starts_with('}') { "" } else { "," };
    serde_json::from_str(&format!("{{\"kind\":\"{kind}\"{comma}{rest}")).ok()
}

/// Brings the head up to the last row, which a crash may have left it behind, and gives its place.
pub(crate) fn head_recover(db: &Connection) -> rusqlite::Result<i64> {
    let tx = db.unchecked_transaction()?;
    let head: i64 = tx.query_row("SELECT seq FROM journal_head WHERE id = 1", (), |row| row.get(0))?;
    let last: i64 = tx.query_row("SELECT coalesce(max(seq), 0) FROM journal", (), |row| row.get(0))?;
    if last > head {
        tx.execute(
            "INSERT INTO journal_places (subject, seq) SELECT subject, seq FROM journal WHERE seq > ?1",
            (head,),
        )?;
        tx.execute("UPDATE journal_head SET seq = ?1 WHERE id = 1", (last,))?;
        tx.commit()?;
    }
    // Rows that are missing at the end stay missing: a place is never given twice.
    Ok(last.max(head))
}

/// The rows of a subject: those that have a place, and those behind the head.
macro_rules! of_subject {
    () => {
        "(seq IN (SELECT seq FROM journal_places WHERE subject = ?1) \
         OR (seq > (SELECT seq FROM journal_head WHERE id = 1) AND subject = ?1))"
    };
}

impl Write {
    /// Removes all that the journal says about a subject, and leaves a checkpoint with the last hash.
    pub(crate) fn journal_remove(&mut self, subject: &str) -> &mut Self {
        let subject = || vec![Param::text(subject)];
        self.push(
            concat!(
                "INSERT INTO journal_checkpoints (subject, seq, removed, hash) \
                 SELECT ?1, max(seq), count(*), hash FROM journal WHERE ",
                of_subject!(),
                " HAVING count(*) > 0 ON CONFLICT (subject) DO UPDATE SET seq = excluded.seq, \
                 removed = removed + excluded.removed, hash = excluded.hash"
            ),
            ExpectedRows::Any,
            subject(),
        );
        self.push(concat!("DELETE FROM journal WHERE ", of_subject!()), ExpectedRows::Any, subject());
        self.push("DELETE FROM journal_places WHERE subject = ?1", ExpectedRows::Any, subject())
    }
}

impl Write {
    /// Removes what the journal says about a subject up to a place, and leaves a checkpoint with the last hash of it. A
    /// row of another subject must follow in the same write: the journal's last place may not be one that is gone.
    pub fn journal_shorten(&mut self, subject: &str, to: i64) -> &mut Self {
        let prefix = || vec![Param::text(subject), Param::Integer(to)];
        self.push(
            concat!(
                "INSERT INTO journal_checkpoints (subject, seq, removed, hash) \
                 SELECT ?1, max(seq), count(*), hash FROM journal WHERE seq <= ?2 AND ",
                of_subject!(),
                " HAVING count(*) > 0 ON CONFLICT (subject) DO UPDATE SET seq = excluded.seq, \
                 removed = removed + excluded.removed, hash = excluded.hash"
            ),
            ExpectedRows::Any,
            prefix(),
        );
        self.push(
            concat!("DELETE FROM journal WHERE seq <= ?2 AND ", of_subject!()),
            ExpectedRows::Any,
            prefix(),
        );
        let places = "DELETE FROM journal_places WHERE subject = ?1 AND seq <= ?2";
        self.push(places, ExpectedRows::Any, prefix())
    }
}

const COLUMNS: &str = "j.seq, j.at, j.actor, j.subject, j.kind, j.payload, j.hash";

impl Store {
    /// Gives the rows about a subject whose place is after `after_seq`, in order; 0 is before the first.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn journal_of(
        &self,
        subject: &str,
        after_seq: i64,
        limit: usize,
    ) -> Result<Vec<JournalRow>, ReadError> {
        let subject = subject.to_owned();
        self.read(move |snapshot| {
            let placed = format!(
                "SELECT {COLUMNS} FROM journal_places p JOIN journal j ON j.seq = p.seq \
                 WHERE p.subject = ?1 AND p.seq > ?2 ORDER BY p.seq LIMIT ?3"
            );
            let behind_the_head = format!(
                "SELECT {COLUMNS} FROM journal j WHERE j.seq > (SELECT seq FROM journal_head WHERE id = 1) \
                 AND j.seq > ?2 AND j.subject = ?1 ORDER BY j.seq LIMIT ?3"
            );
            let mut rows = Vec::new();
            for sql in [placed, behind_the_head] {
                let room = i64::try_from(limit - rows.len()).unwrap_or(i64::MAX);
                rows.extend(snapshot.select(&sql, (&subject, after_seq, room), row_read)?);
            }
            Ok(rows)
        })
        .await
    }

    /// Gives the last rows about a subject whose place is before `before_seq`, the newest first.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn journal_before(
        &self,
        subject: &str,
        before_seq: i64,
        limit: usize,
    ) -> Result<Vec<JournalRow>, ReadError> {
        let (subject, limit) = (subject.to_owned(), i64::try_from(limit).unwrap_or(i64::MAX));
        self.read(move |snapshot| {
            let behind_the_head = format!(
                "SELECT {COLUMNS} FROM journal j WHERE j.seq > (SELECT seq FROM journal_head WHERE id = 1) \
                 AND j.seq < ?2 AND j.subject = ?1 ORDER BY j.seq DESC LIMIT ?3"
            );
            let placed = format!(
                "SELECT {COLUMNS} FROM journal_places p JOIN journal j ON j.seq = p.seq \
                 WHERE p.subject = ?1 AND p.seq < ?2 ORDER BY p.seq DESC LIMIT ?3"
            );
            let mut rows = snapshot.select(&behind_the_head, (&subject, before_seq, limit), row_read)?;
            let room = limit - i64::try_from(rows.len()).unwrap_or(limit);
            rows.extend(snapshot.select(&placed, (&subject, before_seq, room), row_read)?);
            Ok(rows)
        })
        .await
    }

    /// Gives the rows after the place `after_seq`, in order: what a live feed reads when [`Store::committed`] wakes
    /// it. 0 is before the first.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn journal_after(&self, after_seq: i64, limit: usize) -> Result<Vec<JournalRow>, ReadError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(move |snapshot: &Snapshot<'_>| {
            let sql = format!("SELECT {COLUMNS} FROM journal j WHERE j.seq > ?1 ORDER BY j.seq LIMIT ?2");
            snapshot.select(&sql, (after_seq, limit), row_read)
        })
        .await
    }
}

fn row_read(row: &Row<'_>) -> Result<JournalRow, ReadError> {
    let kind: String = row.get(4)?;
    let payload: String = row.get(5)?;
    Ok(JournalRow {
        seq: row.get(0)?,
        at: Timestamp::from_unix_ms(row.get(1)?),
        actor: row.get(2)?,
        subject: row.get(3)?,
        event: event_of_payload(&kind, &payload)
            .ok_or_else(|| ReadError::unreadable("journal.payload", &format!("{kind} {payload}")))?,
        hash: hex::encode(row.get::<_, Vec<u8>>(6)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use adjutant_model::run::{WorkspaceKind, WorkspaceRecord};

    #[track_caller]
    fn check(event: Event, payload: &str) {
        let kind = event.kind();
        let encoded = payload_of_event(kind, json_text(&event));
        assert_eq!(encoded, payload);
        assert_eq!(event_of_payload(kind, &encoded), Some(event));
    }

    #[test]
    fn a_payload_is_the_event_without_its_tag() {
        check(Event::DaemonStopped {}, "{}");
        check(Event::DaemonStarted { version: "1".into(), pid: 7 }, r#"{"version":"1","pid":7}"#);
        let workspace = WorkspaceRecord {
            kind: WorkspaceKind::Scratch,
            path: "/w".into(),
            project: None,
            branch: None,
            base: None,
            node: "local".into(),
        };
        check(Event::GoalNoted { note: "\"kind\":\"x\"".into() }, r#"{"note":"\"kind\":\"x\""}"#);
        check(Event::WorkspaceReady(workspace), r#"{"type":"scratch","path":"/w","node":"local"}"#);
    }

    #[test]
    fn a_hash_covers_every_column_and_the_place_of_every_letter() {
        let row = RowContent { seq: 1, at: 2, actor: "ab", subject: "c", kind: "k", payload_hash: [7; 32] };
        let same = row.hash(&NO_PREVIOUS);
        let others = [
            RowContent { seq: 2, ..row },
            RowContent { at: 3, ..row },
            RowContent { actor: "a", subject: "bc", ..row },
            RowContent { subject: "d", ..row },
            RowContent { subject: "ck", kind: "", ..row },
            RowContent { payload_hash: [8; 32], ..row },
        ];
        assert_eq!(row.hash(&NO_PREVIOUS), same);
        assert!(others.iter().all(|other| other.hash(&NO_PREVIOUS) != same));
        assert_ne!(row.hash(&[1; 32]), same);
    }
}
