//! The effects of a session. Doing one again ends the same.

use super::drivers::Hosted;
use super::questions::Asked;
use super::workspace;
use crate::agents;
use crate::clock;
use crate::error::EngineError;
use crate::faults::{EffectFault, EffectKey};
use crate::goals;
use crate::hooks::spool;
use crate::identity;
use crate::plane::Core;
use crate::runs::STORE_RETRY;
use crate::workspaces;
use adjutant_model::action::Role;
use adjutant_model::event::Event;
use adjutant_model::profile::{Fillings, HookFlavour, PromptDelivery};
use adjutant_model::run::ErrorClass;
use adjutant_model::session::{
    Activity, AgentExit, AgentSignal, AskAnswer, DriverKind, FirstPrompt, HostHandle, Session, SessionUsage,
    Signal, SignalSource,
};
use adjutant_model::{SessionId, TokenId};
use adjutant_rules::hook::settings;
use adjutant_rules::profile;
use adjutant_rules::session::{Launch, LaunchWith, SessionEffect, SessionEvent};
use adjutant_sessions::driver::tmux::Terminal;
use adjutant_sessions::driver::{Adopted, AgentDriver, DriverError, Ended, LaunchSpec};
use adjutant_sessions::process::{ProcessId, Swept};
use adjutant_sessions::transcript::{self, TranscriptFlavour};
use adjutant_sessions::worktree::RemoveMode;
use adjutant_sessions::{environment, process};
use adjutant_store::{Draft, Write};
use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Columns and rows of a session's terminal.
const TERMINAL_SIZE: (u16, u16) = (160, 48);
/// So much of a terminal's scrollback is kept, in bytes.
const SCROLLBACK_BYTES_MAX: u64 = 4 << 20;
/// So many rows of the journal are read at once.
const JOURNAL_ROWS: usize = 1000;
/// What an agent is told that died in the middle of its work and goes on with its own session.
const GO_ON: &str = "Your program ended in the middle of your work and was started again. Look at what is there, \
                     and go on with your task.";

/// What an effect has come to.
#[derive(Debug)]
pub(super) enum Performed {
    /// The machine hears of it.
    Event(SessionEvent),
    /// An agent is there.
    Hosted { agent: Arc<dyn AgentDriver>, signals: mpsc::Receiver<Signal>, event: SessionEvent },
    /// All of these, in order: a trial has had an effect performed more than once.
    Several(Vec<Performed>),
    /// An agent that was there cannot be looked for now.
    OutOfReach { why: String },
    /// A rule wants a person to be asked what an agent asks by a message of its protocol.
    Asks(Box<Asked>),
    /// The gate has answered what an agent asked.
    Judged { ask_id: String, answer: AskAnswer },
    /// What the agent used since that was read last.
    Used(Option<SessionUsage>),
    /// Nothing that anybody has to hear of.
    Nothing,
}

/// Performs an effect, as often as its fault has it.
pub(super) async fn perform(
    core: Arc<Core>,
    session: Session,
    agent: Option<Arc<dyn AgentDriver>>,
    effect: SessionEffect,
) -> Performed {
    let (session_id, launch) = (session.id, session.launches);
    let key = || EffectKey::Session { session_id, effect: effect.name(), launch };
    match core.settings.faults.of_effect(key) {
        None => once(core, session, agent, effect).await,
        Some(EffectFault::Twice) => {
            let first = once(core.clone(), session.clone(), agent.clone(), effect.clone()).await;
            Performed::Several(vec![first, once(core, session, agent, effect).await])
        }
        // An end is told when nothing is left, so it does not fail.
        Some(EffectFault::Fail(_)) if effect == SessionEffect::End => {
            once(core, session, agent, effect).await
        }
        Some(EffectFault::Fail(failure)) => {
            Performed::Event(failed(&effect, &failure.message, failure.class))
        }
    }
}

