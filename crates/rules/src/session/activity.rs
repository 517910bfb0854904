//! What an agent does, from signals in order of trust.
//!
//! A terminal tells only while nothing better does: it says that something changes, and never what. What a hook or the
//! protocol said holds until one of them says otherwise, or the agent was interrupted, of which some tell nothing.
//! While a question is open the session waits, whatever else goes on in it.
//!
//! A hook that found nobody comes later, with the time of what happened: that is since when it holds, and what was told
//! of a later time stands. So a restart of the daemon changes nothing of what is known. A hook may also be lost for good. So an agent that should work and whose terminal has not
//! changed for [`QUIET_DOUBT_MS`] is one of which nothing is known; one that works shows that it does.

use super::{QUESTIONS_MAX, budget, task};
use adjutant_model::Timestamp;
use adjutant_model::session::{
    Activity, ActivityReport, AgentQuestion, AgentSignal, Session, Signal, SignalSource, WaitingFor,
};

/// By what a dialog is answered that an agent shows before it has begun.
const TERMINAL_ASK: &str = "terminal";
/// A terminal that has not changed for so long is not that of an agent that works, in milliseconds.
pub(super) const QUIET_DOUBT_MS: u64 = 10 * 60_000;
/// The most of a message that becomes evidence, in bytes.
const EVIDENCE_BYTES_MAX: usize = 512;
/// The longest id that an agent's own session has, in bytes.
const AGENT_SESSION_BYTES_MAX: usize = 256;

/// Takes what became known of a living agent.
pub(super) fn observe(session: &mut Session, signal: Signal, now: Timestamp) {
    let Signal { source, evidence, what, at } = signal;
    let happened_at = at.unwrap_or(now).min(now);
    let mut observed = Observed { session, source, evidence, now: happened_at };
    if observed.is_late() {
        observed.take_late(what);
    } else {
        if source > SignalSource::Terminal {
            observed.session.told_at = Some(happened_at);
            observed.session.quiet_since = None;
        }
        observed.take(what);
    }
    session.last_activity_at = Some(now);
}

/// Gives when it is in doubt whether the agent works, although something better than its terminal says so.
pub(super) fn doubted_at(session: &Session) -> Option<Timestamp> {
    let report = &session.activity;
    let is_told = report.activity == Activity::Working && report.source > SignalSource::Terminal;
    session.quiet_since.filter(|_| is_told).map(|since| since.plus_ms(QUIET_DOUBT_MS))
}

/// Takes that it is in doubt whether the agent works.
pub(super) fn doubt(session: &mut Session, now: Timestamp) {
    let said = &session.activity.evidence;
    session.activity = ActivityReport {
        activity: Activity::Unknown,
        since: now,
        source: SignalSource::Terminal,
        evidence: format!("no output for {} min since {said}, and no end was told", QUIET_DOUBT_MS / 60_000),
    };
}

/// Takes that a question was answered by Adjutant's own doors.
pub(super) fn answered(session: &mut Session, ask_id: &str, now: Timestamp) {
    let open = session.questions.len();
    session.questions.retain(|question| question.ask_id != ask_id);
    if session.questions.len() < open {
        let evidence = "its question was answered".to_owned();
        Observed { session, source: SignalSource::Process, evidence, now }.settled();
    }
}

/// Takes that nobody can tell whether the agent is there: whatever was known of it may not hold any more.
pub(super) fn out_of_reach(session: &mut Session, message: &str, now: Timestamp) {
    let message = crate::limits::cut(message, EVIDENCE_BYTES_MAX);
    session.activity = ActivityReport::unknown(
        now,
        format!("whether it is there cannot be told, and is looked for: {message}"),
    );
}

/// Takes that the agent was told what it begins with.
pub(super) fn told(session: &mut Session) {
    session.to_tell = None;
    session.tell_at = None;
    if std::mem::take(&mut session.tell_failures) > 0 {
        session.reason = None;
    }
}

