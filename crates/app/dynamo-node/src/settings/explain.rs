//! The list of settings for people: plain text and the documentation page.

use std::fmt::Write as _;

use super::SETTINGS;

const WRITTEN: &str = "writing to a string does not fail";

/// All settings with unit, default, variable and reason, for a terminal.
#[must_use]
pub fn explain_text() -> String {
    let mut text = String::new();
    for setting in SETTINGS {
        let (key, kind, default) = (setting.key, setting.kind.name(), setting.default);
        let variable = setting.variable();
        writeln!(text, "{key} = {default:?}  ({kind}; {variable})").expect(WRITTEN);
        writeln!(text, "    {}\n", setting.reason).expect(WRITTEN);
    }
    text.push_str("http.tokens = []  (array of tables; only in the file)\n");
    writeln!(text, "    {TOKENS}").expect(WRITTEN);
    text
}

/// `docs/CONFIGURATION.md`, which a test compares with the file.
#[must_use]
pub fn explain_markdown() -> String {
    let mut page = String::from(HEAD);
    for setting in SETTINGS {
        let (key, kind) = (setting.key, setting.kind.name());
        let default = if setting.default.is_empty() {
            "none".to_owned()
        } else {
            format!("`{}`", setting.default)
        };
        let (variable, reason) = (setting.variable(), setting.reason);
        writeln!(page, "| `{key}` | {kind} | {default} | `{variable}` | {reason} |")
            .expect(WRITTEN);
    }
    page.push_str(TAIL);
    page
}

const TOKENS: &str = "Who may use HTTP: each entry has `principal` (a name for the log), `token` \
or `token_file`, and `permissions`, some of \"read\", \"write\", \"admin\".";

const HEAD: &str = "# Configuration of a node

`dynamo-node run --config dynamo.toml` reads one TOML file. An environment variable overrides the
file, and `--set key=value` overrides both. Unknown keys are refused, and every error names its file,
line and column. `dynamo-node config --config dynamo.toml --check` checks without starting.
`dynamo-node config --explain` prints this table, which is generated: change it in
`crates/app/dynamo-node/src/settings/table.rs`.

Keys with a dot live in a table of the file (`http.address` is `address` below `[http]`). Relative
paths belong to the directory of the file that holds them; those in the environment or on the
command line belong to the working directory.

| key | form | default | variable | what it does, and why the default is what it is |
|---|---|---|---|---|
";

const TAIL: &str = "
## Credentials for HTTP

```toml
[[http.tokens]]
principal = \"shop\"              # a name for the log
token_file = \"shop-token\"       # or token = \"…\"; at least 16 characters
permissions = [\"read\", \"write\"] # some of read, write, admin
```

With at least one entry every request below `/v1` and `/metrics` needs `Authorization: Bearer TOKEN`.
`read` covers GET and HEAD, `write` covers PUT and DELETE of objects, `admin` covers the settings of
buckets and all below `/v1/cluster/`, which changes the members. `/healthz` and `/readyz` stay open: they tell nothing about the data. Without an entry, HTTP
is served on loopback addresses only, unless `http.insecure = true`.
";