async fn once(
    core: Arc<Core>,
    session: Session,
    agent: Option<Arc<dyn AgentDriver>>,
    effect: SessionEffect,
) -> Performed {
    match &effect {
        SessionEffect::Provision => match insist(|| provide(&core, &session)).await {
            Ok(()) => Performed::Event(SessionEvent::WorkspaceReady),
            Err(error) => Performed::Event(failed(&effect, &error.with_hint(), error.class())),
        },
        SessionEffect::Launch(launch) => started(&core, &session, launch).await,
        SessionEffect::Tell(what) => match tell(&session, agent, *what).await {
            Ok(()) => Performed::Event(SessionEvent::Told),
            Err(error) => Performed::Event(failed(&effect, &error.to_string(), error.class())),
        },
        SessionEffect::End => Performed::Event(end(&core, &session, agent).await),
        SessionEffect::Remove { force } => {
            let mode = if *force { RemoveMode::Force } else { RemoveMode::IfSaved };
            match insist(|| remove(&core, &session, mode)).await {
                Ok(snapshot_ref) => Performed::Event(SessionEvent::Removed { snapshot_ref }),
                Err(error) => Performed::Event(failed(&effect, &error.with_hint(), error.class())),
            }
        }
        SessionEffect::Snapshot => match workspace::keep(&core, &session).await {
            Ok(Some(refname)) => Performed::Event(SessionEvent::Snapshotted { refname }),
            Ok(None) => Performed::Nothing,
            Err(error) => {
                tracing::warn!(session = %session.id, %error, "the workspace could not be kept after a turn");
                Performed::Nothing
            }
        },
    }
}

/// Does something for as long as the store refuses it: a full disk is no fault of the session.
async fn insist<T, F: Future<Output = Result<T, EngineError>>>(
    work: impl Fn() -> F,
) -> Result<T, EngineError> {
    loop {
        match work().await {
            Err(error @ EngineError::Write(_)) if error.class() == ErrorClass::Retry => {
                tracing::warn!(%error, "the store refused what is done to a session; it is done again");
                tokio::time::sleep(STORE_RETRY).await;
            }
            done => return done,
        }
    }
}

/// Gives the event that an effect could not be performed.
pub(super) fn failed(effect: &SessionEffect, message: &str, class: ErrorClass) -> SessionEvent {
    let message = message.to_owned();
    match effect {
        SessionEffect::Provision => SessionEvent::WorkspaceFailed { message },
        SessionEffect::Launch(_) => {
            SessionEvent::LaunchFailed { message, may_pass: class == ErrorClass::Retry }
        }
        SessionEffect::Tell(_) => SessionEvent::TellFailed { message, may_pass: class == ErrorClass::Retry },
        SessionEffect::End => SessionEvent::Ended { exit: AgentExit::Vanished },
        SessionEffect::Remove { .. } => SessionEvent::RemoveRefused { message },
        SessionEffect::Snapshot => SessionEvent::Woke,
    }
}

async fn provide(core: &Core, session: &Session) -> Result<(), EngineError> {
    match goals::link_session(core, session).await {
        Err(error @ EngineError::Write(_)) => return Err(error),
        Err(error) => tracing::warn!(session = %session.id, %error, "the session goes on without its goal"),
        Ok(()) => {}
    }
    let workspace = workspace::provide(core, session).await?;
    let mut write = Write::default();
    write.workspace_set(&session.id.into(), &workspace);
    let (at, subject) = (clock::now(), session.id.to_string().into());
    write.journal(Draft { at, actor: "plane".into(), subject, event: Event::WorkspaceReady(workspace) });
    core.store.write(write).await?;
    Ok(())
}

/// Removes a workspace; gives the snapshot that has its last state.
async fn remove(core: &Core, session: &Session, mode: RemoveMode) -> Result<Option<String>, EngineError> {
    // What an agent has left behind must not write while its directory goes.
    end_leftovers(session.id).await;
    match workspaces::take_away(core, &session.id.into(), mode).await {
        Ok(removed) => Ok(removed.snapshot_ref),
        // It went before, and the daemon died before that was durable.
        Err(EngineError::NotFound { .. }) => removed_before(core, session.id).await,
        Err(error) => Err(error),
    }
}

/// Gives the snapshot that the journal says a workspace was removed behind.
async fn removed_before(core: &Core, id: SessionId) -> Result<Option<String>, EngineError> {
    let (mut after, mut found) = (0, None);
    loop {
        let rows = core.store.journal_of(&id.to_string(), after, JOURNAL_ROWS).await?;
        let Some(last) = rows.last() else { return Ok(found) };
        after = last.seq;
        for row in rows {
            if let Event::WorkspaceRemoved { snapshot_ref, .. } = row.event {
                found = snapshot_ref;
            }
        }
    }
}

