//! Registered blueprints: the versions of each, and which of them is its head.
//!
//! A head moves only from the number that its writer has seen to the next one, so of two writers that have seen the
//! same head one is refused. The documents stand in `blueprints`.

use crate::reader::{ReadError, Snapshot, unsigned};
use crate::store::Store;
use crate::write::{ExpectedRows, Param, Write};
use adjutant_model::Timestamp;
use adjutant_model::registry::{BlueprintAbout, BlueprintHead, BlueprintVersion};
use rusqlite::Row;

impl Write {
    /// Makes `version` the head of its blueprint: the first when its number is 1, else in the place of the one before
    /// it. The write is refused when the head is another one or is archived. The document is put apart.
    pub fn blueprint_version_put(&mut self, version: &BlueprintVersion, about: &BlueprintAbout) -> &mut Self {
        self.blueprint_head_move(version, about);
        let params = vec![
            Param::text(&version.id),
            version.number.into(),
            Param::text(&version.version),
            Param::text_or_null(version.parent.as_deref()),
            Param::text(&version.author),
            Param::text(&version.rationale),
            Param::text_or_null(version.label.as_deref()),
            version.created_at.into(),
        ];
        self.push(
            "INSERT INTO blueprint_versions (id, number, version, parent, author, rationale, label, created_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            ExpectedRows::Exactly(1),
            params,
        )
    }

    fn blueprint_head_move(&mut self, version: &BlueprintVersion, about: &BlueprintAbout) {
        let sql = match version.number {
            1 => {
                "INSERT INTO blueprint_heads (id, number, description, tags) VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT (id) DO NOTHING"
            }
            _ => {
                "UPDATE blueprint_heads SET number = ?2, description = ?3, tags = ?4 \
                 WHERE id = ?1 AND number = ?2 - 1 AND archived_at IS NULL"
            }
        };
        let params = vec![
            Param::text(&version.id),
            version.number.into(),
            Param::text_or_null(about.description.as_deref()),
            Param::json(Some(&about.tags)),
        ];
        self.push(sql, ExpectedRows::Exactly(1), params);
    }

    /// Archives a blueprint, or takes it out of the archive when `at` is `None`; refused when that is so already.
    pub fn blueprint_archive(&mut self, id: &str, at: Option<Timestamp>) -> &mut Self {
        self.push(
            "UPDATE blueprint_heads SET archived_at = ?2 \
             WHERE id = ?1 AND (archived_at IS NULL) <> (?2 IS NULL)",
            ExpectedRows::Exactly(1),
            vec![Param::text(id), Param::at(at)],
        )
    }
}

const VERSION: &str = "v.id, v.number, v.version, v.parent, v.author, v.rationale, v.label, v.created_at";

/// Which heads to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeadFilter {
    /// Behind this id.
    pub after: Option<String>,
    /// Archived ones too.
    pub archived: bool,
    /// At most so many.
    pub limit: usize,
}

impl Store {
    /// Gives where a registered blueprint stands.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn blueprint_head(&self, id: &str) -> Result<Option<BlueprintHead>, ReadError> {
        let id = id.to_owned();
        self.read(move |snapshot| {
            let sql = format!("{} WHERE h.id = ?1", select_heads());
            Ok(snapshot.select(&sql, (id,), |row| head_of_row(snapshot, row))?.pop())
        })
        .await
    }

    /// Lists registered blueprints in the order of their ids.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn blueprint_heads(&self, filter: HeadFilter) -> Result<Vec<BlueprintHead>, ReadError> {
        let HeadFilter { after, archived, limit } = filter;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(move |snapshot| {
            let sql = format!(
                "{} WHERE (?1 IS NULL OR h.id > ?1) AND (?2 OR h.archived_at IS NULL) ORDER BY h.id LIMIT ?3",
                select_heads()
            );
            snapshot.select(&sql, (after, archived, limit), |row| head_of_row(snapshot, row))
        })
        .await
    }

    /// Gives a version of a registered blueprint; where the same document stood twice, the newer one.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn blueprint_version(
        &self,
        id: &str,
        version: &str,
    ) -> Result<Option<BlueprintVersion>, ReadError> {
        let (id, version) = (id.to_owned(), version.to_owned());
        self.read(move |snapshot| {
            let sql = format!(
                "SELECT {VERSION} FROM blueprint_versions v WHERE v.id = ?1 AND v.version = ?2 \
                 ORDER BY v.number DESC LIMIT 1"
            );
            Ok(snapshot.select(&sql, (id, version), version_of_row)?.pop())
        })
        .await
    }

    /// Gives versions of a registered blueprint, those before a number or all, the newest first.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn blueprint_versions(
        &self,
        id: &str,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<BlueprintVersion>, ReadError> {
        let id = id.to_owned();
        let before = before.map(|number| i64::try_from(number).unwrap_or(i64::MAX));
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(move |snapshot| {
            let sql = format!(
                "SELECT {VERSION} FROM blueprint_versions v \
                 WHERE v.id = ?1 AND (?2 IS NULL OR v.number < ?2) ORDER BY v.number DESC LIMIT ?3"
            );
            snapshot.select(&sql, (id, before, limit), version_of_row)
        })
        .await
    }

    /// Gives the labels of a registered blueprint with the versions that have them, the newest first.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn blueprint_labels(&self, id: &str, limit: usize) -> Result<Vec<(String, String)>, ReadError> {
        let id = id.to_owned();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(move |snapshot| {
            let sql = "SELECT label, version FROM blueprint_versions WHERE id = ?1 AND label IS NOT NULL \
                       ORDER BY number DESC LIMIT ?2";
            snapshot.select(sql, (id, limit), |row| Ok((row.get(0)?, row.get(1)?)))
        })
        .await
    }
}

fn select_heads() -> String {
    format!(
        "SELECT {VERSION}, h.description, h.tags, h.archived_at FROM blueprint_heads h \
         JOIN blueprint_versions v ON v.id = h.id AND v.number = h.number"
    )
}

fn head_of_row(snapshot: &Snapshot<'_>, row: &Row<'_>) -> Result<BlueprintHead, ReadError> {
    let tags = snapshot.json("blueprint_heads.tags", row.get(9)?)?.unwrap_or_default();
    Ok(BlueprintHead {
        newest: version_of_row(row)?,
        about: BlueprintAbout { description: row.get(8)?, tags },
        archived_at: row.get::<_, Option<i64>>(10)?.map(Timestamp::from_unix_ms),
    })
}

fn version_of_row(row: &Row<'_>) -> Result<BlueprintVersion, ReadError> {
    Ok(BlueprintVersion {
        id: row.get(0)?,
        number: unsigned(row.get(1)?),
        version: row.get(2)?,
        parent: row.get(3)?,
        author: row.get(4)?,
        rationale: row.get(5)?,
        label: row.get(6)?,
        created_at: Timestamp::from_unix_ms(row.get(7)?),
    })
}
