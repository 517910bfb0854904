//! What is remembered: facts, and the index of their words.
//!
//! The index holds words and no text. What is forgotten is to stand in no file any more, and the database keeps it in
//! three places: in pages that are free, so every write of facts wipes those; in the gaps of pages where rows were moved,
//! so the write that forgets puts all other facts into pages that were wiped; and in the index, which only marks what was
//! removed, so it is made anew. Then the log, which has the pages as they were, is emptied. A query is words: whatever else stands in it means nothing, so no text of
//! anybody's is ever syntax.

use crate::reader::{ReadError, Snapshot};
use crate::store::Store;
use crate::write::{ExpectedRows, Param, Residue, Write, json_text};
use adjutant_model::memory::{Fact, FactScope, FoundFact, Successor};
use adjutant_model::{FactId, Timestamp};
use rusqlite::Row;
use sha2::{Digest, Sha256};

/// So many words of a query are looked for.
const WORDS_MAX: usize = 32;
/// So much of a word is looked for, in characters.
const WORD_CHARS_MAX: usize = 64;

/// Which facts; without anything all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FactFilter {
    /// Only those of these scopes.
    pub scopes: Option<Vec<FactScope>>,
    /// Only those that have all of these tags.
    pub tags: Vec<String>,
    /// Only those that hold then.
    pub valid_at: Option<Timestamp>,
    /// At most so many.
    pub limit: usize,
}

impl Write {
    /// Adds a fact, unless its scope has `scope_max` already: then the write fails with
    /// [`crate::WriteError::RowsUnexpected`].
    pub fn fact_add(&mut self, fact: &Fact, scope_max: u64) -> &mut Self {
        let id = || Param::text(fact.id.as_str());
        let params = vec![
            id(),
            Param::from(fact.scope.to_string()),
            Param::text(&fact.text),
            Param::from(text_hash(&fact.text)),
            Param::from(fact.tags.join(" ")),
            Param::from(json_text(&fact.source)),
            fact.created_at.into(),
            Param::at(fact.valid_until),
            scope_max.into(),
        ];
        self.push(
            "INSERT INTO facts (id, scope, text, text_hash, tags, source, created_at, valid_until) \
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8 WHERE (SELECT count(*) FROM facts WHERE scope = ?2) < ?9",
            ExpectedRows::Exactly(1),
            params,
        );
        self.push(
            "INSERT INTO facts_fts (rowid, text, tags) SELECT number, text, tags FROM facts WHERE id = ?1",
            ExpectedRows::Any,
            vec![id()],
        );
        self.leave(Residue::InTheLog)
    }

    /// Says that another fact has taken one's place; one that has a successor, or is not there, fails with
    /// [`crate::WriteError::RowsUnexpected`].
    pub fn fact_supersede(&mut self, id: &FactId, successor: &Successor) -> &mut Self {
        self.push(
            "UPDATE facts SET successor = ?2, superseded_at = ?3 WHERE id = ?1 AND successor IS NULL",
            ExpectedRows::Exactly(1),
            vec![Param::text(id.as_str()), Param::text(successor.by.as_str()), successor.at.into()],
        );
        self.leave(Residue::InTheLog)
    }

    /// Forgets a fact: its text stands nowhere in the files when this is committed, but in a copy somebody made. One
    /// that is not there fails with [`crate::WriteError::RowsUnexpected`].
    pub fn fact_forget(&mut self, id: &FactId) -> &mut Self {
        self.push(
            "DELETE FROM facts WHERE id = ?1",
            ExpectedRows::Exactly(1),
            vec![Param::text(id.as_str())],
        );
        for sql in [
            "CREATE TEMP TABLE facts_kept AS SELECT * FROM facts",
            "DELETE FROM facts",
            "INSERT INTO facts SELECT * FROM facts_kept ORDER BY number",
            "DROP TABLE facts_kept",
            "INSERT INTO facts_fts (facts_fts) VALUES ('rebuild')",
        ] {
            self.push(sql, ExpectedRows::Any, Vec::new());
        }
        self.leave(Residue::None)
    }
}

const COLUMNS: &str = "id, scope, text, tags, source, created_at, valid_until, successor, superseded_at";

/// Holds for the facts that a filter means; `?1` are scopes, `?2` tags, `?3` when they hold.
const MEANT: &str = "(?1 IS NULL OR scope IN (SELECT value FROM json_each(?1))) \
     AND NOT EXISTS (SELECT 1 FROM json_each(?2) WHERE instr(' ' || f.tags || ' ', ' ' || value || ' ') = 0) \
     AND (?3 IS NULL OR (successor IS NULL AND (valid_until IS NULL OR valid_until > ?3)))";

