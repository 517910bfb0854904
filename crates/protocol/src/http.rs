//! The types of the HTTP door: `…Params` go in, `…View` come out. JSON of any shape is a [`serde_json::Value`].

mod approvals;
mod blueprints;
mod console;
mod data;
mod enhance;
mod errors;
mod events;
mod gate;
mod goals;
mod hooks;
mod managed;
mod memory;
mod operators;
mod runs;
mod sessions;
mod status;
mod store;
mod tasks;
mod workspaces;

pub use approvals::{ApprovalAnswer, ApprovalList, ApprovalView, TokenRequest, TokenView};
pub use blueprints::{
    BlueprintDiffView, BlueprintDocumentView, BlueprintEntryView, BlueprintHistoryView, BlueprintLintsView,
    BlueprintListView, BlueprintVersionView, BlueprintWrittenView,
};
pub use console::{
    AutoResumeParams, AutoResumeView, ConfigParams, ConfigView, ConsoleView, CostView, FleetView,
    PendingDecisionView, RunStatsView, SettingView, SupervisorView,
};
pub use data::{EmitParams, EmittedView, OutputRecordView, OutputView, OutputsView};
pub use enhance::{
    AxisVerdictView, EnhanceEntryView, EnhanceSettingParams, EnhanceSettingView, IssueCancelParams,
    IssueOpenedView, IssueParams, IssueView, IssuesView,
};
pub use errors::{
    ErrorDetailView, ErrorView, ErrorsView, FilingView, ReportParams, ReportPreviewView, ReportedView,
    ScrubChangeView,
};
pub use events::{EventPage, EventView};
pub use gate::{
    ExplanationView, JudgeParams, JudgementView, ProgressParams, RuleMatchView, SettleParams, VerdictView,
};
pub use goals::{
    CriterionParams, CriterionView, EvidenceParams, EvidenceView, GoalAlertView, GoalParams,
    GoalStatusParams, GoalUpdateParams, GoalView, GoalsView, LinkParams, LinkView, NoteParams, PursueParams,
    PursuitView, RecheckView, TurnRefParams,
};
pub use hooks::{BreakerView, BreakersView, HookAnswerView, HookDecisionView};
pub use managed::{
    ActivityView, AnswerParams, AnsweredView, AttachView, BudgetView, DecommissionParams, DelegateParams,
    DelegationList, DelegationView, HandoffParams, HandoffView, HostParams, InboxGoal, InboxItem, InboxView,
    ManagedActivityView, ManagedList, ManagedView, QuestionView, ScreenView, SendParams, SentView,
    SessionContextView, SessionUsageView,
};
pub use memory::{FactSourceView, FactView, FactsView, RecallParams, RememberParams, SupersedeParams};
pub use operators::{
    AcquireParams, AcquiredView, AssigneesView, DegradationParams, HandoverTraceView, HandoverView,
    MaterialView, OperatorJoinParams, OperatorJoinedView, OperatorView, OperatorsView, SeatHolderView,
    SeatView, SystemRefView, UnansweredView, WorkerContextView, WorkerPromptView, WorkerResultParams,
    WorkerStatsParams, WorkerUsageParams,
};
pub use runs::{
    BindingView, BindingsView, CallPinView, CancelParams, FlowErrorView, RerunParams, RerunView, ResumedView,
    RunView, RunsView, StepEntryView, StepOutputView, StepOutputsView, StepsView, TurnErrorView, TurnView,
    UsageView,
};
pub use sessions::{SessionMadeView, SessionParams, SessionView, SessionsView, TokenEntryView, TokensView};
pub use status::{
    AgentFindingView, DoctorView, FindingView, HealthView, JobView, QueuesView, StatusView, StoreSizesView,
};
pub use store::{
    BackupParams, BackupView, CheckFindingView, CheckView, KindSizeView, SizesView, StoreRestoreBegunView,
    StoreRestoreParams, StoreRestoreView, StoreRestoresView,
};
pub use tasks::{
    BlueprintRefParams, CheckPolicyParams, LintView, OperatorKindParams, OperatorParams, RekickParams,
    TaskDetachedView, TaskDoneView, TaskInfoView, TaskInputParams, TaskParams, TaskRunsView, TaskView,
    VersionSelectorParams,
};
pub use workspaces::{
    CheckedView, LeftOutView, MergeParams, MergedView, RemovedView, RepositoryUsageView, RestoreParams,
    RestoredView, RoomView, SnapshotView, SnapshotsView, WorkspaceEntryView, WorkspaceUsageView,
    WorkspaceView, WorkspacesView,
};
