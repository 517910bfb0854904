//! The plane: the one object that doors hold.

use crate::approvals::{self, Answer, Answerer, Approvals, Face};
use crate::blueprints::{self, Blueprints, Callees};
use crate::breakers::{self, BreakerInfo};
use crate::calls::{self, Calls};
use crate::care::Care;
use crate::care::retention::{self, Retention};
use crate::checks::{self, CheckedBy};
use crate::clients::{self, Clients, Connection, ConnectionParams};
use crate::clock;
use crate::config::{self, ConfigError, Live};
use crate::data::{self, Data, EmitParams, OutputParams, Upload};
use crate::delegations;
use crate::doctor::{Doctor, LookParams, Looked};
use crate::enhance::{self, Enhance, IssueFilter, IssueParams, SettingParams};
use crate::error::EngineError;
use crate::explain::{self, Explanation};
use crate::gate::{Gate, ToolJudged};
use crate::goals::{self, Goals};
use crate::handoffs::{self, Handoffs};
use crate::hooks::{self, HookAnswered, HookParams, Hooks};
use crate::hosting::{self, Drivers, Hosting};
use crate::identity::{self, Tokens};
use crate::jobs::{self, JobStatus, Jobs};
use crate::load::{self, PlaneLoad};
use crate::metrics::Meters;
use crate::operators::{
    self, Assignees, Delivery, Handover, JoinParams, Material, OperatorInfo, OperatorLink, Operators,
    WorkerPrompt,
};
use crate::places::Places;
use crate::record;
use crate::registry::{
    self, Archived, BlueprintDiff, BlueprintDocument, BlueprintFilter, BlueprintWrite, BlueprintWritten,
    ListedBlueprint, VersionSelector,
};
use crate::reports::{self, Reports};
use crate::roster::{Roster, discovered};
use crate::runs::{self, Rerun, Resumed, RunCommand, RunDirectory, ToolEnd, ToolQuestion};
use crate::sessions::{self, SessionMade, SessionParams};
use crate::settings::Settings;
use crate::steps::{self, Bindings, Content, OutputInfo, StepInfo};
use crate::tasks::{self, RekickParams, TaskParams, TaskStarted};
use crate::telemetry;
use crate::worker::{Progress, Secret};
use crate::workspaces::{
    self, MergeRequest, MergedInfo, RemovedInfo, RestoreRequest, RestoredInfo, UsageInfo, WorkspaceInfo,
};
use adjutant_model::action::{Caller, Role, StepBinding, TokenRecord, Verb};
use adjutant_model::client_run::{Approval, ApprovalStatus};
use adjutant_model::data::OutputRecord;
use adjutant_model::event::{Event, JournalRow};
use adjutant_model::hook::HookRecord;
use adjutant_model::issue::{EnhanceEntry, EnhanceSetting, Issue};
use adjutant_model::operator::Operator;
use adjutant_model::policy::ToolCall;
use adjutant_model::registry::BlueprintVersion;
use adjutant_model::run::{RunRecord, RunStatus, TaskRecord, TurnRecord, Usage};
use adjutant_model::{Holder, IssueId, RunId, SessionId, StepId, TaskId, Timestamp, TokenId, Value};
use adjutant_rules::access;
use adjutant_rules::compress::CompressStats;
use adjutant_rules::document::Lint;
use adjutant_rules::operator::Acquired;
use adjutant_rules::policy::{self, PolicyFile};
use adjutant_sessions::git::Git;
use adjutant_sessions::worktree::{RemoveMode, Snapshot};
use adjutant_store::{
    Bodies, Draft, OpenError, RestoreError, RunFilter, Store, StoreOptions, TaskEntry, TokenFilter,
    TurnFilter, Write,
};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often a waiting request looks whether the store takes writes.
const STORE_LOOK: Duration = Duration::from_secs(1);

/// Why the plane did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The store could not be opened.
    #[error("the store could not be opened")]
    Open(#[from] OpenError),
    /// A restore that was under way could not be brought to its end.
    #[error("a restore of the store could not be brought to its end")]
    Restore(#[from] RestoreError),
    /// The policy file cannot be used.
    #[error("the policy file {} cannot be used: {}", path.display(), lints.first().map(ToString::to_string).unwrap_or_default())]
    Policy {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        lints: Vec<Lint>,
    },
    /// The settings cannot be used.
    #[error("{} cannot be used", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: ConfigError,
    },
    /// A file could not be read.
    #[error("{} could not be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// What is open could not be resumed.
    #[error("the open runs could not be resumed")]
    Resume(#[source] EngineError),
}

/// The plane; clone it to hold it in another place.
#[derive(Debug, Clone)]
pub struct Plane {
    pub(crate) core: Arc<Core>,
}

/// What the plane's parts share.
#[derive(Debug)]
pub(crate) struct Core {
    /// The settings as they were at the start; [`Core::live`] gives them as they hold now.
    pub(crate) settings: Settings,
    pub(crate) live: Live,
    pub(crate) store: Store,
    pub(crate) gate: Gate,
    pub(crate) git: Git,
    pub(crate) goals: Goals,
    pub(crate) blueprints: Blueprints,
    pub(crate) places: Places,
    pub(crate) clients: Clients,
    pub(crate) approvals: Approvals,
    pub(crate) operators: Operators,
    pub(crate) enhance: Enhance,
    pub(crate) hooks: Hooks,
    pub(crate) reports: Reports,
    pub(crate) runs: RunDirectory,
    pub(crate) hosting: Hosting,
    pub(crate) handoffs: Handoffs,
    pub(crate) roster: Roster,
    pub(crate) tokens: Tokens,
    pub(crate) jobs: Jobs,
    pub(crate) calls: Calls,
    pub(crate) data: Data,
    pub(crate) care: Care,
    pub(crate) retention: Retention,
    pub(crate) meters: Meters,
    doctor: Doctor,
    /// Every task of the plane but the keeper of goals.
    pub(crate) tasks: TaskTracker,
    /// Is cancelled when the plane stops: owners park their runs.
    pub(crate) stopping: CancellationToken,
    /// This daemon's name as an owner of runs.
    pub(crate) owner: String,
    endpoint: OnceLock<String>,
    started_at: Timestamp,
}

impl Core {
    /// Gives the address that started agents ask the gate at.
    pub(crate) fn endpoint(&self) -> Option<String> {
        self.endpoint.get().cloned()
    }

    /// Gives when the daemon started.
    pub(crate) fn started_at(&self) -> Timestamp {
        self.started_at
    }

    /// Writes a version of a blueprint by an author's name; `extra` is committed with it, and alone when the head held
    /// the document already.
    ///
    /// # Errors
    /// As [`Plane::blueprint_write`]; nothing of `extra` was kept then either.
    pub(crate) async fn blueprint_write(
        &self,
        author: &str,
        write: BlueprintWrite,
        extra: Option<Write>,
    ) -> Result<BlueprintWritten, EngineError> {
        registry::write(self, author, write, extra).await
    }
}

/// Which tokens are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokensShown {
    /// Those that let somebody in, but for those of steps.
    Good,
    /// All that are not forgotten.
    All,
}

