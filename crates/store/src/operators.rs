//! Operators that have joined, the seats of runs, and what is kept of steps that operators have to do with.

use crate::blobs;
use crate::reader::{ReadError, Snapshot, unsigned};
use crate::store::Store;
use crate::write::{ExpectedRows, Param, Write, json_text};
use adjutant_model::operator::{Operator, Seat, Seats, SpawnToken, StageRecord, StepStage};
use adjutant_model::run::StepPath;
use adjutant_model::{OperatorId, RunId, Timestamp};
use rusqlite::Row;

impl Write {
    /// Adds an operator.
    pub fn operator_put(&mut self, operator: &Operator) -> &mut Self {
        let manifest = self.content(operator.capability_manifest.as_ref());
        let params = vec![
            Param::text(operator.sid.as_str()),
            Param::text(operator.token_id.as_str()),
            Param::text(&operator.desc),
            manifest,
            Param::from(json_text(&operator.roles)),
            operator.joined_at.into(),
            operator.seen_at.into(),
        ];
        self.push(
            "INSERT INTO operators (sid, token_id, description, manifest, roles, joined_at, seen_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            ExpectedRows::Exactly(1),
            params,
        )
    }

    /// Says when an operator was last heard of; one that has left stays away.
    pub fn operator_seen(&mut self, sid: &OperatorId, at: Timestamp) -> &mut Self {
        self.push(
            "UPDATE operators SET seen_at = max(seen_at, ?2) WHERE sid = ?1",
            ExpectedRows::Any,
            vec![Param::text(sid.as_str()), at.into()],
        )
    }

    /// Says by which other names an operator may be called.
    pub fn operator_roles_set(&mut self, sid: &OperatorId, roles: &[String]) -> &mut Self {
        self.push(
            "UPDATE operators SET roles = ?2 WHERE sid = ?1",
            ExpectedRows::Any,
            vec![Param::text(sid.as_str()), Param::from(json_text(&roles))],
        )
    }

    /// Removes an operator; one that is not there is as good.
    pub fn operator_remove(&mut self, sid: &OperatorId) -> &mut Self {
        self.push("DELETE FROM operators WHERE sid = ?1", ExpectedRows::Any, vec![Param::text(sid.as_str())])
    }

    /// Says who holds a seat of a run.
    pub fn seat_put(&mut self, run_id: &RunId, slot: &str, seat: &Seat) -> &mut Self {
        let params = vec![
            Param::text(run_id.as_str()),
            Param::text(slot),
            Param::text_or_null(seat.op.as_ref().map(|op| op.as_str())),
            Param::text(&seat.desc),
            seat.generation.into(),
        ];
        self.push(
            "INSERT INTO seats (run_id, slot, op, description, generation) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (run_id, slot) DO UPDATE SET op = ?3, description = ?4, generation = ?5",
            ExpectedRows::Exactly(1),
            params,
        )
    }

    /// Keeps a stage of a step; a stage that is there is overwritten.
    pub fn stage_put(&mut self, step: (&RunId, &StepPath, u32), record: &StageRecord) -> &mut Self {
        let value = self.content(Some(&record.value));
        let mut params = step_params(step);
        params.extend([Param::from(record.stage.to_string()), value]);
        self.push(
            "INSERT INTO step_stages (run_id, path, attempt, stage, value) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (run_id, path, attempt, stage) DO UPDATE SET value = ?5",
            ExpectedRows::Exactly(1),
            params,
        )
    }

    /// Forgets the stages of a run's steps; what they came to stands in its turns.
    pub fn run_stages_forget(&mut self, run_id: &RunId) -> &mut Self {
        self.push(
            "DELETE FROM step_stages WHERE run_id = ?1",
            ExpectedRows::Any,
            vec![Param::text(run_id.as_str())],
        )
    }

    /// Notes which generation of a seat a worker's token was handed to.
    pub fn spawn_token_put(&mut self, token: &SpawnToken) -> &mut Self {
        let mut params = step_params((&token.run_id, &token.path, token.attempt));
        params.extend([Param::text(token.token_id.as_str()), token.generation.into()]);
        self.push(
            "INSERT INTO spawn_tokens (run_id, path, attempt, token_id, generation) VALUES (?1, ?2, ?3, ?4, ?5)",
            ExpectedRows::Exactly(1),
            params,
        )
    }
}

