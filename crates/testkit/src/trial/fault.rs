//! What befalls one process, and what it did.

use adjutant_engine::faults::{CommitFault, CommitHook, EffectFault, EffectHook, EffectKey, Faults};
use adjutant_model::run::{ErrorClass, StepFailure};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

/// What befalls one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    /// Nothing.
    Spared,
    /// Its commit with this number, from 1.
    Commit(u64, CommitFault),
    /// Every effect is performed twice.
    EffectsTwice,
    /// The effect that it performs as this one, from 1, fails.
    EffectFails(u64),
}

/// What one process was seen to do; the hooks of its plane note it here.
#[derive(Debug)]
pub(super) struct Watched {
    plan: Plan,
    commits: AtomicU64,
    struck: AtomicU64,
    performed: Mutex<Vec<EffectKey>>,
    /// Is cancelled when the process has to count as dead.
    pub(super) halted: CancellationToken,
}

impl Watched {
    pub(super) fn new(plan: Plan) -> Arc<Self> {
        Arc::new(Watched {
            plan,
            commits: AtomicU64::new(0),
            struck: AtomicU64::new(0),
            performed: Mutex::default(),
            halted: CancellationToken::new(),
        })
    }

    /// Gives the hooks for the process's plane.
    pub(super) fn faults(self: &Arc<Self>) -> Faults {
        let (commits, effects) = (self.clone(), self.clone());
        Faults {
            commits: Some(CommitHook::new(move |number| commits.commit(number))),
            effects: Some(EffectHook::new(move |key| effects.effect(key))),
        }
    }

    /// Gives how many commits there were.
    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::SeqCst)
    }

    /// Gives how many faults there were.
    pub(super) fn struck(&self) -> u64 {
        self.struck.load(Ordering::SeqCst)
    }

    /// Gives the effects that were performed, in order.
    pub(super) fn performed(&self) -> Vec<EffectKey> {
        self.performed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells whether effects are to be asked for twice.
    pub(super) fn twice(&self) -> bool {
        self.plan == Plan::EffectsTwice
    }

    fn commit(&self, number: u64) -> Option<CommitFault> {
        self.commits.store(number, Ordering::SeqCst);
        let Plan::Commit(at, fault) = self.plan else { return None };
        if number != at {
            return None;
        }
        self.struck.fetch_add(1, Ordering::SeqCst);
        match fault {
            CommitFault::HaltBefore | CommitFault::HaltAfter => self.halted.cancel(),
            CommitFault::Refuse(_) => {}
        }
        Some(fault)
    }

    fn effect(&self, key: &EffectKey) -> Option<EffectFault> {
        let mut performed = self.performed.lock().unwrap_or_else(PoisonError::into_inner);
        performed.push(key.clone());
        let fault = match self.plan {
            Plan::EffectsTwice => Some(EffectFault::Twice),
            Plan::EffectFails(at) if at == performed.len() as u64 => Some(EffectFault::Fail(StepFailure {
                message: "a trial lets it fail".to_owned(),
                class: ErrorClass::Retry,
                value: None,
            })),
            Plan::EffectFails(_) | Plan::Spared | Plan::Commit(..) => None,
        };
        self.struck.fetch_add(u64::from(fault.is_some()), Ordering::SeqCst);
        fault
    }
}
