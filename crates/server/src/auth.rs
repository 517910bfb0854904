//! Who asks: a token on every route but health, and no request that a foreign page has sent.

use crate::answer::Refusal;
use crate::rpc::Authentication;
use adjutant_engine::Plane;
use adjutant_model::action::{Caller, Verb};
use adjutant_protocol::{ApiError, ErrorCode};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Marks requests that came through the Unix socket, which no page can reach.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ThroughSocket;

/// Refuses what a page of another origin may have sent: a name that is not this machine's loopback was resolved to
/// it, or the browser says that the page is another's.
pub(crate) async fn own_origin(request: Request, next: Next) -> Response {
    let through_socket = request.extensions().get::<ThroughSocket>().is_some();
    match foreign(request.headers()) {
        Some(what) if !through_socket => {
            let error = ApiError::new(ErrorCode::Forbidden, what);
            Refusal::from(error.hinted("use the address in daemon.json, from this machine")).into_response()
        }
        Some(_) | None => next.run(request).await,
    }
}

/// Finds the caller of a token and lets it through where its role may go.
pub(crate) async fn caller(
    State((plane, authentication)): State<(Plane, Authentication)>,
    mut request: Request,
    next: Next,
) -> Response {
    // The worker of a step is known by its token alone, whoever else needs none.
    let is_of_workers = is_of_workers(request.uri().path());
    // Whoever leaves shows the session that is to end, and its handler looks at that.
    if request.method() == Method::DELETE && request.uri().path() == "/v1/sessions" {
        return next.run(request).await;
    }
    if request.uri().path() == "/metrics" && !plane.metrics_need_token() {
        return next.run(request).await;
    }
    if authentication == Authentication::Off && !is_of_workers {
        request.extensions_mut().insert(plane.unauthenticated_owner());
        return next.run(request).await;
    }
    let Some(secret) = bearer(request.headers()) else {
        let error = ApiError::new(ErrorCode::Unauthenticated, "a token is needed");
        return Refusal::from(error.hinted(
            "send `Authorization: Bearer TOKEN`; the owner's is the file `token` in the data folder",
        ))
        .into_response();
    };
    let caller = match plane.authenticate(secret).await {
        Ok(Some(caller)) => caller,
        Ok(None) => {
            return if is_of_workers { over_or_bad(&plane, secret).await } else { bad_token() };
        }
        Err(error) => return Refusal::from(error).into_response(),
    };
    let delegates = caller.of_session.is_some() && is_of_delegations(request.method(), request.uri().path());
    // What a tool does, and who may call it, the tool says.
    let is_of_tools = request.uri().path() == "/mcp";
    let does = verb(request.method(), request.uri().path());
    if !delegates && !is_of_tools && !plane.may(&caller, does) {
        return may_not(&caller, does, "do this").into_response();
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}

/// Refuses what a caller's role does not do, and says whose does.
pub(crate) fn may_not(caller: &Caller, verb: Verb, what: &str) -> Refusal {
    let error = format!("the role {} may not {what}", caller.role.as_str());
    let hint = match Plane::roles_that_may(verb).first() {
        Some(role) => {
            let role = role.as_str();
            format!("show a token that may: `adjutant token new --agent NAME --role {role}` makes one")
        }
        None => "the owner's token alone may: the file `token` in the data folder".to_owned(),
    };
    ApiError::new(ErrorCode::Forbidden, error).hinted(hint).into()
}

/// Refuses a token that is not good; the worker of a step that is over is told so.
async fn over_or_bad(plane: &Plane, secret: &str) -> Response {
    match plane.was_of_step(secret).await {
        Ok(true) => {
            let error = ApiError::new(ErrorCode::Gone, "the step is over, and its run too");
            Refusal::from(error.hinted("nothing is taken for it any more")).into_response()
        }
        Ok(false) => bad_token(),
        Err(error) => Refusal::from(error).into_response(),
    }
}

fn is_of_workers(path: &str) -> bool {
    path.starts_with("/v1/worker/")
}

/// Tells whether a request is about a session's delegations. A session's own token may make one and look at them, which
/// is all that it may do with sessions; the handler sees to it that the session is its own.
fn is_of_delegations(method: &Method, path: &str) -> bool {
    let session =
        path.strip_prefix("/v1/sessions/managed/").and_then(|rest| rest.strip_suffix("/delegations"));
    matches!(*method, Method::GET | Method::POST)
        && session.is_some_and(|id| !id.is_empty() && !id.contains('/'))
}

/// Refuses a token that is not good.
pub(crate) fn bad_token() -> Response {
    let error = ApiError::new(ErrorCode::Unauthenticated, "the token is not good for this daemon");
    Refusal::from(error.hinted("it was revoked, is over, or belongs to another data folder")).into_response()
}

/// Gives what a request to a route does. Every route has one, so that no role goes where nobody has thought of it:
/// what is not named here looks or operates.
fn verb(method: &Method, path: &str) -> Verb {
    let looks = matches!(*method, Method::GET | Method::HEAD);
    let below =
        |route: &str| path.strip_prefix(route).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    match looks {
        _ if below("/v1/gate") || below("/v1/worker") || below("/v1/hooks") => Verb::Work,
        true if below("/v1/sessions/managed") => Verb::Read,
        // A session may be named `answer`.
        false if below("/v1/sessions/managed") => {
            match *method == Method::POST && path.ends_with("/answer") {
                true => Verb::Answer,
                false => Verb::Operate,
            }
        }
        true if path == "/v1/sessions" => Verb::Read,
        _ if below("/v1/sessions") => Verb::Admit,
        _ if below("/v1/tokens") => Verb::Own,
        false if below("/v1/config") => Verb::Own,
        // It makes something leave the machine, which is nobody's to agree to but the owner's.
        false if below("/v1/errors") && path.ends_with("/report") => Verb::Own,
        // They write and replace files on the machine in its owner's name.
        false if matches!(path, "/v1/store/backup" | "/v1/store/restore") => Verb::Own,
        true if below("/v1/data") => Verb::Fetch,
        false if below("/v1/data") => Verb::Produce,
        false if path == "/v1/memory/recall" => Verb::Fetch,
        true if below("/v1/memory") => Verb::Fetch,
        false if below("/v1/memory") => Verb::Produce,
        false if below("/v1/approvals") => Verb::Answer,
        // It says what is wrong and keeps nothing.
        false if path == "/v1/blueprints:lint" => Verb::Read,
        true => Verb::Read,
        false => Verb::Operate,
    }
}

/// Gives the secret of an `Authorization: Bearer` header.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, secret) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !secret.is_empty()).then(|| secret.trim())
}

