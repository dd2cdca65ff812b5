//! The HTTP server in front of a machine that answers as the test says.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use dynamo_messages::{Reply, Request};
use dynamo_node::clock::Clock;
use dynamo_node::http::{HttpFacts, HttpServer, HttpState, MemberNames};
use dynamo_node::identity_files::ClusterSecret;
use dynamo_node::input::{Input, NodeHandle, NodeStatus};
use dynamo_node::metrics::NodeSources;
use dynamo_node::settings::Settings;
use dynamo_types::{NodeId, Replication};
use tokio::sync::{oneshot, watch};

/// A running server; dropping it stops it.
pub(crate) struct FakeNode {
    pub(crate) address: SocketAddr,
    pub(crate) state: Arc<HttpState>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// The settings of a test, to be changed before the start.
pub(crate) fn settings() -> Settings {
    Settings::defaults(Path::new("/nowhere"))
}

impl FakeNode {
    /// A server whose machine answers with this; `None` never answers.
    pub(crate) fn start(answers: impl FnMut(Request) -> Option<Reply> + Send + 'static) -> Self {
        Self::start_with(&settings(), Vec::new(), answers)
    }

    pub(crate) fn start_with(
        settings: &Settings,
        unreachable: Vec<NodeId>,
        answers: impl FnMut(Request) -> Option<Reply> + Send + 'static,
    ) -> Self {
        let status = NodeStatus { unreachable, ..NodeStatus::default() };
        Self::start_in(settings, status, answers)
    }

    /// A server whose machine is in this state.
    pub(crate) fn start_in(
        settings: &Settings,
        status: NodeStatus,
        answers: impl FnMut(Request) -> Option<Reply> + Send + 'static,
    ) -> Self {
        let settings = settings.clone();
        let (started, has_started) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let (handle, mut inputs) = NodeHandle::channel(16);
                let sources = NodeSources { engine: None, transport: None };
                let names = MemberNames::default();
                (1..=3).for_each(|i| names.set(NodeId(i), format!("node-{i}")));
                let facts = HttpFacts {
                    node: NodeId(1),
                    names,
                    replication: Replication::new(3).unwrap(),
                    limits: settings.limits,
                    secret: ClusterSecret([7; 32]),
                };
                let state = HttpState::new(handle, Clock::start(), facts, &settings, sources);
                let address = "127.0.0.1:0".parse().unwrap();
                let server = HttpServer::bind(address, Arc::clone(&state)).await.unwrap();
                let (stop, stopped) = watch::channel(false);
                let address = server.local_address().unwrap();
                started.send((address, state, stop)).unwrap();
                let mut answers = answers;
                tokio::spawn(async move {
                    let mut unanswered: Vec<oneshot::Sender<Reply>> = Vec::new();
                    while let Some(input) = inputs.recv().await {
                        match input {
                            Input::Request { request, answer } => match answers(request) {
                                // A client that gave up does not matter here.
                                Some(reply) => drop(answer.send(reply)),
                                None => unanswered.push(answer),
                            },
                            Input::Status { answer } => {
                                drop(answer.send(status.clone()));
                            }
                            Input::Stop { .. } => return,
                        }
                    }
                });
                server.run(stopped).await;
            });
        });
        let (address, state, stop) = has_started.recv().unwrap();
        Self { address, state, stop, thread: Some(thread) }
    }

    /// Tells the server to stop and waits until it has.
    pub(crate) fn stop(mut self) {
        self.finish();
    }

    fn finish(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for FakeNode {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.finish();
        }
    }
}
