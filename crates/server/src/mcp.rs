//! The MCP door: agents themselves look at the plane and drive it, by tools, resources and prompts.
//!
//! One handler for all revisions of the protocol. A request stands alone: the token that it shows says who asks, nothing
//! of an earlier request is remembered but that a call is under way ([`calls`]), and the answer is one JSON document, but
//! for a call that tells progress. What
//! a tool does is what a route of the HTTP door does; a door that gives the same twice gives it by the same code. Who
//! may call a tool follows from its verb and the caller's role; tools that a caller may not call are not listed for it.
//!
//! Without a plane ([`OfflineMcp`]) it says what it says of itself, so that a client can begin before there is a daemon.

mod attention;
mod calls;
mod completions;
mod console;
mod errors;
mod goals;
mod ids;
mod message;
mod orchestration;
mod prompts;
mod refusing;
mod resources;
mod runs;
mod schema;
mod sessions;
mod tasks;
mod tool;

use crate::serve::BODY_BYTES_MAX;
use adjutant_engine::Plane;
use adjutant_model::action::Caller;
use adjutant_protocol::{ApiError, ErrorCode};
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Request, header};
use axum::middleware;
use axum::routing::{MethodRouter, any_service};
use calls::{CallKey, Calls};
pub use message::{BadMessage, McpMessage};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, CancelTaskParams, CompleteRequestParams,
    CompleteResult, CreateTaskResult, CustomRequest, CustomResult, GetPromptRequestParams, GetPromptResponse,
    GetTaskParams, GetTaskResult, Implementation, InitializeRequestParams, InitializeResult,
    ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult, ListToolsResult,
    PaginatedRequestParams, ProtocolVersion, ReadResourceRequestParams, ReadResourceResponse,
    ServerCapabilities, ServerConfig, UpdateTaskParams,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use std::borrow::Cow;
use std::sync::{Arc, OnceLock};
use tokio_util::sync::CancellationToken;
use tool::{Asked, Progress, Tool, failed};

/// The revisions that are spoken.
const REVISIONS: [ProtocolVersion; 3] =
    [ProtocolVersion::V_2025_06_18, ProtocolVersion::V_2025_11_25, ProtocolVersion::V_2026_07_28];

/// What a client's model is told before anything else.
const INSTRUCTIONS: &str = "Adjutant hosts coding agents in isolated workspaces, judges their tool calls, and calls a \
    goal done only when checks prove it. Begin with `session_list` and `inbox`. Give work away with `agent_delegate`. \
    The resources below adjutant://guides/ say how.";

/// What answers at the door.
type McpService = StreamableHttpService<McpDoor, NeverSessionManager>;

/// Makes the door of a plane.
pub(crate) fn door<S: Clone + Send + Sync + 'static>(plane: Plane) -> MethodRouter<S> {
    let (stopping, calls) = (plane.stopping(), Calls::default());
    let service = serving(McpDoor { plane: Some(plane), calls: calls.clone() }, stopping);
    any_service(service).layer(middleware::from_fn_with_state(calls, calls::conversing))
}

fn serving(door: McpDoor, stopping: CancellationToken) -> McpService {
    // Host, origin and token are looked at before a request comes here.
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_sse_retry(None)
        .disable_allowed_hosts()
        .with_max_request_body_bytes(BODY_BYTES_MAX)
        .with_cancellation_token(stopping);
    StreamableHttpService::new(move || Ok(door.clone()), Arc::default(), config)
}

/// The door's own words, without a plane behind it.
pub struct OfflineMcp(McpService);

impl std::fmt::Debug for OfflineMcp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OfflineMcp")
    }
}

impl Default for OfflineMcp {
    fn default() -> Self {
        OfflineMcp(serving(McpDoor::default(), CancellationToken::new()))
    }
}

impl OfflineMcp {
    /// Tells whether a method is answered without a plane.
    pub fn answers(method: &str) -> bool {
        [
            "initialize",
            "ping",
            "server/discover",
            "tools/list",
            "prompts/list",
            "prompts/get",
            "resources/templates/list",
        ]
        .contains(&method)
    }

