//! The owner of a client's run: the one task that writes it.
//!
//! ```text
//!            ┌───────────── resumed ─────────────┐
//!            ▼                                   │
//!  start ─ Running ── connection gone ──► Interrupted ── lease over ──► Incomplete
//!            │                                   │
//!            └──── completed ──► Done | Failed ◄─┘──── cancelled ──► Cancelled
//! ```
//!
//! A run that ends stops its proposals first: the end is kept behind the last of their turns.
//!
//! It takes what waits in one batch, keeps the batch in one transaction under the run's fence, and only then answers
//! and tells the subscribers; so turns stand in the store in the order of their indexes, and what was told is durable.

mod bounds;

mod command;

use command::Answer;
pub(crate) use command::ClientRunHandle;
pub(super) use command::{BoundTo, Ending, RunCommand};

use super::recover::{self, Cut};
use super::subscriber::{RunEvent, RunTail, Subscriber};
use super::{Dropped, turns};
use crate::clock;
use crate::error::EngineError;
use crate::goals;
use crate::plane::Core;
use crate::policies::RunPolicies;
use adjutant_model::Timestamp;
use adjutant_model::client_run::{ClientRun, ClientTurn};
use adjutant_model::event::{ClientTurnNote, Event};
use adjutant_model::policy::Judgement;
use adjutant_model::run::{ErrorClass, RunStatus, TurnStatus};
use adjutant_rules::client_run;
use adjutant_sessions::{Mailbox, mailbox};
use adjutant_store::{ClientFence, ClientRunChange, Draft, Json, Write, WriteError};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// How many commands may wait for an owner.
const COMMANDS_MAX: usize = 1024;

/// How long an owner waits before it offers a write again that the disk refused.
const STORE_RETRY: Duration = Duration::from_millis(500);

/// How many records subscribers are told before they get to read.
const TOLD_AT_ONCE: usize = 128;

/// How long the end of a run waits for the turns of its proposals; they stop at once, unless we have a defect.
const SETTLE_MS_MAX: u64 = 5_000;

/// A run that is to be owned.
pub(super) struct Launch {
    pub(super) run: ClientRun,
    /// The policies of files that hold in it.
    pub(super) files: Arc<RunPolicies>,
    /// The connection that drives it; none when it was found in the store.
    pub(super) connection: Option<Arc<str>>,
    /// How many of its turns have settled.
    pub(super) settled: u64,
}

/// Starts the owner of a run whose row is in the store.
pub(super) fn start(core: &Arc<Core>, launch: Launch) -> ClientRunHandle {
    let (commands, received) = mailbox(COMMANDS_MAX);
    let ending = CancellationToken::new();
    let handle = ClientRunHandle {
        commands,
        ending: ending.clone(),
        limits: launch.run.limits,
        started_at: launch.run.started_at,
    };
    core.clients.insert(launch.run.id.clone(), handle.clone());
    let (owner_core, run_id) = (core.clone(), launch.run.id.clone());
    core.tasks.spawn(async move {
        let owner = Owner::new(owner_core.clone(), launch, ending);
        // A panic in an owner is a defect of ours: it ends this task and nothing else.
        if tokio::spawn(owner.live(received)).await.is_err() {
            tracing::error!(run = %run_id, "the owner of the client's run panicked");
        }
        owner_core.clients.remove(&run_id);
    });
    handle
}

struct Owner {
    core: Arc<Core>,
    fence: ClientFence,
    run: ClientRun,
    files: Arc<RunPolicies>,
    connection: Option<Arc<str>>,
    /// When it becomes incomplete, while nobody drives it.
    lease_until: Option<Timestamp>,
    /// When its time is over, until that has been told.
    over_at: Option<Timestamp>,
    /// Whether it has been told that no call is left.
    calls_are_over: bool,
    settled: u64,
    next: u64,
    subscribers: HashMap<Arc<str>, Subscriber>,
    ending: CancellationToken,
    /// The end, while turns are open still.
    end: Option<Awaited>,
}

/// An end that waits for the last turns.
struct Awaited {
    ending: Ending,
    reply: Answer<bool>,
    until: Timestamp,
}