fn step_params((run_id, path, attempt): (&RunId, &StepPath, u32)) -> Vec<Param> {
    vec![Param::text(run_id.as_str()), Param::text(path.as_str()), attempt.into()]
}

impl Store {
    /// Gives all operators, in the order in which they joined.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn operators(&self) -> Result<Vec<Operator>, ReadError> {
        self.read(|snapshot| {
            let sql = "SELECT sid, token_id, description, manifest, roles, joined_at, seen_at FROM operators \
                       ORDER BY joined_at, sid";
            snapshot.select(sql, (), |row| operator_of_row(snapshot, row))
        })
        .await
    }

    /// Gives the seats of a run.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn seats_of(&self, run_id: &RunId) -> Result<Seats, ReadError> {
        let run_id = run_id.as_str().to_owned();
        self.read(move |snapshot| {
            let sql = "SELECT slot, op, description, generation FROM seats WHERE run_id = ?1";
            let seats = snapshot.select(sql, (run_id,), |row| {
                let op = row.get::<_, Option<String>>(1)?;
                let seat = Seat {
                    op: op.map(|op| snapshot.parse("seats.op", &op)).transpose()?,
                    desc: row.get(2)?,
                    generation: unsigned(row.get(3)?),
                };
                Ok((row.get::<_, String>(0)?, seat))
            })?;
            Ok(Seats { by_slot: seats.into_iter().collect() })
        })
        .await
    }

    /// Gives what is kept of a step's stages, and which generation each token of its workers was handed to.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn stages_of(
        &self,
        (run_id, path, attempt): (&RunId, &StepPath, u32),
    ) -> Result<(Vec<StageRecord>, Vec<SpawnToken>), ReadError> {
        let (run_id, path) = (run_id.clone(), path.clone());
        self.read(move |snapshot| {
            let key = (run_id.as_str(), path.as_str(), attempt);
            let sql = "SELECT stage, value FROM step_stages WHERE run_id = ?1 AND path = ?2 AND attempt = ?3 \
                       ORDER BY stage";
            let stages = snapshot.select(sql, key, |row| stage_of_row(snapshot, row))?;
            let sql = "SELECT token_id, generation FROM spawn_tokens WHERE run_id = ?1 AND path = ?2 AND attempt = ?3";
            let tokens = snapshot.select(sql, key, |row| {
                Ok(SpawnToken {
                    token_id: snapshot.parse("spawn_tokens.token_id", &row.get::<_, String>(0)?)?,
                    run_id: run_id.clone(),
                    path: path.clone(),
                    attempt,
                    generation: unsigned(row.get(1)?),
                })
            })?;
            Ok((stages, tokens))
        })
        .await
    }
}

fn stage_of_row(snapshot: &Snapshot<'_>, row: &Row<'_>) -> Result<StageRecord, ReadError> {
    let stage: String = row.get(0)?;
    Ok(StageRecord {
        stage: StepStage::parse(&stage).ok_or_else(|| ReadError::unreadable("step_stages.stage", &stage))?,
        value: blobs::content_read(snapshot, "step_stages.value", row.get(1)?)?.unwrap_or_default(),
    })
}

fn operator_of_row(snapshot: &Snapshot<'_>, row: &Row<'_>) -> Result<Operator, ReadError> {
    Ok(Operator {
        sid: snapshot.parse("operators.sid", &row.get::<_, String>(0)?)?,
        token_id: snapshot.parse("operators.token_id", &row.get::<_, String>(1)?)?,
        desc: row.get(2)?,
        capability_manifest: blobs::content_read(snapshot, "operators.manifest", row.get(3)?)?,
        roles: snapshot.json("operators.roles", row.get(4)?)?.unwrap_or_default(),
        joined_at: Timestamp::from_unix_ms(row.get(5)?),
        seen_at: Timestamp::from_unix_ms(row.get(6)?),
    })
}
