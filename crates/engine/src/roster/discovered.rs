//! Agents that somebody else has started, with hooks that were installed for all of them.
//!
//! Such an agent shows the owner's token and says its own id. What it does is known by its hooks alone; what changes is
//! durable before the hook is answered, and when it was heard of last a little later. One that is silent is forgotten by
//! a rule (`rules/src/session/discovered.rs`), and so is the one that was silent longest when there are too many.

use crate::clock;
use crate::error::EngineError;
use crate::hosting;
use crate::plane::Core;
use crate::record;
use adjutant_model::discovered::Discovered;
use adjutant_model::event::Event;
use adjutant_model::hook::{HookCall, HookEvent};
use adjutant_model::id::Uuid;
use adjutant_model::session::{ActivityReport, AgentSignal, SessionUsage, Signal, SignalSource};
use adjutant_model::{SessionId, Timestamp};
use adjutant_rules::hook::answer::Vendor;
use adjutant_rules::session::discovered::{self, Silence};
use adjutant_sessions::transcript::{self, TranscriptFlavour};
use adjutant_store::{Draft, Write};
use std::collections::{BTreeMap, HashSet};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// So many are known at once.
const DISCOVERED_MAX: usize = 1000;
/// The longest id that an agent's own session has, in bytes.
const AGENT_SESSION_BYTES_MAX: usize = 256;
/// The longest path that is kept, in bytes.
const PATH_BYTES_MAX: usize = 4096;

/// The discovered sessions, as the store has them or will have them.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    known: Mutex<BTreeMap<SessionId, Discovered>>,
    /// Those of which the store does not know when they were heard of last.
    heard: Mutex<HashSet<SessionId>>,
}

impl Roster {
    /// Gives all of them.
    pub(crate) fn all(&self) -> Vec<Discovered> {
        self.known().values().cloned().collect()
    }

    /// Gives one.
    pub(crate) fn get(&self, id: SessionId) -> Option<Discovered> {
        self.known().get(&id).cloned()
    }

    fn of_agent(&self, agent_session: &str) -> Option<Discovered> {
        self.known().values().find(|known| known.agent_session == agent_session).cloned()
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<SessionId, Discovered>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heard(&self) -> MutexGuard<'_, HashSet<SessionId>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes one, and gives it as it was and as it is.
    fn change(
        &self,
        id: SessionId,
        change: impl FnOnce(&Discovered) -> Discovered,
    ) -> Option<(Discovered, Discovered)> {
        let mut known = self.known();
        let entry = known.get_mut(&id)?;
        let changed = change(entry);
        Some((std::mem::replace(entry, changed.clone()), changed))
    }
}

/// Takes up what the store has.
pub(crate) async fn load(core: &Core) -> Result<(), EngineError> {
    let stored = core.store.discovered().await?;
    core.roster.known().extend(stored.into_iter().map(|known| (known.id, known)));
    Ok(())
}

/// Finds the session of an agent that calls a hook, and makes it known when it is not; nothing when the agent does not
/// say which it is.
pub(crate) async fn of_hook(core: &Arc<Core>, call: &HookCall) -> Result<Option<Discovered>, EngineError> {
    let agent_session = call.agent_session.as_deref().filter(|id| is_plain(id, AGENT_SESSION_BYTES_MAX));
    let Some(agent_session) = agent_session else { return Ok(None) };
    if let Some(known) = core.roster.of_agent(agent_session) {
        return Ok(Some(known));
    }
    let known = fresh(core, call, agent_session).await?;
    let known = {
        let mut all = core.roster.known();
        // Another hook of the same agent may have been quicker.
        let quicker = all.values().find(|other| other.agent_session == agent_session).cloned();
        if let Some(other) = quicker {
            return Ok(Some(other));
        }
        all.insert(known.id, known.clone());
        known
    };
    let event = Event::SessionDiscovered {
        agent: known.agent.clone(),
        agent_session: record::text(&known.agent_session),
        cwd: known.cwd.clone(),
    };
    let mut write = Write::default();
    write.discovered_put(&known);
    note(&mut write, known.id, event);
    if let Err(error) = core.store.write(write).await {
        core.roster.known().remove(&known.id);
        return Err(error.into());
    }
    crowd_out(core).await;
    Ok(Some(known))
}

fn is_plain(text: &str, bytes_max: usize) -> bool {
    text.len() <= bytes_max && !text.chars().any(char::is_control)
}

async fn fresh(core: &Core, call: &HookCall, agent_session: &str) -> Result<Discovered, EngineError> {
    let now = clock::now();
    let text = |key: &str| {
        let text = call.payload.get(key).and_then(|value| value.as_str());
        text.filter(|text| is_plain(text, PATH_BYTES_MAX)).map(str::to_owned)
    };
    let is_codex = Vendor::of(&call.payload) == Vendor::Codex
        || text("transcript_path").is_some_and(|path| path.contains("/.codex/"));
    Ok(Discovered {
        id: id_for(core, agent_session).await?,
        agent_session: agent_session.to_owned(),
        agent: if is_codex { "codex" } else { "claude" }.to_owned(),
        cwd: text("cwd").filter(|path| Path::new(path).is_absolute()),
        activity: ActivityReport::unknown(now, "it was heard of"),
        questions: Vec::new(),
        usage: SessionUsage::default(),
        model_used: None,
        transcript: text("transcript_path"),
        turns: 0,
        parked_until: None,
        is_over: false,
        created_at: now,
        heard_at: now,
    })
}

/// The agent's own id where no other session has it.
async fn id_for(core: &Core, agent_session: &str) -> Result<SessionId, EngineError> {
    let fresh = || SessionId::new(clock::fresh_id());
    let Ok(own) = agent_session.parse::<Uuid>().map(SessionId::new) else { return Ok(fresh()) };
    let is_taken = core.store.session_get(own).await?.is_some()
        || core.store.token_of_session(own).await?.is_some()
        || core.store.session_has_token(own).await?
        || core.roster.get(own).is_some();
    Ok(if is_taken { fresh() } else { own })
}

/// Takes what a hook of a discovered session tells; whether it is one.
pub(crate) async fn told(core: &Arc<Core>, id: SessionId, signals: Vec<Signal>) -> bool {
    let may_have_used = signals
        .iter()
        .any(|signal| matches!(signal.what, AgentSignal::ToolEnded { .. } | AgentSignal::TurnEnded { .. }));
    let signals: Vec<Signal> = signals.into_iter().map(hosting::without_secrets).collect();
    let now = clock::now();
    let Some((_, changed)) = change(core, id, |known| discovered::heard(known, signals, now)).await else {
        return false;
    };
    if may_have_used && changed.transcript.is_some() {
        core.tasks.spawn(read_usage(core.clone(), changed));
    }
    true
}

/// Takes what a hook says that tells nothing of what its agent does.
pub(crate) async fn heard_of(core: &Arc<Core>, id: SessionId, call: &HookCall) {
    let now = clock::now();
    if call.event == Some(HookEvent::SessionEnd) && call.subagent.is_none() {
        change(core, id, |known| discovered::over(known, now)).await;
    } else {
        change(core, id, |known| discovered::heard(known, Vec::new(), now)).await;
    }
}

/// Changes one. What people would miss is durable when this returns.
async fn change(
    core: &Core,
    id: SessionId,
    change: impl FnOnce(&Discovered) -> Discovered,
) -> Option<(Discovered, Discovered)> {
    let (before, after) = core.roster.change(id, change)?;
    if (Discovered { heard_at: before.heard_at, ..after.clone() }) == before {
        core.roster.heard().insert(id);
        return Some((before, after));
    }
    let mut write = Write::default();
    write.discovered_put(&after);
    if before.activity.activity != after.activity.activity {
        note(&mut write, id, Event::SessionActivityChanged(after.activity.clone()));
    }
    if let Err(error) = core.store.write(write).await {
        // It is tried again with when it was heard of last.
        tracing::warn!(session = %id, %error, "what a discovered session does could not be kept");
        core.roster.heard().insert(id);
    }
    Some((before, after))
}

fn note(write: &mut Write, id: SessionId, event: Event) {
    write.journal(Draft { at: clock::now(), actor: "plane".into(), subject: id.to_string().into(), event });
}

async fn read_usage(core: Arc<Core>, known: Discovered) {
    let flavour = match known.agent.as_str() {
        "codex" => TranscriptFlavour::Codex,
        _ => TranscriptFlavour::Claude,
    };
    let (folder, Some(path)) = (hosting::folder_of(&core, known.id), known.transcript) else { return };
    // Where reading stands is kept there, and one reads at a time.
    let Ok(_one) = core.hooks.transcripts.acquire().await else { return };
    let reading = tokio::task::spawn_blocking(move || {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).ok()?;
        transcript::read_on(&folder, Path::new(&path), flavour).ok()?
    });
    if let Ok(Some(used)) = reading.await {
        let signal = Signal::new(SignalSource::Hook, "its transcript", AgentSignal::UsedMore(used));
        let now = clock::now();
        change(&core, known.id, |known| discovered::heard(known, vec![signal], now)).await;
    }
}

