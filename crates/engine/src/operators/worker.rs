//! What the worker of a step gets and gives. Its token names the step; the task of the step takes the delivery, so that
//! nothing is taken any more when the step has ended.

use crate::clock;
use crate::error::EngineError;
use crate::plane::Core;
use adjutant_model::action::{Caller, StepBinding};
use adjutant_model::run::{TurnKind, TurnStatus};
use adjutant_model::{RunId, StepId, TokenId, Value};
use adjutant_rules::delivery::{self, Claim};
use sha2::{Digest, Sha256};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// So long a delivery waits for a step that a new daemon is about to take up.
const ENTER_MAX: Duration = Duration::from_secs(5);
/// A system prompt up to here stands in the answer; a longer one is fetched apart.
const SYSTEM_INLINE_MAX: usize = 25 * 1024;

/// What a worker is to do.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerPrompt {
    /// The step.
    pub step: StepId,
    /// The run.
    pub run_id: RunId,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// The agent it stands for.
    pub agent: String,
    /// The agent's system prompt.
    pub system: Option<SystemText>,
    /// The step's input as text.
    pub prompt: String,
    /// Where it works.
    pub work_dir: Option<String>,
    /// The repository that it works for.
    pub project_root: Option<String>,
    /// What the request says of the task.
    pub task_metadata: Option<Value>,
}

/// A system prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemText(pub String);

impl SystemText {
    /// Gives SHA-256 of the text, as 64 hex digits.
    pub fn sha256(&self) -> String {
        hex::encode(Sha256::digest(&self.0))
    }

    /// Tells whether it is too long for the answer that names it.
    pub fn is_long(&self) -> bool {
        self.0.len() > SYSTEM_INLINE_MAX
    }
}

/// Reads how a worker says that its step went: by `ok`, by a verdict, or by nothing, which is well.
///
/// # Errors
/// [`EngineError::Invalid`] when the two disagree, or the verdict is none.
pub fn claim(ok: Option<bool>, verdict: Option<&str>) -> Result<Claim, EngineError> {
    delivery::claim(ok, verdict).map_err(|error| EngineError::invalid(error.to_string()))
}

/// What a worker delivers.
#[derive(Debug, Clone, PartialEq)]
pub enum Delivery {
    /// Its result, as a text or as JSON.
    Final {
        /// How it says that it went.
        claim: Claim,
        /// The result.
        body: Body,
    },
    /// A named part of its result.
    Part {
        /// Its name.
        name: String,
        /// The part.
        body: Body,
    },
    /// What its model used.
    Stats(Value),
    /// Something that it could not do as it should.
    Degradation(Value),
}

/// What was delivered, as it came.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// Bytes that are text.
    Text(String),
    /// A value that came as JSON.
    Json(Value),
}

/// Something that the task of a step is asked.
#[derive(Debug)]
pub(super) enum WorkerCall {
    /// What the worker is to do; `token_id` is nothing for whoever only looks.
    Prompt {
        token_id: Option<TokenId>,
        reply: oneshot::Sender<Result<(WorkerPrompt, Option<bool>), EngineError>>,
    },
    /// To keep a delivery, and answer when it is durable.
    Deliver { token_id: TokenId, delivery: Delivery, reply: oneshot::Sender<Result<(), EngineError>> },
}

/// Gives what the bearer of a worker's token is to do.
pub(crate) async fn prompt(
    core: &Core,
    caller: &Caller,
    named: Option<&StepId>,
) -> Result<WorkerPrompt, EngineError> {
    let binding = binding(caller, named)?;
    let calls = entered(core, &binding).await?;
    let (reply, answer) = oneshot::channel();
    let call = WorkerCall::Prompt { token_id: Some(caller.token_id.clone()), reply };
    calls.send(call).await.map_err(|_| over(&binding))?;
    answer.await.map_err(|_| over(&binding))?.map(|(prompt, _)| prompt)
}

/// Takes what the bearer of a worker's token delivers; it is durable when this returns.
pub(crate) async fn deliver(
    core: &Core,
    caller: &Caller,
    named: Option<&StepId>,
    delivery: Delivery,
) -> Result<(), EngineError> {
    let binding = binding(caller, named)?;
    let calls = entered(core, &binding).await?;
    let (reply, answer) = oneshot::channel();
    let call = WorkerCall::Deliver { token_id: caller.token_id.clone(), delivery, reply };
    calls.send(call).await.map_err(|_| over(&binding))?;
    answer.await.map_err(|_| over(&binding))?
}

/// Gives the step that a token is good for, which must be the one that the request names.
fn binding(caller: &Caller, named: Option<&StepId>) -> Result<StepBinding, EngineError> {
    let needs = || EngineError::Forbidden("only the token of a step's worker does this".to_owned());
    let binding = caller.step.clone().ok_or_else(needs)?;
    match named {
        Some(named) if *named != step_id(&binding) => {
            Err(EngineError::Forbidden(format!("the token is good for another step than {named}")))
        }
        Some(_) | None => Ok(binding),
    }
}

fn step_id(binding: &StepBinding) -> StepId {
    StepId::of(&binding.run_id, &binding.path, binding.attempt)
}

fn over(binding: &StepBinding) -> EngineError {
    EngineError::Over(format!("the step {} is over and takes nothing any more", step_id(binding)))
}

/// Gives the way to the task of a step. A step that is open and has no task is about to get one.
async fn entered(core: &Core, binding: &StepBinding) -> Result<mpsc::Sender<WorkerCall>, EngineError> {
    let step = step_id(binding);
    let (mut entered, mut committed) = (core.operators.entered(), core.store.committed());
    let deadline = clock::now().plus_ms(ENTER_MAX.as_millis() as u64);
    loop {
        entered.mark_unchanged();
        committed.mark_unchanged();
        if let Some(calls) = core.operators.step(&step) {
            return Ok(calls);
        }
        if !is_open(core, binding).await? {
            return Err(over(binding));
        }
        let left = clock::until(deadline);
        if left.is_zero() {
            return Err(EngineError::Stopping);
        }
        tokio::select! {
            _ = entered.changed() => {}
            _ = committed.changed() => {}
            () = tokio::time::sleep(left) => {}
        }
    }
}

async fn is_open(core: &Core, binding: &StepBinding) -> Result<bool, EngineError> {
    const PAGE: usize = 1000;
    let run = core.store.run_get(&binding.run_id).await?;
    if run.is_none_or(|run| run.status.is_terminal()) {
        return Ok(false);
    }
    let mut after = None;
    loop {
        let page = core.store.turns_of(&binding.run_id, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(false) };
        after = Some(last.index);
        let found = page.iter().find(|turn| {
            turn.kind == TurnKind::Step && turn.path == binding.path && turn.attempt == binding.attempt
        });
        if let Some(turn) = found {
            return Ok(turn.status == TurnStatus::Started);
        }
    }
}