async fn started(core: &Arc<Core>, session: &Session, launch: &Launch) -> Performed {
    let resumed = launch.with != LaunchWith::Task;
    let failed =
        |message: String, may_pass| Performed::Event(SessionEvent::LaunchFailed { message, may_pass });
    let ready = async {
        let mut spec = spec(core, session, Some(launch)).await?;
        let (token_id, env) = insist(|| environment_of(core, session, &spec)).await?;
        spec.env = env;
        Ok::<_, EngineError>((spec, token_id))
    };
    let (spec, token_id) = match ready.await {
        Ok(ready) => ready,
        Err(error) => return failed(error.with_hint(), error.class() == ErrorClass::Retry),
    };
    let has_terminal = matches!(spec.driver.driver, DriverKind::Tmux | DriverKind::Pty);
    let expects_hooks = has_terminal && spec.profile.hooks != HookFlavour::None;
    let is_typed = spec.driver.prompt == PromptDelivery::Typed;
    let to_tell = begins_with(launch).filter(|_| is_typed);
    match core.hosting.drivers.launch(spec).await {
        Ok(Hosted { agent, signals }) => {
            let token_id = Some(token_id);
            let event =
                SessionEvent::Launched { handle: agent.handle(), resumed, token_id, to_tell, expects_hooks };
            Performed::Hosted { agent, signals, event }
        }
        Err(error) => {
            // One that cannot be told of would work on unseen.
            end_leftovers(session.id).await;
            let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
            failed(format!("{error}{hint}"), error.class() == ErrorClass::Retry)
        }
    }
}

async fn tell(
    session: &Session,
    agent: Option<Arc<dyn AgentDriver>>,
    what: FirstPrompt,
) -> Result<(), DriverError> {
    let agent = agent.ok_or(DriverError::Gone)?;
    agent.send(&text_of(session, what)).await
}

fn text_of(session: &Session, what: FirstPrompt) -> String {
    match what {
        FirstPrompt::Task => session.task.clone(),
        FirstPrompt::GoOn => GO_ON.to_owned(),
    }
}

/// Finds the agent again that was there when the last daemon was.
pub(super) async fn adopt(
    core: Arc<Core>,
    session: Session,
    terminals: Option<Arc<Vec<Terminal>>>,
) -> Performed {
    // What it told while nobody was there: whether it works decides what its end means.
    spool::take(&core, session.id).await;
    let Some(handle) = session.handle.clone() else { return Performed::Event(vanished()) };
    match found(&core, &session, handle, terminals.as_deref().map(Vec::as_slice)).await {
        Ok(Adopted::Living(Hosted { agent, signals })) => {
            Performed::Hosted { agent, signals, event: SessionEvent::Found }
        }
        Ok(Adopted::Ended(exit)) => Performed::Event(exited(exit)),
        // It may be there and at work: nobody ends it for what hosts it being slow.
        Err(error) if error.class() == ErrorClass::Retry => Performed::OutOfReach { why: error.to_string() },
        Err(error) => {
            tracing::warn!(session = %session.id, %error, "an agent could not be looked for");
            // If it lives it is out of reach, and is not there any more when that is said of it.
            end_leftovers(session.id).await;
            Performed::Event(vanished())
        }
    }
}

/// Looks for an agent again after a pause.
pub(super) async fn adopt_later(core: Arc<Core>, session: Session, pause: Duration) -> Performed {
    tokio::time::sleep(pause).await;
    adopt(core, session, None).await
}

async fn found(
    core: &Arc<Core>,
    session: &Session,
    handle: HostHandle,
    terminals: Option<&[Terminal]>,
) -> Result<Adopted<Hosted>, DriverError> {
    let spec = spec(core, session, None).await;
    let spec = spec.map_err(|error| DriverError::Failed { what: error.with_hint() })?;
    core.hosting.drivers.adopt(handle, spec, terminals).await
}

fn vanished() -> SessionEvent {
    exited(AgentExit::Vanished)
}

fn exited(exit: AgentExit) -> SessionEvent {
    let what = AgentSignal::Exited(exit);
    SessionEvent::Signal(Signal::new(SignalSource::Process, "found at the daemon's start", what))
}

fn flavour_of(core: &Core, session: &Session) -> Option<TranscriptFlavour> {
    match agents::find(core, &session.agent).map(|profile| profile.hooks) {
        Ok(HookFlavour::Claude) => Some(TranscriptFlavour::Claude),
        Ok(HookFlavour::Codex) => Some(TranscriptFlavour::Codex),
        Ok(HookFlavour::None) | Err(_) => None,
    }
}

