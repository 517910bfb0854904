//! The desk: who is there, which requests are open, and which steps take what workers deliver.
//!
//! All of it can be made again: operators from the store, requests and steps from the open runs.

use super::call::{OperatorCall, OperatorReply};
use super::worker::WorkerCall;
use crate::clock;
use crate::error::EngineError;
use adjutant_model::operator::{Operator, RequestKey};
use adjutant_model::{OperatorId, StepId, Timestamp};
use adjutant_rules::operator::{Presence, reply_refused};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// So many requests may wait for one operator.
const REQUESTS_MAX: usize = 10_000;
/// So many messages that want no reply are kept for an operator who is away; the oldest go first.
const NOTES_MAX: usize = 256;

/// The desk of a plane.
#[derive(Debug)]
pub(crate) struct Operators {
    state: Mutex<State>,
    /// Changes when somebody comes, goes, joins or leaves.
    presence: watch::Sender<u64>,
    /// Changes when a step begins to take what workers deliver.
    entered: watch::Sender<u64>,
}

impl Default for Operators {
    fn default() -> Self {
        Operators { state: Mutex::default(), presence: watch::Sender::new(0), entered: watch::Sender::new(0) }
    }
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) members: BTreeMap<OperatorId, Member>,
    requests: HashMap<RequestKey, Open>,
    steps: HashMap<StepId, mpsc::Sender<WorkerCall>>,
    /// Numbers sockets and requests in the order in which they come.
    next: u64,
}

/// An operator that has joined.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) record: Operator,
    line: Option<Line>,
    seen_at: Timestamp,
    outbox: VecDeque<Outgoing>,
}

/// The open socket of an operator.
#[derive(Debug)]
struct Line {
    number: u64,
    wake: Arc<Notify>,
    over: CancellationToken,
}

#[derive(Debug)]
enum Outgoing {
    Request(RequestKey),
    Note(Box<OperatorCall>),
}

/// A request that waits for a reply.
#[derive(Debug)]
struct Open {
    op: OperatorId,
    number: u64,
    call: OperatorCall,
    replies: mpsc::Sender<Replied>,
}

/// A reply on its way to the step that waits for it; whoever replied hears whether it was taken.
#[derive(Debug)]
pub(super) struct Replied {
    pub(super) reply: OperatorReply,
    pub(super) taken: oneshot::Sender<Result<(), EngineError>>,
}

/// A request; it is withdrawn when this is dropped.
#[derive(Debug)]
pub(super) struct OpenRequest<'d> {
    desk: &'d Operators,
    key: RequestKey,
    replies: mpsc::Receiver<Replied>,
}

impl OpenRequest<'_> {
    /// Waits for a reply.
    pub(super) async fn replied(&mut self) -> Replied {
        match self.replies.recv().await {
            Some(replied) => replied,
            // The desk holds a sender as long as the request is open.
            None => std::future::pending().await,
        }
    }
}

impl Drop for OpenRequest<'_> {
    fn drop(&mut self) {
        self.desk.lock().requests.remove(&self.key);
    }
}

/// A step that takes what workers deliver, until this is dropped.
#[derive(Debug)]
pub(super) struct EnteredStep<'d> {
    desk: &'d Operators,
    step: StepId,
    pub(super) calls: mpsc::Receiver<WorkerCall>,
}

impl Drop for EnteredStep<'_> {
    fn drop(&mut self) {
        self.desk.lock().steps.remove(&self.step);
    }
}

impl Operators {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // The maps are whole after every single operation on them.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes whoever waits for a change of who is there.
    pub(super) fn told(&self) {
        self.presence.send_modify(|version| *version += 1);
    }

    /// Gives what changes when somebody comes or goes.
    pub(super) fn presence(&self) -> watch::Receiver<u64> {
        self.presence.subscribe()
    }

    /// Adds an operator that has joined.
    pub(super) fn enter(&self, record: Operator) {
        let seen_at = record.seen_at;
        let member = Member { record, line: None, seen_at, outbox: VecDeque::new() };
        self.lock().members.insert(member.record.sid.clone(), member);
        self.told();
    }

    /// Removes an operator; its socket closes, and its seats are vacant.
    pub(super) fn remove(&self, sid: &OperatorId) {
        let removed = self.lock().members.remove(sid);
        if let Some(Line { over, .. }) = removed.and_then(|member| member.line) {
            over.cancel();
        }
        self.told();
    }

    /// Gives whether an operator is there; nothing when it is not known.
    pub(crate) fn presence_of(&self, sid: &OperatorId) -> Option<Presence> {
        self.lock().members.get(sid).map(Member::presence)
    }