/// Forgets who is silent, and keeps when the others were heard of last; gives of how many more is known now, or less.
pub(crate) async fn sweep(core: Arc<Core>) -> Result<u64, EngineError> {
    let now = clock::now();
    let mut acted = 0;
    for known in core.roster.all() {
        match discovered::silence(&known, now) {
            Silence::Kept => {}
            Silence::Unknown(_) => {
                let silenced = |known: &Discovered| match discovered::silence(known, now) {
                    Silence::Unknown(unknown) => *unknown,
                    // It was heard of meanwhile.
                    Silence::Kept | Silence::Forgotten(_) => known.clone(),
                };
                change(&core, known.id, silenced).await;
                acted += 1;
            }
            Silence::Forgotten(reason) => {
                forget(&core, known.id, reason).await?;
                acted += 1;
            }
        }
    }
    let heard: Vec<SessionId> = core.roster.heard().drain().collect();
    let mut write = Write::default();
    for known in heard.iter().filter_map(|id| core.roster.get(*id)) {
        write.discovered_put(&known);
        acted += 1;
    }
    if let Err(error) = core.store.write(write).await {
        core.roster.heard().extend(heard);
        return Err(error.into());
    }
    Ok(acted)
}

/// Forgets whoever was silent longest while there are too many.
async fn crowd_out(core: &Core) {
    while let Some(known) = silent_longest(core) {
        if let Err(error) = forget(core, known, "there are too many").await {
            tracing::warn!(session = %known, %error, "a discovered session could not be forgotten");
            return;
        }
    }
}

fn silent_longest(core: &Core) -> Option<SessionId> {
    let known = core.roster.known();
    let is_full = known.len() > DISCOVERED_MAX;
    let key = |known: &&Discovered| -> Timestamp { known.heard_at };
    known.values().min_by_key(key).map(|known| known.id).filter(|_| is_full)
}

async fn forget(core: &Core, id: SessionId, reason: &str) -> Result<(), EngineError> {
    let mut write = Write::default();
    write.discovered_forget(id);
    note(&mut write, id, Event::SessionForgotten { reason: reason.to_owned() });
    core.store.write(write).await?;
    core.roster.known().remove(&id);
    // Nothing is in it but where the reading of its transcript stood.
    std::fs::remove_dir_all(hosting::folder_of(core, id)).ok();
    Ok(())
}