/// How the plane is.
#[derive(Debug, Clone, PartialEq)]
pub struct PlaneStatus {
    /// Adjutant's version.
    pub version: String,
    /// When it started.
    pub started_at: Timestamp,
    /// How many runs are open.
    pub runs_open: usize,
    /// The place of the journal's last row.
    pub journal_seq: i64,
    /// Why writes fail, while they do.
    pub store_failure: Option<String>,
}

impl Plane {
    /// Opens the store of the data folder, which the caller has locked.
    ///
    /// Nothing runs yet: say where agents find the gate, and then [`Plane::resume`].
    ///
    /// # Errors
    /// [`StartError`]
    pub async fn open(settings: Settings) -> Result<Plane, StartError> {
        reports::choose_crypto();
        let started_at = clock::now();
        let path = settings.folder.join(config::FILE);
        let (live, settings) = Live::open(settings).map_err(|source| StartError::Config { path, source })?;
        let commit_hook = settings.faults.commits.clone();
        // What a restore had left to do is done before anything is opened.
        if adjutant_store::restore::finish(&settings.folder)? {
            tracing::info!("a restored store has taken its place");
        }
        let options = StoreOptions { commit_hook, ..StoreOptions::new(&settings.folder) };
        let store = Store::open(options, started_at)?;
        let bodies = Bodies::open(&settings.folder).map_err(|source| {
            let path = settings.folder.clone();
            StartError::Read { path, source }
        })?;
        let data = Data::new(bodies, settings.data_uploads_max);
        let meters = Meters::default();
        let gate = Gate::new(read_policy(&settings)?).with_meters(meters.clone());
        let goals = Goals::start(store.clone(), settings.folder.clone()).await;
        let (goals, keeper) = goals.map_err(StartError::Resume)?;
        tokio::spawn(keeper);
        let (hooks, arrived) = Hooks::new();
        let core = Core {
            blueprints: Blueprints::default(),
            places: Places::default(),
            clients: Clients::default(),
            approvals: Approvals::default(),
            operators: Operators::default(),
            enhance: Enhance::default(),
            git: Git::new(&settings.env),
            gate,
            goals,
            hooks,
            reports: Reports::default(),
            runs: RunDirectory::default(),
            hosting: Hosting::new(Drivers::new(&settings)),
            handoffs: Handoffs::default(),
            roster: Roster::default(),
            tokens: Tokens::default(),
            jobs: Jobs::default(),
            calls: Calls::default(),
            data,
            care: Care::default(),
            retention: Retention::default(),
            meters,
            doctor: Doctor::default(),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            owner: clock::fresh_id().simple().to_string(),
            endpoint: OnceLock::new(),
            started_at,
            store,
            settings,
            live,
        };
        let core = Arc::new(core);
        core.tasks.spawn(hooks::keep(core.clone(), arrived));
        core.tasks.spawn(reports::watch(core.clone()));
        Ok(Plane { core })
    }

    /// Says where started agents find the gate, such as `http://127.0.0.1:4100`; the first one told stays.
    pub fn endpoint_set(&self, address: String) {
        let _first = self.core.endpoint.get_or_init(|| address);
    }

    /// Writes that the daemon has started, and gives every open run an owner again.
    ///
    /// # Errors
    /// [`StartError::Resume`]
    pub async fn resume(&self) -> Result<(), StartError> {
        let event =
            Event::DaemonStarted { version: self.core.settings.version.clone(), pid: std::process::id() };
        self.note(event).await.map_err(StartError::Resume)?;
        approvals::withdraw_left_over(&self.core).await.map_err(StartError::Resume)?;
        operators::load(&self.core).await.map_err(StartError::Resume)?;
        discovered::load(&self.core).await.map_err(StartError::Resume)?;
        // Before whoever waits for a session: it has one owner.
        hosting::resume_open(&self.core).await.map_err(StartError::Resume)?;
        delegations::resume_open(&self.core).await.map_err(StartError::Resume)?;
        handoffs::resume_open(&self.core).await.map_err(StartError::Resume)?;
        checks::sweep(&self.core).await;
        calls::lose_open(&self.core).await.map_err(StartError::Resume)?;
        clients::resume_open(&self.core).await.map_err(StartError::Resume)?;
        runs::resume_open(&self.core).await.map_err(StartError::Resume)?;
        self.core.goals.follow_all().await;
        goals::pursuits_resume(&self.core);
        self.start_jobs();
        telemetry::start(&self.core);
        Ok(())
    }

    fn start_jobs(&self) {
        let core = &self.core;
        let Settings {
            token_uses_ms,
            token_forget_ms,
            data_collect_ms,
            enhance_ms,
            operator_sweep_ms,
            hook_forget_ms,
            hook_spool_ms,
            discovered_sweep_ms,
            workspace_collect_ms,
            errors_ms,
            retention_ms,
            goal_recheck_ms,
            ..
        } = core.settings;
        jobs::start(core, "token_uses", Duration::from_millis(token_uses_ms), identity::uses_keep);
        jobs::start(core, "token_forget", Duration::from_millis(token_forget_ms), identity::forget_old);
        jobs::start(core, "operators", Duration::from_millis(operator_sweep_ms), operators::sweep);
        jobs::start(core, "data_collect", Duration::from_millis(data_collect_ms), data::collect);
        jobs::start(core, "hook_forget", Duration::from_millis(hook_forget_ms), hooks::forget_old);
        jobs::start(core, retention::JOB, Duration::from_millis(retention_ms), retention::round);
        jobs::start(core, "call_forget", Duration::from_millis(retention_ms), calls::forget_old);
        jobs::start(core, "hook_spool", Duration::from_millis(hook_spool_ms), hooks::spool::take_everywhere);
        jobs::start(core, "discovered", Duration::from_millis(discovered_sweep_ms), discovered::sweep);
        jobs::start(core, reports::JOB, Duration::from_millis(errors_ms), reports::keep);
        core.jobs.nudge(reports::JOB);
        jobs::start(core, "data_sweep", Duration::ZERO, data::sweep);
        core.jobs.nudge("data_sweep");
        jobs::start(core, "workspaces", Duration::from_millis(workspace_collect_ms), workspaces::collect);
        jobs::start(core, enhance::JOB, Duration::from_millis(enhance_ms), enhance::round);
        core.jobs.nudge(enhance::JOB);
        jobs::start(core, goals::recheck::JOB, Duration::from_millis(goal_recheck_ms), goals::recheck::round);
        core.jobs.nudge(goals::recheck::JOB);
        jobs::start(core, goals::overdue::JOB, Duration::from_millis(goal_recheck_ms), goals::overdue::round);
        core.jobs.nudge(goals::overdue::JOB);
    }

