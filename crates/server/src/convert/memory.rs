//! What is remembered, on its way out.

use adjutant_model::memory::{Fact, FactSource, FoundFact};
use adjutant_protocol::http;

pub(crate) fn fact(fact: &Fact) -> http::FactView {
    let successor = fact.successor.as_ref();
    http::FactView {
        id: fact.id.to_string(),
        scope: fact.scope.to_string(),
        text: fact.text.clone(),
        tags: fact.tags.clone(),
        source: source(&fact.source),
        created_at: fact.created_at.to_string(),
        valid_until: fact.valid_until.map(|at| at.to_string()),
        superseded_by: successor.map(|successor| successor.by.to_string()),
        superseded_at: successor.map(|successor| successor.at.to_string()),
        score: None,
    }
}

pub(crate) fn found_fact(found: &FoundFact) -> http::FactView {
    http::FactView { score: Some(found.score), ..fact(&found.fact) }
}

fn source(source: &FactSource) -> http::FactSourceView {
    let (kind, id, path) = match source {
        FactSource::Session { session_id } => ("session", session_id.to_string(), None),
        FactSource::Run { run_id, path } => ("run", run_id.to_string(), Some(path.as_str().to_owned())),
        FactSource::Person { name } => ("person", name.clone(), None),
    };
    http::FactSourceView { kind: kind.to_owned(), id, path }
}
