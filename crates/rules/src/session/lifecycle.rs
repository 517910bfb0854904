//! The transitions of a session.

use super::{
    Launch, LaunchWith, QUOTA_PAUSE_MS, REASON_BYTES_MAX, RESUME_PAUSE_MS, STORM_DEATHS, STORM_WINDOW_MS,
    SessionCommand, SessionEffect, SessionEvent, SessionRefusal, SessionRules, Stepped, TELL_PAUSE_MS,
    TELLS_MAX, activity, budget, task,
};
use crate::limits;
use adjutant_model::Timestamp;
use adjutant_model::event::Event;
use adjutant_model::session::{
    Activity, ActivityReport, AgentExit, AgentQuestion, AgentSignal, Desired, FirstPrompt, HostHandle,
    Session, SessionPhase, SessionState, SessionUsage, Signal, SignalSource, TaskEnd, WaitingFor,
};

/// So much of a question's id and of its tool's name stands in the journal, in bytes.
const ASK_NAME_BYTES_MAX: usize = 256;

/// One step of the machine.
pub(super) struct Machine<'a> {
    before: &'a Session,
    session: Session,
    effects: Vec<SessionEffect>,
    notes: Vec<Event>,
    rules: SessionRules,
    now: Timestamp,
}

/// Gives what is told of questions that came or went.
fn asks(before: &[AgentQuestion], after: &[AgentQuestion]) -> Vec<Event> {
    let missing =
        |from: &[AgentQuestion], one: &AgentQuestion| from.iter().all(|two| two.ask_id != one.ask_id);
    let name = |text: &str| limits::cut(text, ASK_NAME_BYTES_MAX);
    let settled = before.iter().filter(|one| missing(after, one));
    let asked = after.iter().filter(|one| missing(before, one));
    let settled = settled.map(|one| Event::SessionAskSettled { ask_id: name(&one.ask_id) });
    let asked = asked.map(|one| Event::SessionAsked {
        ask_id: name(&one.ask_id),
        what: one.what,
        tool: one.tool.as_deref().map(name),
    });
    settled.chain(asked).collect()
}

/// Gives the start that a launching session waits for.
pub(super) fn launch_of(session: &Session) -> Launch {
    let with = match (&session.agent_session, session.delivered_at) {
        // What was never seen to arrive is told again; without an id of its own there is nothing to go on with.
        (_, None) | (None, Some(_)) => LaunchWith::Task,
        (Some(_), Some(_)) if session.was_working => LaunchWith::ContextToGoOn,
        (Some(_), Some(_)) => LaunchWith::Context,
    };
    Launch { number: session.launches, with }
}

impl<'a> Machine<'a> {
    pub(super) fn new(session: &'a Session, rules: SessionRules, now: Timestamp) -> Self {
        let (effects, notes) = (Vec::new(), Vec::new());
        Machine { before: session, session: session.clone(), effects, notes, rules, now }
    }

