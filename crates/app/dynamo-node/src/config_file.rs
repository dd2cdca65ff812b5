//! Settings from a file, the environment and arguments, in rising order of weight.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use thiserror::Error;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::access::{Credential, Permission};
use crate::settings::{Given, Kind, SETTINGS, Setting, Settings};

/// Shorter tokens could be guessed.
const TOKEN_BYTES_MIN: usize = 16;

/// Where a setting was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In a file.
    File {
        /// Which file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
    },
    /// In the environment.
    Variable(String),
    /// On the command line.
    Argument,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Argument => f.write_str("argument --set"),
        }
    }
}

/// Why the settings cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{origin}: {message}")]
    Syntax {
        /// Where.
        origin: Origin,
        /// What the parser says.
        message: String,
    },
    /// A key that no setting has.
    #[error("{origin}: there is no setting `{key}`{}", hint(nearest))]
    UnknownKey {
        /// Where.
        origin: Origin,
        /// The key.
        key: String,
        /// A setting of a similar name.
        nearest: Option<&'static str>,
    },
    /// A value that the setting cannot have.
    #[error("{origin}: {key}: {reason}")]
    Value {
        /// Where.
        origin: Origin,
        /// The key.
        key: String,
        /// Why not.
        reason: String,
    },
}

fn hint(nearest: &Option<&'static str>) -> String {
    nearest.map_or(String::new(), |key| format!("; is `{key}` meant?"))
}

/// Reads the settings: defaults, then the file, then the variables, then the arguments
/// (`key=value`). `working` is where relative paths of the last two begin.
///
/// # Errors
/// The first thing that is wrong, with its place.
pub fn load(
    file: &Path,
    variables: impl IntoIterator<Item = (String, String)>,
    arguments: &[String],
    working: &Path,
) -> Result<Settings, ConfigError> {
    let text = std::fs::read_to_string(file)
        .map_err(|source| ConfigError::Read { path: file.to_owned(), source })?;
    let base = file.parent().unwrap_or(Path::new(""));
    let base = if base.is_absolute() { base.to_owned() } else { working.join(base) };
    let mut settings = Settings::defaults(&base);
    FileReader { path: file, text: &text, base: &base }.apply(&mut settings)?;
    apply_variables(&mut settings, variables, working)?;
    for argument in arguments {
        let (key, text) = argument.split_once('=').unwrap_or((argument, ""));
        let setting = Setting::find(key).ok_or_else(|| unknown(Origin::Argument, key))?;
        apply(&mut settings, setting, Given { text, base: working }, || Origin::Argument)?;
    }
    Ok(settings)
}

fn apply(
    settings: &mut Settings,
    setting: &Setting,
    given: Given<'_>,
    origin: impl FnOnce() -> Origin,
) -> Result<(), ConfigError> {
    (setting.apply)(settings, given).map_err(|reason| ConfigError::Value {
        origin: origin(),
        key: setting.key.to_owned(),
        reason,
    })
}

fn apply_variables(
    settings: &mut Settings,
    variables: impl IntoIterator<Item = (String, String)>,
    working: &Path,
) -> Result<(), ConfigError> {
    for (name, text) in variables {
        if !name.starts_with("DYNAMO_") || OTHER_VARIABLES.contains(&name.as_str()) {
            continue;
        }
        let origin = || Origin::Variable(name.clone());
        let setting = SETTINGS.iter().find(|setting| setting.variable() == name);
        let setting = setting.ok_or_else(|| unknown(origin(), &name))?;
        apply(settings, setting, Given { text: &text, base: working }, origin)?;
    }
    Ok(())
}

/// Variables with our prefix that belong to other programs of the project.
const OTHER_VARIABLES: [&str; 5] = [
    "DYNAMO_CI_TARGET",
    "DYNAMO_CONFIG",
    "DYNAMO_LOG",
    "DYNAMO_MODEL_SEEDS",
    "DYNAMO_RENEW_GOLDEN",
];

fn unknown(origin: Origin, key: &str) -> ConfigError {
    let wanted = key.trim_start_matches("DYNAMO_").to_ascii_lowercase().replace('_', ".");
    let last = wanted.rsplit('.').next().unwrap_or(&wanted);
    let nearest = SETTINGS.iter().map(|s| s.key).find(|k| {
        let flat = k.replace('_', ".");
        flat.contains(&wanted) || wanted.contains(&flat) || flat.ends_with(last)
    });
    ConfigError::UnknownKey { origin, key: key.to_owned(), nearest }
}

/// One configuration file with what is needed to name places in it.
struct FileReader<'a> {
    path: &'a Path,
    text: &'a str,
    base: &'a Path,
}