impl Store {
    /// Gives a fact.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn fact_get(&self, id: &FactId) -> Result<Option<Fact>, ReadError> {
        let id = id.clone();
        self.read(move |snapshot| {
            let sql = format!("SELECT {COLUMNS} FROM facts WHERE id = ?1");
            Ok(snapshot.select(&sql, (id.as_str(),), |row| fact_of_row(snapshot, row))?.pop())
        })
        .await
    }

    /// Gives the fact of a scope that holds and says the same.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn fact_same(
        &self,
        scope: &FactScope,
        text: &str,
        now: Timestamp,
    ) -> Result<Option<Fact>, ReadError> {
        let params = (scope.to_string(), text_hash(text), now.unix_ms());
        self.read(move |snapshot| {
            let sql = format!(
                "SELECT {COLUMNS} FROM facts WHERE scope = ?1 AND text_hash = ?2 AND successor IS NULL \
                 AND (valid_until IS NULL OR valid_until > ?3) ORDER BY number LIMIT 1"
            );
            Ok(snapshot.select(&sql, params, |row| fact_of_row(snapshot, row))?.pop())
        })
        .await
    }

    /// Gives facts, the newest first.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn facts(&self, filter: FactFilter) -> Result<Vec<Fact>, ReadError> {
        self.read(move |snapshot| {
            let sql = format!("SELECT {COLUMNS} FROM facts f WHERE {MEANT} ORDER BY number DESC LIMIT ?4");
            let (scopes, tags, valid_at, limit) = params(&filter);
            snapshot.select(&sql, (scopes, tags, valid_at, limit), |row| fact_of_row(snapshot, row))
        })
        .await
    }

    /// Gives the facts that have words of a query, the best first: BM25, where a tag counts as two words of the text,
    /// down to half of it as a fact grows old; after thirty days it has lost a quarter. Nothing when the query has no
    /// word.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn facts_search(
        &self,
        query: &str,
        filter: FactFilter,
        now: Timestamp,
    ) -> Result<Vec<FoundFact>, ReadError> {
        let Some(words) = match_of(query) else { return Ok(Vec::new()) };
        self.read(move |snapshot| {
            let sql = format!(
                "SELECT {COLUMNS}, score FROM (SELECT f.number AS found, -bm25(facts_fts, 1.0, 2.0) * (0.5 + 0.5 / \
                 (1.0 + max(0, ?6 - f.created_at) / 2592000000.0)) AS score FROM facts_fts JOIN facts f \
                 ON f.number = facts_fts.rowid WHERE facts_fts MATCH ?5 AND {MEANT} \
                 ORDER BY score DESC, found DESC LIMIT ?4) JOIN facts ON number = found ORDER BY score DESC, found DESC"
            );
            let (scopes, tags, valid_at, limit) = params(&filter);
            let params = (scopes, tags, valid_at, limit, words, now.unix_ms());
            snapshot.select(&sql, params, |row| {
                Ok(FoundFact { fact: fact_of_row(snapshot, row)?, score: row.get(9)? })
            })
        })
        .await
    }
}

fn params(filter: &FactFilter) -> (Option<String>, String, Option<i64>, i64) {
    (
        filter.scopes.as_ref().map(json_text),
        json_text(&filter.tags),
        filter.valid_at.map(Timestamp::unix_ms),
        i64::try_from(filter.limit).unwrap_or(i64::MAX),
    )
}

/// Gives SHA-256 of a fact's text as 64 hex digits.
pub fn text_hash(text: &str) -> String {
    format!("{:x}", Sha256::digest(text))
}

/// Gives what the index is asked for: any of the words of a text, each in quotes, so that none of them is syntax.
fn match_of(query: &str) -> Option<String> {
    let words = query.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let quoted = words.take(WORDS_MAX).map(|word| {
        let word: String = word.chars().take(WORD_CHARS_MAX).collect();
        format!("\"{word}\"")
    });
    Some(quoted.collect::<Vec<_>>().join(" OR ")).filter(|words| !words.is_empty())
}

fn fact_of_row(snapshot: &Snapshot<'_>, row: &Row<'_>) -> Result<Fact, ReadError> {
    let scope: String = row.get(1)?;
    let successor = match (row.get::<_, Option<String>>(7)?, row.get::<_, Option<i64>>(8)?) {
        (Some(by), Some(at)) => {
            Some(Successor { by: snapshot.parse("facts.successor", &by)?, at: Timestamp::from_unix_ms(at) })
        }
        (Some(_) | None, _) => None,
    };
    let source = snapshot.json("facts.source", row.get(4)?)?;
    Ok(Fact {
        id: snapshot.parse("facts.id", &row.get::<_, String>(0)?)?,
        scope: FactScope::parse(&scope).ok_or_else(|| ReadError::unreadable("facts.scope", &scope))?,
        text: row.get(2)?,
        tags: row.get::<_, String>(3)?.split_whitespace().map(str::to_owned).collect(),
        source: source.ok_or_else(|| ReadError::unreadable("facts.source", "NULL"))?,
        created_at: Timestamp::from_unix_ms(row.get(5)?),
        valid_until: row.get::<_, Option<i64>>(6)?.map(Timestamp::from_unix_ms),
        successor,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_words_whatever_stands_in_it() {
        for (query, asked) in [
            ("", None),
            ("\"*() ^-:\0'", None),
            ("run the tests", Some("\"run\" OR \"the\" OR \"tests\"")),
            ("a\"b OR c*", Some("\"a\" OR \"b\" OR \"OR\" OR \"c\"")),
            ("NEAR(x, 2) AND text:y", Some("\"NEAR\" OR \"x\" OR \"2\" OR \"AND\" OR \"text\" OR \"y\"")),
            ("Größe 東京", Some("\"Größe\" OR \"東京\"")),
        ] {
            assert_eq!(match_of(query).as_deref(), asked, "{query:?}");
        }
        let long = match_of(&"x ".repeat(500)).expect("words");
        assert_eq!(long.matches("\"x\"").count(), WORDS_MAX);
        assert_eq!(match_of(&"y".repeat(1000)).expect("a word").len(), WORD_CHARS_MAX + 2);
    }
}
