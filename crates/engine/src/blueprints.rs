//! Blueprints that are ready to run, kept by their text so that the same one is not read and compiled for every run.

mod link;

pub(crate) use link::{Callees, Linked, link};

use crate::error::EngineError;
use crate::tasks::read_blueprint;
use adjutant_model::Value;
use adjutant_model::blueprint::Blueprint;
use adjutant_model::flow::CallTarget;
use adjutant_rules::blueprint::{canonical, version_of};
use adjutant_rules::document::{Lint, LintLevel};
use adjutant_rules::flow::{Program, calls};
use adjutant_rules::redact::secret_at;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// The texts of the blueprints that are kept have at most so many bytes together.
const KEPT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A blueprint as runs use it.
#[derive(Debug)]
pub(crate) struct Ready {
    /// What it says.
    pub(crate) blueprint: Arc<Blueprint>,
    /// Its flow, compiled; calls in it lead nowhere until it is linked.
    program: Arc<Program>,
    /// The calls in its flow, each with the pointer to it.
    calls: Vec<(String, CallTarget)>,
    /// What is probably not meant in it.
    pub(crate) warnings: Vec<Lint>,
    /// Its text in the one form that its version is the hash of.
    pub(crate) canonical: String,
    /// SHA-256 of `canonical` as 64 hex digits.
    pub(crate) version: String,
}

/// The blueprints that were used lately.
#[derive(Debug, Default)]
pub(crate) struct Blueprints {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    by_text: HashMap<TextHash, Arc<Ready>>,
    /// The oldest first, each with the length of its text.
    order: VecDeque<(TextHash, usize)>,
    bytes: usize,
}

type TextHash = [u8; 32];

impl Blueprints {
    /// Gives a document's blueprint, read and compiled.
    ///
    /// # Errors
    /// All lints of a blueprint that cannot run.
    pub(crate) fn ready(&self, document: &Value) -> Result<Arc<Ready>, Vec<Lint>> {
        // The members of an object stand in the order of their keys, so equal documents have equal texts.
        let text = document.to_string();
        let hash: TextHash = Sha256::digest(&text).into();
        if let Some(ready) = self.lock().by_text.get(&hash) {
            return Ok(ready.clone());
        }
        let (blueprint, warnings) = read_blueprint(document)?;
        let canonical = canonical(document);
        let ready = Arc::new(Ready {
            program: Program::compile(&blueprint.flow),
            calls: calls::calls(&blueprint.flow).into_iter().map(|(at, call)| (at, call.clone())).collect(),
            blueprint: Arc::new(blueprint),
            warnings,
            version: version_of(&canonical),
            canonical,
        });
        self.lock().keep(hash, text.len(), &ready);
        Ok(ready)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn keep(&mut self, hash: TextHash, len: usize, ready: &Arc<Ready>) {
        if len > KEPT_BYTES_MAX || self.by_text.insert(hash, ready.clone()).is_some() {
            return;
        }
        self.order.push_back((hash, len));
        self.bytes += len;
        while self.bytes > KEPT_BYTES_MAX {
            let Some((oldest, len)) = self.order.pop_front() else { return };
            self.by_text.remove(&oldest);
            self.bytes -= len;
        }
    }
}

/// Refuses a document with what looks like a secret. It is kept whole, under the hash of its text; a person who writes one
/// is warned, and a model, which passes on what it happens to know, is refused.
pub(crate) fn secret_check(document: &Value) -> Result<(), EngineError> {
    let Some(pointer) = secret_at(document) else { return Ok(()) };
    let lint = Lint {
        level: LintLevel::Error,
        name: "secret",
        pointer,
        message: "this looks like a secret, and a blueprint is kept and shown as it is".to_owned(),
        hint: Some("let the program take it from its environment".to_owned()),
    };
    Err(EngineError::Blueprint { lints: vec![lint] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn document(pad: usize) -> Value {
        Value::from(json!({
            "id": "a", "metadata": {"description": "x".repeat(pad)},
            "agents": [{"name": "id", "kind": "function", "spec": {"fn_id": "identity"}}],
            "flow": {"kind": "step", "ref": "id", "in": {"op": "path", "at": "$.a"}, "out": {"op": "path", "at": "$.b"}},
        }))
    }

    #[test]
    fn an_equal_document_is_ready_already_and_what_is_kept_is_bounded() {
        let blueprints = Blueprints::default();
        let first = blueprints.ready(&document(0)).expect("it is sound");
        assert!(Arc::ptr_eq(&first, &blueprints.ready(&document(0)).expect("it is sound")));
        for n in 0..10 {
            let ready = blueprints.ready(&document(1_000_000 + n)).expect("it is sound");
            assert_ne!(ready.version, first.version);
            assert!(blueprints.lock().bytes <= KEPT_BYTES_MAX);
        }
        assert!(
            !Arc::ptr_eq(&first, &blueprints.ready(&document(0)).expect("it is sound")),
            "it was forgotten"
        );
        assert!(blueprints.ready(&Value::from(json!({"id": 7}))).is_err());
    }
}