    /// Takes no new work, parks the open runs, and closes the store. The next daemon resumes them.
    pub async fn stop(&self) {
        self.core.stopping.cancel();
        self.core.tasks.close();
        self.core.tasks.wait().await;
        self.core.hosting.drivers.leave().await;
        self.core.hosting.drivers.tidy();
        if let Err(error) = identity::uses_keep(self.core.clone()).await {
            tracing::warn!(%error, "how often tokens were shown last could not be kept");
        }
        if let Err(error) = reports::keep(self.core.clone()).await {
            tracing::warn!(%error, "the last errors could not be kept");
        }
        if let Err(error) = self.note(Event::DaemonStopped {}).await {
            tracing::warn!(%error, "the daemon's stop could not be journalled");
        }
        if let Err(error) = self.core.store.close().await {
            tracing::warn!(%error, "the store was not closed in good order; it is made good at the next start");
        }
    }

    /// Looks whether the database is whole; gives what is wrong.
    ///
    /// # Errors
    /// [`EngineError::Read`]
    pub async fn quick_check(&self) -> Result<Vec<String>, EngineError> {
        Ok(self.core.store.quick_check().await?)
    }

    /// Tells how the plane is.
    pub fn status(&self) -> PlaneStatus {
        PlaneStatus {
            version: self.core.settings.version.clone(),
            started_at: self.core.started_at,
            runs_open: self.core.runs.len(),
            journal_seq: *self.core.store.committed().borrow(),
            store_failure: self.core.store.health().writes_failing.map(|failure| failure.error.to_string()),
        }
    }

    /// Gives how much the plane has to do, and how much it holds.
    pub async fn load(&self) -> PlaneLoad {
        load::of(&self.core).await
    }

    /// Looks at what Adjutant needs outside of itself; what was found a moment ago still counts.
    pub async fn looked(&self) -> Arc<Looked> {
        let crate::settings::Settings { folder, env, exe, .. } = &self.core.settings;
        self.core.doctor.looked(LookParams { folder, env, exe }).await
    }

    /// Gives the path of the database.
    pub fn store_path(&self) -> &Path {
        self.core.store.path()
    }

    /// Gives the address that the plane was told, such as `http://127.0.0.1:4100`.
    pub fn endpoint(&self) -> Option<String> {
        self.core.endpoint()
    }

    /// Finds who shows a token; `None` when it is unknown, revoked or over.
    ///
    /// # Errors
    /// [`EngineError::Read`]
    pub async fn authenticate(&self, secret: &str) -> Result<Option<Caller>, EngineError> {
        identity::authenticate(&self.core, secret).await
    }

    /// Tells whether a caller's role lets it do something.
    pub fn may(&self, caller: &Caller, verb: Verb) -> bool {
        access::may(caller.role, verb)
    }

    /// Gives the roles that may do something, but for the owner's.
    pub fn roles_that_may(verb: Verb) -> Vec<Role> {
        access::SESSION_ROLES.into_iter().filter(|role| access::may(*role, verb)).collect()
    }

    /// Makes an owner's token; only its hash is kept.
    ///
    /// # Errors
    /// [`EngineError::Write`]
    pub async fn owner_token_create(&self) -> Result<Secret, EngineError> {
        identity::owner_token_create(&self.core).await
    }

    /// Makes a token that acts as an agent, for so many seconds.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`] for other callers than a host.
    pub async fn agent_token_create(
        &self,
        caller: &Caller,
        agent_id: &str,
        ttl_secs: u64,
    ) -> Result<Secret, EngineError> {
        identity::agent_token_create(&self.core, caller, agent_id, ttl_secs).await
    }

    /// Gives tokens, the newest first.
    ///
    /// # Errors
    /// [`EngineError::Read`]
    pub async fn tokens(&self, which: TokensShown, limit: usize) -> Result<Vec<TokenRecord>, EngineError> {
        let filter = match which {
            TokensShown::Good => TokenFilter {
                good_at: Some(clock::now()),
                without_steps: true,
                limit,
                ..TokenFilter::default()
            },
            TokensShown::All => TokenFilter { limit, ..TokenFilter::default() },
        };
        identity::list(&self.core, filter).await
    }

    /// Takes a token back: nobody is let in by it any more, and whoever was is let go.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`] for others than a host, [`EngineError::Conflict`] for the token that is shown and for
    /// one that was taken back.
    pub async fn token_revoke(
        &self,
        caller: &Caller,
        token_id: &TokenId,
    ) -> Result<TokenRecord, EngineError> {
        identity::revoke(&self.core, caller, token_id).await
    }

    /// Returns when a caller's token was taken back or is over; never where there is none.
    pub async fn token_ended(&self, caller: &Caller) {
        identity::ended(&self.core, caller).await;
    }

    /// Makes an attached session; its secret is in what this gives and nowhere else.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`] when the caller may not let this role in, [`EngineError::Invalid`] for an unknown role.
    pub async fn session_create(
        &self,
        caller: &Caller,
        params: SessionParams,
    ) -> Result<SessionMade, EngineError> {
        sessions::create(&self.core, caller, params).await
    }

    /// Gives the attached sessions that live, the newest first.
    ///
    /// # Errors
    /// [`EngineError::Read`]
    pub async fn sessions(&self, limit: usize) -> Result<Vec<TokenRecord>, EngineError> {
        sessions::list(&self.core, limit).await
    }

    /// Gives an attached session that lives; nothing when there is none of this public name.
    ///
    /// # Errors
    /// [`EngineError::Read`]
    pub async fn session_attached(&self, id: SessionId) -> Result<Option<TokenRecord>, EngineError> {
        sessions::get(&self.core, id).await
    }

