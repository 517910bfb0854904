//! An operator's socket, as the engine knows it.

use super::call::{OperatorCall, OperatorReply};
use super::desk::Replied;
use super::directory;
use crate::clock;
use crate::error::EngineError;
use crate::plane::Core;
use adjutant_model::OperatorId;
use adjutant_model::action::{Caller, Role};
use adjutant_model::operator::RequestKey;
use adjutant_store::Write;
use std::sync::Arc;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

/// The open socket of an operator; dropping it is going away.
#[derive(Debug)]
pub struct OperatorLink {
    core: Arc<Core>,
    sid: OperatorId,
    number: u64,
    wake: Arc<Notify>,
    over: CancellationToken,
}

/// Takes up an operator's socket; one that it had before is over.
pub(crate) fn attach(core: &Arc<Core>, caller: &Caller, sid: &str) -> Result<OperatorLink, EngineError> {
    let found = directory::get(core, caller, sid)?.operator;
    if caller.role == Role::Observer {
        return Err(EngineError::Forbidden("an observer is no operator".to_owned()));
    }
    let sid = found.sid;
    let Some((number, wake, over)) = core.operators.connect(&sid) else {
        return Err(EngineError::not_found("operator", &sid));
    };
    keep_seen(core, &sid);
    Ok(OperatorLink { core: core.clone(), sid, number, wake, over })
}

/// Keeps when an operator was heard of, apart from whoever noticed.
fn keep_seen(core: &Arc<Core>, sid: &OperatorId) {
    let mut write = Write::default();
    write.operator_seen(sid, clock::now());
    let (apart, sid) = (core.clone(), sid.clone());
    core.tasks.spawn(async move {
        if let Err(error) = apart.store.write(write).await {
            // The sweep keeps it later.
            tracing::debug!(%sid, %error, "when an operator was heard of is not kept yet");
        }
    });
}

impl OperatorLink {
    /// Gives whose socket it is.
    pub fn sid(&self) -> &OperatorId {
        &self.sid
    }

    /// Is cancelled when the operator has opened another socket, or is known no more.
    pub fn over(&self) -> CancellationToken {
        self.over.clone()
    }

    /// Waits for what the operator is to be told next. Cancel-safe.
    pub async fn next(&self) -> OperatorCall {
        loop {
            let woken = self.wake.notified();
            if let Some(call) = self.core.operators.next(&self.sid, self.number) {
                return call;
            }
            woken.await;
        }
    }

    /// Notes that the operator was heard of.
    pub fn heard(&self) {
        self.core.operators.heard(&self.sid);
    }

    /// Takes a reply to a request; when this returns it counts, in this life of the daemon and the next.
    ///
    /// # Errors
    /// [`EngineError::Conflict`] when nobody waits for it, [`EngineError::Unfit`] when it breaks a contract.
    pub async fn reply(&self, req_id: &str, reply: OperatorReply) -> Result<(), EngineError> {
        let key: RequestKey =
            req_id.parse().map_err(|error| EngineError::invalid(format!("`req_id`: {error}")))?;
        let replies = self.core.operators.awaiting(&self.sid, &key, &reply)?;
        let gone = || EngineError::Conflict {
            message: format!("the request {key} was answered or withdrawn a moment ago"),
            hint: None,
        };
        let (taken, answer) = oneshot::channel();
        replies.send(Replied { reply, taken }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

impl Drop for OperatorLink {
    fn drop(&mut self) {
        self.core.operators.disconnect(&self.sid, self.number);
        keep_seen(&self.core, &self.sid);
    }
}
