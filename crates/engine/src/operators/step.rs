//! A step that operators have to do with: what stands before it, who does it, what follows.
//!
//! Each stage that a later one stands on is kept before that one begins, so the next daemon asks nothing again that was
//! answered and does nothing again that was done.

use super::call::{OperatorCall, OperatorReply};
use super::desk::Replied;
use super::run::RunOperators;
use crate::clock;
use crate::dispatch::{self, StepJob};
use crate::error::EngineError;
use crate::plane::Core;
use crate::record;
use crate::runs::STORE_RETRY;
use crate::worker::{Performed, Progress, WorkerContext};
use adjutant_model::blueprint::Agent;
use adjutant_model::event::Event;
use adjutant_model::operator::{
    BRIDGE_SEAT, HOOK_SEAT, RequestKey, RequestKind, Seat, SpawnToken, StageRecord, StepStage,
};
use adjutant_model::run::{ErrorClass, StepFailure, StepOutcome, Usage};
use adjutant_model::{OperatorId, StepId, Value};
use adjutant_rules::delivery;
use adjutant_rules::operator::{After, Performer, StepPlan};
use adjutant_store::{Draft, Fence, Json, ReadError, Write};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One attempt of a step, with what was kept of it.
pub(super) struct Step<'s> {
    pub(super) core: &'s Arc<Core>,
    pub(super) job: &'s StepJob,
    pub(super) operators: &'s RunOperators,
    pub(super) agent: &'s Agent,
    pub(super) ctx: &'s WorkerContext,
    pub(super) id: StepId,
    pub(super) kept: BTreeMap<StepStage, Value>,
    pub(super) tokens: Vec<SpawnToken>,
}

/// A step that is to end as it stands.
pub(super) struct Ended(pub(super) StepOutcome);

/// Does a step as its plan says.
pub(crate) async fn perform(
    core: &Arc<Core>,
    job: &StepJob,
    (operators, plan): (&RunOperators, StepPlan),
    agent: &Agent,
    ctx: &WorkerContext,
) -> Performed {
    let id = StepId::of(&job.run_id, &job.path, job.attempt);
    let (kept, tokens) = (BTreeMap::new(), Vec::new());
    let mut step = Step { core, job, operators, agent, ctx, id, kept, tokens };
    match step.go(plan).await {
        Ok(performed) => performed,
        Err(Ended(outcome)) => outcome.into(),
    }
}

