//! The owner of a session: one task that alone writes it.

use super::perform::{self, Performed};
use super::{Hosting, MAIL_MAX, Reply, SessionHandle, SessionMail, driver_refused, questions};
use crate::clock;
use crate::cost;
use crate::error::EngineError;
use crate::goals;
use crate::plane::Core;
use crate::pressure;
use crate::record;
use crate::runs::STORE_RETRY;
use adjutant_model::SessionId;
use adjutant_model::event::Event;
use adjutant_model::run::ErrorClass;
use adjutant_model::session::{
    AgentSignal, AskAnswer, DriverKind, Session, SessionPhase, Signal, SignalSource, WaitingFor,
};
use adjutant_rules::session::{self, SessionCommand, SessionEffect, SessionEvent, SessionRules, Stepped};
use adjutant_sessions::driver::AgentDriver;
use adjutant_sessions::driver::tmux::Terminal;
use adjutant_sessions::{Mailbox, mailbox};
use adjutant_store::{Draft, SessionEntry, Write};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// So many signals are taken at once.
const SIGNALS_AT_ONCE: usize = 64;
/// How long passes until an agent is looked for again that was out of reach; each time doubles it, up to the most.
const LOOK_PAUSE: Duration = Duration::from_millis(250);
/// The most that passes until then.
const LOOK_PAUSE_MAX: Duration = Duration::from_secs(10);
/// How long the time of an agent's last signal may stay in memory alone.
const HEARD_KEPT_AFTER: Duration = Duration::from_secs(5);

/// Starts the owner of a session, which begins with what the session waits for. An agent that was there is looked for,
/// among the terminals that were listed when some were.
pub(super) fn start(
    core: &Arc<Core>,
    entry: SessionEntry,
    terminals: Option<Arc<Vec<Terminal>>>,
) -> SessionHandle {
    let (mail, received) = mailbox(MAIL_MAX);
    let (shown, seen) = watch::channel(Arc::new(entry.session.clone()));
    let (holding, held) = watch::channel(None);
    let id = entry.session.id;
    let owner = Owner {
        core: core.clone(),
        session: entry.session,
        revision: entry.revision,
        mail: received,
        shown,
        holding,
        agent: None,
        signals: None,
        effects: JoinSet::new(),
        reads_usage: false,
        look_pause: None,
        resumes_itself: false,
        is_kept: true,
        is_lost: false,
    };
    let core_of_task = core.clone();
    core.tasks.spawn(async move {
        if AssertUnwindSafe(owner.run(terminals)).catch_unwind().await.is_err() {
            // Whoever talks to the session next gives it a new owner, which reads it from the store.
            core_of_task.hosting.owners().retain(|other, handle| *other != id || !handle.mail.is_closed());
            tracing::error!(session = %id, "the owner of a session panicked");
        }
    });
    SessionHandle { mail, seen, held }
}

fn forget(hosting: &Hosting, id: SessionId) {
    let removed = hosting.owners().remove(&id);
    drop(removed);
}

struct Owner {
    core: Arc<Core>,
    session: Session,
    revision: u64,
    mail: Mailbox<SessionMail>,
    shown: watch::Sender<Arc<Session>>,
    /// Why the store does not take what is known, while it does not.
    holding: watch::Sender<Option<String>>,
    agent: Option<Arc<dyn AgentDriver>>,
    signals: Option<mpsc::Receiver<Signal>>,
    effects: JoinSet<Performed>,
    /// Whether what the agent used is being read.
    reads_usage: bool,
    /// How long was waited until the agent was looked for again, while it is out of reach.
    look_pause: Option<Duration>,
    /// Whether its agent is being started again without anybody's asking.
    resumes_itself: bool,
    /// Whether the store has all that is known, the time of the last signal included.
    is_kept: bool,
    /// Whether the store will not take what this owner knows; the next one reads what the store has.
    is_lost: bool,
}