    /// Opens a request of an operator; it is delivered now, or when the operator is there.
    pub(super) fn open(
        &self,
        op: &OperatorId,
        key: RequestKey,
        call: OperatorCall,
    ) -> Result<OpenRequest<'_>, EngineError> {
        let mut state = self.lock();
        if state.requests.values().filter(|open| open.op == *op).count() >= REQUESTS_MAX {
            return Err(EngineError::Conflict {
                message: format!("{REQUESTS_MAX} requests wait for {op}, and no more are taken"),
                hint: Some("let fewer steps run at once: `max_parallel`".to_owned()),
            });
        }
        state.next += 1;
        let number = state.next;
        let (sender, replies) = mpsc::channel(1);
        let open = Open { op: op.clone(), number, call, replies: sender };
        state.requests.insert(key.clone(), open);
        if let Some(member) = state.members.get_mut(op) {
            member.put(Outgoing::Request(key.clone()));
        }
        Ok(OpenRequest { desk: self, key, replies })
    }

    /// Tells an operator something that wants no reply.
    pub(super) fn note(&self, op: &OperatorId, call: OperatorCall) {
        if let Some(member) = self.lock().members.get_mut(op) {
            let notes = member.outbox.iter().filter(|out| matches!(out, Outgoing::Note(_))).count();
            if notes >= NOTES_MAX
                && let Some(oldest) = member.outbox.iter().position(|out| matches!(out, Outgoing::Note(_)))
            {
                member.outbox.remove(oldest);
            }
            member.put(Outgoing::Note(Box::new(call)));
        }
    }

    /// Lets a step take what workers deliver.
    pub(super) fn enter_step(&self, step: StepId) -> EnteredStep<'_> {
        let (sender, calls) = mpsc::channel(16);
        self.lock().steps.insert(step.clone(), sender);
        self.entered.send_modify(|version| *version += 1);
        EnteredStep { desk: self, step, calls }
    }

    /// Gives the way to a step that takes what workers deliver.
    pub(super) fn step(&self, step: &StepId) -> Option<mpsc::Sender<WorkerCall>> {
        self.lock().steps.get(step).cloned()
    }

    /// Gives what changes when a step begins to take what workers deliver.
    pub(super) fn entered(&self) -> watch::Receiver<u64> {
        self.entered.subscribe()
    }

    /// Gives the open requests, the oldest first.
    pub(super) fn open_requests(&self) -> Vec<(RequestKey, OperatorId)> {
        let state = self.lock();
        let mut open: Vec<_> =
            state.requests.iter().map(|(key, open)| (open.number, key, &open.op)).collect();
        open.sort_by_key(|(number, ..)| *number);
        open.into_iter().map(|(_, key, op)| (key.clone(), op.clone())).collect()
    }

    /// Takes up an operator's socket; one that it had before is over. Every request that waits is delivered again.
    pub(super) fn connect(&self, sid: &OperatorId) -> Option<(u64, Arc<Notify>, CancellationToken)> {
        let mut state = self.lock();
        state.next += 1;
        let number = state.next;
        let mut waiting: Vec<(u64, RequestKey)> = state
            .requests
            .iter()
            .filter(|(_, open)| open.op == *sid)
            .map(|(key, open)| (open.number, key.clone()))
            .collect();
        waiting.sort();
        let member = state.members.get_mut(sid)?;
        let (wake, over) = (Arc::new(Notify::new()), CancellationToken::new());
        let before = member.line.replace(Line { number, wake: wake.clone(), over: over.clone() });
        if let Some(Line { over, .. }) = before {
            over.cancel();
        }
        member.outbox.retain(|out| matches!(out, Outgoing::Note(_)));
        member.outbox.extend(waiting.into_iter().map(|(_, key)| Outgoing::Request(key)));
        member.seen_at = clock::now();
        wake.notify_one();
        drop(state);
        self.told();
        Some((number, wake, over))
    }

    /// Takes a socket back, unless a newer one has taken its place.
    pub(super) fn disconnect(&self, sid: &OperatorId, number: u64) {
        {
            let mut state = self.lock();
            let Some(member) = state.members.get_mut(sid) else { return };
            if member.line.as_ref().is_none_or(|line| line.number != number) {
                return;
            }
            member.line = None;
            member.seen_at = clock::now();
        }
        self.told();
    }

    /// Notes that an operator was heard of.
    pub(super) fn heard(&self, sid: &OperatorId) {
        if let Some(member) = self.lock().members.get_mut(sid) {
            member.seen_at = clock::now();
        }
    }

    /// Takes what is to be sent next over a socket.
    pub(super) fn next(&self, sid: &OperatorId, number: u64) -> Option<OperatorCall> {
        let mut state = self.lock();
        let State { members, requests, .. } = &mut *state;
        let member = members.get_mut(sid)?;
        if member.line.as_ref().is_none_or(|line| line.number != number) {
            return None;
        }
        loop {
            match member.outbox.pop_front()? {
                Outgoing::Note(call) => return Some(*call),
                // One that is gone was answered or withdrawn meanwhile.
                Outgoing::Request(key) => match requests.get(&key) {
                    Some(open) if open.op == *sid => return Some(open.call.clone()),
                    Some(_) | None => {}
                },
            }
        }
    }

    /// Finds who waits for a reply.
    ///
    /// # Errors
    /// [`EngineError::Conflict`] when nobody does.
    pub(super) fn awaiting(
        &self,
        sid: &OperatorId,
        key: &RequestKey,
        reply: &OperatorReply,
    ) -> Result<mpsc::Sender<Replied>, EngineError> {
        let state = self.lock();
        let about = |open: &&RequestKey| open.kind == key.kind && open.step == key.step;
        // Whoever held the seat before hears that it has changed hands, and nobody else that there is a request.
        let own = state.requests.iter().filter(|(open, request)| {
            request.op == *sid || (about(open) && open.generation > key.generation)
        });
        reply_refused(key, reply.answers(), own.map(|(key, _)| key.clone()))
            .map_err(|message| EngineError::Conflict { message, hint: None })?;
        Ok(state.requests[key].replies.clone())
    }
}

impl Member {
    fn put(&mut self, out: Outgoing) {
        self.outbox.push_back(out);
        if let Some(line) = &self.line {
            line.wake.notify_one();
        }
    }

    /// Gives whether it is there.
    pub(super) fn presence(&self) -> Presence {
        Presence { connected: self.line.is_some(), seen_at: self.seen_at }
    }
}
