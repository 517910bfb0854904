//! Calls of the client's own tools, and whoever waits for their answers.

use super::frame;
use crate::socket::Outbound;
use adjutant_engine::clients::{ToolExecution, ToolExecutor};
use adjutant_model::Value;
use serde_json::json;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

type Answer = Result<serde_json::Value, String>;

/// The calls of one connection that wait for an answer.
#[derive(Debug)]
pub(super) struct Callbacks {
    outbound: Outbound,
    pending: Mutex<HashMap<String, oneshot::Sender<Answer>>>,
    next: AtomicU64,
}

impl Callbacks {
    pub(super) fn new(outbound: Outbound) -> Arc<Self> {
        Arc::new(Callbacks { outbound, pending: Mutex::default(), next: AtomicU64::new(1) })
    }

    /// Takes the client's answer; one that nobody waits for is dropped.
    pub(super) fn answered(&self, id: &str, answer: Answer) {
        let waiting = self.lock().remove(id);
        if let Some(waiting) = waiting {
            // Whoever waited may have gone just now.
            drop(waiting.send(answer));
        }
    }

    /// Tells everyone that no answer will come.
    pub(super) fn close(&self) {
        let waiting = std::mem::take(&mut *self.lock());
        drop(waiting);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, oneshot::Sender<Answer>>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn call(&self, call: ToolExecution) -> Result<Value, String> {
        let id = format!("cb-{}", self.next.fetch_add(1, Ordering::Relaxed));
        let (told, answer) = oneshot::channel();
        self.lock().insert(id.clone(), told);
        let mut abandoned = Abandoned { callbacks: self, id: &id, call: &call, answered: false };
        let params = json!({
            "action_id": call.action_id, "tool": call.tool, "parameters": call.parameters,
            "timeout_ms": call.timeout_ms, "attempt": call.attempt, "request_id": id,
        });
        if !self.outbound.offer(frame::call(&id, "tools.execute", params)) {
            abandoned.answered = true;
            return Err("the client does not read what it is sent".to_owned());
        }
        let answer = answer.await;
        abandoned.answered = true;
        drop(abandoned);
        match answer {
            Ok(answer) => answer.map(Value::from),
            Err(_) => Err("the client's connection is gone".to_owned()),
        }
    }
}

impl ToolExecutor for Callbacks {
    fn execute(
        &self,
        call: ToolExecution,
    ) -> Pin<Box<dyn Future<Output = Result<Value, String>> + Send + '_>> {
        Box::pin(self.call(call))
    }
}

/// Tells the client when nobody waits for its answer any more.
struct Abandoned<'a> {
    callbacks: &'a Callbacks,
    id: &'a str,
    call: &'a ToolExecution,
    answered: bool,
}

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        self.callbacks.lock().remove(self.id);
        let params = json!({
            "request_id": self.id, "action_id": self.call.action_id,
            "reason": "timed out, or its proposal was stopped",
        });
        self.callbacks.outbound.offer(frame::notification("tools.cancel", params));
    }
}