impl Owner {
    async fn run(mut self, terminals: Option<Arc<Vec<Terminal>>>) {
        if self.session.phase == SessionPhase::Running {
            self.effects.spawn(perform::adopt(self.core.clone(), self.session.clone(), terminals));
        } else {
            self.perform(session::pending(&self.session).into_iter().collect());
        }
        let stopping = self.core.stopping.clone();
        while !self.is_lost {
            let wake = session::wakes_at(&self.session).map(clock::until);
            tokio::select! {
                biased;
                () = stopping.cancelled() => break,
                mail = self.mail.recv() => match mail {
                    Some(mail) => self.mail(mail).await,
                    None => break,
                },
                Some(done) = self.effects.join_next(), if !self.effects.is_empty() => self.performed(done).await,
                signals = next_signals(&mut self.signals) => self.signals(signals).await,
                () = sleep(wake) => drop(self.take(vec![SessionEvent::Woke]).await),
                () = sleep((!self.is_kept).then_some(HEARD_KEPT_AFTER)) => self.keep_heard().await,
            }
        }
        self.leave().await;
    }

    /// Leaves the agent alone: the next daemon finds it, or finds out how it ended.
    async fn leave(mut self) {
        self.effects.shutdown().await;
        self.keep_heard().await;
        forget(&self.core.hosting, self.session.id);
    }

    async fn mail(&mut self, mail: SessionMail) {
        // Nobody has to wait for an answer.
        match mail {
            SessionMail::Command(command, reply) => {
                let answer = self.command(command).await;
                drop(reply.send(answer));
            }
            SessionMail::Signals(signals, reply) => {
                self.signals(Some(signals)).await;
                let kept = if self.is_lost { Err(EngineError::Stopping) } else { Ok(()) };
                drop(reply.map(|reply| reply.send(kept)));
            }
            SessionMail::Send(text, reply) => self.tell(text, reply).await,
            SessionMail::Answer { ask_id, answer, reply } => {
                let answered = self.answer(ask_id, answer).await;
                drop(reply.send(answered));
            }
            SessionMail::Interrupt(reply) => {
                let interrupted = self.interrupt().await;
                drop(reply.send(interrupted));
            }
            SessionMail::Screen(lines, reply) => match self.agent() {
                // Apart, so that a terminal which answers late holds nothing up.
                Ok(agent) => {
                    self.effects.spawn(async move {
                        let screen = agent.screen(lines).await.map_err(|error| driver_refused(&error));
                        drop(reply.send(screen));
                        Performed::Nothing
                    });
                }
                Err(error) => drop(reply.send(Err(error))),
            },
        }
    }

    async fn command(&mut self, command: SessionCommand) -> Result<Session, EngineError> {
        if command == SessionCommand::Resume {
            self.core.hosting.place_take(self.session.id, self.core.live().sessions_alive_max)?;
        }
        let taken = self.take(vec![SessionEvent::Command(command)]).await;
        self.place_keep();
        taken?;
        Ok(self.session.clone())
    }

    fn agent(&self) -> Result<Arc<dyn AgentDriver>, EngineError> {
        let is_running = self.session.phase == SessionPhase::Running;
        if is_running && self.look_pause.is_some() {
            return Err(EngineError::OutOfReach(format!(
                "the agent of the session {} cannot be reached: {}",
                self.session.name, self.session.activity.evidence
            )));
        }
        let running = is_running.then_some(self.agent.as_ref()).flatten();
        running.cloned().ok_or_else(|| EngineError::Conflict {
            message: format!("the agent of the session {} is not there", self.session.name),
            hint: Some(format!("`adjutant session resume {}` starts it again", self.session.name)),
        })
    }

    async fn tell(&mut self, text: String, reply: Reply<()>) {
        let agent = match self.agent() {
            Ok(agent) => agent,
            Err(error) => return drop(reply.send(Err(error))),
        };
        let told = Event::SessionTold { bytes: text.len() as u64 };
        if let Err(error) = self.note(told).await {
            return drop(reply.send(Err(error)));
        }
        self.effects.spawn(async move {
            let sent = agent.send(&text).await.map_err(|error| driver_refused(&error));
            drop(reply.send(sent));
            Performed::Nothing
        });
    }

