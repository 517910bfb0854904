//! The types of the HTTP door: `…Params` go in, `…View` come out. JSON of any shape is a [`serde_json::Value`].

mod approvals;
mod events;
mod gate;
mod goals;
mod operators;
mod runs;
mod status;
mod tasks;
mod workspaces;

pub use approvals::{ApprovalAnswer, ApprovalList, ApprovalView, TokenRequest, TokenView};
pub use events::EventView;
pub use gate::{
    ExplanationView, JudgeParams, JudgementView, ProgressParams, RuleMatchView, SettleParams, VerdictView,
};
pub use goals::{
    CriterionParams, CriterionView, EvidenceParams, EvidenceView, GoalParams, GoalStatusParams, GoalView,
    GoalsView, LinkParams, LinkView, NoteParams,
};
pub use operators::{
    AcquireParams, AcquiredView, AssigneesView, DegradationParams, HandoverTraceView, HandoverView,
    MaterialView, OperatorJoinParams, OperatorJoinedView, OperatorView, OperatorsView, SeatHolderView,
    SeatView, SystemRefView, UnansweredView, WorkerContextView, WorkerPromptView, WorkerResultParams,
    WorkerStatsParams, WorkerUsageParams,
};
pub use runs::{CancelParams, FlowErrorView, RunView, RunsView, TurnErrorView, TurnView, UsageView};
pub use status::{HealthView, StatusView};
pub use tasks::{
    BlueprintRefParams, CheckPolicyParams, LintView, OperatorKindParams, OperatorParams, TaskDetachedView,
    TaskDoneView, TaskInfoView, TaskParams, TaskRunsView, TaskView, VersionSelectorParams,
};
pub use workspaces::{RemovedView, WorkspaceEntryView, WorkspaceView, WorkspacesView};
