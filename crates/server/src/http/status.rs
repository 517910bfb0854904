//! `/v1/healthz`, `/v1/status`, `/v1/doctor`

use crate::answer::Answer;
use crate::convert;
use adjutant_engine::Plane;
use adjutant_engine::doctor::{AgentFinding, Finding, Grade};
use adjutant_engine::registry::BlueprintFilter;
use adjutant_protocol::{ApiError, http};
use axum::Json;
use axum::extract::State;

/// The ids of so many blueprints are told.
const BLUEPRINTS_MAX: usize = 1000;

/// Answers as soon as the daemon does. Needs no token.
#[utoipa::path(get, path = "/v1/healthz", tag = "status", security(()), responses(
    (status = 200, body = http::HealthView), (status = 403, body = ApiError)))]
pub(crate) async fn health(State(plane): State<Plane>) -> Json<http::HealthView> {
    let status = plane.status();
    let health = if status.store_failure.is_some() { "degraded" } else { "ok" };
    Json(http::HealthView { status: health.to_owned(), version: status.version })
}

/// Gives how the daemon is, what it does from time to time, what waits, and what it takes on the disk. It never fails:
/// what cannot be counted is 0.
#[utoipa::path(get, path = "/v1/status", tag = "status", responses(
    (status = 200, body = http::StatusView), (status = 401, body = ApiError), (status = 403, body = ApiError),
    (status = 503, body = ApiError)))]
pub(crate) async fn status(State(plane): State<Plane>) -> Json<http::StatusView> {
    let (status, load) = (plane.status(), plane.load().await);
    Json(http::StatusView {
        version: status.version,
        started_at: status.started_at.to_string(),
        pid: std::process::id(),
        runs_open: status.runs_open as u64,
        journal_seq: status.journal_seq,
        store_failure: status.store_failure,
        running_runs: load.runs_running,
        attached_operators: load.operators_attached,
        periodic_jobs: load.jobs.iter().map(convert::job).collect(),
        store: http::StoreSizesView {
            tables_bytes: load.tables_bytes,
            blobs_bytes: load.blobs_bytes,
            wal_bytes: load.wal_bytes,
        },
        queues: http::QueuesView {
            writer: load.writes_waiting,
            open_runs: status.runs_open as u64,
            waiting_approvals: load.approvals_waiting,
            arriving_bodies: load.bodies_arriving,
        },
    })
}

/// Gives what the daemon finds of itself and of what it needs: programs, disk, clock, store, blueprints.
#[utoipa::path(get, path = "/v1/doctor", tag = "status", responses(
    (status = 200, body = http::DoctorView), (status = 401, body = ApiError), (status = 403, body = ApiError),
    (status = 503, body = ApiError)))]
pub(crate) async fn doctor(State(plane): State<Plane>) -> Answer<Json<http::DoctorView>> {
    let looked = plane.looked().await;
    let mut findings = looked.findings.clone();
    findings.extend(looked.agents.iter().map(AgentFinding::finding));
    findings.push(store(&plane));
    findings.extend(plane.goals_mirror_failure().map(|failure| {
        let detail = format!("goals.json is behind the store, since it cannot be written: {failure}");
        Finding::new("goals", Grade::Worse, detail)
    }));
    let filter = BlueprintFilter { limit: BLUEPRINTS_MAX, ..BlueprintFilter::default() };
    let blueprint_ids: Vec<String> =
        plane.blueprint_list(filter).await?.into_iter().map(|listed| listed.id).collect();
    Ok(Json(http::DoctorView {
        ok: findings.iter().all(|finding| finding.grade != Grade::Bad),
        server_version: plane.status().version,
        bind: plane.endpoint(),
        store_kind: "sqlite".to_owned(),
        store_path: plane.store_path().to_string_lossy().into_owned(),
        blueprint_count: blueprint_ids.len() as u64,
        blueprint_ids,
        checks: findings.iter().map(convert::finding).collect(),
        agents: looked.agents.iter().map(convert::agent_finding).collect(),
    }))
}

fn store(plane: &Plane) -> Finding {
    let status = plane.status();
    let (grade, detail) = match status.store_failure {
        None => (Grade::Fine, format!("{} journal rows", status.journal_seq)),
        Some(failure) => (Grade::Bad, format!("writes fail: {failure}")),
    };
    Finding::new("store", grade, detail)
}