    /// Answers a request of one of those methods; `headers` are those of a request at the door, beside its type.
    pub async fn answer(&self, headers: &[(&str, String)], body: String) -> String {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri("/mcp")
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, text/event-stream");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(Body::from(body)).expect("a request without strange headers");
        let answer = Body::new(self.0.handle(request).await.into_body());
        let bytes = axum::body::to_bytes(answer, BODY_BYTES_MAX).await.unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// The one handler.
#[derive(Clone, Default)]
struct McpDoor {
    plane: Option<Plane>,
    calls: Calls,
}

fn tools() -> &'static [Tool] {
    static TOOLS: OnceLock<Vec<Tool>> = OnceLock::new();
    TOOLS.get_or_init(|| {
        let work = [sessions::tools(), orchestration::tools(), attention::tools(), runs::tools()];
        let all = work.into_iter().chain([goals::tools(), console::tools(), errors::tools()]);
        all.flatten().collect()
    })
}

fn caller_of(context: &RequestContext<RoleServer>) -> Option<Caller> {
    context.extensions.get::<Parts>()?.extensions.get::<Caller>().cloned()
}

fn key_of(context: &RequestContext<RoleServer>, caller: &Caller) -> CallKey {
    let id = serde_json::to_string(&context.id).expect("an id is JSON");
    match context.extensions.get::<Parts>() {
        Some(parts) => CallKey::new(caller, &parts.headers, id),
        None => CallKey::new(caller, &HeaderMap::new(), id),
    }
}

/// Says an error as the protocol does, for what is no tool.
fn error_data(error: &ApiError) -> ErrorData {
    let code = match ErrorCode::parse(&error.code) {
        Some(ErrorCode::NotFound) => rmcp::model::ErrorCode::RESOURCE_NOT_FOUND,
        Some(ErrorCode::Internal) => rmcp::model::ErrorCode::INTERNAL_ERROR,
        Some(_) | None => rmcp::model::ErrorCode::INVALID_PARAMS,
    };
    ErrorData::new(
        code,
        error.error.clone(),
        Some(serde_json::json!({"code": error.code, "hint": error.hint})),
    )
}

/// The same of a resource, which is named.
fn error_of_resource(error: &ApiError, uri: &str) -> ErrorData {
    let mut told = error_data(error);
    if let Some(data) = &mut told.data {
        data["uri"] = uri.into();
    }
    told
}

impl McpDoor {
    /// Gives whose request it is, and the plane.
    fn asker(&self, context: &RequestContext<RoleServer>) -> Result<(Plane, Caller), ErrorData> {
        let nobody = || ErrorData::internal_error("there is no daemon behind this door", None);
        Ok((self.plane.clone().ok_or_else(nobody)?, caller_of(context).ok_or_else(nobody)?))
    }

    /// Calls a tool apart from the connection, so that one that meets a defect answers, and one that cleans up when its
    /// client goes away does so.
    async fn called(&self, asked: Asked, request: CallToolRequestParams) -> CallToolResult {
        let Some(tool) = tools().iter().find(|tool| tool.name == request.name) else {
            let shown: String = request.name.chars().take(80).collect();
            let error = ApiError::new(ErrorCode::NotFound, format!("there is no tool `{shown}`"));
            return failed(&error.hinted("`tools/list` lists them"));
        };
        let defect = || ApiError::new(ErrorCode::Internal, "the call met a defect of the daemon");
        let arguments = request.arguments.unwrap_or_default();
        let calling = tokio::spawn(async move { tool.call(asked, arguments).await });
        calling.await.unwrap_or_else(|_| failed(&defect()))
    }

    /// Begins a call for a client that asks later how it ended, likewise apart from the connection.
    async fn begun(
        &self,
        tool: &'static Tool,
        asked: Asked,
        request: CallToolRequestParams,
    ) -> CallToolResponse {
        let defect = || ApiError::new(ErrorCode::Internal, "the call met a defect of the daemon");
        let arguments = request.arguments.unwrap_or_default();
        let beginning = tokio::spawn(async move { tool.begin(asked, arguments).await });
        match beginning.await {
            Ok(Some(Ok(call))) => CallToolResponse::Task(CreateTaskResult::new(tasks::handle(&call))),
            Ok(Some(Err(refusal))) => failed(refusal.error()).into(),
            Ok(None) | Err(_) => failed(&defect()).into(),
        }
    }
}

/// Gives the tool of a request, where it takes long and its client asks later how it ended.
fn long_tool(request: &CallToolRequestParams, context: &RequestContext<RoleServer>) -> Option<&'static Tool> {
    // No earlier revision knows a handle.
    let is_last = context.protocol_version() == Some(ProtocolVersion::V_2026_07_28);
    let asks_later = is_last && context.client_capabilities().is_some_and(|has| has.supports_tasks());
    tools().iter().find(|tool| asks_later && tool.takes_long() && tool.name == request.name)
}

