//! What a run asks people, and whoever waits for the answers.
//!
//! An approval of a run is raised by the write that keeps the turn it is about, under an id that follows from what it is
//! about. So it outlives its owner: the next one waits for the same approval, and nothing is asked twice. Waiting stops
//! with the owner and changes nothing; only a question that the run itself has no use for any more is withdrawn.

use super::transition::Dispatch;
use super::turn_book::TurnBook;
use super::{RunCommand, ToolAsked};
use crate::approvals;
use crate::error::EngineError;
use crate::faults::{self, EffectKey};
use crate::gate::ToolJudged;
use crate::plane::Core;
use crate::worker::Performed;
use adjutant_model::run::{ErrorClass, StepFailure, StepOutcome, StepPath};
use adjutant_model::{RunId, Value};
use adjutant_rules::approval::{self, Answered};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A question whose approval is durable.
#[derive(Debug)]
pub(super) struct Asked {
    /// The approval.
    pub(super) id: String,
    pub(super) about: About,
}

/// What a question is about.
#[derive(Debug)]
pub(super) enum About {
    /// A rule asks before this step is performed.
    Step(Dispatch),
    /// The flow itself asks.
    Node { path: StepPath, attempt: u32, parameters: Value },
    /// A rule asks before an agent may call a tool; the agent waits.
    Tool { asked: ToolAsked, reply: oneshot::Sender<Result<ToolJudged, EngineError>> },
}

/// The questions of a run that are open.
#[derive(Debug, Default)]
pub(super) struct Questions {
    steps: HashMap<(StepPath, u32), Waiting>,
    /// By the turn of the call.
    tools: HashMap<u64, Waiting>,
}

/// Somebody waits for the answer until this is dropped.
#[derive(Debug)]
struct Waiting {
    id: String,
    /// What is done when a rule's question is answered with a yes.
    dispatch: Option<Dispatch>,
    _stop: DropGuard,
}

/// Where answers are told.
#[derive(Debug, Clone)]
pub(super) struct Ears {
    pub(super) core: Arc<Core>,
    pub(super) run_id: RunId,
    pub(super) commands: mpsc::Sender<RunCommand>,
}

impl Questions {
    /// Begins to wait for an answer, which comes to the owner as a command.
    pub(super) fn open(&mut self, ears: &Ears, asked: Asked) {
        let Asked { id, about } = asked;
        let stop = CancellationToken::new();
        let mut waiting = Waiting { id: id.clone(), dispatch: None, _stop: stop.clone().drop_guard() };
        let apart = ears.clone();
        match about {
            About::Step(dispatch) => {
                let (path, attempt) = (dispatch.path.clone(), dispatch.attempt);
                let key = (path.clone(), attempt);
                waiting.dispatch = Some(dispatch);
                self.steps.insert(key, waiting);
                ears.spawn(stop, async move {
                    let command = match approvals::ended(&apart.core, &id).await {
                        Some(approval) => {
                            RunCommand::Answered { path, attempt, approval: Box::new(approval) }
                        }
                        None => RunCommand::Settled { path, attempt, performed: gone(&id).into() },
                    };
                    apart.tell(command).await;
                });
            }
            About::Node { path, attempt, parameters } => {
                self.steps.insert((path.clone(), attempt), waiting);
                ears.spawn(stop, async move { apart.settle_node((path, attempt), &id, &parameters).await });
            }
            About::Tool { asked, mut reply } => {
                self.tools.insert(asked.turn, waiting);
                ears.spawn(stop, async move {
                    let approval = tokio::select! {
                        ended = approvals::ended(&apart.core, &id) => ended,
                        () = reply.closed() => {
                            approvals::withdraw(&apart.core, &id, "its asker").await;
                            approvals::ended(&apart.core, &id).await
                        }
                    };
                    // Without an approval the reply goes unsaid, and the call was not allowed.
                    let Some(approval) = approval.map(Box::new) else { return };
                    apart.tell(RunCommand::ToolAnswered { asked, approval, reply }).await;
                });
            }
        }
    }

    /// Takes what is to be done when a step's question has its answer; nothing when it was not open.
    pub(super) fn step_answered(&mut self, path: &StepPath, attempt: u32) -> Option<Dispatch> {
        self.steps.remove(&(path.clone(), attempt))?.dispatch
    }

    /// Forgets a tool call's question, which has its answer.
    pub(super) fn tool_answered(&mut self, turn: u64) {
        self.tools.remove(&turn);
    }

    /// Withdraws what the run asks no more.
    pub(super) fn withdraw_closed(&mut self, core: &Arc<Core>, turns: &TurnBook) {
        let steps = self.steps.extract_if(|(path, attempt), _| !turns.is_asked(path, *attempt));
        let tools = self.tools.extract_if(|turn, _| !turns.has_tool(*turn));
        for closed in steps.map(|(_, waiting)| waiting).chain(tools.map(|(_, waiting)| waiting)) {
            approvals::withdraw_apart(core, closed.id);
        }
    }
}

impl Ears {
    fn spawn(&self, stop: CancellationToken, waiting: impl Future<Output = ()> + Send + 'static) {
        self.core.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = waiting => {}
            }
        });
    }

    async fn tell(&self, command: RunCommand) {
        // The owner may have ended; then nobody wants the answer.
        drop(self.commands.send(command).await);
    }

    /// Waits for the answer to a flow's question, and settles the node with it: its answer is its effect.
    async fn settle_node(&self, (path, attempt): (StepPath, u32), id: &str, parameters: &Value) {
        let key = || EffectKey::Step { run_id: self.run_id.clone(), path: path.clone(), attempt };
        let fault = self.core.settings.faults.of_effect(key);
        let answer = async || -> Performed {
            match approvals::ended(&self.core, id).await {
                Some(ended) => approval::outcome(parameters, &Answered::from(&ended)).into(),
                None => gone(id).into(),
            }
        };
        for performed in faults::perform(fault, answer).await {
            self.tell(RunCommand::Settled { path: path.clone(), attempt, performed }).await;
        }
    }
}

/// Gives the outcome of a question whose approval is not in the store, which the write of its turn rules out.
fn gone(id: &str) -> StepOutcome {
    let message = format!("{id} is gone");
    StepOutcome::Failed(StepFailure { message, class: ErrorClass::Bug, value: None })
}