impl Step<'_> {
    async fn go(&mut self, plan: StepPlan) -> Result<Performed, Ended> {
        self.load().await?;
        if plan.hook_before && !self.kept.contains_key(&StepStage::HookBefore) {
            self.hook_before().await?;
        }
        let mut performed = match self.kept.get(&StepStage::Performed) {
            Some(kept) => read_performed(kept),
            None => self.perform(&plan).await?,
        };
        for after in plan.after {
            match after {
                After::HookAfter => self.hook_after(&performed.outcome),
                After::Escalate => performed = self.escalate(performed).await?,
            }
        }
        Ok(performed)
    }

    async fn load(&mut self) -> Result<(), Ended> {
        let key = (&self.job.run_id, &self.job.path, self.job.attempt);
        let (stages, tokens) = loop {
            match self.core.store.stages_of(key).await {
                Ok(found) => break found,
                Err(error) => self.read_refused(&error).await?,
            }
        };
        self.kept = stages.into_iter().map(|record| (record.stage, record.value)).collect();
        self.tokens = tokens;
        Ok(())
    }

    async fn read_refused(&self, error: &ReadError) -> Result<(), Ended> {
        if error.class() != ErrorClass::Retry {
            return Err(ended(error.class(), format!("what was kept of the step cannot be read: {error}")));
        }
        self.pause().await
    }

    /// Asks whether the step may begin.
    async fn hook_before(&mut self) -> Result<(), Ended> {
        let (reply, op) = self.ask(HOOK_SEAT, RequestKind::HookBefore, Value::Null).await?;
        let OperatorReply::Hook { ok, reason } = &reply.reply else {
            unreachable!("only hooks are let through")
        };
        if *ok {
            self.keep_answer(StepStage::HookBefore, &reply.reply, &op).await?;
            taken(reply, Ok(()));
            return Ok(());
        }
        let why = reason.as_deref().unwrap_or("it gives no reason");
        let message = format!("the operator does not let the step begin: {why}");
        taken(reply, Ok(()));
        Err(ended(ErrorClass::User, message))
    }

    async fn perform(&mut self, plan: &StepPlan) -> Result<Performed, Ended> {
        let performed = match &plan.performer {
            Performer::Seat(slot) => self.spawn(slot).await?,
            Performer::Agent => dispatch::by_agent(self.core, self.job, self.agent, self.ctx).await,
        };
        let outcome = delivery::held_to(self.agent.verdict.as_ref(), performed.outcome);
        let performed = Performed { outcome: record::outcome(outcome), ..performed };
        if self.ctx.cancel.is_cancelled() {
            return Err(cancelled());
        }
        if !plan.after.is_empty() {
            let value = performed_value(&performed);
            self.keep(&StageRecord { stage: StepStage::Performed, value }, None).await?;
        }
        Ok(performed)
    }

    /// Tells how the step went.
    fn hook_after(&self, outcome: &StepOutcome) {
        let Some((op, seat)) = self.holder(HOOK_SEAT) else { return };
        let call = OperatorCall::HookAfter {
            id: format!("hook_after:{}:g{}", self.id, seat.generation),
            step: self.id.clone(),
            agent: self.agent.name.clone(),
            attempt: self.job.attempt,
            result: told(outcome),
        };
        self.core.operators.note(&op, call);
    }

    /// Asks for the result of a step that did not go well.
    async fn escalate(&mut self, performed: Performed) -> Result<Performed, Ended> {
        let StepOutcome::Failed(failure) = &performed.outcome else { return Ok(performed) };
        let question = Value::object([
            ("reason", Value::from(failure.message.as_str())),
            ("value", failure.value.clone().unwrap_or(Value::Null)),
        ]);
        let (reply, op) = self.ask(BRIDGE_SEAT, RequestKind::Ask, question).await?;
        let OperatorReply::Answer(value) = &reply.reply else { unreachable!("only answers are let through") };
        let outcome = record::outcome(StepOutcome::Done(value.clone()));
        let answered =
            performed_value(&Performed { outcome: outcome.clone(), usage: performed.usage.clone() });
        let stage = StageRecord { stage: StepStage::Performed, value: answered };
        self.keep(&stage, Some((RequestKind::Ask, &reply.reply, &op))).await?;
        taken(reply, Ok(()));
        Ok(Performed { outcome, usage: performed.usage })
    }

    /// Asks the holder of a seat, whoever that is by then, and waits as long as the step may take.
    async fn ask(
        &self,
        slot: &str,
        kind: RequestKind,
        question: Value,
    ) -> Result<(Replied, OperatorId), Ended> {
        let (mut seats, mut presence) = (self.operators.seats.subscribe(), self.core.operators.presence());
        loop {
            seats.mark_unchanged();
            presence.mark_unchanged();
            let holder = self.holder(slot);
            self.say_who_is_awaited(slot, holder.as_ref()).await;
            let mut open = match &holder {
                None => None,
                Some((op, seat)) => {
                    let key = RequestKey { kind, step: self.id.clone(), generation: seat.generation };
                    let call = self.call(key.clone(), question.clone());
                    Some(self.core.operators.open(op, key, call).map_err(refused)?)
                }
            };
            loop {
                tokio::select! {
                    () = self.ctx.cancel.cancelled() => return Err(cancelled()),
                    _ = seats.changed() => {}
                    _ = presence.changed() => {}
                    replied = async {
                        match &mut open {
                            Some(open) => open.replied().await,
                            None => std::future::pending().await,
                        }
                    } => {
                        let (op, _) = holder.expect("only a holder is asked");
                        return Ok((replied, op));
                    }
                }
                if self.holder(slot) != holder {
                    break;
                }
            }
        }
    }

    fn call(&self, key: RequestKey, question: Value) -> OperatorCall {
        let (step, agent, attempt) = (self.id.clone(), self.agent.name.clone(), self.job.attempt);
        match key.kind {
            RequestKind::Ask => OperatorCall::Ask { key, step, question },
            RequestKind::HookBefore | RequestKind::Spawn => {
                OperatorCall::HookBefore { key, step, agent, attempt }
            }
        }
    }

    /// Gives who holds a seat; nobody when its holder is known no more.
    pub(super) fn holder(&self, slot: &str) -> Option<(OperatorId, Seat)> {
        let seat = self.operators.seats.borrow().by_slot.get(slot)?.clone();
        let op = seat.op.clone()?;
        self.core.operators.presence_of(&op)?;
        Some((op, seat))
    }

    /// Says in the run whom the step waits for, when nobody is there.
    pub(super) async fn say_who_is_awaited(&self, slot: &str, holder: Option<&(OperatorId, Seat)>) {
        let text = match holder {
            None => format!("the seat `{slot}` is vacant; it waits until somebody acquires it"),
            Some((op, _)) if self.core.operators.presence_of(op).is_some_and(|there| !there.connected) => {
                format!("{op} of the seat `{slot}` is not connected; it waits until it is")
            }
            Some(_) => return,
        };
        // Whoever listens to progress may be gone, and then nobody has to know.
        drop(self.ctx.progress.try_send(Progress { what: "note".to_owned(), text }));
    }

    async fn keep_answer(
        &mut self,
        stage: StepStage,
        reply: &OperatorReply,
        op: &OperatorId,
    ) -> Result<(), Ended> {
        let value = record::without_secrets(&reply.value());
        self.keep(&StageRecord { stage, value }, Some((reply.answers(), reply, op))).await
    }

    /// Makes a stage durable, however long the disk refuses it.
    async fn keep(
        &mut self,
        record: &StageRecord,
        answer: Option<(RequestKind, &OperatorReply, &OperatorId)>,
    ) -> Result<(), Ended> {
        let mut write = self.fenced();
        write.stage_put((&self.job.run_id, &self.job.path, self.job.attempt), record);
        if let Some((kind, reply, op)) = answer {
            let event = Event::OperatorAnswered {
                path: self.job.path.clone(),
                attempt: self.job.attempt,
                request: kind.as_str().to_owned(),
                op: op.clone(),
                hash: Json::of(&record::without_secrets(&reply.value())).sha256(),
            };
            write.journal(self.draft(format!("operator:{op}"), event));
        }
        self.write(write).await?;
        self.kept.insert(record.stage.clone(), record.value.clone());
        Ok(())
    }

    pub(super) fn fenced(&self) -> Write {
        let StepJob { run_id, owner, epoch, .. } = self.job;
        Write::fenced(Fence { run_id: run_id.clone(), owner: owner.clone(), epoch: *epoch })
    }

    pub(super) fn draft(&self, actor: String, event: Event) -> Draft {
        Draft { at: clock::now(), actor: actor.into(), subject: (&self.job.run_id).into(), event }
    }

    /// Writes, however long the disk refuses it.
    pub(super) async fn write(&self, write: Write) -> Result<(), Ended> {
        let write = Arc::new(write);
        while let Err(error) = self.core.store.write(write.clone()).await {
            if error.class() != ErrorClass::Retry {
                return Err(ended(error.class(), format!("the step cannot be kept: {error}")));
            }
            tracing::warn!(step = %self.id, %error, "the store refuses a stage of a step; it is offered again");
            self.pause().await?;
        }
        Ok(())
    }

    async fn pause(&self) -> Result<(), Ended> {
        tokio::select! {
            () = self.ctx.cancel.cancelled() => Err(cancelled()),
            () = tokio::time::sleep(STORE_RETRY) => Ok(()),
        }
    }
}

