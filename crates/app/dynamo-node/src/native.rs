//! Native clients: requests in frames over QUIC, many at once on one link.
//!
//! A client's certificate says what it may do: role `client` reads and writes objects, role
//! `admin` also sets what buckets do and changes the members. Whoever sends what cannot be decoded loses its link.

use bytes::Bytes;
use dynamo_messages::encoding::{ClientFrame, decode_client, encode_client};
use dynamo_messages::{Failure, Invalid, Reply, Request};
use dynamo_transport::{Lane, LinkId, Role};

use crate::links::Links;

/// Answers travel on one lane: a client's link is for it alone.
const REPLY_LANE: Lane = Lane::Foreground(0);

/// When a client that asks too much at once should ask again, in milliseconds: some requests of
/// its own will have ended by then.
const RETRY_AFTER_MS: u32 = 20;

/// Understands a frame of a client. A request that must not reach the machine is answered here.
pub(crate) fn accept(
    links: &mut Links,
    link: LinkId,
    frame: Bytes,
    requests_max: usize,
) -> Option<(u64, Request)> {
    let (id, request) = match decode_client(frame) {
        Ok(ClientFrame::Request { id, request }) => (id, request),
        Ok(ClientFrame::Reply { .. }) => {
            refuse_link(links, link, &"a client sent a reply");
            return None;
        }
        Err(error) => {
            refuse_link(links, link, &error);
            return None;
        }
    };
    let client = links.client(link)?;
    if client.in_flight >= requests_max {
        links.counters.client_requests_over_cap += 1;
        send(links, link, id, overloaded());
        return None;
    }
    if client.role != Role::Admin
        && let Some(refusal) = admins_only(&request)
    {
        send(links, link, id, refusal);
        return None;
    }
    client.in_flight += 1;
    Some((id, request))
}

/// Answers a request that [`accept`] let through.
pub(crate) fn reply(links: &mut Links, link: LinkId, id: u64, reply: Reply) {
    if let Some(client) = links.client(link) {
        client.in_flight = client.in_flight.saturating_sub(1);
    }
    send(links, link, id, reply);
}

fn send(links: &mut Links, link: LinkId, id: u64, reply: Reply) {
    let frame = encode_client(&ClientFrame::Reply { id, reply });
    let sent = links.client(link).map(|client| client.sender.send(REPLY_LANE, frame));
    if !matches!(sent, Some(Ok(()))) {
        links.counters.replies_lost += 1;
    }
}

fn refuse_link(links: &mut Links, link: LinkId, error: &dyn std::fmt::Display) {
    tracing::warn!(%link, %error, "a client does not keep to the protocol");
    links.counters.undecodable_client_frames += 1;
    links.drop_client(link);
}

/// What a client is told that asks more than it may at once.
pub(crate) fn overloaded() -> Reply {
    Reply::Failed(Failure::Overloaded { retry_after_ms: RETRY_AFTER_MS })
}

/// What anybody but an administrator is told; nothing if everybody may ask this.
fn admins_only(request: &Request) -> Option<Reply> {
    let (reason, what) = match request {
        Request::PutBucket { .. } => (Invalid::Settings, "settings of buckets need"),
        Request::PlanChange { .. }
        | Request::CommitChange { .. }
        | Request::CancelMoves
        | Request::ForceMoves { .. } => (Invalid::Change, "changes of the members need"),
        Request::Get { .. }
        | Request::Mutate(_)
        | Request::List { .. }
        | Request::GetBucket { .. }
        | Request::ListBuckets
        | Request::Cluster
        | Request::Ring
        | Request::Transfers
        | Request::Explain { .. } => return None,
    };
    let detail = format!("{what} a certificate of role admin");
    Some(Reply::Failed(Failure::Invalid { reason, detail }))
}