impl ServerHandler for McpDoor {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_resources()
            .enable_prompts()
            .enable_completions()
            .enable_tasks()
            .build();
        let own = Implementation::new("adjutant", env!("CARGO_PKG_VERSION")).with_title("Adjutant");
        ServerConfig::new(capabilities).with_server_info(own).with_instructions(INSTRUCTIONS)
    }

    /// Begins a conversation of an earlier revision, in which no request says that its client can ask later.
    async fn initialize(
        &self,
        request: InitializeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<InitializeResult, ErrorData> {
        context.peer.set_peer_info(request.clone());
        let mut agreed = self.negotiate_initialize(&request)?;
        agreed.capabilities.extensions = None;
        Ok(agreed)
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(&REVISIONS)
    }

    fn get_tool(&self, name: &str) -> Option<rmcp::model::Tool> {
        tools().iter().find(|tool| tool.name == name).map(|tool| tool.listed().clone())
    }

    async fn list_tools(
        &self,
        _all_on_one_page: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let asker = self.asker(&context).ok();
        let is_open = |tool: &&Tool| match &asker {
            Some((plane, caller)) => tool.access.lets(plane, caller),
            None => true,
        };
        let listed = tools().iter().filter(is_open).map(|tool| tool.listed().clone());
        Ok(ListToolsResult::with_all_items(listed.collect()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let (plane, caller) = self.asker(&context)?;
        let gone = CancellationToken::new();
        // Whoever drops this waits no more.
        let _waits = gone.clone().drop_guard();
        let token = context.meta.get_progress_token();
        let progress = Progress(token.map(|token| (context.peer.clone(), token)));
        let under_way = self.calls.begin(key_of(&context, &caller));
        let asked = Asked { plane: plane.clone(), caller: caller.clone(), progress, cancelled: gone.clone() };
        if let Some(tool) = long_tool(&request, &context) {
            return Ok(self.begun(tool, asked, request).await);
        }
        let mut called = std::pin::pin!(self.called(asked, request));
        let result = tokio::select! {
            result = &mut called => result,
            () = context.ct.cancelled() => { gone.cancel(); called.await }
            () = under_way.cancelled() => { gone.cancel(); called.await }
            () = plane.token_ended(&caller) => { gone.cancel(); called.await }
        };
        Ok(result.into())
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        let (plane, caller) = self.asker(&context)?;
        let found = tasks::get(&plane, &caller, &request.task_id).await;
        Ok(GetTaskResult::new(found.map_err(|refusal| error_data(refusal.error()))?))
    }

    /// Takes what nobody asked for: no call asks its client for anything.
    async fn update_task(
        &self,
        request: UpdateTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let (plane, caller) = self.asker(&context)?;
        let found = tasks::get(&plane, &caller, &request.task_id).await;
        found.map(drop).map_err(|refusal| error_data(refusal.error()))
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let (plane, caller) = self.asker(&context)?;
        let cancelled = tasks::cancel(&plane, &caller, &request.task_id).await;
        cancelled.map_err(|refusal| error_data(refusal.error()))
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        let (plane, caller) = self.asker(&context)?;
        let completed = completions::complete(&plane, &caller, &request).await;
        Ok(CompleteResult::new(completed.map_err(|refusal| error_data(refusal.error()))?))
    }

    /// Refuses a request of which nothing is known: its method, or what it says with a method that there is.
    async fn on_custom_request(
        &self,
        request: CustomRequest,
        context: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        let CustomRequest { method, .. } = request;
        // In the last revision nobody begins by it.
        let begins =
            context.protocol_version() != Some(ProtocolVersion::V_2026_07_28) && method == "initialize";
        let known = [
            "tools/call",
            "prompts/get",
            "resources/read",
            "completion/complete",
            "tasks/get",
            "tasks/update",
            "tasks/cancel",
        ];
        Err(match begins || known.contains(&method.as_str()) {
            true => ErrorData::invalid_params(format!("the parameters of {method} cannot be read"), None),
            false => ErrorData::new(rmcp::model::ErrorCode::METHOD_NOT_FOUND, method, None),
        })
    }

    async fn list_resources(
        &self,
        _all_on_one_page: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let (plane, caller) = self.asker(&context)?;
        let listed = resources::list(&plane, &caller).await;
        Ok(ListResourcesResult::with_all_items(listed.map_err(|refusal| error_data(refusal.error()))?))
    }

    async fn list_resource_templates(
        &self,
        _all_on_one_page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(ListResourceTemplatesResult::with_all_items(resources::templates()))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let (plane, caller) = self.asker(&context)?;
        let read = resources::read(&plane, &caller, &request.uri).await;
        Ok(read.map_err(|refusal| error_of_resource(refusal.error(), &request.uri))?.into())
    }

    async fn list_prompts(
        &self,
        _all_on_one_page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Ok(ListPromptsResult::with_all_items(prompts::list()))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let filled = prompts::get(&request.name, request.arguments.unwrap_or_default());
        Ok(filled.map_err(|refusal| error_data(refusal.error()))?.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::collections::BTreeSet;

    #[test]
    fn every_tool_has_a_name_of_its_own_and_two_closed_schemas() {
        let names: BTreeSet<&str> = tools().iter().map(|tool| tool.name).collect();
        assert_eq!(names.len(), tools().len());
        for tool in tools() {
            let listed = tool.listed();
            assert_eq!(listed.input_schema.get("type"), Some(&Value::from("object")), "{}", tool.name);
            let closed = listed.input_schema.get("additionalProperties");
            assert_eq!(closed, Some(&Value::from(false)), "{}", tool.name);
            let output = listed.output_schema.as_deref().expect("an output schema");
            assert_eq!(output.get("type"), Some(&Value::from("object")), "{}", tool.name);
            assert!(!Value::Object(output.clone()).to_string().contains("#/components"), "{}", tool.name);
            assert!(listed.annotations.is_some() && listed.title.is_some(), "{}", tool.name);
        }
    }
}
