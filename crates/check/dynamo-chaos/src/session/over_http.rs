//! A session's requests over HTTP, or handed to the client library.

use std::time::Duration;

use dynamo_checker::history::{HostIndex, KeyIndex};

use super::{ATTEMPTS_MAX, Sent, Session, Shown, Way, Writing};
use crate::cluster::HttpAddresses;
use crate::http::{Answer, Change, HttpClient, NoAnswer, Query};
use crate::observations::NATIVE;
use crate::workload::sees_unseen_deletes;

/// Problems that mean "not now", whoever asks.
const REFUSALS: [&str; 5] =
    ["not-enough-replicas", "overloaded", "storage-failed", "stopping", "storage-full"];

impl Session {
    /// Where the history says that this session asks.
    pub(super) fn host(&self) -> HostIndex {
        match &self.way {
            Way::Http(..) => self.favourite,
            Way::Native(_) => NATIVE,
        }
    }

    pub(super) async fn get(&mut self, key: KeyIndex, query: Query) -> Option<Shown> {
        let (http, addresses) = match &self.way {
            Way::Http(http, addresses) => (http, addresses),
            Way::Native(client) => return self.get_native(client, key, query).await,
        };
        let address = addresses.get(self.favourite)?;
        let name = self.workload.name(key);
        let answer = http.get(address, name, query, self.patience).await;
        match answer {
            Ok(Answer::Object(values, context)) => return Some((values, context)),
            Err(NoAnswer::NotSent | NoAnswer::Lost) => {}
            Ok(Answer::Problem(kind)) if may_refuse_a_read(&kind) => {}
            Ok(other) => {
                let host = self.favourite;
                self.recorder.odd(format!("{host} answers a get of {name} with {other:?}"));
            }
        }
        // Elsewhere next time.
        self.favourite = self.draw_host();
        None
    }

    pub(super) async fn list(&mut self, key: KeyIndex) {
        let bucket = &self.workload.bucket_of(key).bucket;
        let Way::Http(http, addresses) = &self.way else {
            let page = self.list_native(bucket).await;
            return self.recorder.count(page);
        };
        let Some(address) = addresses.get(self.favourite) else { return };
        let host = self.favourite;
        let answer = http.list(address, bucket, self.patience).await;
        self.recorder.count(matches!(answer, Ok(Answer::Page(_))));
        match answer {
            Ok(Answer::Page(keys)) => {
                if let Some(key) = keys.iter().find(|key| !self.workload.has_key(key)) {
                    self.recorder.odd(format!("{host} lists {key}, which nobody wrote"));
                }
            }
            Ok(Answer::Problem(kind)) if may_refuse_a_read(&kind) => {}
            Ok(other) => self.recorder.odd(format!("{host} answers a list with {other:?}")),
            Err(NoAnswer::NotSent | NoAnswer::Lost) => {}
        }
    }

    /// Sends a write until it is stored or given up.
    pub(super) async fn send(&mut self, writing: &Writing) -> Sent {
        let (http, addresses) = match &self.way {
            Way::Http(http, addresses) => (http.clone(), addresses.clone()),
            Way::Native(client) => {
                let client = client.clone();
                return self.send_native(&client, writing).await;
            }
        };
        // Without a key there is one attempt only, and the version cannot be told by its request:
        // its value must tell it, which an answer shows in buckets that keep siblings.
        let may_go_without = writing.value.is_some()
            && !self.workload.last_write_wins(writing.key)
            && !sees_unseen_deletes(writing.key);
        let with_key = !(may_go_without && self.random.chance(300));
        let idempotency_key = with_key.then(|| {
            self.recorder.idempotency_key(writing.id, writing.value.clone(), &writing.contexts)
        });
        let attempts_max = if with_key { self.random.between(1, ATTEMPTS_MAX) } else { 1 };
        let doubles = with_key && self.random.chance(30);
        let workload = self.workload.clone();
        let sender = HttpSender {
            http,
            addresses,
            name: workload.name(writing.key),
            writing,
            idempotency_key: idempotency_key.as_deref(),
            patience: self.patience,
        };
        let mut certainly_failed = true;
        for _ in 0..attempts_max {
            let host = self.favourite;
            self.recorder.attempt(writing.id, host);
            let sent = if doubles {
                let other = self.draw_host();
                self.recorder.attempt(writing.id, other);
                sender.to_two(host, other).await
            } else {
                sender.to_one(host).await
            };
            match self.judge(sent) {
                Sent::Failed => {}
                Sent::Unknown => certainly_failed = false,
                stored @ Sent::Stored(..) => return stored,
            }
            self.favourite = self.draw_host();
        }
        if certainly_failed { Sent::Failed } else { Sent::Unknown }
    }

