//! Faults that a trial puts into a plane: effects that are performed twice or fail, commits that a disk refuses or a
//! process dies at.
//!
//! A program gives none, and then nothing is asked. They stand where a real fault would strike: at the performing of
//! an effect, whoever performs it, and in the store's writer.

use crate::worker::Performed;
use adjutant_model::run::{StepFailure, StepOutcome, StepPath};
use adjutant_model::{GoalId, RunId, SessionId};
pub use adjutant_store::{CommitFault, CommitHook, DiskFault};
use std::fmt;
use std::sync::Arc;

/// The faults of a plane.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// What befalls the store's commits.
    pub commits: Option<CommitHook>,
    /// What befalls effects.
    pub effects: Option<EffectHook>,
}

/// The key of an effect.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EffectKey {
    /// A step of a run.
    Step {
        /// The run.
        run_id: RunId,
        /// The step in it.
        path: StepPath,
        /// Which attempt of it, from 1.
        attempt: u32,
    },
    /// What is done to a managed session.
    Session {
        /// The session.
        session_id: SessionId,
        /// What, as `SessionEffect::name` says it.
        effect: &'static str,
        /// Which start of its agent it belongs to; 0 before the first.
        launch: u32,
    },
    /// What is done for the pursuit of a goal.
    Pursuit {
        /// The goal.
        goal_id: GoalId,
        /// What, as `PursuitState::as_str` names the state that it is done in.
        state: &'static str,
        /// Which attempt it belongs to, from 1.
        attempt: u32,
    },
}

/// What befalls an effect.
#[derive(Debug, Clone, PartialEq)]
pub enum EffectFault {
    /// It is performed twice, and both outcomes are delivered.
    Twice,
    /// It is not performed; this is delivered as its outcome.
    Fail(StepFailure),
}

type EffectJudge = dyn Fn(&EffectKey) -> Option<EffectFault> + Send + Sync;

/// Says of every effect, as it is to be performed, what befalls it.
#[derive(Clone)]
pub struct EffectHook(Arc<EffectJudge>);

impl EffectHook {
    /// Makes a hook of a function.
    pub fn new(hook: impl Fn(&EffectKey) -> Option<EffectFault> + Send + Sync + 'static) -> Self {
        EffectHook(Arc::new(hook))
    }
}

impl fmt::Debug for EffectHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EffectHook")
    }
}

impl Faults {
    /// Says what befalls an effect; its key is made only when there is somebody to ask.
    pub(crate) fn of_effect(&self, key: impl FnOnce() -> EffectKey) -> Option<EffectFault> {
        let EffectHook(hook) = self.effects.as_ref()?;
        hook(&key())
    }
}

/// Performs an effect as often as its fault has it, and gives the outcomes in order.
pub(crate) async fn perform<F: Future<Output = Performed>>(
    fault: Option<EffectFault>,
    effect: impl Fn() -> F,
) -> Vec<Performed> {
    match fault {
        None => vec![effect().await],
        Some(EffectFault::Twice) => vec![effect().await, effect().await],
        Some(EffectFault::Fail(failure)) => vec![StepOutcome::Failed(failure).into()],
    }
}

/// Performs an effect that takes no time, likewise.
pub(crate) fn perform_now(
    fault: Option<EffectFault>,
    effect: impl Fn() -> StepOutcome,
) -> impl Iterator<Item = StepOutcome> {
    let (first, again) = match fault {
        None => (effect(), None),
        Some(EffectFault::Twice) => (effect(), Some(effect())),
        Some(EffectFault::Fail(failure)) => (StepOutcome::Failed(failure), None),
    };
    std::iter::once(first).chain(again)
}