/// Takes that the agent was interrupted: what it does is what its terminal tells, until something better does.
pub(super) fn interrupted(session: &mut Session, now: Timestamp) {
    session.questions.clear();
    session.activity.source = SignalSource::Nothing;
    session.activity.evidence = "it was interrupted".to_owned();
    if matches!(session.activity.activity, Activity::Waiting(_)) {
        session.activity = ActivityReport::unknown(now, "it was interrupted");
    }
}

/// Tells whether an agent's own id of its session may stand among the arguments of its next start: an agent that could
/// name an option there would choose its own permissions.
fn is_plain_id(id: &str) -> bool {
    id.len() <= AGENT_SESSION_BYTES_MAX
        && id.starts_with(|c: char| c.is_ascii_alphanumeric())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:/".contains(&b))
}

struct Observed<'a> {
    session: &'a mut Session,
    source: SignalSource,
    evidence: String,
    now: Timestamp,
}

impl Observed<'_> {
    /// Tells whether it happened before the agent was started, or before what is known already.
    fn is_late(&self) -> bool {
        let known = self.session.told_at.max(self.session.launched_at);
        self.source > SignalSource::Terminal && known.is_some_and(|known| self.now < known)
    }

    /// Takes of what comes late what holds all the same.
    fn take_late(&mut self, what: AgentSignal) {
        let is_of_this_start = self.session.launched_at.is_none_or(|at| at <= self.now);
        match what {
            AgentSignal::PromptTaken if is_of_this_start => {
                self.session.delivered_at.get_or_insert(self.now);
                self.session.to_tell = None;
            }
            AgentSignal::TurnEnded { text, error } if is_of_this_start => {
                self.session.task_end.get_or_insert_with(|| task::end_of_turn(text, error.as_deref()));
            }
            AgentSignal::UsedMore(step) => budget::add(self.session, &step),
            _ => {}
        }
    }

    fn take(&mut self, what: AgentSignal) {
        if self.source > SignalSource::Terminal && self.session.hooks_silent {
            self.session.hooks_silent = false;
            self.session.questions.retain(|question| question.ask_id != TERMINAL_ASK);
        }
        match what {
            AgentSignal::Began { agent_session, model, transcript } => {
                self.session.transcript = transcript.or(self.session.transcript.take());
                let plain = agent_session.filter(|id| is_plain_id(id));
                self.session.agent_session = plain.or(self.session.agent_session.take());
                self.session.model_used = model.or(self.session.model_used.take());
                if self.session.activity.activity == Activity::Unknown {
                    self.becomes(Activity::Idle);
                }
            }
            AgentSignal::PromptTaken => {
                self.session.delivered_at.get_or_insert(self.now);
                // It was told, whether or not whoever tells it lives to say so.
                told(self.session);
                self.session.questions.retain(|question| question.what != WaitingFor::Question);
                self.works();
            }
            AgentSignal::Working | AgentSignal::SubagentBegan { .. } | AgentSignal::SubagentEnded { .. } => {
                self.works();
            }
            AgentSignal::ToolBegan { .. } => self.works(),
            AgentSignal::ToolEnded { tool, call_id, ok: _ } => {
                self.settle_tool(&tool, call_id.as_deref());
                self.works();
            }
            AgentSignal::Asked(question) => self.asked(question),
            AgentSignal::AskSettled { ask_id } => {
                let open = self.session.questions.len();
                self.session
                    .questions
                    .retain(|question| ask_id.as_ref().is_some_and(|id| *id != question.ask_id));
                if self.session.questions.len() < open {
                    self.settled();
                }
            }
            AgentSignal::TurnEnded { text, error } => {
                // A hook and the protocol may both tell of the same end; a quiet terminal tells of none.
                let report = &self.session.activity;
                if report.activity != Activity::Idle || report.source <= SignalSource::Terminal {
                    self.session.turns += 1;
                }
                self.session.questions.clear();
                self.session.task_end.get_or_insert_with(|| task::end_of_turn(text, error.as_deref()));
                if let Some(error) = error {
                    self.evidence = format!("{}: {}", self.evidence, crate::limits::cut(&error, 200));
                }
                self.becomes(Activity::Idle);
            }
            AgentSignal::QuotaSpent { until, text } => {
                self.session.parked_until = until;
                self.session.reason = Some(crate::limits::cut(&text, super::REASON_BYTES_MAX));
                self.becomes(Activity::Waiting(WaitingFor::Quota));
            }
            AgentSignal::Used(total) => budget::set(self.session, &total),
            AgentSignal::UsedMore(step) => budget::add(self.session, &step),
            AgentSignal::Output => {
                self.session.quiet_since = None;
                self.terminal_says(Activity::Working);
            }
            AgentSignal::Quiet { quiet_ms: _ } if self.session.hooks_silent => self.has_not_begun(),
            AgentSignal::Quiet { quiet_ms } => {
                let since = i64::try_from(quiet_ms)
                    .map_or(self.now, |ms| Timestamp::from_unix_ms(self.now.unix_ms().saturating_sub(ms)));
                self.session.quiet_since = Some(since);
                self.terminal_says(Activity::Idle);
            }
            // The gate's, and the lifecycle's.
            AgentSignal::Wants(_) | AgentSignal::Exited(_) => {}
        }
    }

    fn works(&mut self) {
        // An agent that works has taken what it was told, even when its hook for that did not come.
        self.session.delivered_at.get_or_insert(self.now);
        match self.session.questions.first() {
            Some(question) => self.becomes(Activity::Waiting(question.what)),
            None => self.becomes(Activity::Working),
        }
    }

    fn asked(&mut self, question: AgentQuestion) {
        let what = question.what;
        let is_new = self.session.questions.iter().all(|known| known.ask_id != question.ask_id);
        if is_new && self.session.questions.len() < QUESTIONS_MAX {
            self.session.questions.push(question);
        }
        self.becomes(Activity::Waiting(what));
    }

    /// A tool that has ended is allowed or not by now, wherever that was said.
    fn settle_tool(&mut self, tool: &str, call_id: Option<&str>) {
        let of_call = |question: &AgentQuestion| call_id == Some(question.ask_id.as_str());
        let of_tool = |question: &AgentQuestion| question.tool.as_deref() == Some(tool);
        let questions = &self.session.questions;
        let place = questions.iter().position(of_call).or_else(|| questions.iter().position(of_tool));
        if let Some(place) = place {
            self.session.questions.remove(place);
        }
    }

    /// The last question that was open decides whether it still waits.
    fn settled(&mut self) {
        match (self.session.questions.first(), self.session.activity.activity) {
            (Some(question), _) => self.becomes(Activity::Waiting(question.what)),
            (None, Activity::Waiting(_)) => self.becomes(Activity::Working),
            (None, Activity::Working | Activity::Idle | Activity::Unknown) => {}
        }
    }

    /// Its terminal waits and no hook came: something stands in its way, such as a question whether a folder is trusted.
    fn has_not_begun(&mut self) {
        self.evidence = format!("{}, and no hook was called", self.evidence);
        self.asked(AgentQuestion {
            ask_id: TERMINAL_ASK.to_owned(),
            what: WaitingFor::Question,
            text: "the agent has not begun: its terminal may show a dialog that a person has to answer"
                .to_owned(),
            tool: None,
            input: None,
            options: Vec::new(),
            subagent: None,
            asked_at: self.now,
        });
    }

    fn terminal_says(&mut self, activity: Activity) {
        if self.session.activity.source <= SignalSource::Terminal {
            let asks = self.session.questions.first().map(|question| Activity::Waiting(question.what));
            self.becomes(asks.unwrap_or(activity));
        }
    }

    fn becomes(&mut self, activity: Activity) {
        if activity != Activity::Waiting(WaitingFor::Quota)
            && self.session.activity.activity == Activity::Waiting(WaitingFor::Quota)
        {
            // The quota is there again.
            self.session.parked_until = None;
            self.session.reason = None;
        }
        let is_same = self.session.activity.activity == activity;
        let since = if is_same { self.session.activity.since } else { self.now };
        let evidence = std::mem::take(&mut self.evidence);
        self.session.activity = match is_same && self.session.activity.source == self.source {
            // The first that said so is the evidence for `since`; what says it again adds nothing.
            true => return,
            false => ActivityReport { activity, since, source: self.source, evidence },
        };
    }
}
