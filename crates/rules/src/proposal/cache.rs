//! What earlier calls of tools left behind: answers that may stand in for new calls, and how often a tool may still
//! be called.
//!
//! Whoever owns a [`ProposalCaches`] decides who shares it: callers that must not see each other's answers have one
//! each. A cache is asked only after the gate has let an action through. The oldest answers go when there are too
//! many or they are too large.

use super::rate::{Bucket, Taken};
use super::tool::Tool;
use adjutant_model::proposal::Action;
use adjutant_model::{Timestamp, Value};
use immutable_chunkmap::map::MapM;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// So many answers are kept on each shelf.
const ANSWERS_MAX: usize = 4096;
/// So many bytes of answers are kept on each shelf, as JSON.
const ANSWERS_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The caches and rate limits that proposals of one caller share. A clone is O(1).
#[derive(Debug, Clone, Default)]
pub struct ProposalCaches {
    /// Answers to idempotent actions.
    idempotent: Shelf,
    /// Answers of tools that declare how long an answer is good.
    results: Shelf,
    buckets: MapM<Arc<str>, Bucket>,
}

/// What a call of a tool is, by the hash of its kind, tool and parameters with sorted keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CallKey([u8; 32]);

impl CallKey {
    /// Gives the key of an action. Objects keep their keys sorted, so equal parameters print the same.
    pub(super) fn new(action: &Action) -> CallKey {
        let tool = action.tool.as_deref().unwrap_or_default();
        let mut hash = Sha256::new();
        hash.update(format!("{}\0{}\0{tool}\0{}", action.kind.as_str(), tool.len(), action.parameters));
        CallKey(hash.finalize().into())
    }
}

impl ProposalCaches {
    /// Forgets the answers and the rate limit of a tool, as is right when it is registered anew or taken back.
    pub fn tool_forget(&mut self, tool: &Arc<str>) {
        self.idempotent.forget(tool);
        self.results.forget(tool);
        self.buckets.remove_cow(tool);
    }

    pub(super) fn idempotent(&self, key: &CallKey) -> Option<&Value> {
        self.idempotent.answers.get(key).map(|answer| &answer.value)
    }

    /// Gives the answer of a tool if it is good still.
    pub(super) fn result(&self, key: &CallKey, now: Timestamp) -> Option<&Value> {
        let answer = self.results.answers.get(key)?;
        answer.good_until.is_some_and(|until| now < until).then_some(&answer.value)
    }

    /// Keeps the answer to an idempotent action and gives its place, by which it can be taken back.
    pub(super) fn idempotent_keep(&mut self, key: CallKey, tool: &Arc<str>, value: &Value) -> u64 {
        self.idempotent
            .keep(key, Answer { tool: tool.clone(), value: value.clone(), good_until: None, place: 0 })
    }

    pub(super) fn result_keep(&mut self, key: CallKey, tool: &Tool, value: &Value, now: Timestamp) {
        if let Some(secs) = tool.spec().cache_ttl_secs {
            let good_until = Some(now.plus_ms(secs.saturating_mul(1000)));
            let answer =
                Answer { tool: tool.spec().name.clone(), value: value.clone(), good_until, place: 0 };
            self.results.keep(key, answer);
        }
    }

    /// Takes back an answer, unless a newer one stands in its place.
    pub(super) fn idempotent_forget(&mut self, key: &CallKey, place: u64) {
        if self.idempotent.answers.get(key).is_some_and(|answer| answer.place == place) {
            self.idempotent.remove(key);
        }
    }

    /// Takes leave to call a tool; or gives the instant before which there is none.
    pub(super) fn rate_take(&mut self, tool: &Tool, now: Timestamp) -> Result<(), Timestamp> {
        let Some(limit) = tool.spec().rate_limit else { return Ok(()) };
        let bucket = self.buckets.get(&tool.spec().name).copied().unwrap_or_default();
        match bucket.take(limit, now) {
            Taken::Now(rest) => {
                self.buckets.insert_cow(tool.spec().name.clone(), rest);
                Ok(())
            }
            Taken::NotBefore(at) => Err(at),
        }
    }
}

/// Answers, the oldest first in line to go.
#[derive(Debug, Clone, Default)]
struct Shelf {
    answers: MapM<CallKey, Answer>,
    line: MapM<u64, CallKey>,
    place_next: u64,
    bytes: u64,
}

#[derive(Debug, Clone)]
struct Answer {
    tool: Arc<str>,
    value: Value,
    good_until: Option<Timestamp>,
    /// Its place in the line.
    place: u64,
}

impl Shelf {
    fn keep(&mut self, key: CallKey, answer: Answer) -> u64 {
        self.remove(&key);
        let place = self.place_next;
        self.place_next += 1;
        self.bytes += answer.value.size_bytes();
        self.answers.insert_cow(key, Answer { place, ..answer });
        self.line.insert_cow(place, key);
        while self.line.len() > ANSWERS_MAX || self.bytes > ANSWERS_BYTES_MAX {
            let Some(oldest) = self.line.into_iter().next().map(|(_, key)| *key) else { break };
            self.remove(&oldest);
        }
        place
    }

    fn remove(&mut self, key: &CallKey) {
        if let Some(gone) = self.answers.remove_cow(key) {
            self.line.remove_cow(&gone.place);
            self.bytes -= gone.value.size_bytes();
        }
    }

    fn forget(&mut self, tool: &Arc<str>) {
        let theirs: Vec<CallKey> = self
            .answers
            .into_iter()
            .filter(|(_, answer)| answer.tool == *tool)
            .map(|(key, _)| *key)
            .collect();
        for key in &theirs {
            self.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u64) -> CallKey {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&n.to_be_bytes());
        CallKey(bytes)
    }

    #[test]
    fn the_oldest_answers_go_when_there_are_too_many_or_they_are_too_large() {
        let mut caches = ProposalCaches::default();
        let tool: Arc<str> = "t".into();
        for n in 0..ANSWERS_MAX as u64 + 10 {
            caches.idempotent_keep(key(n), &tool, &Value::Null);
        }
        assert_eq!(caches.idempotent.answers.len(), ANSWERS_MAX);
        assert!(caches.idempotent(&key(9)).is_none() && caches.idempotent(&key(10)).is_some());
        let large = Value::string("x".repeat(ANSWERS_BYTES_MAX as usize - 1000));
        caches.idempotent_keep(key(1_000_000), &tool, &large);
        assert!(caches.idempotent.bytes <= ANSWERS_BYTES_MAX && caches.idempotent(&key(1_000_000)).is_some());
        caches.tool_forget(&tool);
        assert_eq!(
            (caches.idempotent.answers.len(), caches.idempotent.line.len(), caches.idempotent.bytes),
            (0, 0, 0)
        );
    }

    #[test]
    fn an_answer_is_taken_back_only_by_whoever_left_it() {
        let mut caches = ProposalCaches::default();
        let tool: Arc<str> = "t".into();
        let first = caches.idempotent_keep(key(1), &tool, &Value::from("first"));
        let second = caches.idempotent_keep(key(1), &tool, &Value::from("second"));
        caches.idempotent_forget(&key(1), first);
        assert_eq!(caches.idempotent(&key(1)), Some(&Value::from("second")));
        caches.idempotent_forget(&key(1), second);
        assert_eq!(caches.idempotent(&key(1)), None);
    }
}
