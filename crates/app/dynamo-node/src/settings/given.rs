//! A setting as text, and the ways to understand it.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dynamo_ring::Zone;

use super::{ListenAddress, LogFormat};

/// As long as names and addresses of members may be.
const TEXT_BYTES_MAX: usize = 260;

/// The text of a setting and where its relative paths begin.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// As written in the file, the environment or the argument.
    pub text: &'a str,
    /// The directory that relative paths belong to.
    pub base: &'a Path,
}

impl Given<'_> {
    pub(super) fn path(&self) -> Result<PathBuf, String> {
        if self.text.is_empty() {
            return Err("a path is needed".to_owned());
        }
        Ok(self.base.join(self.text))
    }

    pub(super) fn path_or_none(&self) -> PathBuf {
        if self.text.is_empty() { PathBuf::new() } else { self.base.join(self.text) }
    }

    pub(super) fn address(&self) -> Result<ListenAddress, String> {
        if self.text == "genesis" {
            return Ok(ListenAddress::FromGenesis);
        }
        let explicit: Result<SocketAddr, _> = self.text.parse();
        explicit.map(ListenAddress::Explicit).map_err(|_| {
            format!("`{}` is neither `genesis` nor an address like 127.0.0.1:8101", self.text)
        })
    }

    /// What people may call a member, or nothing.
    pub(super) fn name_or_none(&self) -> Result<Option<String>, String> {
        if self.text.len() > TEXT_BYTES_MAX || self.text.chars().any(char::is_control) {
            return Err(format!("a name has at most {TEXT_BYTES_MAX} printable bytes"));
        }
        Ok((!self.text.is_empty()).then(|| self.text.to_owned()))
    }

    /// A failure zone, or nothing.
    pub(super) fn zone_or_none(&self) -> Result<Option<Zone>, String> {
        if self.text.is_empty() {
            return Ok(None);
        }
        let zone = Zone::new(self.text);
        if zone.is_sound() {
            return Ok(Some(zone));
        }
        Err(format!("a zone has 1 to {} letters, digits, `.`, `_`, `-`", Zone::BYTES_MAX))
    }

    /// An address that others can use, or nothing. The host may be a name.
    pub(super) fn host_and_port_or_none(&self) -> Result<Option<String>, String> {
        let Some(text) = self.name_or_none()? else { return Ok(None) };
        let parts = text.rsplit_once(':');
        let is_sound = parts.is_some_and(|(host, port)| {
            !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
        if is_sound { Ok(Some(text)) } else { Err(format!("`{text}` is not host:port")) }
    }

    pub(super) fn boolean(&self) -> Result<bool, String> {
        match self.text {
            "true" => Ok(true),
            "false" => Ok(false),
            other => Err(format!("`{other}` is neither `true` nor `false`")),
        }
    }

    pub(super) fn integer(&self, allowed: RangeInclusive<u64>) -> Result<u64, String> {
        let value = self.text.replace('_', "").parse::<u64>();
        let value = value.map_err(|_| format!("`{}` is not a whole number", self.text))?;
        within(value, &allowed, |v| v.to_string())
    }

    pub(super) fn count(&self, allowed: RangeInclusive<u64>) -> Result<usize, String> {
        let value = self.integer(allowed)?;
        usize::try_from(value).map_err(|_| format!("`{value}` is too large for this machine"))
    }

    /// A number of bytes: `1048576` or `1MiB`.
    pub(super) fn bytes(&self, allowed: RangeInclusive<u64>) -> Result<u64, String> {
        let digits = self.text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match self.text[digits.len()..].to_ascii_lowercase().as_str() {
            "" => 1,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            _ => return Err(format!("`{}` is not a size like 64MiB (KiB, MiB, GiB)", self.text)),
        };
        let number = digits.trim().replace('_', "").parse::<u64>().ok();
        let value = number.and_then(|number| number.checked_mul(unit));
        let value = value.ok_or_else(|| format!("`{}` is not a size like 64MiB", self.text))?;
        within(value, &allowed, |v| format!("{v} bytes"))
    }

    pub(super) fn bytes_in_memory(&self, allowed: RangeInclusive<u64>) -> Result<usize, String> {
        let value = self.bytes(allowed)?;
        usize::try_from(value).map_err(|_| format!("`{value}` is too large for this machine"))
    }

    /// A duration: `2s`, `500ms`, `10min`.
    pub(super) fn duration(&self, allowed: RangeInclusive<Duration>) -> Result<Duration, String> {
        let value = humantime::parse_duration(self.text);
        let value = value.map_err(|_| format!("`{}` is not a duration like 500ms", self.text))?;
        within(value, &allowed, |v| humantime::format_duration(v).to_string())
    }

    pub(super) fn log_format(&self) -> Result<LogFormat, String> {
        match self.text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            other => Err(format!("`{other}` is neither `text` nor `json`")),
        }
    }

    pub(super) fn log_filter(&self) -> Result<String, String> {
        let checked = tracing_subscriber::EnvFilter::try_new(self.text);
        checked.map_err(|error| format!("`{}` is no log filter: {error}", self.text))?;
        Ok(self.text.to_owned())
    }
}

fn within<T: PartialOrd + Copy>(
    value: T,
    allowed: &RangeInclusive<T>,
    show: impl Fn(T) -> String,
) -> Result<T, String> {
    if allowed.contains(&value) {
        return Ok(value);
    }
    let (low, high) = (show(*allowed.start()), show(*allowed.end()));
    Err(format!("{} is not from {low} to {high}", show(value)))
}