    /// Ends a session by its public name.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Forbidden`] when the caller may not let its role in.
    pub async fn session_end(&self, caller: &Caller, session_id: SessionId) -> Result<(), EngineError> {
        sessions::end(&self.core, caller, session_id).await
    }

    /// Ends the session whose secret is shown; once.
    ///
    /// # Errors
    /// [`EngineError::NotFound`]
    pub async fn session_leave(&self, secret: &str) -> Result<(), EngineError> {
        sessions::leave(&self.core, secret).await
    }

    /// Begins a body on the data path.
    ///
    /// # Errors
    /// [`EngineError::Invalid`], [`EngineError::Forbidden`], [`EngineError::TooLarge`], [`EngineError::Crowded`].
    pub async fn output_begin(&self, caller: &Caller, params: OutputParams) -> Result<Upload, EngineError> {
        data::begin(&self.core, caller, params).await
    }

    /// Keeps what a worker emits.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`] for another step than the token's, [`EngineError::TooLarge`].
    pub async fn output_emit(
        &self,
        caller: &Caller,
        params: EmitParams,
    ) -> Result<OutputRecord, EngineError> {
        data::emit(&self.core, caller, params).await
    }

    /// Gives an output by its id, or the latest of a name; with a run only what the run refers to.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] for one that is not there, or that the caller may not see.
    pub async fn output_get(
        &self,
        caller: &Caller,
        key: &str,
        run_id: Option<RunId>,
    ) -> Result<OutputRecord, EngineError> {
        data::get(&self.core, caller, key, run_id).await
    }

    /// Lists the outputs that a caller sees, the newest first; with a run those that the run refers to.
    ///
    /// # Errors
    /// [`EngineError::Read`]
    pub async fn outputs(
        &self,
        caller: &Caller,
        run_id: Option<RunId>,
        limit: usize,
    ) -> Result<Vec<OutputRecord>, EngineError> {
        data::list(&self.core, caller, run_id, limit).await
    }

    /// Opens the bytes of an output that is no event.
    ///
    /// # Errors
    /// [`EngineError::Body`]
    pub async fn output_open(&self, output: &OutputRecord) -> Result<tokio::fs::File, EngineError> {
        data::read(&self.core, output).await
    }

    /// Gives how long a body may arrive without a byte.
    pub fn body_idle(&self) -> Duration {
        Duration::from_millis(self.core.settings.data_idle_ms)
    }

    /// Makes a periodic job look at once, and gives how its rounds went when that one has ended; nothing when there is
    /// no such job or the plane stops.
    pub async fn job_run(&self, name: &str) -> Option<JobStatus> {
        self.core.jobs.run(name).await
    }

    /// Gives who acts where authentication is switched off: the owner.
    pub fn unauthenticated_owner(&self) -> Caller {
        identity::unauthenticated_owner()
    }

    /// Takes up a client's connection.
    pub fn connect(&self, params: ConnectionParams) -> Arc<Connection> {
        Connection::new(self.core.clone(), params)
    }

    /// Tells whether a token that is not good any more was a step's worker's.
    ///
    /// # Errors
    /// [`EngineError::Read`]
    pub async fn was_of_step(&self, secret: &str) -> Result<bool, EngineError> {
        identity::was_of_step(&self.core, secret).await
    }

    /// Takes an operator in; gives it with the token that opens its socket.
    ///
    /// # Errors
    /// [`EngineError::Conflict`] when a role is another live operator's.
    pub async fn operator_join(
        &self,
        caller: &Caller,
        params: JoinParams,
    ) -> Result<(Operator, Secret), EngineError> {
        operators::join(&self.core, caller, params).await
    }

    /// Lists the operators that are known, the newest first.
    pub fn operator_list(&self) -> Vec<OperatorInfo> {
        operators::list(&self.core)
    }

    /// Gives an operator, to itself and to whoever reads everything.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Forbidden`]
    pub fn operator_get(&self, caller: &Caller, sid: &str) -> Result<OperatorInfo, EngineError> {
        operators::get(&self.core, caller, sid)
    }

    /// Lets an operator go: its socket closes and its seats are vacant.
    ///
    /// # Errors
    /// As [`Plane::operator_get`].
    pub async fn operator_leave(&self, caller: &Caller, sid: &str) -> Result<(), EngineError> {
        operators::leave(&self.core, caller, sid).await
    }

    /// Takes up an operator's socket; one that it had before is over.
    ///
    /// # Errors
    /// As [`Plane::operator_get`].
    pub fn operator_attach(&self, caller: &Caller, sid: &str) -> Result<OperatorLink, EngineError> {
        operators::attach(&self.core, caller, sid)
    }

    /// Lets an operator take a seat of a run over; durable when this returns.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`] when an operator takes it for another, [`EngineError::Invalid`] for a seat that is
    /// not there.
    pub async fn seat_acquire(
        &self,
        caller: &Caller,
        run_id: &RunId,
        (op, desc, slot): (&str, &str, Option<String>),
    ) -> Result<Acquired, EngineError> {
        operators::acquire(&self.core, caller, run_id, (op, desc, slot)).await
    }

    /// Gives who holds the seats of a run.
    ///
    /// # Errors
    /// [`EngineError::NotFound`]
    pub async fn assignees(&self, run_id: &RunId) -> Result<Assignees, EngineError> {
        operators::assignees(&self.core, run_id).await
    }

    /// Gives what a new holder of a run's seats has to know.
    ///
    /// # Errors
    /// [`EngineError::NotFound`]
    pub async fn handover(&self, run_id: &RunId) -> Result<Handover, EngineError> {
        operators::handover(&self.core, run_id).await
    }

    /// Gives what the worker of an open step is told.
    ///
    /// # Errors
    /// [`EngineError::NotFound`]
    pub async fn material(&self, run_id: &RunId, step: &StepId) -> Result<Material, EngineError> {
        operators::material(&self.core, run_id, step).await
    }

    /// Gives what the bearer of a worker's token is to do.
    ///
    /// # Errors
    /// [`EngineError::Over`] when the step has ended, [`EngineError::Conflict`] when its seat has changed hands.
    pub async fn worker_prompt(
        &self,
        caller: &Caller,
        step: Option<&StepId>,
    ) -> Result<WorkerPrompt, EngineError> {
        operators::prompt(&self.core, caller, step).await
    }

    /// Takes what the bearer of a worker's token delivers; durable when this returns.
    ///
    /// # Errors
    /// As [`Plane::worker_prompt`], and [`EngineError::Unfit`] when it breaks the agent's contract.
    pub async fn worker_deliver(
        &self,
        caller: &Caller,
        step: Option<&StepId>,
        delivery: Delivery,
    ) -> Result<(), EngineError> {
        operators::deliver(&self.core, caller, step, delivery).await
    }