impl FileReader<'_> {
    fn origin(&self, span: &Range<usize>) -> Origin {
        let (line, column) = line_and_column(self.text, span.start);
        Origin::File { path: self.path.to_owned(), line, column }
    }

    fn refuse(&self, span: &Range<usize>, key: &str, reason: impl Into<String>) -> ConfigError {
        ConfigError::Value { origin: self.origin(span), key: key.to_owned(), reason: reason.into() }
    }

    fn apply(&self, settings: &mut Settings) -> Result<(), ConfigError> {
        let table = DeTable::parse(self.text).map_err(|error| ConfigError::Syntax {
            origin: self.origin(&error.span().unwrap_or(0..0)),
            message: error.message().to_owned(),
        })?;
        self.apply_table(settings, table.get_ref(), "")
    }

    fn apply_table(
        &self,
        settings: &mut Settings,
        table: &DeTable<'_>,
        prefix: &str,
    ) -> Result<(), ConfigError> {
        for (name, value) in table {
            let key = format!("{prefix}{}", name.get_ref());
            if key == "http.tokens" {
                settings.http.credentials = self.tokens(value)?;
            } else if let Some(setting) = Setting::find(&key) {
                let text = self.scalar(setting, value)?;
                let given = Given { text: &text, base: self.base };
                apply(settings, setting, given, || self.origin(&value.span()))?;
            } else if let DeValue::Table(inner) = value.get_ref()
                && is_table_of_settings(&key)
            {
                self.apply_table(settings, inner, &format!("{key}."))?;
            } else {
                return Err(unknown(self.origin(&name.span()), &key));
            }
        }
        Ok(())
    }

    /// The text of a value whose TOML type fits the setting.
    fn scalar(
        &self,
        setting: &Setting,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<String, ConfigError> {
        let wanted = match (setting.kind, value.get_ref()) {
            (Kind::Boolean, DeValue::Boolean(flag)) => return Ok(flag.to_string()),
            (Kind::Count | Kind::Bytes, DeValue::Integer(number)) if number.radix() == 10 => {
                return Ok(number.as_str().to_owned());
            }
            (Kind::Bytes | Kind::Path | Kind::Address, DeValue::String(text))
            | (Kind::Text | Kind::Duration, DeValue::String(text)) => return Ok(text.to_string()),
            (Kind::Boolean, _) => "`true` or `false`",
            (Kind::Count, _) => "a whole number",
            (Kind::Bytes, _) => "a whole number or a string like \"64MiB\"",
            (Kind::Duration, _) => "a string like \"500ms\"",
            (Kind::Path | Kind::Address | Kind::Text, _) => "a string",
        };
        let found = value.get_ref().type_str();
        Err(self.refuse(&value.span(), setting.key, format!("expected {wanted}, found {found}")))
    }

    fn tokens(&self, value: &Spanned<DeValue<'_>>) -> Result<Vec<Credential>, ConfigError> {
        let key = "http.tokens";
        let entries = value.get_ref().as_array();
        let entries = entries.ok_or_else(|| self.refuse(&value.span(), key, "expected a list"))?;
        entries.iter().map(|entry| self.token(entry)).collect()
    }

    fn token(&self, entry: &Spanned<DeValue<'_>>) -> Result<Credential, ConfigError> {
        let key = "http.tokens";
        let whole = entry.span();
        let table = entry.get_ref().as_table();
        let table = table.ok_or_else(|| self.refuse(&whole, key, "expected a table"))?;
        let (mut principal, mut token, mut permissions) = (None, None, BTreeSet::new());
        for (name, value) in table {
            let text = value.get_ref().as_str();
            let text = || text.ok_or_else(|| self.refuse(&value.span(), key, "expected a string"));
            match name.get_ref().as_ref() {
                "principal" => principal = Some(text()?.to_owned()),
                "token" if token.is_none() => token = Some(text()?.to_owned()),
                "token_file" if token.is_none() => {
                    token = Some(self.token_file(text()?, &value.span())?);
                }
                "token" | "token_file" => {
                    let reason = "`token` and `token_file` exclude each other";
                    return Err(self.refuse(&value.span(), key, reason));
                }
                "permissions" => permissions = self.permissions(value)?,
                other => {
                    let key = format!("{key}.{other}");
                    let origin = self.origin(&name.span());
                    return Err(ConfigError::UnknownKey { origin, key, nearest: None });
                }
            }
        }
        let missing = |what: &str| self.refuse(&whole, key, format!("`{what}` is missing"));
        let principal = principal.ok_or_else(|| missing("principal"))?;
        let token = token.ok_or_else(|| missing("token"))?;
        if token.len() < TOKEN_BYTES_MIN {
            let reason = format!("a token needs at least {TOKEN_BYTES_MIN} characters");
            return Err(self.refuse(&whole, key, reason));
        }
        if permissions.is_empty() {
            return Err(missing("permissions"));
        }
        Ok(Credential::new(principal, token.as_bytes(), permissions))
    }

    fn token_file(&self, path: &str, span: &Range<usize>) -> Result<String, ConfigError> {
        let path = self.base.join(path);
        let token = std::fs::read_to_string(&path).map_err(|error| {
            let reason = format!("cannot read {}: {error}", path.display());
            self.refuse(span, "http.tokens.token_file", reason)
        })?;
        Ok(token.trim().to_owned())
    }

    fn permissions(
        &self,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<BTreeSet<Permission>, ConfigError> {
        let reason = "expected a list of \"read\", \"write\" and \"admin\"";
        let refused = || self.refuse(&value.span(), "http.tokens.permissions", reason);
        let names = value.get_ref().as_array().ok_or_else(refused)?;
        let permission = |name: &Spanned<DeValue<'_>>| {
            name.get_ref().as_str().and_then(Permission::from_name).ok_or_else(refused)
        };
        names.iter().map(permission).collect()
    }
}

