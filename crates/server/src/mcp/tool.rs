//! What a tool is: its name and schemas, what it does to the world, who may call it, and what it does.

use super::schema::schema_of;
use crate::answer::{Answer, Refusal};
use crate::auth;
use adjutant_engine::Plane;
use adjutant_model::action::{Caller, Verb};
use adjutant_model::call::Call;
use adjutant_protocol::ApiError;
use futures_util::future::BoxFuture;
use rmcp::RoleServer;
use rmcp::model::{CallToolResult, ContentBlock, JsonObject, ProgressNotificationParam, ProgressToken};
use rmcp::service::Peer;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

/// Who may call a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Whose role has a verb.
    Verb(Verb),
    /// The same, and a managed session's agent for its own session; the tool sees to it that it is that.
    OwnSession(Verb),
}

/// What a tool does to the world, as clients are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// It looks.
    Reads,
    /// It adds something, each time.
    Adds,
    /// It changes something; doing it again changes nothing more.
    Sets,
    /// It ends or removes something; doing it again changes nothing more.
    Ends,
    /// It tells somebody outside of this machine something.
    Tells,
}

/// A tool.
pub(super) struct Tool {
    pub(super) name: &'static str,
    pub(super) access: Access,
    listed: rmcp::model::Tool,
    /// The member of the result that is all of its text, where clients expect no object.
    text_member: Option<&'static str>,
    call: Does<Value>,
    /// How it is begun for a client that asks later how it ended, where it takes long.
    begin: Option<Does<Call>>,
}

/// What is done with arguments.
type Does<T> = Box<dyn Fn(Asked, JsonObject) -> BoxFuture<'static, Answer<T>> + Send + Sync>;

/// A call of a tool.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) plane: Plane,
    pub(super) caller: Caller,
    pub(super) progress: Progress,
    /// Is cancelled when the client does not wait any more.
    pub(super) cancelled: CancellationToken,
}

/// Tells a client how far a call is.
#[derive(Clone)]
pub(super) struct Progress(pub(super) Option<(Peer<RoleServer>, ProgressToken)>);

/// Whoever waits hears so often that it goes on; what is over before that is answered without any news.
const PROGRESS_PAUSE: Duration = Duration::from_secs(1);

impl Progress {
    /// Tells each second how it is, for as long as anybody waits: the seconds that have passed, and what `how` says.
    pub(super) async fn tell_each_second(&self, how: impl Fn() -> String) -> Infallible {
        if self.0.is_none() {
            return std::future::pending().await;
        }
        let mut seconds = tokio::time::interval_at(Instant::now() + PROGRESS_PAUSE, PROGRESS_PAUSE);
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for past in 1.. {
            seconds.tick().await;
            self.tell(past, how()).await;
        }
        unreachable!("there are always more seconds")
    }

    /// Tells that so much is done; nobody hears it whose client does not ask for it.
    async fn tell(&self, done: u64, message: String) {
        let Some((peer, token)) = &self.0 else { return };
        let told = ProgressNotificationParam::new(token.clone(), done as f64).with_message(message);
        if let Err(error) = peer.notify_progress(told).await {
            tracing::debug!(%error, "progress could not be told");
        }
    }
}

impl Access {
    pub(super) fn lets(self, plane: &Plane, caller: &Caller) -> bool {
        match self {
            Access::Verb(verb) => plane.may(caller, verb),
            Access::OwnSession(verb) => caller.of_session.is_some() || plane.may(caller, verb),
        }
    }
}

