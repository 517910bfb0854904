//! Tool calls: hooks, permission and the gate judge them, then they are performed and reported.

use super::{End, Player};
use crate::rehearsal::gate::{Permission, Reach};
use crate::rehearsal::hooks::Decision;
use crate::rehearsal::script::ToolStep;
use crate::rehearsal::stage::{Called, Choice, Shown, Stage};
use adjutant_model::Value;
use serde_json::json;
use std::io;
use std::time::Instant;
use tokio_util::sync::CancellationToken;

/// Why a call is not made, and whether the turn ends with it.
#[derive(Debug)]
pub(super) struct Refusal {
    why: String,
    end: Option<End>,
}

/// A call that may be made: the gate's turn that is settled after it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Granted {
    turn: Option<u64>,
}

impl Refusal {
    fn of(why: String) -> Self {
        Refusal { why, end: None }
    }
}

impl<S: Stage> Player<S> {
    pub(super) async fn call(
        &mut self,
        step: &ToolStep,
        cancel: &CancellationToken,
    ) -> io::Result<Option<End>> {
        let (name, input, reach) = as_claude_names_it(step);
        let call = self.begin_call(name, input)?;
        let granted = match self.judge(&call, reach, cancel).await? {
            Ok(granted) => granted,
            Err(refusal) => return self.refuse(&call, refusal),
        };
        let began = Instant::now();
        let outcome = match self.stage.perform(&call, step, cancel).await {
            Some(outcome) => outcome,
            None => self.perform(step, cancel).await,
        };
        self.settle_call(&call, granted, outcome, began, cancel).await
    }

    pub(super) fn begin_call(&mut self, name: &str, input: serde_json::Value) -> io::Result<Called> {
        self.memory.calls += 1;
        let call = Called { id: self.call_id(), name: name.to_owned(), input };
        self.stage.show(&Shown::Called(&call))?;
        self.session
            .answered(json!({"type": "tool_use", "id": call.id, "name": call.name, "input": call.input}))?;
        Ok(call)
    }

    /// Names a call; a session that goes on does not name two alike.
    fn call_id(&self) -> String {
        let turn = self.session.prompts().len();
        match turn {
            0 | 1 => format!("toolu_{:04}", self.memory.calls),
            later => format!("toolu_{later}_{:04}", self.memory.calls),
        }
    }

    /// Shows and keeps why a call is not made.
    pub(super) fn refuse(&mut self, call: &Called, refusal: Refusal) -> io::Result<Option<End>> {
        self.stage.show(&Shown::Denied(call, &refusal.why))?;
        self.session.resulted(call, &Err(refusal.why))?;
        Ok(refusal.end)
    }

    /// Judges a call: the hooks first, then whoever gives permission, then the gate.
    pub(super) async fn judge(
        &mut self,
        call: &Called,
        reach: Reach,
        cancel: &CancellationToken,
    ) -> io::Result<Result<Granted, Refusal>> {
        let fields = json!({"tool_name": call.name, "tool_input": call.input, "tool_use_id": call.id});
        let before = self.fire("PreToolUse", &call.name, fields, cancel).await?;
        if let Some(reason) = before.stop {
            return Ok(Err(Refusal { why: reason.clone(), end: Some(End::Stopped(reason)) }));
        }
        let refusal = match before.decision {
            Some(Decision::Deny(why)) => Some(Refusal::of(why)),
            Some(Decision::Ask(_)) => self.permission(call, cancel).await?,
            Some(Decision::Allow) => None,
            None if self.needs_permission(call) => self.permission(call, cancel).await?,
            None => None,
        };
        if let Some(refusal) = refusal {
            return Ok(Err(refusal));
        }
        if cancel.is_cancelled() {
            let why = "interrupted before the call was made".to_owned();
            return Ok(Err(Refusal { why, end: Some(End::Interrupted) }));
        }
        match self.gate.judge(&call.name, &call.input, reach).await {
            Permission::Denied { why } => Ok(Err(Refusal::of(why))),
            Permission::Granted { turn, remark } => {
                if let Some(remark) = remark {
                    self.notice(&remark)?;
                }
                Ok(Ok(Granted { turn }))
            }
        }
    }

    fn needs_permission(&self, call: &Called) -> bool {
        let is_edit = matches!(call.name.as_str(), "Write" | "Edit");
        match self.session.permission_mode() {
            "bypassPermissions" => false,
            "acceptEdits" if is_edit => false,
            _ => self.script.asks_for(&call.name),
        }
    }