/// Tells whoever replied what became of it; they may be gone.
pub(super) fn taken(replied: Replied, result: Result<(), EngineError>) {
    drop(replied.taken.send(result));
}

pub(super) fn cancelled() -> Ended {
    ended(ErrorClass::Gone, "cancelled")
}

pub(super) fn ended(class: ErrorClass, message: impl Into<String>) -> Ended {
    Ended(StepOutcome::Failed(StepFailure { message: message.into(), class, value: None }))
}

pub(super) fn refused(error: EngineError) -> Ended {
    ended(error.class(), error.to_string())
}

/// Gives how a step went, as operators are told it.
fn told(outcome: &StepOutcome) -> Value {
    let (ok, status, value) = match outcome {
        StepOutcome::Done(value) => (true, "done", value.clone()),
        StepOutcome::Skipped(value) => (true, "skipped", value.clone()),
        StepOutcome::Failed(failure) => {
            let value = failure.value.clone().unwrap_or_else(|| Value::from(failure.message.as_str()));
            (false, "failed", value)
        }
    };
    Value::object([("ok", Value::Bool(ok)), ("status", Value::from(status)), ("value", value)])
}

fn performed_value(performed: &Performed) -> Value {
    let (status, value) = match &performed.outcome {
        StepOutcome::Done(value) => ("done", value.clone()),
        StepOutcome::Skipped(value) => ("skipped", value.clone()),
        StepOutcome::Failed(failure) => ("failed", as_value(failure)),
    };
    let usage = performed.usage.as_ref().map_or(Value::Null, as_value);
    Value::object([("status", Value::from(status)), ("value", value), ("usage", usage)])
}

fn read_performed(kept: &Value) -> Performed {
    let value = kept.get("value").cloned().unwrap_or(Value::Null);
    let outcome = match kept.get("status").and_then(Value::as_str) {
        Some("done") => StepOutcome::Done(value),
        Some("skipped") => StepOutcome::Skipped(value),
        _ => StepOutcome::Failed(from_value(&value).unwrap_or_else(|| StepFailure {
            message: "what was kept of the step cannot be read".to_owned(),
            class: ErrorClass::Bug,
            value: None,
        })),
    };
    Performed { outcome, usage: kept.get("usage").and_then(from_value::<Usage>) }
}

fn as_value(record: &impl serde::Serialize) -> Value {
    serde_json::to_value(record).map_or(Value::Null, Value::from)
}

pub(super) fn from_value<T: serde::de::DeserializeOwned>(value: &Value) -> Option<T> {
    serde_json::from_value(value.into()).ok()
}
