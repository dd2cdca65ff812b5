//! HTTP/1.1: the store for everything that is not the native client.
//!
//! - [`router`] is the list of paths, [`objects`], [`buckets`], [`cluster`] and [`health`] answer;
//! - [`problem`] is every error with its body, [`target`] understands paths and queries,
//!   [`body`] receives what a client sends, within [`limits`];
//! - [`server`] accepts connections, [`watched`] sees to it that what the HTTP library refuses by
//!   itself also gets a problem body.
//!
//! Nothing here knows replication: a request becomes a [`dynamo_messages::Request`], and a reply
//! becomes a response.

mod body;
mod buckets;
mod changes;
mod cluster;
mod explain;
mod health;
mod limits;
mod objects;
pub mod problem;
mod router;
mod server;
mod state;
mod target;
mod watched;

pub use server::HttpServer;
pub use state::{HttpFacts, HttpState, MemberNames};