    pub(super) fn take(&mut self, event: SessionEvent) -> Result<(), SessionRefusal> {
        let is_running = self.session.phase == SessionPhase::Running;
        match event {
            SessionEvent::Command(command) => return self.command(command),
            // What is over changes no more: a snapshot that was still taken is older than the one of its removal.
            _ if self.session.state == SessionState::Decommissioned => {}
            SessionEvent::WorkspaceReady => self.workspace_ready(),
            SessionEvent::WorkspaceFailed { message } => {
                self.could_not_begin(SessionPhase::Provisioning, &message)
            }
            SessionEvent::Launched { handle, resumed, token_id, to_tell, expects_hooks } => {
                if self.session.phase == SessionPhase::Launching {
                    self.session.token_id = token_id.or(self.session.token_id.take());
                    self.session.hooks_silent = expects_hooks;
                }
                self.launched(handle, resumed, to_tell);
            }
            SessionEvent::Told => activity::told(&mut self.session),
            SessionEvent::TellFailed { message, may_pass } => self.tell_failed(&message, may_pass),
            SessionEvent::LaunchFailed { message, may_pass } => self.launch_failed(&message, may_pass),
            SessionEvent::Ended { exit } => self.ended(exit),
            SessionEvent::Removed { snapshot_ref } => self.removed(snapshot_ref),
            SessionEvent::RemoveRefused { message } => self.remove_refused(&message),
            SessionEvent::Snapshotted { refname } => {
                self.session.snapshot_ref = Some(refname.clone());
                self.notes.push(Event::SessionSnapshot { refname });
            }
            SessionEvent::Signal(signal) => self.signal(signal),
            SessionEvent::Answered { ask_id } => activity::answered(&mut self.session, &ask_id, self.now),
            SessionEvent::OutOfReach { message } if is_running => {
                activity::out_of_reach(&mut self.session, &message, self.now);
            }
            SessionEvent::Interrupted if is_running => activity::interrupted(&mut self.session, self.now),
            // Its agent is not there any more.
            SessionEvent::OutOfReach { .. } | SessionEvent::Interrupted => {}
            // What it told meanwhile lies in its folder, and comes as signals.
            SessionEvent::Found => {}
            SessionEvent::Woke => self.woke(),
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Stepped {
        if self.session.task_end.is_none() {
            self.session.task_end = task::end_of_rest(&self.session, self.rules.price, self.now);
        }
        let (before, session) = (self.before, &self.session);
        if before.state != session.state {
            let (from, to, reason) = (before.state, session.state, session.reason.clone());
            self.notes.push(Event::SessionStateChanged { from, to, reason });
        }
        if before.activity.activity != session.activity.activity {
            self.notes.push(Event::SessionActivityChanged(session.activity.clone()));
        }
        if before.delivered_at.is_none() && session.delivered_at.is_some() {
            self.notes.push(Event::SessionTaskArrived {});
        }
        self.notes.extend(asks(&before.questions, &session.questions));
        let heard = Session {
            updated_at: session.updated_at,
            last_activity_at: session.last_activity_at,
            told_at: session.told_at,
            quiet_since: session.quiet_since,
            ..before.clone()
        };
        let is_durable = heard != *session || !self.effects.is_empty() || !self.notes.is_empty();
        if is_durable {
            self.session.updated_at = self.now;
        }
        Stepped { session: self.session, effects: self.effects, notes: self.notes, is_durable }
    }

    fn command(&mut self, command: SessionCommand) -> Result<(), SessionRefusal> {
        let id = self.session.id;
        if self.session.state == SessionState::Decommissioned {
            return Err(SessionRefusal::Decommissioned(id));
        }
        match command {
            SessionCommand::Stop => self.stop("stopped as asked"),
            SessionCommand::Resume => return self.resume(),
            SessionCommand::Decommission { force } => {
                self.session.desired = Desired::Decommissioned;
                self.session.force |= force;
                match self.session.phase {
                    SessionPhase::Running => self.end("decommissioned as asked"),
                    SessionPhase::Parked | SessionPhase::Resting => self.remove(),
                    SessionPhase::Provisioning
                    | SessionPhase::Launching
                    | SessionPhase::Ending
                    | SessionPhase::Removing => {}
                }
            }
        }
        Ok(())
    }

    /// Wants the agent gone; what is under way comes to its end first.
    fn stop(&mut self, why: &str) {
        if self.session.desired == Desired::Running {
            self.session.desired = Desired::Stopped;
        }
        match self.session.phase {
            SessionPhase::Running => self.end(why),
            SessionPhase::Parked | SessionPhase::Resting => self.rest(SessionState::Stopped, Some(why)),
            SessionPhase::Provisioning
            | SessionPhase::Launching
            | SessionPhase::Ending
            | SessionPhase::Removing => self.session.reason = Some(why.to_owned()),
        }
    }

    fn resume(&mut self) -> Result<(), SessionRefusal> {
        let id = self.session.id;
        if let Some(spent) = budget::over(&self.session, self.rules.price, self.now) {
            return Err(SessionRefusal::BudgetSpent(id, spent));
        }
        match self.session.phase {
            SessionPhase::Parked | SessionPhase::Resting => {
                self.session.force = false;
                self.session.deaths.clear();
                self.session.was_working = false;
                self.session.desired = Desired::Running;
                self.begin();
                Ok(())
            }
            // It is on its way down: it comes up again when it is there.
            SessionPhase::Ending => {
                self.session.force = false;
                self.session.desired = Desired::Running;
                Ok(())
            }
            SessionPhase::Removing => Err(SessionRefusal::Already(id, "being decommissioned")),
            SessionPhase::Provisioning | SessionPhase::Launching | SessionPhase::Running => {
                if self.session.desired == Desired::Running {
                    return Err(SessionRefusal::Already(id, self.session.state.as_str()));
                }
                self.session.force = false;
                self.session.desired = Desired::Running;
                Ok(())
            }
        }
    }

    fn begin(&mut self) {
        self.session.parked_until = None;
        self.session.reason = None;
        if self.session.has_workspace {
            self.launch();
        } else {
            self.session.phase = SessionPhase::Provisioning;
            self.session.state = SessionState::Provisioning;
            self.effects.push(SessionEffect::Provision);
        }
    }

    fn launch(&mut self) {
        let session = &mut self.session;
        session.parked_until = None;
        session.phase = SessionPhase::Launching;
        session.launches += 1;
        session.state = if session.launches == 1 { SessionState::Provisioning } else { SessionState::Active };
        session.usage_of_launch = SessionUsage::default();
        self.effects.push(SessionEffect::Launch(launch_of(session)));
    }

    fn workspace_ready(&mut self) {
        if self.session.phase != SessionPhase::Provisioning {
            return;
        }
        self.session.has_workspace = true;
        match self.session.desired {
            Desired::Running => self.launch(),
            Desired::Stopped => self.rest(SessionState::Stopped, None),
            Desired::Decommissioned => self.remove(),
        }
    }

    fn launched(&mut self, handle: HostHandle, resumed: bool, to_tell: Option<FirstPrompt>) {
        if self.session.phase == SessionPhase::Running && handle.launch == self.session.launches {
            // The same start was made again: what it found, or began anew, is the agent.
            self.session.handle = Some(handle);
            return;
        }
        if self.session.phase != SessionPhase::Launching {
            return;
        }
        let number = self.session.launches;
        let session = &mut self.session;
        session.phase = SessionPhase::Running;
        session.state = SessionState::Active;
        session.handle = Some(handle);
        session.launched_at = Some(self.now);
        session.reason = None;
        session.was_working = false;
        session.questions.clear();
        session.quiet_since = None;
        session.activity = ActivityReport::unknown(self.now, "the agent was started");
        self.notes.push(Event::SessionLaunched { launch: number, resumed });
        match session.desired {
            Desired::Running => {
                session.to_tell = to_tell;
                self.effects.extend(to_tell.map(SessionEffect::Tell));
            }
            Desired::Stopped | Desired::Decommissioned => self.end("its end was wanted while it was started"),
        }
    }

    /// Has the agent told again after a pause, a few times; then a person sees it in the inbox.
    fn tell_failed(&mut self, message: &str, may_pass: bool) {
        let session = &mut self.session;
        if session.to_tell.is_none() || session.tell_at.is_some() || session.phase != SessionPhase::Running {
            return;
        }
        session.tell_failures += 1;
        let is_last = !may_pass || session.tell_failures >= TELLS_MAX;
        let next = if is_last {
            session.to_tell = None;
            "; tell it yourself".to_owned()
        } else {
            let pause_ms = TELL_PAUSE_MS << (session.tell_failures - 1);
            session.tell_at = Some(self.now.plus_ms(pause_ms));
            format!("; it is told again in {} s", pause_ms / 1000)
        };
        let why = format!("the agent could not be told its task: {message}{next}");
        session.reason = Some(limits::cut(&why, REASON_BYTES_MAX));
    }

    fn tell_again(&mut self) {
        if self.session.tell_at.is_some_and(|at| at <= self.now) {
            self.session.tell_at = None;
            self.effects.extend(self.session.to_tell.map(SessionEffect::Tell));
        }
    }

    fn launch_failed(&mut self, message: &str, may_pass: bool) {
        if self.session.phase != SessionPhase::Launching {
            return;
        }
        match self.session.desired {
            Desired::Running if may_pass => self.died(message),
            Desired::Running => self.could_not_begin(SessionPhase::Launching, message),
            Desired::Stopped => self.rest(SessionState::Stopped, None),
            Desired::Decommissioned => self.remove(),
        }
    }

    fn could_not_begin(&mut self, phase: SessionPhase, message: &str) {
        if self.session.phase != phase {
            return;
        }
        match self.session.desired {
            Desired::Running => self.rest(SessionState::Errored, Some(message)),
            Desired::Stopped => self.rest(SessionState::Stopped, Some(message)),
            Desired::Decommissioned => self.remove(),
        }
    }

    fn end(&mut self, why: &str) {
        self.session.phase = SessionPhase::Ending;
        self.session.reason = Some(limits::cut(why, REASON_BYTES_MAX));
        self.effects.push(SessionEffect::End);
    }

    fn ended(&mut self, exit: AgentExit) {
        if self.session.phase != SessionPhase::Ending {
            return;
        }
        self.gone(exit);
        self.session.was_working = false;
        match self.session.desired {
            Desired::Stopped => {
                let why = self.session.reason.take();
                self.rest(SessionState::Stopped, why.as_deref());
            }
            Desired::Decommissioned => self.remove(),
            Desired::Running => self.begin(),
        }
    }

    /// Notes that the agent is not there any more.
    fn gone(&mut self, exit: AgentExit) {
        let (now, launch) = (self.now, self.session.launches);
        let session = &mut self.session;
        session.active_ms += session.launched_at.map_or(0, |at| now.ms_since(at));
        session.launched_at = None;
        session.handle = None;
        (session.to_tell, session.tell_at, session.tell_failures) = (None, None, 0);
        session.questions.clear();
        session.activity = ActivityReport {
            activity: Activity::Unknown,
            since: now,
            source: SignalSource::Process,
            evidence: format!("the agent is not there: {exit}"),
        };
        self.notes.push(Event::SessionExited { launch, exit });
    }

    fn rest(&mut self, state: SessionState, why: Option<&str>) {
        let session = &mut self.session;
        session.phase = SessionPhase::Resting;
        session.parked_until = None;
        session.state = state;
        session.reason = why.map(|why| limits::cut(why, REASON_BYTES_MAX));
    }

    fn remove(&mut self) {
        self.session.parked_until = None;
        self.session.phase = SessionPhase::Removing;
        self.session.state = SessionState::Stopped;
        if self.session.has_workspace {
            self.effects.push(SessionEffect::Remove { force: self.session.force });
        } else {
            self.removed(None);
        }
    }

    fn removed(&mut self, snapshot_ref: Option<String>) {
        if self.session.phase != SessionPhase::Removing {
            return;
        }
        self.session.has_workspace = false;
        self.session.snapshot_ref = snapshot_ref.or(self.session.snapshot_ref.take());
        self.rest(SessionState::Decommissioned, None);
    }

    fn remove_refused(&mut self, message: &str) {
        if self.session.phase != SessionPhase::Removing {
            return;
        }
        self.session.desired = Desired::Stopped;
        self.session.force = false;
        self.rest(SessionState::Stopped, Some(message));
    }

    fn signal(&mut self, signal: Signal) {
        // What is told of an agent that is not there is late.
        if !matches!(self.session.phase, SessionPhase::Running | SessionPhase::Ending) {
            return;
        }
        if let AgentSignal::Exited(exit) = signal.what {
            // While it is being ended, whoever ends it says when its descendants are gone, too.
            if self.session.phase == SessionPhase::Running {
                self.exited(exit);
            }
            return;
        }
        let turns = self.session.turns;
        activity::observe(&mut self.session, signal, self.now);
        if self.session.phase != SessionPhase::Running {
            return;
        }
        if self.session.turns > turns {
            self.effects.push(SessionEffect::Snapshot);
        }
        self.watch_budget();
    }

    fn exited(&mut self, exit: AgentExit) {
        let waited_for = self.session.activity.activity.waiting_for();
        let quota = (waited_for == Some(WaitingFor::Quota)).then_some(self.session.parked_until).flatten();
        self.session.was_working = match self.session.activity.activity {
            Activity::Working | Activity::Waiting(_) => true,
            Activity::Idle | Activity::Unknown => false,
        };
        self.gone(exit);
        if waited_for == Some(WaitingFor::Quota) {
            let until = quota.unwrap_or_else(|| self.now.plus_ms(QUOTA_PAUSE_MS));
            self.park(until, "its quota is spent");
            return;
        }
        match exit {
            AgentExit::Code(0) => self.rest(SessionState::Stopped, Some("the agent ended by itself")),
            AgentExit::Code(_) | AgentExit::Signal(_) | AgentExit::Vanished => {
                self.died(&format!("the agent died: {exit}"));
            }
            AgentExit::WithDaemon => self.ended_with_daemon(),
        }
    }

    /// Starts an agent again that ended because the daemon did: it did nothing for that, so it does not count as a death.
    fn ended_with_daemon(&mut self) {
        if self.rules.auto_resume {
            self.begin();
        } else {
            let reason = format!("{}; auto_resume is off", AgentExit::WithDaemon);
            self.rest(SessionState::Stopped, Some(&reason));
            self.session.task_end.get_or_insert(TaskEnd::Cancelled { reason });
        }
    }

    /// Starts an agent that died by itself again, unless that happens too often.
    fn died(&mut self, what: &str) {
        let now = self.now;
        let session = &mut self.session;
        if !self.rules.auto_resume {
            self.rest(SessionState::Errored, Some(&format!("{what}; auto_resume is off")));
            return;
        }
        session.deaths.retain(|at| now.ms_since(*at) < STORM_WINDOW_MS);
        session.deaths.push(now);
        let deaths = session.deaths.len();
        if deaths >= STORM_DEATHS {
            let why =
                format!("{what}; {deaths} times in {} s, so it waits for a person", STORM_WINDOW_MS / 1000);
            self.rest(SessionState::Errored, Some(&why));
            self.session.phase = SessionPhase::Parked;
        } else {
            let pause_ms = RESUME_PAUSE_MS << (deaths - 1);
            self.park(now.plus_ms(pause_ms), what);
        }
    }

    fn park(&mut self, until: Timestamp, why: &str) {
        let session = &mut self.session;
        session.phase = SessionPhase::Parked;
        session.state = SessionState::Active;
        session.parked_until = Some(until);
        session.reason = Some(limits::cut(why, REASON_BYTES_MAX));
    }

    fn woke(&mut self) {
        match self.session.phase {
            SessionPhase::Parked if self.session.parked_until.is_some_and(|until| until <= self.now) => {
                self.begin();
            }
            SessionPhase::Running => {
                if activity::doubted_at(&self.session).is_some_and(|at| at <= self.now) {
                    activity::doubt(&mut self.session, self.now);
                }
                self.watch_budget();
                if self.session.phase == SessionPhase::Running {
                    self.tell_again();
                }
            }
            SessionPhase::Provisioning
            | SessionPhase::Launching
            | SessionPhase::Ending
            | SessionPhase::Removing
            | SessionPhase::Parked
            | SessionPhase::Resting => {}
        }
    }

    fn watch_budget(&mut self) {
        if let Some(spent) = budget::over(&self.session, self.rules.price, self.now) {
            self.stop(&format!("its budget is spent: {spent}"));
        }
    }
}
