//! Tools for sessions: all of them in one list, and what can be done with those that Adjutant hosts.

use super::ids;
use super::tool::{Access, Asked, Effect, Tool};
use crate::answer::{Answer, Refusal};
use crate::convert;
use crate::http::managed::{self, LinesQuery};
use adjutant_engine::hosting::{self, HostParams, Managed, SessionCommand, SessionFilter};
use adjutant_engine::roster::{self, RosterEntry, RosterFilter, RosterKind};
use adjutant_engine::sessions;
use adjutant_model::SessionId;
use adjutant_model::action::{TokenRecord, Verb};
use adjutant_model::session::SessionPhase;
use adjutant_protocol::{ErrorCode, http, mcp};
use std::time::Duration;

/// A list has at most so many of each kind.
const LIST_MAX: usize = 1000;

/// Gives the tools.
pub(super) fn tools() -> Vec<Tool> {
    let (read, operate) = (Access::Verb(Verb::Read), Access::Verb(Verb::Operate));
    vec![
        Tool::new(
            ("session_list", "List sessions", "Lists every session: managed, attached and discovered ones."),
            read,
            Effect::Reads,
            session_list,
        )
        .with_text_of("sessions"),
        Tool::new(
            (
                "session_status",
                "Show a session",
                "Shows a session: what its agent does since when, how full its context is, and the work that it gave \
                 away with how that ended.",
            ),
            Access::OwnSession(Verb::Read),
            Effect::Reads,
            session_status,
        ),
        Tool::new(
            (
                "session_new",
                "Begin a session",
                "Begins a managed session: a workspace of its own on a branch of its own, and an agent in it that is \
                 told its task. Off unless the owner allows agents to begin sessions; `agent_delegate` asks for it.",
            ),
            operate,
            Effect::Adds,
            session_new,
        ),
        Tool::new(
            (
                "session_stop",
                "Stop a session",
                "Ends a session's agent and all its descendants. Its workspace stays, and nothing starts the agent \
                 again but `session_resume`.",
            ),
            operate,
            Effect::Ends,
            async |asked, params: mcp::SessionParams| command(asked, params, SessionCommand::Stop).await,
        ),
        Tool::new(
            (
                "session_resume",
                "Resume a session",
                "Starts a session's agent again, with the agent's own context where it has one.",
            ),
            operate,
            Effect::Sets,
            async |asked, params: mcp::SessionParams| command(asked, params, SessionCommand::Resume).await,
        ),
        Tool::new(
            (
                "session_decommission",
                "End a session for good",
                "Ends a session's agent and removes its workspace behind a snapshot. Refused while work stands nowhere \
                 but in the workspace: commit and push or merge it first.",
            ),
            operate,
            Effect::Ends,
            async |asked, params: mcp::SessionParams| {
                command(asked, params, SessionCommand::Decommission { force: false }).await
            },
        ),
        Tool::new(
            (
                "session_activity",
                "Look at a session's work",
                "Tells what a session's agent does, what it asks, and the last lines of its terminal.",
            ),
            read,
            Effect::Reads,
            session_activity,
        ),
        Tool::new(
            ("session_screen", "Look at a session's terminal", "Gives what a session's terminal shows."),
            read,
            Effect::Reads,
            session_screen,
        ),
        Tool::new(
            (
                "session_send",
                "Tell a session something",
                "Tells a session's agent something, as its next prompt; done when it was handed over.",
            ),
            operate,
            Effect::Adds,
            session_send,
        ),
    ]
}

async fn session_list(asked: Asked, _nothing: mcp::NoParams) -> Answer<mcp::SessionListView> {
    let plane = &asked.plane;
    let filter = SessionFilter { is_live: true, limit: LIST_MAX, ..SessionFilter::default() };
    let open = plane.delegations_open().await?;
    let delegations = |id: SessionId| open.get(&id).copied().unwrap_or_default();
    let managed = plane.sessions_managed(filter).await?;
    let managed = managed.iter().map(|one| entry(one, delegations(one.session.id)));
    let attached = plane.sessions(LIST_MAX).await?;
    let found = RosterFilter { kind: Some(RosterKind::Discovered), limit: LIST_MAX };
    let found = plane.roster(found).await?;
    let others = attached.iter().map(attached_entry).chain(found.iter().map(discovered_entry));
    let sessions = managed.chain(others).collect();
    Ok(mcp::SessionListView { sessions })
}

/// Gives a session of any kind by its id.
async fn entry_of(asked: &Asked, id: SessionId) -> Answer<mcp::SessionEntryView> {
    if let Some(token) = asked.plane.session_attached(id).await? {
        return Ok(attached_entry(&token));
    }
    if let Some(found) = asked.plane.session_discovered(id) {
        return Ok(discovered_entry(&found));
    }
    let open = asked.plane.delegations_open().await?;
    let managed = asked.plane.session_managed(id).await?;
    Ok(entry(&managed, open.get(&id).copied().unwrap_or_default()))
}

