//! The care of the store: backups, checks, sizes.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A backup is to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupParams {
    /// The file that the daemon writes, on its machine and in its owner's name: absolute, in a folder that is there,
    /// outside of the data folder.
    pub file: String,
    /// Whether it takes the place of a file that is there already.
    #[serde(default)]
    pub force: bool,
}

/// A backup that was made, whole, checked and flushed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackupView {
    /// The file, with the links on the way to it resolved.
    pub file: String,
    /// How many bytes it has.
    pub bytes: u64,
    /// How many rows the journal in it has.
    pub journal_rows: u64,
    /// The place of that journal's last row.
    pub journal_seq: i64,
    /// One hash over that journal, as 64 hex digits.
    pub journal_root: String,
    /// How many bodies of outputs are in it.
    pub bodies: u64,
    /// How many bytes those have.
    pub bodies_bytes: u64,
    /// Bodies that the store names and that were not there, or were not what their hash says, at most 100.
    pub lost: Vec<String>,
    /// How many there are of them.
    pub lost_count: u64,
}

/// What a check of the store has looked at, and what it found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckView {
    /// Whether nothing is wrong.
    pub ok: bool,
    /// What is wrong, at most 200.
    pub findings: Vec<CheckFindingView>,
    /// How much is wrong, told or not.
    pub findings_count: u64,
    /// How many rows the journal has.
    pub journal_rows: u64,
    /// How many rows retention has taken from it.
    pub journal_removed: u64,
    /// The place of its last row.
    pub journal_seq: i64,
    /// One hash over the whole journal, as 64 hex digits; note it elsewhere to compare it later.
    pub journal_root: String,
    /// How many contents stand beside their rows.
    pub contents: u64,
    /// How many bodies of outputs rows name.
    pub bodies: u64,
    /// How many bytes those have that are there.
    pub bodies_bytes: u64,
    /// How many files no row names; the next start of the daemon removes them.
    pub bodies_unnamed: u64,
}

/// Something in the store that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckFindingView {
    /// What it is about: `database`, `journal`, `references`, `contents` or `bodies`.
    pub matter: String,
    /// What is wrong, in words.
    pub text: String,
}

/// What takes how much room in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SizesView {
    /// Every kind once, in a fixed order.
    pub kinds: Vec<KindSizeView>,
    /// All of them together, in bytes.
    pub bytes: u64,
}

/// What one kind takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KindSizeView {
    /// What: `journal`, `runs`, `turns`, `contents`, `sessions`, `hook_events`, `approvals`, `goals`, `memory`,
    /// `blueprints`, `errors`, `tokens`, `outputs`, `bodies`, `replaced`, `database`, `free` or `log`.
    pub kind: String,
    /// How many of them there are: rows, files of `bodies`, stores of `replaced`, pages of `free`.
    pub rows: u64,
    /// How many bytes they take on the disk.
    pub bytes: u64,
}

/// A backup is to take the store's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StoreRestoreParams {
    /// The file on the daemon's machine, absolute: a backup, or the `store.db` of a store that was replaced.
    pub file: String,
}

/// A backup was checked and is about to take the store's place; the daemon starts anew over it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoreRestoreBegunView {
    /// The restore's name, by which `GET /v1/store/restore` tells how it ended.
    pub id: String,
    /// How many rows its journal has.
    pub journal_rows: u64,
    /// One hash over that journal, as 64 hex digits.
    pub journal_root: String,
    /// How many bodies of outputs its rows name.
    pub bodies: u64,
    /// How many of them did not come with it.
    pub lost_count: u64,
}

/// The restore that ended last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoreRestoresView {
    /// It; absent when the last rows of the journal know of none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<StoreRestoreView>,
}

/// A restore that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoreRestoreView {
    /// Its name.
    pub id: String,
    /// When, RFC 3339.
    pub at: String,
    /// The file that the store came from, or was to come from.
    pub file: String,
    /// Whether the store is the one of the backup; else it is what it was.
    pub ok: bool,
    /// Why it is what it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The folder with what was replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
    /// How many tokens that the backup had as good are not so any more.
    pub tokens_ended: u64,
}