fn is_table_of_settings(key: &str) -> bool {
    let prefix = format!("{key}.");
    SETTINGS.iter().any(|setting| setting.key.starts_with(&prefix))
}

fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_text(
        text: &str,
        variables: &[(&str, &str)],
        arguments: &[&str],
    ) -> Result<Settings, ConfigError> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("dynamo.toml");
        std::fs::write(&file, text).unwrap();
        std::fs::write(directory.path().join("token"), "0123456789abcdef\n").unwrap();
        let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let arguments: Vec<_> = arguments.iter().map(|a| (*a).to_owned()).collect();
        load(&file, variables, &arguments, Path::new("/work"))
    }

    #[test]
    fn the_argument_beats_the_variable_beats_the_file_beats_the_default() {
        let file = "[limits]\nsiblings_max = 5\n";
        let variable = [("DYNAMO_LIMITS_SIBLINGS_MAX", "6"), ("HOME", "/"), ("DYNAMO_CONFIG", "x")];
        let siblings = |s: Result<Settings, _>| s.unwrap().limits.siblings_max;
        assert_eq!(siblings(load_text("", &[], &[])), 100);
        assert_eq!(siblings(load_text(file, &[], &[])), 5);
        assert_eq!(siblings(load_text(file, &variable, &[])), 6);
        assert_eq!(siblings(load_text(file, &variable, &["limits.siblings_max=7"])), 7);
    }

    #[test]
    fn paths_belong_to_the_place_that_names_them() {
        let settings = load_text("data = \"d\"", &[("DYNAMO_IDENTITY", "i")], &[]).unwrap();
        assert!(settings.data.is_absolute() && settings.data.ends_with("d"));
        assert_eq!(settings.identity, Path::new("/work/i"));
    }

    #[test]
    fn every_mistake_names_file_line_and_column() {
        for (text, expected) in [
            ("dta = \"x\"", "dynamo.toml:1:1: there is no setting `dta`"),
            ("\n[limits]\n  sibling_max = 3", "dynamo.toml:3:3: there is no setting `limits.sib"),
            ("[timing]\nhop_timeout = 5", "dynamo.toml:2:15: timing.hop_timeout: expected a str"),
            ("[http]\ninsecure = \"true\"", "dynamo.toml:2:12: http.insecure: expected `true`"),
            ("[limits]\nvalue_bytes_max = \"17MiB\"", "dynamo.toml:2:19: limits.value_bytes_max"),
            ("data = [", "dynamo.toml:1:"),
            ("[nothing]\n", "dynamo.toml:1:2: there is no setting `nothing`"),
            ("[[http.tokens]]\nprincipal = \"a\"", "dynamo.toml:1:1: http.tokens: `token` is"),
            ("[[http.tokens]]\ntoken = \"short\"\nprincipal = \"a\"", "at least 16 characters"),
            ("[[http.tokens]]\ntokn = \"x\"", "dynamo.toml:2:1: there is no setting `http.tokens"),
        ] {
            let refused = load_text(text, &[], &[]).unwrap_err().to_string();
            assert!(refused.contains(expected), "{text:?}: {refused}");
        }
        let refused = load_text("", &[("DYNAMO_DTA", "x")], &[]).unwrap_err().to_string();
        assert!(refused.contains("environment variable DYNAMO_DTA"), "{refused}");
        let refused = load_text("", &[], &["http.port=3"]).unwrap_err().to_string();
        assert!(refused.contains("argument --set: there is no setting `http.port`"), "{refused}");
    }

    #[test]
    fn tokens_come_from_the_file_or_a_file_beside_it() {
        let text = "[[http.tokens]]\nprincipal = \"shop\"\ntoken_file = \"token\"\n\
                    permissions = [\"read\", \"write\"]\n";
        let settings = load_text(text, &[], &[]).unwrap();
        let shop = Credential::new(
            "shop".into(),
            b"0123456789abcdef",
            [Permission::Read, Permission::Write].into(),
        );
        assert_eq!(settings.http.credentials, [shop]);
    }
}