/// Looks for what an agent's hooks should have told, now that its terminal has become quiet: in what they have left, and
/// when there is nothing and the agent should work, in its transcript, which says when its turn has ended.
pub(super) async fn unheard(core: Arc<Core>, session: Session) -> Performed {
    let should_work = session.activity.activity == Activity::Working;
    if spool::take(&core, session.id).await > 0 || !should_work {
        return Performed::Nothing;
    }
    let Some((path, flavour)) = session.transcript.clone().zip(flavour_of(&core, &session)) else {
        return Performed::Nothing;
    };
    let reading = tokio::task::spawn_blocking(move || transcript::turn_ended(Path::new(&path), flavour));
    let Ok(Ok(Some(at))) = reading.await else { return Performed::Nothing };
    let what = AgentSignal::TurnEnded { text: None, error: None };
    let signal = Signal::new(SignalSource::Hook, "its transcript, as no hook told", what);
    Performed::Event(SessionEvent::Signal(signal.at(at)))
}

/// Reads what the agent's transcript has grown by; that is how agents in terminals tell what they use.
pub(super) async fn usage(core: Arc<Core>, session: Session) -> Performed {
    let Some(path) = session.transcript.clone() else { return Performed::Used(None) };
    let Some(flavour) = flavour_of(&core, &session) else { return Performed::Used(None) };
    let Ok(folder) = folder(&core, session.id) else { return Performed::Used(None) };
    let read =
        tokio::task::spawn_blocking(move || transcript::read_on(&folder, Path::new(&path), flavour)).await;
    match read {
        Ok(Ok(used)) => Performed::Used(used),
        Ok(Err(error)) => {
            tracing::debug!(session = %session.id, %error, "the transcript was not read");
            Performed::Used(None)
        }
        Err(_) => Performed::Used(None),
    }
}

async fn end(core: &Arc<Core>, session: &Session, agent: Option<Arc<dyn AgentDriver>>) -> SessionEvent {
    let grace = core.settings.worker.grace;
    let ended = match (agent, &session.handle) {
        (Some(agent), _) => agent.end(grace).await,
        // The last daemon was ended while it ended the agent.
        (None, Some(handle)) => match found(core, session, handle.clone(), None).await {
            Ok(Adopted::Living(hosted)) => hosted.agent.end(grace).await,
            Ok(Adopted::Ended(exit)) => Ok(Ended { exit, swept: Swept::default() }),
            Err(error) => Err(error),
        },
        (None, None) => Err(DriverError::Gone),
    };
    let exit = match ended {
        Ok(ended) => ended.exit,
        Err(error) => {
            tracing::debug!(session = %session.id, %error, "the agent could not be ended by its driver");
            end_process(session, grace).await;
            AgentExit::Vanished
        }
    };
    end_leftovers(session.id).await;
    SessionEvent::Ended { exit }
}

/// Ends an agent's process with its descendants, whatever hosts it.
async fn end_process(session: &Session, grace: Duration) {
    let known = session.handle.as_ref().and_then(|handle| {
        let marker = format!("session:{}/{}", session.id, handle.launch);
        let process = ProcessId::new(handle.pid, handle.started_ticks)?;
        Some(process::Hosted { process, marker, cgroup: None })
    });
    if let Some(hosted) = known {
        let swept = process::end_hosted(&hosted, grace).await;
        tracing::debug!(session = %session.id, ?swept, "an agent was ended without its driver");
    }
}

/// Ends whatever carries a session's marker, whatever its driver knows of it: it is none of anybody else's.
async fn end_leftovers(id: SessionId) {
    let swept = process::sweep_prefix(&format!("session:{id}/")).await;
    if swept.killed > 0 || swept.alive > 0 {
        tracing::info!(session = %id, killed = swept.killed, alive = swept.alive, "ended what was left");
    }
}

