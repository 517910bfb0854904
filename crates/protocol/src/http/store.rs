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
    /// `blueprints`, `errors`, `tokens`, `outputs`, `bodies`, `database`, `free` or `log`.
    pub kind: String,
    /// How many of them there are: rows, files of `bodies`, pages of `free`.
    pub rows: u64,
    /// How many bytes they take on the disk.
    pub bytes: u64,
}