/// What one batch of commands comes to.
#[derive(Default)]
struct Batch {
    write: Write,
    started: Vec<ClientTurnNote>,
    settled: Vec<ClientTurnNote>,
    told: Vec<RunEvent>,
    replies: Vec<Box<dyn FnOnce() + Send>>,
    state_changed: bool,
    called: bool,
    counted: bool,
    ended: bool,
    /// The run is not ours any more, or we stop.
    lost: bool,
}

impl Owner {
    fn new(core: Arc<Core>, launch: Launch, ending: CancellationToken) -> Self {
        let Launch { run, files, connection, settled } = launch;
        let fence =
            ClientFence { run_id: run.id.clone(), owner: run.owner.as_str().into(), epoch: run.epoch };
        let lease_until = connection.is_none().then(|| lease(&core));
        let next = run.turns;
        Owner {
            over_at: client_run::over_at(&run.limits, run.started_at),
            calls_are_over: false,
            core,
            fence,
            run,
            files,
            connection,
            lease_until,
            settled,
            next,
            subscribers: HashMap::new(),
            ending,
            end: None,
        }
    }

    async fn live(mut self, mut received: Mailbox<RunCommand>) {
        loop {
            let mut commands = Vec::new();
            let mut batch = Batch::default();
            tokio::select! {
                biased;
                command = received.recv() => match command {
                    Some(command) => commands.push(command),
                    None => return,
                },
                () = self.core.stopping.cancelled() => return,
                () = tokio::time::sleep(self.end_left()), if self.end.is_some() => {
                    tracing::error!(run = %self.run.id, "turns of a run that ends have not settled");
                }
                () = tokio::time::sleep(self.lease_left()), if self.lease_until.is_some() && self.end.is_none() => {
                    let reason = Some("its client did not come back within the lease".to_owned());
                    let ending = Ending { status: RunStatus::Incomplete, outcome: None, reason };
                    commands.push(RunCommand::End { ending, reply: oneshot::channel().0 });
                }
                () = tokio::time::sleep(self.over_at.map_or(Duration::ZERO, clock::until)), if self.over_at.is_some() => {
                    self.time_is_over(&mut batch);
                }
            }
            while commands.len() < COMMANDS_MAX {
                match received.try_recv() {
                    Ok(command) => commands.push(command),
                    Err(_) => break,
                }
            }
            for command in commands {
                if batch.ended || batch.lost {
                    // Dropping it says that the run is over.
                    continue;
                }
                self.take(command, &mut batch).await;
                self.end_if_settled(&mut batch);
            }
            if !batch.ended && self.end.is_some() && self.end_left().is_zero() {
                match self.account(&mut batch).await {
                    true => self.end_now(&mut batch),
                    false => batch.lost = true,
                }
            }
            if batch.lost || !self.keep(&mut batch).await {
                return;
            }
            self.tell(std::mem::take(&mut batch.told)).await;
            batch.replies.into_iter().for_each(|reply| reply());
            if batch.ended {
                return goals::told(&self.core, &self.run.id);
            }
        }
    }

    fn lease_left(&self) -> Duration {
        self.lease_until.map_or(Duration::ZERO, clock::until)
    }

    fn end_left(&self) -> Duration {
        self.end.as_ref().map_or(Duration::ZERO, |end| clock::until(end.until))
    }

