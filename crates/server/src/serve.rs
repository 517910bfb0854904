//! The router, its document, and serving it.

use crate::answer::Refusal;
use crate::auth::{self, ThroughSocket};
use crate::http::{
    approvals, blueprints, console, costs, data, delegations, enhance, errors, events, gate, goals, handoffs,
    hooks, managed, memory, operators, runs, sessions, status, steps, store, tasks, workers, workspaces,
};
use crate::leftover;
use crate::mcp;
use crate::operator;
use crate::rpc::{self, Authentication};
use adjutant_engine::Plane;
use adjutant_protocol::ErrorCode;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::serve::ListenerExt;
use axum::{Extension, Router};
use std::io;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

/// A body is at most so large.
pub(crate) const BODY_BYTES_MAX: usize = 2 << 20;

/// Requests that are being answered may take so long after the daemon was told to stop.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(3);

/// Where the daemon listens.
#[derive(Debug)]
pub struct Listeners {
    /// On loopback.
    pub tcp: TcpListener,
    /// In the data folder.
    pub unix: UnixListener,
}

#[derive(OpenApi)]
#[openapi(info(
    title = "Adjutant",
    description = "A control plane for coding agents. Every route but health needs `Authorization: Bearer TOKEN`.",
    license(name = "MIT OR Apache-2.0")
))]
struct Document;

/// Gives the OpenAPI document as JSON.
pub fn openapi_json() -> String {
    static JSON: OnceLock<String> = OnceLock::new();
    JSON.get_or_init(|| documented().1.to_pretty_json().expect("the document is JSON") + "\n").clone()
}

/// Makes the router of the HTTP door and the runtime door.
pub fn router(plane: Plane, authentication: Authentication) -> Router {
    let open = Router::new()
        .route("/v1/healthz", axum::routing::get(status::health))
        .method_not_allowed_fallback(no_method);
    let runtime = Router::new().route("/rpc", any(rpc::upgrade)).route("/", any(rpc::upgrade));
    let document = axum::routing::get(async || ([("content-type", "application/json")], openapi_json()));
    documented()
        .0
        .route("/openapi.json", document)
        .route("/mcp", mcp::door(plane.clone()))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(middleware::from_fn_with_state((plane.clone(), authentication), auth::caller))
        .merge(open)
        .merge(runtime.with_state((plane.clone(), authentication)))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(contained))
        .layer(middleware::from_fn(leftover::read_away))
        .layer(middleware::from_fn(auth::own_origin))
        .with_state(plane)
}

