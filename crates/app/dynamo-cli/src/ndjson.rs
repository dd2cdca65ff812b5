//! The format of `import`, `export` and `verify`: one JSON object a line.
//!
//! | field | meaning |
//! |---|---|
//! | `key` or `key_base64` | the key, as text or as standard base64 |
//! | `value` | a JSON string: the value is its UTF-8 text, `text/plain; charset=utf-8`. Any other JSON: the value is that JSON without white space, `application/json` |
//! | `value_base64` | the value as standard base64, in place of `value` |
//! | `content_type` | says otherwise what the value is |
//! | `sibling` | 0, 1, 2 … where versions stand side by side; lines of one key follow each other |
//!
//! What [`write_line`] writes, [`read_line`] reads back to the byte.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use dynamo_client::Key;
use dynamo_types::KeyError;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;

/// The content type of text.
pub const TEXT: &str = "text/plain; charset=utf-8";
/// The content type of JSON.
pub const JSON: &str = "application/json";
/// The content type of bytes of which nothing is said.
pub const BINARY: &str = "application/octet-stream";

/// A value with what it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Value {
    /// Its bytes.
    pub bytes: Bytes,
    /// Its content type.
    pub content_type: Bytes,
}

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Which object.
    pub key: Key,
    /// One of its values.
    pub value: Value,
    /// Which of several values side by side; absent if there is one.
    pub sibling: Option<u32>,
}

