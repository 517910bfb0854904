//! A step that an operator does: the request, what its worker delivers, and the end of both.

use super::call::{OperatorCall, OperatorReply, SpawnCall};
use super::desk::{OpenRequest, Replied};
use super::step::{Ended, Step, cancelled, from_value, refused, taken};
use super::worker::{Body, Delivery, SystemText, WorkerCall, WorkerPrompt};
use crate::clock;
use crate::dispatch::StepJob;
use crate::error::EngineError;
use crate::identity;
use crate::plane::Core;
use crate::record;
use crate::worker::{Performed, Progress, Secret, command};
use adjutant_model::action::StepBinding;
use adjutant_model::blueprint::{AgentSpec, SubmitFormat};
use adjutant_model::event::Event;
use adjutant_model::operator::{RequestKey, RequestKind, Seat, Seats, SpawnToken, StageRecord, StepStage};
use adjutant_model::run::{StepOutcome, Usage};
use adjutant_model::{OperatorId, TokenId, Value};
use adjutant_rules::delivery::{self, Claim, DeliveryError};
use adjutant_rules::operator::{Ack, SpawnEvent, SpawnState};
use adjutant_store::Json;
use std::collections::BTreeMap;
use tokio::sync::{mpsc, watch};

/// A worker may say so often that it could not do something as it should.
const DEGRADATIONS_MAX: u64 = 256;

/// What a wait of a step ended with.
enum Woken {
    Called(WorkerCall),
    Replied(Replied),
    /// Somebody came or went, a seat changed hands, or time has passed.
    Looked,
}