    async fn answer(&mut self, ask_id: Option<String>, answer: AskAnswer) -> Result<(), EngineError> {
        let agent = self.agent()?;
        let open = &self.session.questions;
        let found = match &ask_id {
            Some(ask_id) => open.iter().find(|question| question.ask_id == *ask_id),
            None => open.first(),
        };
        let question = found.cloned().ok_or_else(|| EngineError::Conflict {
            message: match &ask_id {
                Some(ask_id) => format!("the session {} asks nothing under `{ask_id}`", self.session.name),
                None => format!("the session {} asks nothing", self.session.name),
            },
            hint: Some("`adjutant inbox` lists what is asked".to_owned()),
        })?;
        if crate::approvals::is_id(&question.ask_id) {
            return Err(EngineError::Conflict {
                message: format!("`{}` is an approval, which the gate waits for", question.ask_id),
                hint: Some(format!("`adjutant approvals approve {}` or `deny`", question.ask_id)),
            });
        }
        agent.answer(&question.ask_id, answer).await.map_err(|error| driver_refused(&error))?;
        self.take(vec![SessionEvent::Answered { ask_id: question.ask_id }]).await
    }

    async fn interrupt(&mut self) -> Result<(), EngineError> {
        let agent = self.agent()?;
        agent.interrupt().await.map_err(|error| driver_refused(&error))?;
        self.take(vec![SessionEvent::Interrupted]).await
    }

    async fn signals(&mut self, signals: Option<Vec<Signal>>) {
        let Some(signals) = signals else {
            // The driver has gone without saying how its agent ended.
            self.signals = None;
            if self.session.phase == SessionPhase::Running {
                let vanished = AgentSignal::Exited(adjutant_model::session::AgentExit::Vanished);
                let signal = Signal::new(SignalSource::Process, "its driver is gone", vanished);
                drop(self.take(vec![SessionEvent::Signal(signal)]).await);
            }
            return;
        };
        for signal in &signals {
            let (AgentSignal::Asked(question) | AgentSignal::Wants(question)) = &signal.what else {
                continue;
            };
            if signal.source == SignalSource::Protocol && question.what == WaitingFor::Permission {
                let asked = (signal.evidence.clone(), question.clone());
                self.effects.spawn(questions::judge(self.core.clone(), self.session.clone(), asked));
            }
        }
        let may_have_used = signals.iter().any(|signal| {
            matches!(signal.what, AgentSignal::ToolEnded { .. } | AgentSignal::TurnEnded { .. })
        });
        let is_quiet = signals.iter().any(|signal| matches!(signal.what, AgentSignal::Quiet { .. }));
        let events =
            signals.into_iter().map(|signal| SessionEvent::Signal(without_secrets(signal))).collect();
        drop(self.take(events).await);
        if may_have_used {
            self.read_usage();
        }
        if is_quiet {
            self.effects.spawn(perform::unheard(self.core.clone(), self.session.clone()));
        }
    }

    /// Has the transcript read of an agent in a terminal; others tell what they use by themselves.
    fn read_usage(&mut self) {
        let is_silent = match self.session.driver {
            DriverKind::Tmux | DriverKind::Pty => self.session.transcript.is_some(),
            DriverKind::Acp | DriverKind::Headless => false,
        };
        if is_silent && !self.reads_usage {
            self.reads_usage = true;
            self.effects.spawn(perform::usage(self.core.clone(), self.session.clone()));
        }
    }

    async fn performed(&mut self, done: Result<Performed, tokio::task::JoinError>) {
        match done {
            Ok(Performed::Several(several)) => {
                for performed in several {
                    self.heard(performed).await;
                }
            }
            Ok(performed) => self.heard(performed).await,
            Err(error) if error.is_cancelled() => {}
            Err(error) => {
                tracing::error!(session = %self.session.id, %error, "an effect of a session panicked");
                let failed = match session::pending(&self.session) {
                    Some(effect) => perform::failed(&effect, "Adjutant met a defect", ErrorClass::Bug),
                    None => return,
                };
                drop(self.take(vec![failed]).await);
            }
        }
    }