/// Says what is foreign about a request.
fn foreign(headers: &HeaderMap) -> Option<String> {
    let host = match headers.get(header::HOST).map(|host| host.to_str()) {
        Some(Ok(host)) => host,
        Some(Err(_)) | None => return Some("the request names no host".to_owned()),
    };
    if !is_loopback(host) {
        return Some(format!("the host `{host}` is not this daemon's"));
    }
    let origin = headers.get(header::ORIGIN)?.to_str().unwrap_or("?");
    (origin != format!("http://{host}")).then(|| format!("the origin `{origin}` is not this daemon's"))
}

/// Tells whether a `Host` header names this machine's loopback, with any port.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((name, port)) if port.is_empty() || port.starts_with(':') => name,
            Some(_) | None => return false,
        },
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    ["127.0.0.1", "localhost", "::1"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn only_loopback_names_and_own_origins_pass() {
        for (host, origin, passes) in [
            (Some("127.0.0.1:80"), None, true),
            (Some("localhost"), None, true),
            (Some("[::1]:4100"), None, true),
            (Some("127.0.0.1:80"), Some("http://127.0.0.1:80"), true),
            (Some("127.0.0.1:80"), Some("http://127.0.0.1:81"), false),
            (Some("127.0.0.1:80"), Some("null"), false),
            (Some("evil.example:80"), None, false),
            (Some("[::1].evil.example"), None, false),
            (Some("127.0.0.1.evil.example"), None, false),
            (None, None, false),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [(header::HOST, host), (header::ORIGIN, origin)] {
                if let Some(value) = value {
                    headers.insert(name, HeaderValue::from_static(value));
                }
            }
            assert_eq!(foreign(&headers).is_none(), passes, "{host:?} {origin:?}");
        }
    }

    #[test]
    fn a_route_does_what_its_method_and_place_say() {
        for (method, path, does) in [
            (Method::POST, "/v1/tasks", Verb::Operate),
            (Method::GET, "/v1/tasks", Verb::Read),
            (Method::HEAD, "/v1/runs", Verb::Read),
            (Method::OPTIONS, "/v1/runs", Verb::Operate),
            (Method::DELETE, "/v1/workspaces/x", Verb::Operate),
            (Method::POST, "/v1/gate/judge", Verb::Work),
            (Method::GET, "/v1/worker/prompt", Verb::Work),
            (Method::POST, "/v1/worker/submit", Verb::Work),
            (Method::POST, "/v1/hooks", Verb::Work),
            (Method::POST, "/v1/hooksets", Verb::Operate),
            (Method::GET, "/v1/breakers", Verb::Read),
            (Method::POST, "/v1/breakers/x/reset", Verb::Operate),
            (Method::POST, "/v1/operators", Verb::Operate),
            (Method::GET, "/v1/operators/x/ws", Verb::Read),
            (Method::POST, "/v1/gateway", Verb::Operate),
            (Method::GET, "/v1/approvals", Verb::Read),
            (Method::POST, "/v1/approvals/x", Verb::Answer),
            (Method::POST, "/v1/data/report", Verb::Produce),
            (Method::GET, "/v1/data/report", Verb::Fetch),
            (Method::HEAD, "/v1/data/report", Verb::Fetch),
            (Method::POST, "/v1/memory", Verb::Produce),
            (Method::GET, "/v1/memory", Verb::Fetch),
            (Method::POST, "/v1/memory/recall", Verb::Fetch),
            (Method::POST, "/v1/memory/x/supersede", Verb::Produce),
            (Method::DELETE, "/v1/memory/x", Verb::Produce),
            (Method::GET, "/v1/sessions", Verb::Read),
            (Method::POST, "/v1/sessions", Verb::Admit),
            (Method::GET, "/v1/sessions/x", Verb::Admit),
            (Method::DELETE, "/v1/sessions/x", Verb::Admit),
            (Method::POST, "/v1/sessions/managed", Verb::Operate),
            (Method::GET, "/v1/sessions/managed/x/screen", Verb::Read),
            (Method::POST, "/v1/sessions/managed/x/send", Verb::Operate),
            (Method::POST, "/v1/sessions/managed/x/answer", Verb::Answer),
            (Method::POST, "/v1/sessions/managed/x/delegations", Verb::Operate),
            (Method::GET, "/v1/sessions/managed/x/delegations", Verb::Read),
            (Method::GET, "/v1/errors/x", Verb::Read),
            (Method::POST, "/v1/errors/x/preview", Verb::Operate),
            (Method::POST, "/v1/errors/x/report", Verb::Own),
            (Method::POST, "/v1/tokens", Verb::Own),
            (Method::GET, "/v1/tokens", Verb::Own),
            (Method::POST, "/v1/store/backup", Verb::Own),
            (Method::POST, "/v1/store/restore", Verb::Own),
            (Method::GET, "/v1/store/restore", Verb::Read),
            (Method::POST, "/v1/store/check", Verb::Operate),
            (Method::GET, "/v1/store/sizes", Verb::Read),
            (Method::GET, "/openapi.json", Verb::Read),
            (Method::GET, "/v1/config", Verb::Read),
            (Method::PATCH, "/v1/config", Verb::Own),
            (Method::PUT, "/v1/supervisor/auto_resume", Verb::Operate),
            (Method::GET, "/metrics", Verb::Read),
            (Method::POST, "/v1/blueprints:lint", Verb::Read),
            (Method::POST, "/v1/blueprints/x", Verb::Operate),
        ] {
            assert_eq!(verb(&method, path), does, "{method} {path}");
        }
    }

    #[test]
    fn the_token_of_a_session_reaches_delegations_and_no_other_route_of_sessions() {
        for (method, path, is) in [
            (Method::POST, "/v1/sessions/managed/x/delegations", true),
            (Method::GET, "/v1/sessions/managed/x/delegations", true),
            (Method::DELETE, "/v1/sessions/managed/x/delegations", false),
            (Method::POST, "/v1/sessions/managed/x/send", false),
            (Method::POST, "/v1/sessions/managed//delegations", false),
            (Method::POST, "/v1/sessions/managed/x/send/delegations", false),
            (Method::POST, "/v1/sessions/managed/delegations", false),
        ] {
            assert_eq!(is_of_delegations(&method, path), is, "{method} {path}");
        }
    }
}