    /// Makes a token that a managed session's agent, its hooks and its children bear.
    ///
    /// # Errors
    /// [`EngineError::Write`]
    pub async fn session_token_create(&self, session_id: SessionId) -> Result<Secret, EngineError> {
        let (secret, record) = identity::session_token(session_id);
        let mut write = Write::default();
        write.token_put(&record);
        self.core.store.write(write).await?;
        Ok(secret)
    }

    /// Takes a hook of an agent; for one that decides the answer comes when it is decided, which may need a person.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`] when the token is not the session's, [`EngineError::NotFound`] without a session.
    pub async fn hook_received(
        &self,
        caller: &Caller,
        params: HookParams,
    ) -> Result<HookAnswered, EngineError> {
        hooks::received(&self.core, caller, params).await
    }

    /// Takes a hook of an agent that does a step as a program, and gives what it reads; nothing when it is told nothing.
    /// The answer comes as that of [`Plane::hook_received`].
    ///
    /// # Errors
    /// As [`Plane::tool_judge`], and [`EngineError::Invalid`] for what is no hook.
    pub async fn hook_of_step(
        &self,
        caller: &Caller,
        body: Value,
    ) -> Result<Option<serde_json::Value>, EngineError> {
        hooks::step::received(self, caller, body).await
    }

    /// Gives what the hooks of a session told, in order, from the one behind `after`.
    ///
    /// # Errors
    /// [`EngineError::Read`]
    pub async fn hook_events(
        &self,
        session_id: SessionId,
        after: i64,
        limit: usize,
    ) -> Result<Vec<HookRecord>, EngineError> {
        Ok(self.core.store.hook_events(session_id, after, limit).await?)
    }

    /// Gives how much of the outputs that hooks brought is kept, since the plane's start.
    pub fn hooks_compressed(&self) -> CompressStats {
        self.core.hooks.compressed()
    }

    /// Gives the breakers that are kept, by the agent's name.
    ///
    /// # Errors
    /// [`EngineError::Read`]
    pub async fn breakers(&self, limit: usize) -> Result<Vec<BreakerInfo>, EngineError> {
        breakers::list(&self.core, limit).await
    }

    /// Gives the breaker of an agent; that of one of which nothing is kept is closed.
    ///
    /// # Errors
    /// [`EngineError::Read`]
    pub async fn breaker(&self, agent: &str) -> Result<BreakerInfo, EngineError> {
        breakers::of(&self.core, agent).await
    }

    /// Closes the breaker of an agent that somebody says is well again.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] when none is kept.
    pub async fn breaker_reset(&self, caller: &Caller, agent: &str) -> Result<BreakerInfo, EngineError> {
        breakers::reset(&self.core, caller, agent).await
    }

    /// Gives approvals, those of one status or all, the newest first.
    ///
    /// # Errors
    /// [`EngineError::Read`]
    pub async fn approvals(
        &self,
        status: Option<ApprovalStatus>,
        limit: usize,
    ) -> Result<Vec<Approval>, EngineError> {
        Ok(self.core.store.approvals(status, limit).await?)
    }

    /// Takes a person's answer to an approval.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`] for the one who asked, [`EngineError::Conflict`] when it has an answer.
    pub async fn approval_answer(
        &self,
        id: &str,
        answer: Answer<'_>,
        answerer: Answerer<'_>,
    ) -> Result<Approval, EngineError> {
        approvals::answer(&self.core, id, answer, answerer).await
    }

    /// Registers a version of a blueprint, which becomes its head.
    ///
    /// # Errors
    /// [`EngineError::Blueprint`] when it cannot run, [`EngineError::BlueprintConflict`] when the head is not the one
    /// that was named, [`EngineError::BlueprintArchived`]; nothing was kept then.
    pub async fn blueprint_write(
        &self,
        caller: &Caller,
        write: BlueprintWrite,
    ) -> Result<BlueprintWritten, EngineError> {
        self.core.blueprint_write(&caller.actor(), write, None).await
    }

    /// Says everything that is wrong with a document, and keeps nothing.
    ///
    /// # Errors
    /// [`EngineError::Read`]
    pub async fn blueprint_lint(&self, document: &Value) -> Result<Vec<Lint>, EngineError> {
        let ready = match self.core.blueprints.ready(document) {
            Ok(ready) => ready,
            Err(lints) => return Ok(lints),
        };
        let warnings = ready.warnings.clone();
        match blueprints::link(&self.core, ready.clone(), Callees::With(&ready)).await {
            Ok(_) => Ok(warnings),
            Err(EngineError::Blueprint { lints }) => Ok(lints.into_iter().chain(warnings).collect()),
            Err(error) => Err(error),
        }
    }

    /// Gives a blueprint's head with its document; an archived one too, which says so.
    ///
    /// # Errors
    /// [`EngineError::NotFound`]
    pub async fn blueprint_head(&self, id: &str) -> Result<BlueprintDocument, EngineError> {
        registry::head(&self.core, id).await
    }

    /// Gives a version of a blueprint with its document.
    ///
    /// # Errors
    /// [`EngineError::NotFound`]
    pub async fn blueprint_version(&self, id: &str, version: &str) -> Result<BlueprintDocument, EngineError> {
        registry::version(&self.core, id, version).await
    }

