//! Lists are answered page by page.

use std::collections::HashMap;

use serde_json::Value;

use super::api::json;
use crate::answer::Reply;

/// The page of `items` that `query` asks for, with links to the others, which are pages of `url`.
pub(super) fn page(url: &str, query: &HashMap<String, String>, items: &[Value]) -> Reply {
    let asked = |name: &str| query.get(name)?.parse().ok().filter(|number| *number > 0);
    let asked_size = asked("per_page").map(|size: usize| size.min(100));
    let size = asked_size.unwrap_or(30);
    let page = asked("page").unwrap_or(1);
    let last = items.len().div_ceil(size).max(1);

    let size_again = asked_size.map(|size| format!("per_page={size}&")).unwrap_or_default();
    let link =
        |(page, relation): (usize, &str)| format!("<{url}?{size_again}page={page}>; rel=\"{relation}\"");
    let mut links = Vec::new();
    if page > 1 {
        links.push(((page - 1).min(last), "prev"));
    }
    if page < last {
        links.extend([(page + 1, "next"), (last, "last")]);
    }
    if page > 1 {
        links.push((1, "first"));
    }
    let start = (page - 1).saturating_mul(size).min(items.len());
    let reply = json(200, &Value::from(&items[start..items.len().min(start + size)]));
    if links.is_empty() {
        return reply;
    }
    reply.with("Link", links.into_iter().map(link).collect::<Vec<_>>().join(", "))
}