/// Gives how an agent is started; without a launch how one that was started is found again.
async fn spec(
    core: &Arc<Core>,
    session: &Session,
    launch: Option<&Launch>,
) -> Result<LaunchSpec, EngineError> {
    let profile = agents::find(core, &session.agent)?;
    let driver = profile.driver(session.driver).cloned().ok_or_else(|| {
        EngineError::invalid(format!(
            "the profile `{}` has no driver {}",
            profile.name,
            session.driver.as_str()
        ))
    })?;
    let workspace = core.store.workspace_of(&session.id.into()).await?;
    let workspace = workspace.ok_or_else(|| EngineError::not_found("workspace", session.id))?;
    let folder = folder(core, session.id)?;
    let number = launch.map_or(session.launches, |launch| launch.number);
    let resume = launch.filter(|launch| launch.with != LaunchWith::Task).and(session.agent_session.clone());
    let prompt = launch.and_then(begins_with).map(|what| text_of(session, what));
    // What is typed is told when the agent is there.
    let (argument, message) = match driver.prompt {
        PromptDelivery::Argument => (prompt, None),
        PromptDelivery::Protocol | PromptDelivery::PerPrompt => (None, prompt),
        PromptDelivery::Typed => (None, None),
    };
    let hook = match launch {
        Some(_) => agents::hook_settings(core, &profile, &folder)?,
        None => None,
    };
    let fillings = Fillings {
        adjutant: core.settings.exe.to_string_lossy().into_owned(),
        model: profile::model(&profile, session.model.as_deref(), session.tier).map(str::to_owned),
        session: Some(clock::fresh_random_id().to_string()),
        agent_session: resume.clone(),
        prompt: argument,
        trusted: workspace.project.clone().filter(|_| session.is_trusted),
        hook,
    };
    let argv = profile::argv(&profile, &driver, &fillings);
    Ok(LaunchSpec {
        session: session.id.to_string(),
        name: session.name.clone(),
        launch: number,
        argv,
        fillings,
        env: Vec::new(),
        cwd: PathBuf::from(&workspace.path),
        folder,
        size: TERMINAL_SIZE,
        marker: format!("session:{}/{number}", session.id),
        prompt: message,
        resume,
        scrollback_bytes_max: SCROLLBACK_BYTES_MAX,
        cgroups: core.hosting.drivers.cgroups(),
        profile,
        driver,
    })
}

fn begins_with(launch: &Launch) -> Option<FirstPrompt> {
    match launch.with {
        LaunchWith::Task => Some(FirstPrompt::Task),
        LaunchWith::ContextToGoOn => Some(FirstPrompt::GoOn),
        LaunchWith::Context => None,
    }
}

/// Gives an agent's environment, with a token of its own in it.
async fn environment_of(
    core: &Core,
    session: &Session,
    spec: &LaunchSpec,
) -> Result<(TokenId, Vec<(String, String)>), EngineError> {
    let profile = &spec.profile;
    let binding = identity::Binding { of_session: Some(session.id), ..identity::Binding::default() };
    let (secret, token) = identity::mint(Role::Worker, binding, None);
    let mut write = Write::default();
    write.token_put(&token);
    core.store.write(write).await?;
    let mut extra: BTreeMap<String, String> = profile.env_set.clone();
    extra.extend(spec.driver.env_set.clone());
    // After the profile's own, so that no profile can pass a session off as another.
    extra.extend([
        ("ADJUTANT_SESSION".to_owned(), session.id.to_string()),
        ("ADJUTANT_TOKEN".to_owned(), secret.reveal().to_owned()),
        ("ADJUTANT_WORKSPACE".to_owned(), spec.cwd.to_string_lossy().into_owned()),
        ("ADJUTANT_SPOOL".to_owned(), spool::file_in(&spec.folder).to_string_lossy().into_owned()),
        ("ADJUTANT_HOOK_UNREACHABLE".to_owned(), profile.on_unreachable.as_str().to_owned()),
        ("ADJUTANT_HOOK_READ_ONLY".to_owned(), profile.tools_read_only.join(",")),
    ]);
    if profile.hooks == HookFlavour::Codex && spec.driver.driver == DriverKind::Acp {
        let config = settings::codex_config(&core.settings.exe.to_string_lossy());
        extra.insert(settings::CODEX_CONFIG_VARIABLE.to_owned(), config);
    }
    extra.extend(core.endpoint().map(|url| ("ADJUTANT_URL".to_owned(), url)));
    let socket = core.settings.socket.as_ref().map(|path| path.to_string_lossy().into_owned());
    extra.extend(socket.map(|path| ("ADJUTANT_SOCKET".to_owned(), path)));
    let allowed = agents::variables(core, profile);
    let allowed: Vec<&str> = allowed.iter().map(String::as_str).collect();
    Ok((token.id, environment(&allowed, core.settings.env.iter().cloned(), &extra)))
}

/// Gives the path of a session's own folder.
pub(crate) fn folder_of(core: &Core, id: SessionId) -> PathBuf {
    core.settings.folder.join("sessions").join(id.to_string())
}

/// Gives a session's own folder; it is there then.
fn folder(core: &Core, id: SessionId) -> Result<PathBuf, EngineError> {
    let folder = folder_of(core, id);
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    made.map_err(|error| EngineError::Workspace {
        message: format!("the session's folder {} could not be made: {error}", folder.display()),
        hint: None,
        class: ErrorClass::Retry,
    })?;
    Ok(folder)
}

/// What a terminal is found by.
pub(crate) fn attach_command(core: &Core, handle: &HostHandle) -> Option<Vec<String>> {
    core.hosting.drivers.attach_command(handle)
}
