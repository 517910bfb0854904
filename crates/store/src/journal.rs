//! The journal: what changed, in order, and the hashes that show tampering.
//!
//! A row's hash is SHA-256 over its place, time, actor, subject, kind and payload and over the hash of the subject's
//! previous row; a subject's first row has 32 zero bytes there. Texts stand in it behind their length, so no two
//! rows give the same bytes. Places are without gaps, and the head keeps the last one; it is written by each commit
//! and costs one page, where a head per subject would cost a page for each run that takes part.
//!
//! # What `verify` finds, and what it cannot
//!
//! A row that was changed, exchanged, inserted or removed, in the middle or at the end, unless whoever did it also
//! recomputed every later hash of the subject and the head. No journal without a secret can show that by itself;
//! [`VerifyReport::root`] is one hash over all of it, to be noted elsewhere and compared.
//!
//! # Retention
//!
//! The beginning of a subject, or all of it, may be replaced by a row of `journal_checkpoints`: up to which place
//! rows were removed, how many, and the hash of the last of them, from which the chain goes on.

mod verify;

use crate::reader::{ReadError, Snapshot};
use crate::store::Store;
use crate::write::{Draft, json_text};
use adjutant_model::Timestamp;
use adjutant_model::event::{Event, JournalRow};
use rusqlite::Row;
use sha2::{Digest, Sha256};
pub use verify::{Broken, Fault, VerifyError, VerifyReport, verify};

/// A hash of a row.
pub(crate) type RowHash = [u8; 32];

/// What stands for the previous hash in a subject's first row.
pub(crate) const NO_PREVIOUS: RowHash = [0; 32];

/// A draft in the form of its row.
#[derive(Debug)]
pub(crate) struct EncodedDraft {
    pub(crate) at: i64,
    pub(crate) actor: String,
    pub(crate) subject: String,
    pub(crate) kind: &'static str,
    pub(crate) payload: String,
}

impl From<Draft> for EncodedDraft {
    fn from(draft: Draft) -> Self {
        let kind = draft.event.kind();
        let payload = payload_of_event(kind, json_text(&draft.event));
        EncodedDraft { at: draft.at.unix_ms(), actor: draft.actor, subject: draft.subject, kind, payload }
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
    pub(crate) payload: &'a str,
}

impl RowContent<'_> {
    /// Computes the row's hash.
    pub(crate) fn hash(&self, previous: &RowHash) -> RowHash {
        let mut hasher = Sha256::new();
        hasher.update(b"adjutant journal 1\0");
        hasher.update(self.seq.to_be_bytes());
        hasher.update(self.at.to_be_bytes());
        for text in [self.actor, self.subject, self.kind, self.payload] {
            hasher.update((text.len() as u64).to_be_bytes());
            hasher.update(text);
        }
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

const SELECT: &str = "SELECT seq, at, actor, subject, kind, payload, hash FROM journal";

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
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(move |snapshot| {
            let sql = format!("{SELECT} WHERE subject = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3");
            snapshot.select(&sql, (subject, after_seq, limit), row_read)
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
            let sql = format!("{SELECT} WHERE seq > ?1 ORDER BY seq LIMIT ?2");
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
        let row = RowContent { seq: 1, at: 2, actor: "ab", subject: "c", kind: "k", payload: "{}" };
        let same = row.hash(&NO_PREVIOUS);
        let others = [
            RowContent { seq: 2, ..row },
            RowContent { at: 3, ..row },
            RowContent { actor: "a", subject: "bc", ..row },
            RowContent { subject: "d", ..row },
            RowContent { kind: "", payload: "k{}", ..row },
            RowContent { payload: "{ }", ..row },
        ];
        assert_eq!(row.hash(&NO_PREVIOUS), same);
        assert!(others.iter().all(|other| other.hash(&NO_PREVIOUS) != same));
        assert_ne!(row.hash(&[1; 32]), same);
    }
}