    async fn take(&mut self, command: RunCommand, batch: &mut Batch) {
        match command {
            RunCommand::Reserve { connection, count, reply } => {
                let drives = self.connection.as_ref() == Some(&connection);
                let reserved = if drives { self.reserve(count) } else { Err(Dropped::RunNotFound) };
                batch.counted |= reserved.is_ok();
                batch.reply(reply, reserved);
            }
            RunCommand::Put { turn, judgement, reply } => {
                self.put(*turn, judgement, batch);
                if let Some(reply) = reply {
                    batch.reply(reply, ());
                }
            }
            RunCommand::Call { turn, judgement, reply } => {
                let leave = self.leave(batch);
                if let (Ok(()), Some(turn)) = (&leave, turn) {
                    self.put(*turn, judgement, batch);
                }
                batch.reply(reply, leave);
            }
            RunCommand::Record { turns, reply } => {
                let recorded = self.reserve(turns.len() as u64);
                if let Ok(base) = recorded {
                    for (turn, index) in turns.into_iter().zip(base..) {
                        self.put(ClientTurn { index, ..turn }, None, batch);
                    }
                }
                batch.reply(reply, recorded);
            }
            RunCommand::StateSet(state) => {
                self.run.state = state;
                batch.state_changed = true;
            }
            RunCommand::Bind { name, rule, scope, reply } => {
                self.bind(rule, scope);
                batch.state_changed = true;
                self.journal(batch, Event::ClientPolicyBound { name });
                batch.reply(reply, ());
            }
            RunCommand::SessionOpened(id) => {
                self.run.sessions.entry(id).or_default();
                batch.state_changed = true;
            }
            RunCommand::SessionClosed(id) => batch.state_changed |= self.run.sessions.remove(&id).is_some(),
            RunCommand::Subscribe { subscriber, reply } => {
                // What this batch has told so far is in the snapshot only once it is kept.
                if !self.keep(batch).await {
                    batch.lost = true;
                    return;
                }
                self.tell(std::mem::take(&mut batch.told)).await;
                let tail = self.tail().await;
                self.subscribers.insert(subscriber.connection().clone(), subscriber);
                drop(reply.send(tail));
            }
            RunCommand::Unsubscribe { connection, reply } => {
                let removed = self.subscribers.remove(&connection).is_some();
                let _nobody_waits = reply.send(removed);
            }
            // The first end stands.
            RunCommand::End { .. } | RunCommand::Resume { .. } if self.end.is_some() => {}
            RunCommand::End { ending, reply } => {
                self.ending.cancel();
                self.end = Some(Awaited { ending, reply, until: clock::now().plus_ms(SETTLE_MS_MAX) });
            }
            RunCommand::Detached { connection } => {
                self.subscribers.remove(&connection);
                if self.end.is_none() && self.connection.as_ref() == Some(&connection) {
                    self.interrupt(batch);
                }
            }
            RunCommand::Resume { connection, reply } => {
                self.resume(connection, batch);
                batch.reply(reply, self.bound());
            }
            RunCommand::Bound { reply } => batch.reply(reply, self.bound()),
        }
    }

    fn reserve(&mut self, count: u64) -> Result<u64, Dropped> {
        if self.end.is_some() {
            return Err(Dropped::RunTerminal);
        }
        if self.next + count > self.core.settings.client_turns_max {
            return Err(Dropped::RunTurnLimit);
        }
        let first = self.next;
        self.next += count;
        self.run.turns = self.next;
        Ok(first)
    }

    fn put(&mut self, turn: ClientTurn, judgement: Option<Box<Judgement>>, batch: &mut Batch) {
        let json = Json::of_record(&turn);
        let is_start = turn.status == TurnStatus::Started;
        let note = turns::note(&turn, &json, judgement);
        self.settled += u64::from(!is_start);
        if !self.subscribers.is_empty() {
            batch.told.push(match is_start {
                true => RunEvent::turn_started(&self.run, &turn, self.settled),
                false => RunEvent::turn(&self.run, &turn, self.settled),
            });
        }
        batch.write.client_turn_put(&self.run.id, &turn, json);
        batch.counted = true;
        match is_start {
            true => batch.started.push(note),
            false => batch.settled.push(note),
        }
    }

    fn end_if_settled(&mut self, batch: &mut Batch) {
        if self.settled >= self.next {
            self.end_now(batch);
        }
    }