impl Step<'_> {
    /// Has the holder of a seat do the step, whoever that is by then.
    pub(super) async fn spawn(&mut self, slot: &str) -> Result<Performed, Ended> {
        let core = self.core.clone();
        let mut entered = core.operators.enter_step(self.id.clone());
        let (mut seats, mut presence) = (self.operators.seats.subscribe(), core.operators.presence());
        let mut state = SpawnState { given: self.given(), gone_since: None };
        let mut acked = None;
        loop {
            seats.mark_unchanged();
            presence.mark_unchanged();
            let holder = self.holder(slot);
            self.say_who_is_awaited(slot, holder.as_ref()).await;
            let mut open = self.request(&core, holder.as_ref()).await?;
            let mut looked = Some(self.looked(holder.as_ref()));
            loop {
                let event = match looked.take() {
                    Some(event) => event,
                    None => match self
                        .woken(&mut entered.calls, &mut seats, &mut presence, &mut open, &state)
                        .await?
                    {
                        Woken::Called(call) => match self.take(slot, call).await? {
                            Some(outcome) => SpawnEvent::Given(outcome),
                            None => continue,
                        },
                        Woken::Replied(replied) => match self.acked(replied, &mut acked) {
                            Some(ack) => SpawnEvent::Acked(ack),
                            None => continue,
                        },
                        Woken::Looked if self.holder(slot) != holder => break,
                        Woken::Looked => self.looked(holder.as_ref()),
                    },
                };
                let (next, ended) = state.step(event, core.settings.operator_grace_ms, clock::now());
                state = next;
                if let Some(outcome) = ended {
                    return Ok(Performed { outcome, usage: self.usage().or(acked) });
                }
            }
        }
    }

    /// Waits for the next thing that happens to the step.
    async fn woken(
        &self,
        calls: &mut mpsc::Receiver<WorkerCall>,
        seats: &mut watch::Receiver<Seats>,
        presence: &mut watch::Receiver<u64>,
        open: &mut Option<OpenRequest<'_>>,
        state: &SpawnState,
    ) -> Result<Woken, Ended> {
        let due = state.due_at(self.core.settings.operator_grace_ms).map(clock::until);
        tokio::select! {
            biased;
            () = self.ctx.cancel.cancelled() => Err(cancelled()),
            // What a worker delivers goes before the reply of its operator, so that a result counts that came first.
            Some(call) = calls.recv() => Ok(Woken::Called(call)),
            _ = seats.changed() => Ok(Woken::Looked),
            _ = presence.changed() => Ok(Woken::Looked),
            () = tokio::time::sleep(due.unwrap_or_default()), if due.is_some() => Ok(Woken::Looked),
            replied = async {
                match open {
                    Some(open) => open.replied().await,
                    None => std::future::pending().await,
                }
            } => Ok(Woken::Replied(replied)),
        }
    }

    /// Gives what is to be noticed of the holder's presence.
    fn looked(&self, holder: Option<&(OperatorId, Seat)>) -> SpawnEvent {
        let there = holder.and_then(|(op, _)| self.core.operators.presence_of(op));
        match there.is_some_and(|there| there.connected) {
            true => SpawnEvent::OperatorBack,
            false => SpawnEvent::OperatorGone,
        }
    }

    /// Opens the request of a holder, with a token for its worker.
    async fn request<'c>(
        &mut self,
        core: &'c Core,
        holder: Option<&(OperatorId, Seat)>,
    ) -> Result<Option<OpenRequest<'c>>, Ended> {
        let Some((op, seat)) = holder else { return Ok(None) };
        let token = self.token(seat.generation).await?;
        let key = RequestKey { kind: RequestKind::Spawn, step: self.id.clone(), generation: seat.generation };
        let directive = self.directive(&token);
        let call = SpawnCall {
            key: key.clone(),
            step: self.id.clone(),
            agent: self.agent.name.clone(),
            attempt: self.job.attempt,
            token,
            runner: self.agent.runner.clone(),
            directive,
        };
        core.operators.open(op, key, OperatorCall::Spawn(Box::new(call))).map(Some).map_err(refused)
    }

    /// Makes a token that is good for this step, for no longer than its run may take.
    async fn token(&mut self, generation: u64) -> Result<Secret, Ended> {
        let StepJob { run_id, path, attempt, deadline, .. } = self.job;
        let binding = StepBinding { run_id: run_id.clone(), path: path.clone(), attempt: *attempt };
        let lives_secs = clock::until(*deadline).as_secs() + 1;
        let (secret, record) = identity::step_token(binding, lives_secs);
        let spawned = SpawnToken {
            token_id: record.id.clone(),
            run_id: run_id.clone(),
            path: path.clone(),
            attempt: *attempt,
            generation,
        };
        let mut write = self.fenced();
        write.token_put(&record);
        write.spawn_token_put(&spawned);
        self.write(write).await?;
        self.tokens.push(spawned);
        Ok(secret)
    }

    /// Says in words what an operator that reads words has to do.
    fn directive(&self, token: &Secret) -> String {
        let (id, agent) = (&self.id, &self.agent.name);
        let base_url = self.core.endpoint().unwrap_or_default();
        let mut lines = Vec::new();
        for (name, value) in [("project_root", self.project_root()), ("work_dir", self.work_dir())] {
            lines.extend(value.map(|value| format!("{name}: {value}")));
        }
        lines.extend(self.operators.task_metadata.as_ref().map(|value| format!("task_metadata: {value}")));
        let context = if lines.is_empty() { String::new() } else { lines.join("\n") + "\n\n" };
        format!(
            "{context}A step of the agent `{agent}` waits for its worker. Start one and hand it these four lines:\n\n\
             agent_id: {agent}\nworker_handle: {handle}\nbase_url: {base_url}\ntask_id: {id}\n\n\
             With `Authorization: Bearer <worker_handle>` it fetches its work at \
             `GET <base_url>/v1/worker/prompt?task_id=<task_id>` and delivers the result at \
             `POST <base_url>/v1/worker/submit?task_id=<task_id>`. Then answer this frame with `spawn_ack`; the \
             result need not be repeated.\n",
            handle = token.reveal()
        )
    }

    fn work_dir(&self) -> Option<String> {
        self.job.workspace.as_ref().map(|workspace| workspace.path.clone())
    }

    fn project_root(&self) -> Option<String> {
        self.job.workspace.as_ref().and_then(|workspace| workspace.project.clone())
    }

    fn prompt(&self) -> WorkerPrompt {
        WorkerPrompt {
            step: self.id.clone(),
            run_id: self.job.run_id.clone(),
            attempt: self.job.attempt,
            agent: self.agent.name.clone(),
            system: self.agent.profile.system_prompt.clone().map(SystemText),
            prompt: command::prompt(&self.job.input),
            work_dir: self.work_dir(),
            project_root: self.project_root(),
            task_metadata: self.operators.task_metadata.clone(),
        }
    }

    /// Takes what a worker asks or delivers; gives the step's result when there is one now.
    async fn take(&mut self, slot: &str, call: WorkerCall) -> Result<Option<StepOutcome>, Ended> {
        match call {
            WorkerCall::Prompt { token_id, reply } => {
                let allowed = token_id.map_or(Ok(()), |token_id| self.check_token(slot, &token_id));
                let given = self.given().map(|outcome| !matches!(outcome, StepOutcome::Failed(_)));
                // Whoever asked may be gone.
                drop(reply.send(allowed.map(|()| (self.prompt(), given))));
                Ok(None)
            }
            WorkerCall::Deliver { token_id, delivery, reply } => {
                let record = self.check_token(slot, &token_id).and_then(|()| self.stage(delivery));
                let record = match record {
                    Ok(record) => record,
                    Err(error) => {
                        drop(reply.send(Err(error)));
                        return Ok(None);
                    }
                };
                self.keep_delivery(&record).await?;
                drop(reply.send(Ok(())));
                match record.stage {
                    StepStage::Final | StepStage::Part(_) => Ok(self.given()),
                    StepStage::HookBefore
                    | StepStage::Performed
                    | StepStage::Stats
                    | StepStage::Degradation(_) => Ok(None),
                }
            }
        }
    }

    /// Refuses a token that was handed to a generation of the seat that is over.
    fn check_token(&self, slot: &str, token_id: &TokenId) -> Result<(), EngineError> {
        let now = self.operators.seats.borrow().by_slot.get(slot).map(|seat| seat.generation);
        let handed = self.tokens.iter().find(|token| token.token_id == *token_id);
        match handed {
            Some(token) if Some(token.generation) == now => Ok(()),
            Some(token) => Err(EngineError::Conflict {
                message: format!(
                    "the seat `{slot}` has changed hands: generation {} of it is over",
                    token.generation
                ),
                hint: Some("its new holder has been asked to do the step".to_owned()),
            }),
            None => Err(EngineError::Forbidden("the token was not handed to this step's worker".to_owned())),
        }
    }

    /// Reads a delivery, and refuses one that breaks a contract.
    fn stage(&self, delivery: Delivery) -> Result<StageRecord, EngineError> {
        let contract = self.agent.verdict.as_ref();
        Ok(match delivery {
            Delivery::Final { claim, body } => {
                let value = self.read(body)?;
                delivery::check(contract, claim, (&value, &self.parts())).map_err(unfit)?;
                let value = Value::object([("claim", Value::from(claim_name(claim))), ("value", value)]);
                StageRecord { stage: StepStage::Final, value }
            }
            Delivery::Part { name, body } => {
                delivery::part_name(&name).map_err(unfit)?;
                let stage = StepStage::Part(name.clone());
                if !self.kept.contains_key(&stage) && self.parts().len() >= delivery::PARTS_MAX {
                    return Err(unfit(DeliveryError::TooManyParts));
                }
                let value = self.read(body)?;
                delivery::check_part(contract, &name, &value).map_err(unfit)?;
                StageRecord { stage, value }
            }
            Delivery::Stats(value) => {
                StageRecord { stage: StepStage::Stats, value: record::without_secrets(&value) }
            }
            Delivery::Degradation(value) => {
                let is_one = |stage: &&StepStage| matches!(stage, StepStage::Degradation(_));
                let number = self.kept.keys().filter(is_one).count() as u64;
                if number >= DEGRADATIONS_MAX {
                    let message = format!("a step has at most {DEGRADATIONS_MAX} degradations");
                    return Err(EngineError::invalid(message));
                }
                StageRecord { stage: StepStage::Degradation(number), value: record::without_secrets(&value) }
            }
        })
    }

    fn read(&self, body: Body) -> Result<Value, EngineError> {
        let value = match body {
            Body::Text(text) => delivery::fold(&text, self.format()).map_err(unfit)?,
            Body::Json(value) => delivery::fold_value(value, self.format()),
        };
        Ok(record::without_secrets(&value))
    }

    fn format(&self) -> SubmitFormat {
        match &self.agent.spec {
            AgentSpec::Operator(spec) => spec.submit_format,
            AgentSpec::Function { .. }
            | AgentSpec::Lua(_)
            | AgentSpec::Command(_)
            | AgentSpec::Check(_)
            | AgentSpec::Session(_) => SubmitFormat::Auto,
        }
    }

    async fn keep_delivery(&mut self, stage: &StageRecord) -> Result<(), Ended> {
        let mut write = self.fenced();
        write.stage_put((&self.job.run_id, &self.job.path, self.job.attempt), stage);
        let event = Event::WorkerDelivered {
            path: self.job.path.clone(),
            attempt: self.job.attempt,
            stage: stage.stage.to_string(),
            hash: Json::of(&stage.value).sha256(),
        };
        write.journal(self.draft(format!("step:{}/{}", self.job.run_id, self.job.path), event));
        self.write(write).await?;
        self.kept.insert(stage.stage.clone(), stage.value.clone());
        if let StepStage::Degradation(_) = stage.stage {
            let text = format!("its worker could not do something as it should: {}", stage.value);
            drop(self.ctx.progress.try_send(Progress { what: "note".to_owned(), text }));
        }
        Ok(())
    }

    /// Takes what the operator says of the step; a result that breaks the contract is refused, and the request stays.
    fn acked(&self, replied: Replied, usage: &mut Option<Usage>) -> Option<Ack> {
        let OperatorReply::Step(ack) = &replied.reply else { unreachable!("only acks are let through") };
        let ack = match (ack.clone(), self.given()) {
            (Ack::Done { value, usage }, None) => {
                let value = record::without_secrets(&delivery::fold_value(value, self.format()));
                let parts = self.parts();
                let contract = self.agent.verdict.as_ref();
                if let Err(error) = delivery::check(contract, Claim::Passed, (&value, &parts)) {
                    taken(replied, Err(unfit(error)));
                    return None;
                }
                Ack::Done { value: delivery::result(value, parts), usage }
            }
            (ack, _) => ack,
        };
        match &ack {
            Ack::Done { usage: used, .. } | Ack::Failed { usage: used, .. } => *usage = used.clone(),
            Ack::Halted { .. } => {}
        }
        taken(replied, Ok(()));
        Some(ack)
    }

    /// Gives the result that a worker has delivered.
    fn given(&self) -> Option<StepOutcome> {
        let kept = self.kept.get(&StepStage::Final)?;
        let claim = match kept.get("claim").and_then(Value::as_str) {
            Some("blocked") => Claim::Blocked,
            Some("skipped") => Claim::Skipped,
            _ => Claim::Passed,
        };
        let value = kept.get("value").cloned().unwrap_or(Value::Null);
        Some(delivery::outcome(claim, value, self.parts()))
    }

    fn parts(&self) -> BTreeMap<String, Value> {
        let part = |(stage, value): (&StepStage, &Value)| match stage {
            StepStage::Part(name) => Some((name.clone(), value.clone())),
            StepStage::HookBefore
            | StepStage::Performed
            | StepStage::Final
            | StepStage::Stats
            | StepStage::Degradation(_) => None,
        };
        self.kept.iter().filter_map(part).collect()
    }

    /// Gives what the worker says that its model used.
    fn usage(&self) -> Option<Usage> {
        let kept = self.kept.get(&StepStage::Stats)?;
        let tokens = |name: &str| kept.get("usage").and_then(|usage| usage.get(name)).and_then(whole);
        let usage = Usage {
            model: kept.get("model").and_then(Value::as_str).map(str::to_owned),
            input_tokens: tokens("input_tokens"),
            output_tokens: tokens("output_tokens"),
            num_turns: kept.get("num_turns").and_then(whole),
            cost_usd: None,
        };
        (!usage.is_empty()).then_some(usage)
    }
}

fn whole(value: &Value) -> Option<u64> {
    from_value(value)
}

fn claim_name(claim: Claim) -> &'static str {
    match claim {
        Claim::Passed => "passed",
        Claim::Blocked => "blocked",
        Claim::Skipped => "skipped",
    }
}

fn unfit(error: DeliveryError) -> EngineError {
    match error.is_of_the_content() {
        true => EngineError::Unfit(error.to_string()),
        false => EngineError::invalid(error.to_string()),
    }
}