    /// Asks for permission: hooks first, and then whoever is there.
    async fn permission(&mut self, call: &Called, cancel: &CancellationToken) -> io::Result<Option<Refusal>> {
        let fields = json!({"tool_name": call.name, "tool_input": call.input, "permission_suggestions": []});
        let asked = self.fire("PermissionRequest", &call.name, fields, cancel).await?;
        match asked.decision {
            Some(Decision::Allow) => return Ok(None),
            Some(Decision::Deny(why)) => {
                let end = asked.stop.map(End::Stopped);
                return Ok(Some(Refusal { why, end }));
            }
            Some(Decision::Ask(_)) | None => {}
        }
        let choice = if self.stage.is_attended() {
            let message = format!("Rehearsal needs your permission to use {}", call.name);
            let event = self.notification("permission_prompt", &message);
            let told = self.told();
            // The dialog stands before a slow hook has ended.
            let (choice, verdict) =
                tokio::join!(self.stage.permit(call, cancel), self.hooks.fire(told, event, cancel));
            self.remark(&verdict)?;
            choice
        } else {
            self.stage.permit(call, cancel).await
        };
        Ok(match choice {
            Choice::Allow => None,
            Choice::Deny(why) => Some(Refusal::of(why)),
            Choice::Stop => {
                Some(Refusal { why: "interrupted by the user".to_owned(), end: Some(End::Interrupted) })
            }
        })
    }

    /// Shows, keeps and reports how a call ended.
    pub(super) async fn settle_call(
        &mut self,
        call: &Called,
        granted: Granted,
        outcome: Result<String, String>,
        began: Instant,
        cancel: &CancellationToken,
    ) -> io::Result<Option<End>> {
        match &outcome {
            Ok(text) => self.stage.show(&Shown::Returned(call, text))?,
            Err(text) => self.stage.show(&Shown::Failed(call, text))?,
        }
        self.session.resulted(call, &outcome)?;
        if let Some(turn) = granted.turn
            && let Some(remark) = self.gate.settle(turn, &outcome).await
        {
            self.notice(&remark)?;
        }
        let mut fields = json!({
            "tool_name": call.name,
            "tool_input": call.input,
            "tool_use_id": call.id,
            "duration_ms": u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
        let event = match &outcome {
            Ok(text) => {
                fields["tool_response"] = response(call, text);
                "PostToolUse"
            }
            Err(text) => {
                fields["error"] = json!(text);
                fields["is_interrupt"] = json!(cancel.is_cancelled());
                "PostToolUseFailure"
            }
        };
        let after = self.fire(event, &call.name, fields, &CancellationToken::new()).await?;
        Ok(after.stop.map(End::Stopped))
    }

    async fn perform(&self, call: &ToolStep, cancel: &CancellationToken) -> Result<String, String> {
        match call {
            ToolStep::Read { path } => self.tools.read(path),
            ToolStep::Write { path, content } => self.tools.write(path, content),
            ToolStep::Patch { path, find, replace } => self.tools.patch(path, find, replace),
            ToolStep::Run { command, timeout_ms } => self.tools.run(command, *timeout_ms, cancel).await,
            ToolStep::Pretend { result: Value::String(text), .. } => Ok(text.to_string()),
            ToolStep::Pretend { result, .. } => Ok(result.to_string()),
        }
    }
}

/// Gives a result in the form that the tool's own program reports it.
fn response(call: &Called, text: &str) -> serde_json::Value {
    match call.name.as_str() {
        "Bash" => json!({"stdout": text, "stderr": "", "interrupted": false, "isImage": false}),
        _ => json!({"content": text}),
    }
}

/// Gives a call's tool and parameters by the names that Claude Code has for them, and what the call may do.
fn as_claude_names_it(call: &ToolStep) -> (&str, serde_json::Value, Reach) {
    match call {
        ToolStep::Read { path } => ("Read", json!({"file_path": path}), Reach::Reads),
        ToolStep::Write { path, content } => {
            ("Write", json!({"file_path": path, "content": content}), Reach::Writes)
        }
        ToolStep::Patch { path, find, replace } => {
            ("Edit", json!({"file_path": path, "old_string": find, "new_string": replace}), Reach::Writes)
        }
        ToolStep::Run { command, .. } => ("Bash", json!({"command": command}), Reach::Writes),
        ToolStep::Pretend { name, input, .. } => (name, input.into(), Reach::Writes),
    }
}
