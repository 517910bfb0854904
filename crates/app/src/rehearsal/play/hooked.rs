//! What hooks are told besides tool calls: sessions, questions, subagents, a context that is made shorter.

use super::{End, Player, Subagent};
use crate::rehearsal::gate::Reach;
use crate::rehearsal::hooks::{HookEvent, Verdict};
use crate::rehearsal::script::Step;
use crate::rehearsal::session::Origin;
use crate::rehearsal::stage::{Called, Shown, Stage};
use serde_json::{Value, json};
use std::io;
use std::time::Instant;
use tokio_util::sync::CancellationToken;

impl<S: Stage> Player<S> {
    /// Tells the hooks that the session begins, and why: `startup` or `resume`.
    pub(in crate::rehearsal) async fn open(&mut self) -> io::Result<()> {
        let source = match self.session.origin() {
            Origin::Begun => "startup",
            Origin::Resumed => "resume",
        };
        for problem in std::mem::take(&mut self.hooks.problems) {
            self.notice(&problem)?;
        }
        self.start(source).await
    }

    async fn start(&mut self, source: &str) -> io::Result<()> {
        let fields = json!({"source": source, "earlier_turns": self.session.earlier()});
        self.fire("SessionStart", source, fields, &CancellationToken::new()).await?;
        Ok(())
    }

    /// Tells the hooks that the session ends, and why.
    pub(in crate::rehearsal) async fn close(&mut self, reason: &str) -> io::Result<()> {
        self.fire("SessionEnd", reason, json!({"reason": reason}), &CancellationToken::new()).await?;
        Ok(())
    }

    /// Tells the hooks that the agent has nothing to do.
    pub(in crate::rehearsal) async fn idle(&mut self) -> io::Result<()> {
        let event = self.notification("idle_prompt", "Rehearsal is waiting for your input");
        self.tell(event, &CancellationToken::new()).await?;
        Ok(())
    }

    pub(super) fn notification(&self, kind: &str, message: &str) -> HookEvent {
        HookEvent {
            name: "Notification",
            about: kind.to_owned(),
            fields: json!({"message": message, "notification_type": kind}),
        }
    }

    /// Fires a hook; what it says besides its decision is shown at once.
    pub(super) async fn fire(
        &mut self,
        name: &'static str,
        about: &str,
        fields: Value,
        cancel: &CancellationToken,
    ) -> io::Result<Verdict> {
        self.tell(HookEvent { name, about: about.to_owned(), fields }, cancel).await
    }

    async fn tell(&mut self, event: HookEvent, cancel: &CancellationToken) -> io::Result<Verdict> {
        let verdict = self.hooks.fire(self.told(), event, cancel).await;
        self.remark(&verdict)?;
        Ok(verdict)
    }

    pub(super) fn remark(&mut self, verdict: &Verdict) -> io::Result<()> {
        for text in verdict.notices.iter().chain(&verdict.context) {
            self.notice(text)?;
        }
        Ok(())
    }

    /// Gives what every hook is told now.
    pub(super) fn told(&self) -> serde_json::Map<String, Value> {
        let mut told = self.session.told();
        if let Some(agent) = self.memory.agents.last() {
            told.insert("agent_id".to_owned(), json!(agent.id));
            told.insert("agent_type".to_owned(), json!(agent.name));
        }
        told
    }

    /// Asks a person; without an answer the script's own is taken.
    pub(super) async fn ask(
        &mut self,
        question: &str,
        default: Option<&str>,
        cancel: &CancellationToken,
    ) -> io::Result<()> {
        self.say(question)?;
        let answer = if self.stage.is_attended() {
            self.fire("Elicitation", "", json!({"message": question, "mode": "form"}), cancel).await?;
            let event = self.notification("elicitation_dialog", question);
            let told = self.told();
            // The dialog stands before a slow hook has ended.
            let (answer, verdict) =
                tokio::join!(self.stage.ask(question, cancel), self.hooks.fire(told, event, cancel));
            self.remark(&verdict)?;
            let action = if answer.is_some() { "accept" } else { "cancel" };
            let fields = json!({"action": action, "content": {"answer": answer}});
            self.fire("ElicitationResult", "", fields, cancel).await?;
            answer
        } else {
            self.stage.ask(question, cancel).await
        };
        let remark = match (answer, default) {
            (Some(answer), _) => format!("answered: {answer}"),
            (None, Some(default)) => format!("nobody answers; going on with: {default}"),
            (None, None) => "nobody answers; going on without an answer".to_owned(),
        };
        self.notice(&remark)
    }

    pub(super) async fn compact(&mut self, cancel: &CancellationToken) -> io::Result<()> {
        let fields = json!({"trigger": "manual", "custom_instructions": ""});
        let verdict = self.fire("PreCompact", "manual", fields, cancel).await?;
        if let Some(reason) = verdict.denied() {
            return self.notice(&format!("PreCompact hook: {reason}"));
        }
        self.stage.show(&Shown::Compacted)?;
        let summary = json!({"trigger": "manual", "compact_summary": "a rehearsal has nothing to sum up"});
        self.fire("PostCompact", "manual", summary, cancel).await?;
        self.start("compact").await
    }

    /// Lets a subagent work: a call of the tool `Task`, which is judged as any other.
    pub(super) async fn subagent(
        &mut self,
        name: String,
        steps: Vec<Step>,
        cancel: &CancellationToken,
    ) -> io::Result<Option<End>> {
        let input = json!({"description": name, "prompt": name, "subagent_type": name});
        let call = self.begin_call("Task", input)?;
        let granted = match self.judge(&call, Reach::Writes, cancel).await? {
            Ok(granted) => granted,
            Err(refusal) => return self.refuse(&call, refusal),
        };
        let began = Instant::now();
        let agent = Subagent { id: format!("agent_{}", call.id), name: name.clone() };
        let fields = json!({"agent_id": agent.id, "agent_type": name});
        self.fire("SubagentStart", &name, fields, cancel).await?;
        let end = self.within(&call, agent.clone(), steps, cancel).await?;
        let fields = json!({
            "agent_id": agent.id,
            "agent_type": name,
            "stop_hook_active": false,
            "last_assistant_message": self.memory.last_words,
        });
        self.fire("SubagentStop", &name, fields, &CancellationToken::new()).await?;
        if end != End::Done {
            return Ok(Some(end));
        }
        let words = self.memory.last_words.clone();
        self.settle_call(&call, granted, Ok(words), began, cancel).await
    }

    async fn within(
        &mut self,
        call: &Called,
        agent: Subagent,
        steps: Vec<Step>,
        cancel: &CancellationToken,
    ) -> io::Result<End> {
        self.memory.agents.push(agent);
        self.stage.show(&Shown::Entered(call))?;
        let end = self.steps(steps, cancel).await;
        self.stage.show(&Shown::Left)?;
        self.memory.agents.pop();
        end
    }
}