    /// Gives every turn that has not settled its end, for nothing is a turn of a run that is over; false when the run
    /// is not ours any more or we stop.
    async fn account(&mut self, batch: &mut Batch) -> bool {
        // What this batch has settled so far is found in the store only once it is kept.
        if !self.keep(batch).await {
            return false;
        }
        let limit = usize::try_from(self.next).unwrap_or(usize::MAX);
        let found = match self.core.store.client_turns(&self.run.id, 0, limit).await {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(run = %self.run.id, %error, "the turns of a run that ends cannot be read");
                return true;
            }
        };
        let cut = Cut { by: "the run ended", at: clock::now() };
        for turn in recover::unaccounted(&found, self.next, cut) {
            self.put(turn, None, batch);
        }
        true
    }

    fn end_now(&mut self, batch: &mut Batch) {
        let Some(Awaited { ending, reply, .. }) = self.end.take() else { return };
        let now = clock::now();
        let Ending { status, outcome, reason } = ending;
        let change = ClientRunChange { status, outcome: outcome.as_ref(), ended_at: Some(now) };
        self.flush_row(batch);
        batch.write.client_run_status_set(&self.fence, change);
        self.journal(batch, Event::ClientRunEnded { status, turns: self.next, reason });
        self.run = ClientRun { status, outcome, ended_at: Some(now), ..self.run.clone() };
        batch.told.push(RunEvent::ended(&self.run, self.settled));
        batch.reply(reply, true);
        batch.ended = true;
    }

    fn interrupt(&mut self, batch: &mut Batch) {
        let until = lease(&self.core);
        self.connection = None;
        self.lease_until = Some(until);
        self.run.status = RunStatus::Interrupted;
        let change = ClientRunChange { status: RunStatus::Interrupted, outcome: None, ended_at: None };
        batch.write.client_run_status_set(&self.fence, change);
        self.journal(batch, Event::ClientRunInterrupted { until });
    }

    fn resume(&mut self, connection: Arc<str>, batch: &mut Batch) {
        self.run.epoch += 1;
        self.fence.epoch = self.run.epoch;
        self.run.status = RunStatus::Running;
        self.connection = Some(connection);
        self.lease_until = None;
        batch.write.client_run_adopt(&self.fence, RunStatus::Running);
        let (owner, epoch) = (self.run.owner.clone(), self.run.epoch);
        self.journal(batch, Event::ClientRunAdopted { owner, epoch });
    }

    fn journal(&self, batch: &mut Batch, event: Event) {
        let subject = super::subject(&self.run.id);
        let actor = format!("agent:{}", self.run.agent_id).into();
        batch.write.journal(Draft { at: clock::now(), actor, subject, event });
    }

    fn flush_row(&self, batch: &mut Batch) {
        let (started, settled) = (std::mem::take(&mut batch.started), std::mem::take(&mut batch.settled));
        if !(started.is_empty() && settled.is_empty()) {
            self.journal(batch, Event::ClientRunAdvanced { started, settled });
        }
    }

    /// Keeps a batch, however long the disk refuses it; false when the run is not ours any more or we stop.
    async fn keep(&mut self, batch: &mut Batch) -> bool {
        self.flush_row(batch);
        if std::mem::take(&mut batch.counted) {
            batch.write.client_run_turns_set(&self.fence, self.next);
        }
        if std::mem::take(&mut batch.state_changed) {
            batch.write.client_run_bind(&self.fence, &self.run);
        }
        if std::mem::take(&mut batch.called) {
            batch.write.client_run_calls_set(&self.fence, self.run.tool_calls);
        }
        if batch.write.is_empty() {
            return true;
        }
        let write = Arc::new(std::mem::take(&mut batch.write));
        loop {
            match self.core.store.write(write.clone()).await {
                Ok(_) => return true,
                Err(error) if !self.goes_on_after(&error).await => return false,
                Err(_) => {}
            }
        }
    }

    async fn goes_on_after(&self, error: &WriteError) -> bool {
        if error.class() != ErrorClass::Retry {
            tracing::error!(run = %self.run.id, %error, "the client's run cannot be written and is left as it stands");
            return false;
        }
        tracing::warn!(run = %self.run.id, %error, "the store refuses the client's run; it is offered again");
        tokio::select! {
            () = self.core.stopping.cancelled() => false,
            () = tokio::time::sleep(STORE_RETRY) => true,
        }
    }

    /// Gives what a subscriber that comes now has missed.
    async fn tail(&self) -> Result<RunTail, EngineError> {
        super::read::tail(&self.core, &self.run, self.next).await
    }

    /// Tells the subscribers; one whose queue is full is let go, and finds the cursor where it left.
    async fn tell(&mut self, events: Vec<RunEvent>) {
        for (told, event) in events.into_iter().enumerate() {
            // A batch may be more than a queue holds; those that read get to it in between.
            if told % TOLD_AT_ONCE == TOLD_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
            let event = Arc::new(event);
            self.subscribers.retain(|_, subscriber| subscriber.tell(&event));
        }
    }
}

impl Batch {
    fn reply<T: Send + 'static>(&mut self, reply: Answer<T>, answer: T) {
        self.replies.push(Box::new(move || drop(reply.send(answer))));
    }
}

fn lease(core: &Core) -> Timestamp {
    clock::now().plus_ms(core.settings.client_lease_ms)
}
