//! What a request's path and query say.
//!
//! Paths are cut as they came, then decoded once into bytes: an encoded slash belongs to a key as
//! much as a plain one.

use std::collections::BTreeMap;

use bytes::Bytes;
use dynamo_messages::Options;
use dynamo_types::limits::{LIST_LIMIT_MAX, TIMEOUT_MS_MAX};
use dynamo_types::{Bucket, Key, ObjectName, Replication};

use super::problem::{Problem, ProblemKind};

/// Keys of a page if the request does not say.
const LIST_LIMIT_DEFAULT: u32 = 100;

/// Below it lie objects.
pub(super) const OBJECTS: &str = "/v1/kv/";
/// Below it lies what the replicas of each object have.
pub(super) const EXPLAIN: &str = "/v1/explain/";

/// The object that a path names behind the prefix.
pub(super) fn object(path: &str, prefix: &str) -> Result<ObjectName, Problem> {
    let rest = path.strip_prefix(prefix).unwrap_or("");
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    let bucket = parse_bucket(bucket)?;
    let key = percent_decode(key, false)
        .ok_or_else(|| Problem::new(ProblemKind::InvalidKey, "a `%` without two digits"))?;
    let key =
        Key::new(key).map_err(|error| Problem::new(ProblemKind::InvalidKey, error.to_string()))?;
    Ok(ObjectName { bucket, key })
}

/// The bucket that a path names right after the prefix.
pub(super) fn bucket(path: &str, prefix: &str) -> Result<Bucket, Problem> {
    parse_bucket(path.strip_prefix(prefix).unwrap_or(""))
}

fn parse_bucket(encoded: &str) -> Result<Bucket, Problem> {
    let name = percent_decode(encoded, false)
        .ok_or_else(|| Problem::new(ProblemKind::InvalidBucket, "a `%` without two digits"))?;
    Bucket::new(name).map_err(|error| Problem::new(ProblemKind::InvalidBucket, error.to_string()))
}

/// Undoes percent-encoding; `None` for a `%` without two hexadecimal digits behind it.
fn percent_decode(text: &str, plus_is_space: bool) -> Option<Bytes> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let high = char::from(bytes.next()?).to_digit(16)?;
                let low = char::from(bytes.next()?).to_digit(16)?;
                u8::try_from(high * 16 + low).expect("two hexadecimal digits")
            }
            b'+' if plus_is_space => b' ',
            other => other,
        });
    }
    Some(Bytes::from(decoded))
}

/// The parameters of a query, each at most once, all of which must be taken.
pub(super) struct Query {
    parameters: BTreeMap<String, Bytes>,
}

impl Query {
    /// Cuts and decodes a query.
    pub(super) fn parse(query: Option<&str>) -> Result<Self, Problem> {
        let mut parameters = BTreeMap::new();
        for pair in query.unwrap_or("").split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = percent_decode(name, true).zip(percent_decode(value, true));
            let (name, value) =
                decoded.ok_or_else(|| invalid(format!("`{pair}` is not percent-encoded")))?;
            let name = String::from_utf8_lossy(&name).into_owned();
            if parameters.insert(name.clone(), value).is_some() {
                return Err(invalid(format!("`{name}` is given twice")));
            }
        }
        Ok(Self { parameters })
    }

    /// The bytes of a parameter.
    pub(super) fn take(&mut self, name: &str) -> Option<Bytes> {
        self.parameters.remove(name)
    }

    fn number(&mut self, name: &str, from: u32, to: u32) -> Result<Option<u32>, Problem> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let digits = str::from_utf8(&value).ok();
        let digits =
            digits.filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
        let number = digits.and_then(|text| text.parse::<u32>().ok());
        match number {
            Some(number) if (from..=to).contains(&number) => Ok(Some(number)),
            _ => Err(invalid(format!("`{name}` must be a whole number from {from} to {to}"))),
        }
    }

    /// The options that every request on objects takes. `writes` tells a put from a get: a get has
    /// no w, and a put no r.
    pub(super) fn options(&mut self, n: Replication) -> Result<Options, Problem> {
        let n = u32::from(n.get());
        let small = |number: Option<u32>| number.map(|v| u8::try_from(v).expect("at most n"));
        let r = small(self.number("r", 1, n)?);
        let w = small(self.number("w", 1, n)?);
        let strict = match self.take("quorum").as_deref() {
            None => false,
            Some(b"strict") => true,
            Some(_) => return Err(invalid("`quorum` can only be `strict`".to_owned())),
        };
        let timeout_ms = self.timeout_ms()?;
        Ok(Options { r, w, strict, timeout_ms })
    }

    /// How long the client waits.
    pub(super) fn timeout_ms(&mut self) -> Result<Option<u32>, Problem> {
        self.number("timeout_ms", 1, TIMEOUT_MS_MAX)
    }

    /// How many keys a page shall have.
    pub(super) fn limit(&mut self) -> Result<u32, Problem> {
        Ok(self.number("limit", 1, LIST_LIMIT_MAX)?.unwrap_or(LIST_LIMIT_DEFAULT))
    }

    /// Refuses what was not taken.
    pub(super) fn finish(self) -> Result<(), Problem> {
        match self.parameters.into_keys().next() {
            None => Ok(()),
            Some(name) => Err(invalid(format!("there is no parameter `{name}` here"))),
        }
    }
}

