//! `list`.

use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dynamo_client::{Client, Key};

use crate::arguments::ListArguments;
use crate::output;

pub(super) async fn list(client: &Client, arguments: ListArguments) -> anyhow::Result<ExitCode> {
    let mut list = client.list(&arguments.bucket).prefix(arguments.prefix);
    if let Some(after) = arguments.after {
        list = list.after(Key::new(after)?);
    }
    let mut left = arguments.limit.unwrap_or(usize::MAX);
    if let Ok(few) = u32::try_from(left) {
        list = list.page_size(few);
    }
    while left > 0
        && let Some(keys) = list.next_page().await?
    {
        let mut page = String::new();
        for key in keys.iter().take(left) {
            if arguments.key_base64 {
                page.push_str(&STANDARD.encode(key.as_bytes()));
            } else {
                page.push_str(&key.to_string());
            }
            page.push('\n');
        }
        left = left.saturating_sub(keys.len());
        output::bytes(page.as_bytes(), false)?;
    }
    Ok(ExitCode::SUCCESS)
}