/// Why a line cannot be used.
#[derive(Debug, Error)]
pub enum LineError {
    /// Not JSON, or not of this format.
    #[error("not a line of this format")]
    Json(#[from] serde_json::Error),
    /// Both or none of two fields.
    #[error("needs exactly one of `{0}` and `{0}_base64`")]
    OneOf(&'static str),
    /// Base64 that is none.
    #[error("`{field}` is not standard base64")]
    Base64 {
        /// Which field.
        field: &'static str,
        /// Why not.
        source: base64::DecodeError,
    },
    /// Not a key.
    #[error("unusable key")]
    Key(#[from] KeyError),
}

#[derive(Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct LineJson<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    #[serde(
        default,
        borrow,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    value: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sibling: Option<u32>,
}

/// A field that is there is a value, also if it is `null`.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Reads a line.
///
/// # Errors
/// See [`LineError`].
pub fn read_line(line: &[u8]) -> Result<Line, LineError> {
    let json: LineJson<'_> = serde_json::from_slice(line)?;
    let decode = |field, text: &str| {
        STANDARD.decode(text).map_err(|source| LineError::Base64 { field, source })
    };
    let key = match (json.key, json.key_base64) {
        (Some(text), None) => text.into_bytes(),
        (None, Some(base64)) => decode("key_base64", &base64)?,
        _ => return Err(LineError::OneOf("key")),
    };
    let (bytes, content_type) = match (json.value, json.value_base64) {
        (Some(raw), None) if raw.get().starts_with('"') => {
            (serde_json::from_str::<String>(raw.get())?.into_bytes(), TEXT)
        }
        (Some(raw), None) => (compact(raw.get()).into_bytes(), JSON),
        (None, Some(base64)) => (decode("value_base64", &base64)?, BINARY),
        _ => return Err(LineError::OneOf("value")),
    };
    let content_type = json.content_type.unwrap_or_else(|| content_type.to_owned());
    let value = Value { bytes: bytes.into(), content_type: content_type.into() };
    Ok(Line { key: Key::new(key)?, value, sibling: json.sibling })
}

/// The line that says this, without its end.
#[must_use]
pub fn write_line(line: &Line) -> String {
    let mut json = LineJson { sibling: line.sibling, ..LineJson::default() };
    match std::str::from_utf8(line.key.as_bytes()) {
        Ok(text) => json.key = Some(text.to_owned()),
        Err(_) => json.key_base64 = Some(STANDARD.encode(line.key.as_bytes())),
    }
    let Value { bytes, content_type } = &line.value;
    let said = std::str::from_utf8(content_type).ok();
    let raw = std::str::from_utf8(bytes).ok().and_then(|text| as_raw(text, said));
    match &raw {
        Some(raw) => json.value = Some(raw),
        None => {
            json.value_base64 = Some(STANDARD.encode(bytes));
            // A content type that is no text cannot come from an HTTP header.
            json.content_type = Some(String::from_utf8_lossy(content_type).into_owned());
        }
    }
    serde_json::to_string(&json).expect("strings and raw JSON can be written")
}

/// The text as the JSON that reads back as it, if there is one.
fn as_raw(text: &str, content_type: Option<&str>) -> Option<Box<RawValue>> {
    match content_type? {
        TEXT => serde_json::value::to_raw_value(text).ok(),
        JSON if !text.starts_with('"') && compact(text) == text => {
            serde_json::from_str::<Box<RawValue>>(text).ok()
        }
        _ => None,
    }
}

/// JSON without the white space between its tokens, and otherwise to the byte.
fn compact(json: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    let keep = |c: &char| {
        let white = !in_string && matches!(c, ' ' | '\t' | '\n' | '\r');
        if in_string {
            let closes = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            in_string = !closes;
        } else {
            in_string = *c == '"';
        }
        !white
    };
    json.chars().filter(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(text: &str) -> Line {
        read_line(text.as_bytes()).unwrap()
    }

    fn value(bytes: &str, content_type: &str) -> Value {
        let text = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        Value { bytes: text(bytes), content_type: text(content_type) }
    }

    #[test]
    fn a_string_is_its_text_and_other_json_is_itself() {
        assert_eq!(line(r#"{"key":"k","value":"a\nb"}"#).value, value("a\nb", TEXT));
        let json = line(r#"{"key":"k","value": {"b": 1.50, "a": "x \" y" } }"#);
        assert_eq!(json.value, value(r#"{"b":1.50,"a":"x \" y"}"#, JSON));
        assert_eq!(line(r#"{"key":"k","value":null}"#).value, value("null", JSON));
        let said = line(r#"{"key":"k","value_base64":"aGk=","content_type":"image/png"}"#);
        assert_eq!(said.value, value("hi", "image/png"));
        assert_eq!(line(r#"{"key_base64":"/w==","value":1}"#).key.as_bytes()[..], [0xff]);
    }

    #[test]
    fn unusable_lines_are_refused() {
        for text in [
            "",
            "[]",
            r#"{"key":"k"}"#,
            r#"{"value":1}"#,
            r#"{"key":"","value":1}"#,
            r#"{"key":"k","key_base64":"aGk=","value":1}"#,
            r#"{"key":"k","value_base64":"%"}"#,
            r#"{"key":"k","value":1,"colour":2}"#,
            r#"{"key":"k","value":{]}"#,
        ] {
            assert!(read_line(text.as_bytes()).is_err(), "{text} was accepted");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_to_the_byte(
            key in prop::collection::vec(any::<u8>(), 1..40),
            bytes in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..60),
                "\\PC{0,30}".prop_map(String::into_bytes),
                Just(br#"{"a":[1,2.0,"x y"]}"#.to_vec()),
                Just(br#"{ "a": 1 }"#.to_vec()),
                Just(br#""text""#.to_vec()),
                Just(b"12".to_vec()),
            ],
            content_type in prop_oneof![
                Just(TEXT.to_owned()), Just(JSON.to_owned()), Just(BINARY.to_owned()), "[a-z/]{0,9}"
            ],
            sibling in prop::option::of(any::<u32>()),
        ) {
            let value = Value { bytes: bytes.into(), content_type: content_type.into() };
            let line = Line { key: Key::new(key).unwrap(), value, sibling };
            let text = write_line(&line);
            prop_assert!(!text.contains('\n'), "{}", text);
            prop_assert_eq!(read_line(text.as_bytes()).unwrap(), line);
        }
    }
}