fn documented() -> (Router<Plane>, utoipa::openapi::OpenApi) {
    let (router, mut document) = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(tasks::create, tasks::list))
        .routes(routes!(tasks::get))
        .routes(routes!(tasks::rekick))
        .routes(routes!(steps::outputs))
        .routes(routes!(steps::output))
        .routes(routes!(steps::content))
        .routes(routes!(blueprints::list))
        .routes(routes!(blueprints::lint))
        .routes(routes!(blueprints::write, blueprints::archive))
        .routes(routes!(blueprints::head))
        .routes(routes!(blueprints::history))
        .routes(routes!(blueprints::version))
        .routes(routes!(blueprints::diff))
        .routes(routes!(blueprints::unarchive))
        .routes(routes!(runs::list))
        .routes(routes!(runs::get, runs::delete))
        .routes(routes!(steps::list))
        .routes(routes!(steps::bindings))
        .routes(routes!(runs::resume))
        .routes(routes!(costs::of_run))
        .routes(routes!(costs::of_goal))
        .routes(routes!(runs::rerun))
        .routes(routes!(runs::trace))
        .routes(routes!(runs::explain))
        .routes(routes!(runs::cancel))
        .routes(routes!(events::stream))
        .routes(routes!(goals::create, goals::list))
        .routes(routes!(goals::get, goals::update))
        .routes(routes!(goals::link))
        .routes(routes!(goals::evidence))
        .routes(routes!(goals::note))
        .routes(routes!(goals::set_status))
        .routes(routes!(goals::check))
        .routes(routes!(goals::close))
        .routes(routes!(goals::pursue))
        .routes(routes!(goals::pursue_stop))
        .routes(routes!(gate::judge))
        .routes(routes!(gate::settle))
        .routes(routes!(gate::progress))
        .routes(routes!(hooks::receive).layer(DefaultBodyLimit::max(hooks::HOOK_BYTES_MAX)))
        .routes(routes!(hooks::breakers))
        .routes(routes!(hooks::breaker_reset))
        .routes(routes!(errors::list))
        .routes(routes!(errors::get))
        .routes(routes!(errors::preview))
        .routes(routes!(errors::report))
        .routes(routes!(workspaces::list))
        .routes(routes!(workspaces::diff))
        .routes(routes!(workspaces::remove))
        .routes(routes!(workspaces::usage))
        .routes(routes!(workspaces::snapshots, workspaces::snapshot))
        .routes(routes!(workspaces::restore))
        .routes(routes!(workspaces::merge))
        .routes(routes!(operators::join, operators::list))
        .routes(routes!(operators::get, operators::leave))
        .routes(routes!(operator::upgrade))
        .routes(routes!(operators::acquire))
        .routes(routes!(operators::assignees))
        .routes(routes!(operators::handover))
        .routes(routes!(operators::material))
        .routes(routes!(workers::prompt))
        .routes(routes!(workers::system))
        .routes(routes!(workers::submit))
        .routes(routes!(workers::result))
        .routes(routes!(workers::artifact))
        .routes(routes!(workers::degradation))
        .routes(routes!(workers::stats))
        .routes(routes!(approvals::list))
        .routes(routes!(approvals::answer))
        .routes(routes!(enhance::open, enhance::list))
        .routes(routes!(enhance::get))
        .routes(routes!(enhance::cancel))
        .routes(routes!(enhance::setting_post, enhance::setting_ids))
        .routes(routes!(enhance::setting, enhance::setting_put, enhance::setting_remove))
        .routes(routes!(enhance::log))
        .routes(routes!(enhance::entry))
        .routes(routes!(data::list))
        .routes(routes!(data::emit))
        .routes(routes!(data::get, data::put))
        .routes(routes!(managed::create, managed::list))
        .routes(routes!(managed::get, managed::delete))
        .routes(routes!(managed::stop))
        .routes(routes!(managed::runtime_stop))
        .routes(routes!(managed::resume))
        .routes(routes!(managed::decommission))
        .routes(routes!(managed::interrupt))
        .routes(routes!(managed::send))
        .routes(routes!(managed::delegate, managed::delegations))
        .routes(routes!(handoffs::handoff))
        .routes(routes!(delegations::list))
        .routes(routes!(delegations::get))
        .routes(routes!(delegations::cancel))
        .routes(routes!(managed::answer))
        .routes(routes!(managed::activity))
        .routes(routes!(managed::events))
        .routes(routes!(managed::screen))
        .routes(routes!(managed::attach))
        .routes(routes!(managed::inbox))
        .routes(routes!(memory::remember, memory::list))
        .routes(routes!(memory::recall))
        .routes(routes!(memory::get, memory::forget))
        .routes(routes!(memory::supersede))
        .routes(routes!(sessions::create, sessions::list, sessions::leave))
        .routes(routes!(sessions::end))
        .routes(routes!(sessions::token_create, sessions::tokens))
        .routes(routes!(sessions::token_revoke))
        .routes(routes!(console::console))
        .routes(routes!(console::supervisor))
        .routes(routes!(console::auto_resume))
        .routes(routes!(console::config, console::config_change))
        .routes(routes!(console::metrics))
        .routes(routes!(store::backup))
        .routes(routes!(store::check))
        .routes(routes!(store::restore, store::restores))
        .routes(routes!(store::sizes))
        .routes(routes!(status::status))
        .routes(routes!(status::doctor))
        .split_for_parts();
    // Health is routed apart, because it needs no token.
    let health = OpenApiRouter::<Plane>::new().routes(routes!(status::health)).into_openapi();
    document.merge(health);
    let scheme = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    document.components.get_or_insert_default().add_security_scheme("token", scheme);
    document.security = Some(vec![SecurityRequirement::new("token", Vec::<String>::new())]);
    (router, document)
}

/// Serves the router on both listeners until `shutdown`; open streams end with the plane.
///
/// # Errors
/// What a listener said when it could not be served.
pub async fn serve(listeners: Listeners, router: Router, shutdown: CancellationToken) -> io::Result<()> {
    let through_socket = router.clone().layer(Extension(ThroughSocket));
    // A short answer does not wait until the last one was acknowledged.
    let at_once = listeners.tcp.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection's answers may be delayed");
        }
    });
    let tcp = axum::serve(at_once, router).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let unix = axum::serve(listeners.unix, through_socket)
        .with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let both = async {
        let (tcp, unix) = tokio::join!(tcp.into_future(), unix.into_future());
        tcp.and(unix)
    };
    // A client that stops in the middle of a request must not keep the daemon alive.
    let overdue = async {
        shutdown.cancelled().await;
        tokio::time::sleep(SHUTDOWN_GRACE).await;
    };
    tokio::select! {
        served = both => served,
        () = overdue => Ok(()),
    }
}

/// A handler that panics answers like any other error, and the daemon lives.
async fn contained(request: Request, next: Next) -> Response {
    // A client that has gone takes its waiting with it, and nothing of the run that it waited for.
    match AbortOnDropHandle::new(tokio::spawn(next.run(request))).await {
        Ok(response) => response,
        Err(_) => Refusal::new(ErrorCode::Internal, "the request met a defect of the daemon").into_response(),
    }
}

async fn no_route(request: Request) -> Refusal {
    Refusal::new(ErrorCode::NotFound, format!("there is no route {}", request.uri().path()))
}

async fn no_method(request: Request) -> Refusal {
    let error = format!("{} does not take {}", request.uri().path(), request.method());
    Refusal::new(ErrorCode::MethodNotAllowed, error)
}