    async fn heard(&mut self, performed: Performed) {
        match performed {
            Performed::Event(event) => drop(self.take(vec![event]).await),
            Performed::Hosted { agent, signals, event } => {
                self.agent = Some(agent.clone());
                self.signals = Some(signals);
                self.look_pause = None;
                let is_found = event == SessionEvent::Found;
                drop(self.take(vec![event]).await);
                if self.agent.is_none() && !self.is_lost {
                    // The session wants no agent any more.
                    let grace = self.core.settings.worker.grace;
                    self.effects.spawn(async move {
                        drop(agent.end(grace).await);
                        Performed::Nothing
                    });
                } else if is_found {
                    // What the last daemon had yet to tell it is told now.
                    self.perform(session::pending(&self.session).into_iter().collect());
                }
            }
            Performed::Asks(asked) => {
                // It waits for a person now, whether or not it has said so.
                let question = AgentSignal::Asked(asked.question.clone());
                let waits = Signal::new(SignalSource::Protocol, asked.message.clone(), question);
                drop(self.take(vec![SessionEvent::Signal(without_secrets(waits))]).await);
                self.effects.spawn(questions::ask(self.core.clone(), self.session.clone(), *asked));
            }
            Performed::OutOfReach { why } => self.out_of_reach(why).await,
            Performed::Judged { ask_id, answer } => self.judged(ask_id, answer).await,
            Performed::Used(used) => {
                self.reads_usage = false;
                if let Some(used) = used {
                    let more = AgentSignal::UsedMore(used);
                    let signal = Signal::new(SignalSource::Hook, "its transcript", more);
                    drop(self.take(vec![SessionEvent::Signal(signal)]).await);
                }
            }
            // None of several is several again.
            Performed::Several(_) | Performed::Nothing => {}
        }
    }

    /// Looks for the agent again and again; it is left alone meanwhile, and nothing is said of it that nobody knows.
    async fn out_of_reach(&mut self, why: String) {
        if self.session.phase != SessionPhase::Running {
            return;
        }
        if self.look_pause.is_none() {
            tracing::warn!(session = %self.session.id, why, "an agent cannot be looked for; it is tried again");
            drop(self.take(vec![SessionEvent::OutOfReach { message: why }]).await);
        }
        let pause = self.look_pause.map_or(LOOK_PAUSE, |last| (last * 2).min(LOOK_PAUSE_MAX));
        self.look_pause = Some(pause);
        self.effects.spawn(perform::adopt_later(self.core.clone(), self.session.clone(), pause));
    }

    async fn judged(&mut self, ask_id: String, answer: AskAnswer) {
        let Ok(agent) = self.agent() else { return };
        if let Err(error) = agent.answer(&ask_id, answer).await {
            // It was settled elsewhere, or the agent is gone; either is told by a signal.
            tracing::debug!(session = %self.session.id, %error, "a question could not be answered");
        }
        drop(self.take(vec![SessionEvent::Answered { ask_id }]).await);
    }

    /// Takes events in order, keeps what follows in one write, and then performs it.
    ///
    /// # Errors
    /// Of a command that is refused; nothing changed then. What cannot be kept is not performed.
    async fn take(&mut self, events: Vec<SessionEvent>) -> Result<(), EngineError> {
        let now = clock::now();
        let rules = SessionRules {
            auto_resume: self.core.live().sessions_auto_resume,
            price: cost::price_of(&self.core, &self.session),
        };
        let (mut effects, mut notes, mut is_durable) = (Vec::new(), Vec::new(), false);
        let before = self.session.clone();
        let is_commanded = events.iter().any(|event| matches!(event, SessionEvent::Command(_)));
        for event in events {
            match session::step(&self.session, event, rules, now) {
                Ok(Stepped { session, effects: more, notes: said, is_durable: changed }) => {
                    self.session = session;
                    effects.extend(more);
                    notes.extend(said);
                    is_durable |= changed;
                }
                Err(refusal) => {
                    self.session = before;
                    return Err(refusal.into());
                }
            }
        }
        notes.extend(pressure::change(&before, &self.session));
        if is_durable {
            self.keep(notes, before.handle.is_some() && self.session.handle.is_none()).await?;
            if (before.state, &before.task_end) != (self.session.state, &self.session.task_end) {
                goals::told(&self.core, &self.session.id.to_string());
            }
        } else {
            self.is_kept = false;
        }
        self.resumes_count(&before, is_commanded);
        if self.session.handle.is_none() && session::pending(&self.session) != Some(SessionEffect::End) {
            self.let_go();
        }
        self.place_keep();
        self.perform(effects);
        Ok(())
    }