fn invalid(detail: String) -> Problem {
    Problem::new(ProblemKind::InvalidParameter, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_everything_behind_the_bucket_decoded_once() {
        for (path, expected) in [
            ("/v1/kv/b/k", &b"k"[..]),
            ("/v1/kv/b/a/b", b"a/b"),
            ("/v1/kv/b/a%2Fb", b"a/b"),
            ("/v1/kv/b//", b"/"),
            ("/v1/kv/b/%252F", b"%2F"),
            ("/v1/kv/b/%00%ff", b"\0\xff"),
            ("/v1/kv/b/a+b", b"a+b"),
            ("/v1/kv/b/..", b".."),
        ] {
            assert_eq!(&object(path, OBJECTS).unwrap().key.as_bytes()[..], expected, "{path}");
        }
    }

    #[test]
    fn names_that_cannot_be_are_refused() {
        for (path, kind) in [
            ("/v1/kv/b/", ProblemKind::InvalidKey),
            ("/v1/kv/b/%f", ProblemKind::InvalidKey),
            ("/v1/kv/b/%+1", ProblemKind::InvalidKey),
            ("/v1/kv//k", ProblemKind::InvalidBucket),
            ("/v1/kv/b%2Fc/k", ProblemKind::InvalidBucket),
            ("/v1/kv/b%/k", ProblemKind::InvalidBucket),
        ] {
            assert_eq!(object(path, OBJECTS).unwrap_err().kind, kind, "{path}");
        }
        let long = format!("/v1/kv/b/{}", "k".repeat(1025));
        assert_eq!(object(&long, OBJECTS).unwrap_err().kind, ProblemKind::InvalidKey);
    }

    #[test]
    fn a_query_is_taken_whole_or_refused() {
        let n = Replication::new(3).unwrap();
        let options = |query: &str| {
            let mut query = Query::parse(Some(query))?;
            let options = query.options(n)?;
            query.finish().map(|()| options)
        };
        let all = options("r=1&w=3&quorum=strict&timeout_ms=60000").unwrap();
        let expected = Options { r: Some(1), w: Some(3), strict: true, timeout_ms: Some(60_000) };
        assert_eq!(all, expected);
        for query in [
            "r=0",
            "r=4",
            "r=",
            "r",
            "r=+1",
            "r=1.0",
            "r=1&r=1",
            "quorum=loose",
            "quorum=",
            "timeout_ms=0",
            "timeout_ms=60001",
            "timeout_ms=99999999999",
            "x=1",
            "r=%zz",
            "%ff=1",
        ] {
            let refused = options(query).unwrap_err();
            assert_eq!(refused.kind, ProblemKind::InvalidParameter, "{query}");
        }
    }
}