impl Tool {
    /// Makes a tool of a function; its schemas are those of what the function takes and gives.
    pub(super) fn new<P, O, F>(
        (name, title, description): (&'static str, &'static str, &'static str),
        access: Access,
        effect: Effect,
        run: impl Fn(Asked, P) -> F + Send + Sync + 'static,
    ) -> Self
    where
        P: DeserializeOwned + ToSchema + Send,
        O: Serialize + ToSchema,
        F: Future<Output = Answer<O>> + Send + 'static,
    {
        let listed = rmcp::model::Tool::new(name, description, Arc::new(schema_of::<P>()))
            .with_title(title)
            .with_raw_output_schema(Arc::new(schema_of::<O>()))
            .with_annotations(annotations(title, effect));
        let call = does(move |asked, params| {
            let running = run(asked, params);
            async move { Ok(serde_json::to_value(running.await?).expect("what a tool gives is JSON")) }
        });
        Tool { name, access, listed, text_member: None, call, begin: None }
    }

    /// Says how it is begun for a client that asks later how it ended; what it takes is the same.
    pub(super) fn with_handle<P, F>(self, begin: impl Fn(Asked, P) -> F + Send + Sync + 'static) -> Self
    where
        P: DeserializeOwned + Send,
        F: Future<Output = Answer<Call>> + Send + 'static,
    {
        Tool { begin: Some(does(begin)), ..self }
    }

    /// Says that the text of a result is one member of it alone.
    pub(super) fn with_text_of(self, member: &'static str) -> Self {
        Tool { text_member: Some(member), ..self }
    }

    /// Gives it as clients see it.
    pub(super) fn listed(&self) -> &rmcp::model::Tool {
        &self.listed
    }

    /// Does it; whoever may not, and whatever cannot be read, is told so in the result.
    pub(super) async fn call(&self, asked: Asked, arguments: JsonObject) -> CallToolResult {
        let told = match self.check(&asked) {
            Ok(()) => (self.call)(asked, arguments).await,
            Err(refusal) => Err(refusal),
        };
        result_of(told, self.text_member)
    }

    /// Tells whether a client that asks later how it ended is given a handle of it.
    pub(super) fn takes_long(&self) -> bool {
        self.begin.is_some()
    }

    /// Begins it for such a client; what is refused has not begun. Nothing for a tool that does not take long.
    pub(super) async fn begin(&self, asked: Asked, arguments: JsonObject) -> Option<Answer<Call>> {
        let begin = self.begin.as_ref()?;
        Some(match self.check(&asked) {
            Ok(()) => begin(asked, arguments).await,
            Err(refusal) => Err(refusal),
        })
    }

    fn check(&self, asked: &Asked) -> Answer<()> {
        if self.access.lets(&asked.plane, &asked.caller) {
            return Ok(());
        }
        let (Access::Verb(verb) | Access::OwnSession(verb)) = self.access;
        Err(auth::may_not(&asked.caller, verb, &format!("call `{}`", self.name)))
    }
}

fn does<P, T, F>(run: impl Fn(Asked, P) -> F + Send + Sync + 'static) -> Does<T>
where
    P: DeserializeOwned + Send,
    F: Future<Output = Answer<T>> + Send + 'static,
    T: 'static,
{
    Box::new(move |asked, arguments| match read(arguments) {
        Ok(params) => Box::pin(run(asked, params)),
        Err(refusal) => Box::pin(async { Err(refusal) }),
    })
}

/// Gives what came of a call as a tool's result; its text is one member of it where `text_member` names one.
pub(super) fn result_of(told: Answer<Value>, text_member: Option<&str>) -> CallToolResult {
    match told {
        Ok(value) => {
            let text = text_member.map_or(&value, |member| &value[member]).to_string();
            let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
            result.structured_content = Some(value);
            result
        }
        Err(refusal) => failed(refusal.error()),
    }
}

/// Gives an error as the result of a tool: `{code, message, hint}`, and `details` where there are any.
///
/// It is text alone: clients hold structured content against the tool's schema, also when it is an error.
pub(super) fn failed(error: &ApiError) -> CallToolResult {
    let mut told = json!({"code": error.code, "message": error.error, "hint": error.hint});
    if let Some(details) = &error.details {
        told["details"] = details.clone();
    }
    CallToolResult::error(vec![ContentBlock::text(told.to_string())])
}

fn annotations(title: &str, effect: Effect) -> rmcp::model::ToolAnnotations {
    let of = rmcp::model::ToolAnnotations::with_title(title).open_world(false);
    match effect {
        Effect::Reads => of.read_only(true).destructive(false).idempotent(true),
        Effect::Adds => of.read_only(false).destructive(false).idempotent(false),
        Effect::Sets => of.read_only(false).destructive(false).idempotent(true),
        Effect::Ends => of.read_only(false).destructive(true).idempotent(true),
        Effect::Tells => of.read_only(false).destructive(true).idempotent(false).open_world(true),
    }
}

fn read<P: DeserializeOwned>(arguments: JsonObject) -> Answer<P> {
    serde_path_to_error::deserialize(Value::Object(arguments)).map_err(|error| {
        let place = match error.path().to_string() {
            path if path == "." => String::new(),
            path => format!(" at `{path}`"),
        };
        Refusal::invalid(format!("the arguments cannot be read{place}: {}", error.into_inner()))
    })
}