    fn judge(&self, (host, answer): (HostIndex, Result<Answer, NoAnswer>)) -> Sent {
        match answer {
            Ok(Answer::Stored(context, receipt)) => Sent::Stored(host, (context, receipt)),
            Ok(Answer::Problem(kind)) => match kind.as_str() {
                "outcome-unknown" => Sent::Unknown,
                // The sibling limit is the client's own doing.
                "too-many-siblings" => Sent::Failed,
                kind if REFUSALS.contains(&kind) => Sent::Failed,
                kind => {
                    self.recorder.odd(format!("{host} refuses a good write: {kind}"));
                    if kind == "internal" { Sent::Unknown } else { Sent::Failed }
                }
            },
            Ok(other) => {
                self.recorder.odd(format!("{host} answers a write with {other:?}"));
                Sent::Unknown
            }
            Err(NoAnswer::NotSent) => Sent::Failed,
            Err(NoAnswer::Lost) => Sent::Unknown,
        }
    }
}

fn may_refuse_a_read(kind: &str) -> bool {
    REFUSALS.contains(&kind)
}

/// How much one of two answers to the same write says: that it was stored, that it may have been, that
/// it was refused in a way that is odd, that it was not done.
fn weight(answer: &Result<Answer, NoAnswer>) -> u8 {
    match answer {
        Ok(Answer::Stored(..)) => 3,
        Ok(Answer::Odd(_) | Answer::Object(..) | Answer::Page(_)) | Err(NoAnswer::Lost) => 2,
        Ok(Answer::Problem(kind)) if kind == "outcome-unknown" || kind == "internal" => 2,
        Ok(Answer::Problem(kind)) if !REFUSALS.contains(&kind.as_str()) => 1,
        Ok(Answer::Problem(_)) | Err(NoAnswer::NotSent) => 0,
    }
}

/// One write over HTTP.
struct HttpSender<'a> {
    http: HttpClient,
    addresses: HttpAddresses,
    name: &'a dynamo_types::ObjectName,
    writing: &'a Writing,
    idempotency_key: Option<&'a str>,
    patience: Duration,
}

impl HttpSender<'_> {
    async fn to_one(&self, host: HostIndex) -> (HostIndex, Result<Answer, NoAnswer>) {
        let Some(address) = self.addresses.get(host) else { return (host, Err(NoAnswer::NotSent)) };
        let change = Change {
            name: self.name,
            value: self.writing.value.clone(),
            contexts: &self.writing.contexts,
            idempotency_key: self.idempotency_key,
            query: self.writing.query,
        };
        (host, self.http.change(address, &change, self.patience).await)
    }

    /// The same to two nodes at once, as a client does that loses patience; the answer that says more.
    async fn to_two(
        &self,
        one: HostIndex,
        other: HostIndex,
    ) -> (HostIndex, Result<Answer, NoAnswer>) {
        let (first, second) = tokio::join!(self.to_one(one), self.to_one(other));
        if weight(&second.1) > weight(&first.1) { second } else { first }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::RunClock;
    use crate::cluster::Secrets;
    use crate::observations::Recorder;
    use crate::workload::Workload;
    use dynamo_messages::Receipt;
    use dynamo_types::ClusterId;
    use dynamo_versioning::ContextKey;

    fn session() -> Session {
        let secrets = Secrets {
            cluster: ClusterId(1),
            secret: [7; 32],
            context_key: ContextKey::derive(&[7; 32]),
            nodes: Vec::new(),
        };
        let recorder = Recorder::new(RunClock::start(), secrets);
        let way = Way::Http(HttpClient::default(), HttpAddresses::default());
        Session::new(1, 7, way, Arc::new(Workload::draw(7, false)), recorder)
    }

    fn problem(kind: &str) -> Result<Answer, NoAnswer> {
        Ok(Answer::Problem(kind.to_owned()))
    }

    #[test]
    fn only_what_certainly_did_nothing_counts_as_failed() {
        let session = session();
        let failed = |answer| matches!(session.judge((HostIndex(0), answer)), Sent::Failed);
        let unknown = |answer| matches!(session.judge((HostIndex(0), answer)), Sent::Unknown);
        assert!(failed(Err(NoAnswer::NotSent)));
        assert!(unknown(Err(NoAnswer::Lost)));
        assert!(unknown(problem("outcome-unknown")));
        for kind in ["not-enough-replicas", "overloaded", "stopping", "too-many-siblings"] {
            assert!(failed(problem(kind)), "{kind}");
        }
        assert!(session.recorder.lock().odd.is_empty());
    }

    #[test]
    fn refusals_that_nobody_deserved_are_noted() {
        let session = session();
        let judge = |answer| session.judge((HostIndex(0), answer));
        assert!(matches!(judge(problem("request-id-reused")), Sent::Failed));
        assert!(matches!(judge(problem("internal")), Sent::Unknown));
        assert!(matches!(judge(Ok(Answer::Odd("?".into()))), Sent::Unknown));
        assert_eq!(session.recorder.lock().odd.len(), 3);
    }

    #[test]
    fn of_two_answers_the_one_that_says_more_counts() {
        let receipt = Receipt { copies: 2, synced: 2, nodes: 2, zones: 2, hints: 0 };
        let order = [
            problem("overloaded"),
            problem("invalid-context"),
            Err(NoAnswer::Lost),
            Ok(Answer::Stored("abc".into(), receipt)),
        ];
        let weights: Vec<u8> = order.iter().map(weight).collect();
        assert_eq!(weights, [0, 1, 2, 3]);
    }
}