    /// Counts the starts that nobody has asked for.
    fn resumes_count(&mut self, before: &Session, is_commanded: bool) {
        let launches = |session: &Session| session.phase == SessionPhase::Launching;
        if launches(&self.session) == launches(before) {
            return;
        }
        if launches(&self.session) {
            self.resumes_itself = !is_commanded && before.launches > 0;
        } else if std::mem::take(&mut self.resumes_itself) {
            let meters = &self.core.meters;
            let is_there = self.session.phase == SessionPhase::Running;
            if is_there { &meters.auto_resumed } else { &meters.resume_failures }.inc();
        }
    }

    /// Keeps the session, however long the disk refuses it.
    ///
    /// # Errors
    /// When it is not kept; then this owner is done, and the next one finds the session as it was.
    async fn keep(&mut self, notes: Vec<Event>, is_gone: bool) -> Result<(), EngineError> {
        let now = clock::now();
        loop {
            let mut write = Write::default();
            write.session_put(&self.session, self.revision);
            if is_gone {
                write.session_tokens_revoke(self.session.id, now);
            }
            for event in &notes {
                let (actor, subject) = ("plane".into(), self.session.id.to_string().into());
                write.journal(Draft { at: now, actor, subject, event: event.clone() });
            }
            match self.core.store.write(write).await {
                Ok(_) => break,
                Err(error) if error.class() == ErrorClass::Retry => {
                    tracing::warn!(session = %self.session.id, %error, "the store refused; it is offered again");
                    self.holding.send_replace(Some(error.to_string()));
                    tokio::select! {
                        // The next daemon finds the session as it was, and what happened since by looking.
                        () = self.core.stopping.cancelled() => {
                            self.is_lost = true;
                            return Err(EngineError::Stopping);
                        }
                        () = tokio::time::sleep(STORE_RETRY) => {}
                    }
                }
                Err(error) => {
                    tracing::error!(session = %self.session.id, %error, "a session could not be kept");
                    self.is_lost = true;
                    return Err(error.into());
                }
            }
        }
        self.revision += 1;
        self.holding.send_if_modified(|held| held.take().is_some());
        self.is_kept = true;
        self.shown.send_replace(Arc::new(self.session.clone()));
        Ok(())
    }

    async fn keep_heard(&mut self) {
        if !self.is_kept && !self.is_lost {
            self.keep(Vec::new(), false).await.ok();
        }
    }

    async fn note(&mut self, event: Event) -> Result<(), EngineError> {
        self.keep(vec![event], false).await
    }

    /// Lets the driver go; its agent is not there any more.
    fn let_go(&mut self) {
        self.agent = None;
        self.signals = None;
    }

    fn place_keep(&self) {
        if !session::is_alive(&self.session) {
            self.core.hosting.place_leave(self.session.id);
        }
    }

    fn perform(&mut self, effects: Vec<SessionEffect>) {
        for effect in effects {
            let (core, session, agent) = (self.core.clone(), self.session.clone(), self.agent.clone());
            self.effects.spawn(perform::perform(core, session, agent, effect));
        }
    }
}

async fn sleep(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}

async fn next_signals(signals: &mut Option<mpsc::Receiver<Signal>>) -> Option<Vec<Signal>> {
    let Some(receiver) = signals else { return std::future::pending().await };
    let mut taken = Vec::new();
    match receiver.recv_many(&mut taken, SIGNALS_AT_ONCE).await {
        0 => None,
        _ => Some(taken),
    }
}

/// What an agent says may hold secrets; what is kept does not.
pub(crate) fn without_secrets(signal: Signal) -> Signal {
    let what = match signal.what {
        AgentSignal::Asked(mut question) => {
            question.text = record::text(&question.text);
            AgentSignal::Asked(question)
        }
        AgentSignal::TurnEnded { text, error } => AgentSignal::TurnEnded {
            text: text.map(|text| record::text(&text)),
            error: error.map(|error| record::text(&error)),
        },
        AgentSignal::QuotaSpent { until, text } => {
            AgentSignal::QuotaSpent { until, text: record::text(&text) }
        }
        what => what,
    };
    Signal { what, ..signal }
}