    /// Gives a blueprint's versions, those before a number or all, the newest first.
    ///
    /// # Errors
    /// [`EngineError::NotFound`]
    pub async fn blueprint_history(
        &self,
        id: &str,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<BlueprintVersion>, EngineError> {
        registry::history(&self.core, id, before, limit).await
    }

    /// Says what changed between two versions; without `to` up to the head, without `from` since the version that
    /// `to` was based on.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Invalid`] when there is nothing to compare with.
    pub async fn blueprint_diff(
        &self,
        id: &str,
        from: Option<&str>,
        to: Option<&str>,
    ) -> Result<BlueprintDiff, EngineError> {
        registry::diff(&self.core, id, from, to).await
    }

    /// Lists blueprints in the order of their ids, built-in ones among them.
    ///
    /// # Errors
    /// [`EngineError::Read`]
    pub async fn blueprint_list(&self, filter: BlueprintFilter) -> Result<Vec<ListedBlueprint>, EngineError> {
        registry::list(&self.core, filter).await
    }

    /// Archives a blueprint: it is kept, and neither runs nor changes. Its open runs go on.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Conflict`] for what is only built in.
    pub async fn blueprint_archive(&self, caller: &Caller, id: &str) -> Result<(), EngineError> {
        registry::archive(&self.core, &caller.actor(), id, Archived::Yes).await
    }

    /// Takes a blueprint out of the archive.
    ///
    /// # Errors
    /// [`EngineError::NotFound`]
    pub async fn blueprint_unarchive(&self, caller: &Caller, id: &str) -> Result<(), EngineError> {
        registry::archive(&self.core, &caller.actor(), id, Archived::No).await
    }

    /// Gives the version that a selector means, and its document.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::BlueprintArchived`]
    pub async fn blueprint_resolve(
        &self,
        id: &str,
        selector: &VersionSelector,
    ) -> Result<(String, Value), EngineError> {
        registry::resolve(&self.core, id, selector).await
    }

    /// Accepts a task; when this returns its run is durable.
    ///
    /// # Errors
    /// [`EngineError`]; nothing was kept then.
    pub async fn task_start(&self, caller: &Caller, params: TaskParams) -> Result<TaskStarted, EngineError> {
        tasks::start(&self.core, (caller, Face::Person), params).await
    }

    /// Accepts a task of a model, as [`Plane::task_start`] does. Steps that begin agents wait for a person unless
    /// `sessions.agents_may_spawn` lets models begin them, and what the run asks is never answered by that model.
    ///
    /// # Errors
    /// As [`Plane::task_start`].
    pub async fn task_spawn(&self, caller: &Caller, params: TaskParams) -> Result<TaskStarted, EngineError> {
        tasks::start(&self.core, (caller, Face::Model), params).await
    }

    /// Accepts another run of a task; when this returns it is durable.
    ///
    /// # Errors
    /// [`EngineError`]; nothing was kept then.
    pub async fn task_rekick(
        &self,
        caller: &Caller,
        task_id: &TaskId,
        params: RekickParams,
    ) -> Result<TaskStarted, EngineError> {
        tasks::rekick(&self.core, caller, task_id, params).await
    }

    /// Gives a task.
    ///
    /// # Errors
    /// [`EngineError::NotFound`]
    pub async fn task_get(&self, task_id: &TaskId) -> Result<TaskRecord, EngineError> {
        self.core.store.task_get(task_id).await?.ok_or_else(|| EngineError::not_found("task", task_id))
    }

    /// Lists tasks, the newest first.
    ///
    /// # Errors
    /// [`EngineError::Read`]
    pub async fn task_list(&self, limit: usize) -> Result<Vec<TaskEntry>, EngineError> {
        Ok(self.core.store.task_list(limit).await?)
    }

    /// Gives a run.
    ///
    /// # Errors
    /// [`EngineError::NotFound`]
    pub async fn run_get(&self, run_id: &RunId) -> Result<RunRecord, EngineError> {
        self.core.store.run_get(run_id).await?.ok_or_else(|| EngineError::not_found("run", run_id))
    }

    /// Gives what the models of a run's agents used together; `None` when no agent said.
    ///
    /// # Errors
    /// [`EngineError::Read`]
    pub async fn run_usage(&self, run_id: &RunId) -> Result<Option<Usage>, EngineError> {
        Ok(self.core.store.run_usage(run_id).await?)
    }

    /// Lists runs, the newest first.
    ///
    /// # Errors
    /// [`EngineError::Read`]
    pub async fn run_list(&self, filter: RunFilter) -> Result<Vec<RunRecord>, EngineError> {
        Ok(self.core.store.run_list(filter).await?)
    }

    /// Gives a run's turns behind an index.
    ///
    /// # Errors
    /// [`EngineError::NotFound`]
    pub async fn turns(
        &self,
        run_id: &RunId,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<TurnRecord>, EngineError> {
        self.run_get(run_id).await?;
        Ok(self.core.store.turns_of(run_id, after, limit).await?)
    }

    /// Gives some of a run's turns, in order.
    ///
    /// # Errors
    /// [`EngineError::NotFound`]
    pub async fn turns_where(
        &self,
        run_id: &RunId,
        filter: TurnFilter,
    ) -> Result<Vec<TurnRecord>, EngineError> {
        self.run_get(run_id).await?;
        Ok(self.core.store.turns_where(run_id, filter).await?)
    }

    /// Gives the steps of a run in order, from the one behind a turn.
    ///
    /// # Errors
    /// [`EngineError::NotFound`]
    pub async fn steps(
        &self,
        run_id: &RunId,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<StepInfo>, EngineError> {
        steps::list(&self.core, run_id, after, limit).await
    }

    /// Gives what came out of the steps of a run that count, in order, from the one behind a turn.
    ///
    /// # Errors
    /// [`EngineError::Read`]
    pub async fn step_outputs(
        &self,
        run_id: &RunId,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<OutputInfo>, EngineError> {
        steps::outputs(&self.core, run_id, after, limit).await
    }

    /// Gives what came out of a step, named by its agent or its path.
    ///
    /// # Errors
    /// [`EngineError::NotFound`]
    pub async fn step_output(&self, run_id: &RunId, step: &str) -> Result<OutputInfo, EngineError> {
        steps::output(&self.core, run_id, step).await
    }

    /// Gives the content that came out of a step, or what lies in it at a JSON pointer or a context path.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Invalid`] for what is no path.
    pub async fn step_content(
        &self,
        run_id: &RunId,
        step: &str,
        path: Option<&str>,
    ) -> Result<Content, EngineError> {
        steps::content(&self.core, run_id, step, path).await
    }

    /// Gives which versions and agents a run is bound to.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Blueprint`] when its blueprint cannot be read any more.
    pub async fn run_bindings(&self, run_id: &RunId) -> Result<Bindings, EngineError> {
        steps::bindings(&self.core, run_id).await
    }

    /// Removes a run that is over.
    ///
    /// # Errors
    /// [`EngineError::Conflict`] while it is open, has a directory of its own, or is proof for an open goal.
    pub async fn run_delete(&self, caller: &Caller, run_id: &RunId) -> Result<(), EngineError> {
        runs::delete(&self.core, caller, run_id).await
    }

    /// Gives what the gate said of a turn, of a flow's run or of a client's.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] for a run or turn that is not there, or that the caller may not see.
    pub async fn turn_explain(
        &self,
        caller: &Caller,
        run_id: &str,
        turn: u64,
    ) -> Result<Explanation, EngineError> {
        explain::turn(&self.core, caller, run_id, turn).await
    }

    /// Waits until a run is over or interrupted. Whoever stops waiting changes nothing.
    ///
    /// # Errors
    /// [`EngineError::Stopping`] when the plane stops before the run is over.
    pub async fn run_ended(&self, run_id: &RunId) -> Result<Arc<RunRecord>, EngineError> {
        if let Some(mut handle) = self.core.runs.get(run_id) {
            if let Ok(ended) = handle.ended.wait_for(Option::is_some).await {
                return Ok(ended.clone().expect("it was waited for"));
            }
            handle.gone.cancelled().await;
        }
        let run = self.run_get(run_id).await?;
        let is_over = run.status.is_terminal() || run.status == RunStatus::Interrupted;
        if is_over { Ok(Arc::new(run)) } else { Err(EngineError::Stopping) }
    }

    /// Waits until the store has refused every write for so long; gives what it says. Looks once a second.
    pub async fn store_stays_shut(&self, patience: Duration) -> EngineError {
        let mut shut_for = Duration::ZERO;
        loop {
            tokio::time::sleep(STORE_LOOK).await;
            match self.core.store.health().writes_failing {
                Some(failure) if shut_for >= patience => return EngineError::Write(failure.error),
                Some(_) => shut_for += STORE_LOOK,
                None => shut_for = Duration::ZERO,
            }
        }
    }

    /// Cancels a run: what it has in flight is ended. One that is over already is a conflict.
    ///
    /// # Errors
    /// [`EngineError`]
    pub async fn run_cancel(
        &self,
        caller: &Caller,
        run_id: &RunId,
        reason: &str,
    ) -> Result<RunRecord, EngineError> {
        let run = self.run_get(run_id).await?;
        if run.status.is_terminal() {
            return Err(EngineError::Conflict {
                message: format!("{run_id} is {} already", run.status),
                hint: None,
            });
        }
        let reason = format!("{}: {}", caller.actor(), record::text(reason));
        let Some(handle) = self.core.runs.get(run_id) else {
            if run.status != RunStatus::Interrupted {
                return Err(EngineError::Stopping);
            }
            runs::cancel_interrupted(&self.core, run, reason).await?;
            return self.run_get(run_id).await;
        };
        let (reply, answer) = oneshot::channel();
        if handle.commands.send(RunCommand::Cancel { reason, reply }).await.is_ok() {
            // Without an answer the run ended by itself meanwhile; what is in the store counts.
            drop(answer.await);
        }
        self.run_get(run_id).await
    }

    /// Goes on with a run that is interrupted.
    ///
    /// # Errors
    /// [`EngineError::Conflict`] for any other run, and whatever keeps it from going on; it stays interrupted then.
    pub async fn run_resume(&self, run_id: &RunId) -> Result<Resumed, EngineError> {
        runs::resume_interrupted(&self.core, run_id).await
    }

    /// Lets a run that is over go on again from a step: an agent's name, or a path with all below it.
    ///
    /// # Errors
    /// [`EngineError::Conflict`] for a run that is not over, [`EngineError::RerunRefused`] when there is no such step or
    /// nothing would follow from it; nothing has changed then.
    pub async fn run_rerun(&self, caller: &Caller, run_id: &RunId, from: &str) -> Result<Rerun, EngineError> {
        runs::rerun(&self.core, caller, run_id, from).await
    }

    /// Judges a tool call of the agent that a worker's token was made for; when a rule asks, this waits for the answer.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`] for other tokens, [`EngineError::NotFound`] when the step is not in flight.
    pub async fn tool_judge(&self, caller: &Caller, call: ToolCall) -> Result<ToolJudged, EngineError> {
        let binding = binding(caller)?;
        let (reply, answer) = oneshot::channel();
        let question = ToolQuestion { caller: caller.clone(), binding: binding.clone(), call, reply };
        let command = RunCommand::Judge(question);
        self.tell(&binding, command).await?;
        answer.await.map_err(|_| EngineError::not_found("step in flight", &binding.path))?
    }

    /// Takes the end of a tool call that was allowed.
    ///
    /// # Errors
    /// As [`Plane::tool_judge`].
    pub async fn tool_settle(&self, caller: &Caller, turn: u64, end: ToolEnd) -> Result<(), EngineError> {
        let binding = binding(caller)?;
        let (reply, answer) = oneshot::channel();
        self.tell(&binding, RunCommand::ToolSettled { binding: binding.clone(), turn, end, reply }).await?;
        answer.await.map_err(|_| EngineError::not_found("step in flight", &binding.path))?
    }

    /// Takes what an agent says or does besides tool calls.
    ///
    /// # Errors
    /// As [`Plane::tool_judge`].
    pub async fn progress(&self, caller: &Caller, progress: Progress) -> Result<(), EngineError> {
        let binding = binding(caller)?;
        let StepBinding { path, attempt, .. } = binding.clone();
        self.tell(&binding, RunCommand::Progress { path, attempt, progress }).await
    }

    /// Gives journal rows behind a cursor, the oldest first.
    ///
    /// # Errors
    /// [`EngineError::Read`]
    pub async fn events(&self, after: i64, limit: usize) -> Result<Vec<JournalRow>, EngineError> {
        Ok(self.core.store.journal_after(after, limit).await?)
    }

    /// Gives a subject's journal rows behind a cursor, the oldest first.
    ///
    /// # Errors
    /// [`EngineError::Read`]
    pub async fn events_of(
        &self,
        subject: &str,
        after: i64,
        limit: usize,
    ) -> Result<Vec<JournalRow>, EngineError> {
        Ok(self.core.store.journal_of(subject, after, limit).await?)
    }

    /// Gives the place of the journal's last row, and wakes who waits for more.
    pub fn committed(&self) -> watch::Receiver<i64> {
        self.core.store.committed()
    }

    /// Is cancelled when the plane stops.
    pub fn stopping(&self) -> CancellationToken {
        self.core.stopping.clone()
    }

    /// Opens an issue: a request to change a blueprint.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] when there is no such blueprint, [`EngineError::Invalid`] when nothing is wanted.
    pub async fn issue_open(&self, caller: &Caller, params: IssueParams) -> Result<Issue, EngineError> {
        enhance::open(&self.core, caller, params).await
    }

    /// Gives an issue.
    ///
    /// # Errors
    /// [`EngineError::NotFound`]
    pub async fn issue_get(&self, id: &IssueId) -> Result<Issue, EngineError> {
        enhance::get(&self.core, id).await
    }

    /// Lists issues, the newest first.
    ///
    /// # Errors
    /// [`EngineError::Read`]
    pub async fn issue_list(&self, filter: IssueFilter) -> Result<Vec<Issue>, EngineError> {
        Ok(self.core.store.issue_list(filter).await?)
    }

    /// Takes an issue back; the run that handles it is cancelled first. One that has ended is a conflict.
    ///
    /// # Errors
    /// [`EngineError`]
    pub async fn issue_cancel(
        &self,
        caller: &Caller,
        id: &IssueId,
        reason: &str,
    ) -> Result<Issue, EngineError> {
        enhance::cancel(self, caller, id, reason).await
    }

    /// Gives the ids of the settings of the enhance loop.
    ///
    /// # Errors
    /// [`EngineError::Read`]
    pub async fn enhance_setting_ids(&self, limit: usize) -> Result<Vec<String>, EngineError> {
        Ok(self.core.store.enhance_setting_ids(limit).await?)
    }

    /// Gives a setting of the enhance loop.
    ///
    /// # Errors
    /// [`EngineError::NotFound`]
    pub async fn enhance_setting(&self, id: &str) -> Result<EnhanceSetting, EngineError> {
        enhance::setting(&self.core, id).await
    }

    /// Keeps a setting of the enhance loop, and its orbit when it brings one; holds from the next epoch on.
    ///
    /// # Errors
    /// [`EngineError::Invalid`], [`EngineError::Blueprint`], [`EngineError::NotFound`]; nothing was kept then.
    pub async fn enhance_setting_put(
        &self,
        caller: &Caller,
        params: SettingParams,
    ) -> Result<EnhanceSetting, EngineError> {
        enhance::setting_put(&self.core, caller, params).await
    }

    /// Removes a setting of the enhance loop.
    ///
    /// # Errors
    /// [`EngineError::NotFound`]
    pub async fn enhance_setting_remove(&self, caller: &Caller, id: &str) -> Result<(), EngineError> {
        enhance::setting_remove(&self.core, caller, id).await
    }

    /// Gives the last decisions about issues, of one blueprint or all, the oldest of them first.
    ///
    /// # Errors
    /// [`EngineError::Read`]
    pub async fn enhance_log(
        &self,
        blueprint_id: Option<String>,
        limit: usize,
    ) -> Result<Vec<EnhanceEntry>, EngineError> {
        Ok(self.core.store.enhance_log(blueprint_id, limit).await?)
    }

    /// Gives the decision about an issue.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] when there is none yet.
    pub async fn enhance_entry(&self, id: &IssueId) -> Result<EnhanceEntry, EngineError> {
        enhance::entry(&self.core, id).await
    }

    /// Lists the workspaces, the newest first.
    ///
    /// # Errors
    /// [`EngineError::Read`]
    pub async fn workspaces(&self) -> Result<Vec<WorkspaceInfo>, EngineError> {
        workspaces::list(&self.core).await
    }

    /// Gives what a worktree changed since its base.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Workspace`]
    pub async fn workspace_diff(&self, holder: &Holder) -> Result<String, EngineError> {
        workspaces::diff(&self.core, holder).await
    }

    /// Keeps a worktree as it is now; `None` when its last snapshot is the same.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Workspace`]
    pub async fn workspace_snapshot(&self, holder: &Holder) -> Result<Option<Snapshot>, EngineError> {
        workspaces::snapshot(&self.core, holder).await
    }

    /// Lists the snapshots of a workspace that is or was there, the first one first.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Workspace`]
    pub async fn workspace_snapshots(&self, holder: &Holder) -> Result<Vec<Snapshot>, EngineError> {
        workspaces::snapshots(&self.core, holder).await
    }

    /// Puts a snapshot back: in place, behind a snapshot of what is there, while the workspace is; else where it was,
    /// or into another directory.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Workspace`], [`EngineError::Conflict`] while somebody works there.
    pub async fn workspace_restore(
        &self,
        holder: &Holder,
        request: RestoreRequest,
    ) -> Result<RestoredInfo, EngineError> {
        workspaces::restore(&self.core, holder, request).await
    }

    /// Merges what was committed in a workspace into a branch when the checks pass on the merged tree.
    ///
    /// # Errors
    /// [`EngineError::Conflict`], [`EngineError::Workspace`], [`EngineError::Forbidden`] when the gate refuses a check; the
    /// branch is where it was then.
    pub async fn workspace_merge(
        &self,
        caller: &Caller,
        holder: &Holder,
        request: MergeRequest,
    ) -> Result<MergedInfo, EngineError> {
        workspaces::merge(&self.core, CheckedBy::caller(caller), holder, request).await
    }

    /// Counts what all workspaces take.
    ///
    /// # Errors
    /// [`EngineError::Read`]
    pub async fn workspaces_usage(&self) -> Result<UsageInfo, EngineError> {
        workspaces::usage(&self.core).await
    }

    /// Removes the directory of a run that is over, a worktree only behind a snapshot.
    ///
    /// # Errors
    /// [`EngineError::Workspace`] when it holds unsaved work and is not forced.
    pub async fn workspace_remove(
        &self,
        holder: &Holder,
        mode: RemoveMode,
    ) -> Result<RemovedInfo, EngineError> {
        workspaces::remove(&self.core, holder, mode).await
    }

    async fn tell(&self, binding: &StepBinding, command: RunCommand) -> Result<(), EngineError> {
        let gone = || EngineError::not_found("run in flight", &binding.run_id);
        let handle = self.core.runs.get(&binding.run_id).ok_or_else(gone)?;
        handle.commands.send(command).await.map_err(|_| gone())
    }

    async fn note(&self, event: Event) -> Result<(), EngineError> {
        let mut write = Write::default();
        let (actor, subject) = ("plane".into(), "plane".into());
        write.journal(Draft { at: clock::now(), actor, subject, event });
        self.core.store.write(write).await?;
        Ok(())
    }
}

fn binding(caller: &Caller) -> Result<StepBinding, EngineError> {
    let needs = || EngineError::Forbidden("only the token of a step in flight calls tools".to_owned());
    caller.step.clone().ok_or_else(needs)
}

/// Reads the plane's policy: the file in the data folder, or the shipped one when there is none.
fn read_policy(settings: &Settings) -> Result<PolicyFile, StartError> {
    let path = settings.folder.join("policy.toml");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => policy::DEFAULT_POLICY.to_owned(),
        Err(source) => return Err(StartError::Read { path, source }),
    };
    let folder = settings.folder.to_string_lossy();
    let places = policy::Places { data_folder: folder.trim_end_matches('/') };
    policy::read_file(&text, &places).map_err(|lints| StartError::Policy { path, lints })
}