fn entry(managed: &Managed, active_delegations: u32) -> mcp::SessionEntryView {
    let session = &managed.session;
    let names = hosting::status_names(session);
    let is_parked = session.phase == SessionPhase::Parked;
    let view = convert::managed(managed);
    mcp::SessionEntryView {
        kind: "managed".to_owned(),
        id: view.id,
        state: view.state,
        status: names.status.to_owned(),
        control: names.control.to_owned(),
        origin: names.origin.to_owned(),
        role: None,
        workdir: view.workspace_path.clone().or_else(|| view.project.clone()).unwrap_or_default(),
        project_path: view.project,
        workspace_path: view.workspace_path,
        repo_url: view.repo_url,
        branch: view.branch,
        runtime: Some(view.runtime),
        tmux_name: Some(view.name.clone()),
        name: view.name,
        attach_cmd: view.attach_cmd,
        pid: view.pid,
        activity: Some(view.activity),
        pending_decision: view.pending_decision,
        proposed_default: view.proposed_default,
        goal_id: view.goal_id,
        parent: view.parent,
        active_delegations,
        created_at: view.created_at,
        last_seen: view.last_activity_at.clone(),
        last_activity_at: view.last_activity_at,
        paused_at: is_parked.then_some(view.updated_at),
        pause_summary: view.reason.filter(|_| is_parked),
    }
}

fn attached_entry(token: &TokenRecord) -> mcp::SessionEntryView {
    let names = sessions::status_names(token);
    let last_seen_at = token.last_seen_at.map(|at| at.to_string());
    mcp::SessionEntryView {
        kind: "attached".to_owned(),
        id: token.session_id.map(|id| id.to_string()).unwrap_or_default(),
        name: token.agent_id.as_deref().unwrap_or_default().to_owned(),
        state: "active".to_owned(),
        status: names.status.to_owned(),
        control: names.control.to_owned(),
        origin: names.origin.to_owned(),
        role: Some(token.role.as_str().to_owned()),
        created_at: token.created_at.to_string(),
        last_seen: last_seen_at.clone(),
        last_activity_at: last_seen_at,
        ..mcp::SessionEntryView::default()
    }
}

fn discovered_entry(found: &RosterEntry) -> mcp::SessionEntryView {
    let names = roster::status_names(found);
    let view = convert::session(found);
    mcp::SessionEntryView {
        kind: view.kind,
        id: view.id,
        name: view.name,
        state: view.state,
        status: names.status.to_owned(),
        control: names.control.to_owned(),
        origin: names.origin.to_owned(),
        workdir: view.cwd.unwrap_or_default(),
        runtime: Some(view.agent_id),
        activity: Some(view.activity),
        pending_decision: found.questions.first().map(|question| question.text.clone()),
        created_at: view.created_at,
        last_seen: view.last_seen_at.clone(),
        last_activity_at: view.last_seen_at,
        ..mcp::SessionEntryView::default()
    }
}

async fn session_status(asked: Asked, params: mcp::SessionParams) -> Answer<mcp::SessionStatusView> {
    let id = ids::session(&params.session_id)?;
    if asked.caller.of_session.is_some_and(|own| own != id) {
        return Err(Refusal::new(ErrorCode::Forbidden, "an agent looks at its own session alone"));
    }
    let session = entry_of(&asked, id).await?;
    let delegations = match session.kind.as_str() {
        "managed" => asked.plane.delegations(&asked.caller, id, LIST_MAX).await?,
        _ => Vec::new(),
    };
    let said = asked.plane.context_usage(id).await?;
    let memory = said.map(|usage| mcp::MemoryUsageView {
        used_tokens: usage.used_tokens,
        window_tokens: usage.window_tokens,
    });
    Ok(mcp::SessionStatusView {
        session,
        memory,
        delegation_count: delegations.len(),
        delegations: delegations.iter().map(convert::delegation).collect(),
    })
}

async fn session_new(asked: Asked, params: mcp::SessionNewParams) -> Answer<http::ManagedView> {
    let mcp::SessionNewParams { repo_url, git_ref, task, name_hint, runtime } = params;
    let params = HostParams {
        repo_url: Some(repo_url),
        git_ref: Some(git_ref),
        task,
        name_hint,
        agent: runtime,
        ..HostParams::default()
    };
    let patience = Duration::from_millis(managed::WAIT_MS);
    Ok(convert::managed(&asked.plane.session_spawn(&asked.caller, params, patience).await?))
}

async fn command(
    asked: Asked,
    params: mcp::SessionParams,
    command: SessionCommand,
) -> Answer<http::ManagedView> {
    let id = ids::managed_session(&params.session_id)?;
    Ok(managed::done(&asked.plane, &id.to_string(), command).await?.0)
}

async fn session_activity(asked: Asked, params: mcp::SessionLinesParams) -> Answer<mcp::SessionActivityView> {
    let id = ids::managed_session(&params.session_id)?;
    let lines = LinesQuery { lines: params.lines }.lines()?;
    // Of an agent that is not there the session is told all the same.
    let screen = asked.plane.session_screen(id, lines).await.unwrap_or_default();
    let view = convert::managed_activity(&asked.plane.session_managed(id).await?, &screen);
    Ok(mcp::SessionActivityView {
        id: view.id,
        name: view.name,
        state: view.state,
        activity: view.activity,
        raw_pane: view.raw_pane,
        lines,
        runtime_active: view.runtime_active,
        pending_decision: view.pending_decision,
        proposed_default: view.proposed_default,
    })
}

async fn session_screen(asked: Asked, params: mcp::SessionLinesParams) -> Answer<http::ScreenView> {
    let id = ids::managed_session(&params.session_id)?;
    let lines = LinesQuery { lines: params.lines }.lines()?;
    Ok(convert::screen(asked.plane.session_screen(id, lines).await?))
}

async fn session_send(asked: Asked, params: mcp::SessionSendParams) -> Answer<http::SentView> {
    let id = ids::managed_session(&params.session_id)?;
    managed::sent(&asked.plane, id, params.text).await
}
