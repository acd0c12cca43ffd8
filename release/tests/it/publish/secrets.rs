//! The token is for the server that it belongs to, and for nobody else.

use std::fs;
use std::sync::Arc;

use encoderfile_testing::{Reply, Server};
use serde_json::Value;

use super::{Hub, TOKEN, signed};

/// A server that nobody should talk to, under another name than GitHub has.
fn stranger() -> (Server, String) {
    let server = Server::start_with(|_| Reply::bytes(200, "{}").with("Content-Type", "application/json"));
    let url = server.url().replace("127.0.0.1", "localhost");
    (server, url)
}

/// An API that answers what `hub` would, but for what `change` makes of it.
fn lying(hub: &Hub, path: &str, change: impl Fn(&mut Value)) -> Server {
    let mut answer = hub.ask(path);
    change(&mut answer);
    let (answer, tag) = (Arc::new(answer.to_string()), tag(hub));
    Server::start_with(move |request| {
        let answer = if request.path.contains("/git/ref/") { &tag } else { &*answer };
        Reply::bytes(200, answer.as_bytes()).with("Content-Type", "application/json; charset=utf-8")
    })
}

/// The tag's reference, as `hub` has it.
fn tag(hub: &Hub) -> String {
    hub.ask("/git/ref/tags/v0.3.0").to_string()
}

#[test]
fn everything_that_changes_something_bears_the_token_and_goes_to_two_hosts() {
    let workshop = signed();
    let hub = Hub::new(&workshop);
    hub.publish(&[]);
    for request in hub.requests() {
        assert_eq!(request.headers["authorization"], format!("Bearer {TOKEN}"), "{request:?}");
        assert!(request.headers["user-agent"].starts_with("encoderfile-release/"), "{request:?}");
        assert!(!request.target.contains(TOKEN), "{request:?}");
    }
    for upload in hub.github.uploads.requests("") {
        assert_eq!(upload.method, "POST");
        let size = fs::metadata(workshop.path(format!("dist/{}", upload.query["name"]))).unwrap().len();
        assert_eq!(upload.headers["content-length"], size.to_string());
    }
    assert_eq!(hub.github.web.requests("").len() + hub.github.assets.requests("").len(), 0);
}

#[test]
fn an_answer_cannot_lead_uploads_to_another_server() {
    let workshop = signed();
    let hub = Hub::new(&workshop);
    hub.publish(&["--draft"]);
    let (server, url) = stranger();
    for address in [url.clone(), "https://uploads.example.com".to_owned(), "not a url".to_owned()] {
        let api = lying(&hub, "/releases", |answer| {
            answer[0]["upload_url"] =
                format!("{address}/repos/acme/models/releases/1/assets{{?name,label}}").into();
        });
        let mut command = hub.command(&["--retries=0"]);
        command.env("GITHUB_API_URL", api.url());
        let code = if address.contains(' ') { 5 } else { 1 };
        let error = hub.refuse_command(code, &mut command);
        if code == 1 {
            assert!(
                error.starts_with(
                    "error: uploads would go to another server, which is not to see the token\n"
                ),
                "{error}"
            );
            assert!(error.contains(&format!("  found:    {address}/repos/")), "{error}");
        }
        assert_eq!(api.requests("").len(), 2);
    }
    assert_eq!(server.requests("").len(), 0);
}

#[test]
fn a_redirect_does_not_get_the_token_and_nothing_is_sent_there() {
    let workshop = signed();
    let hub = Hub::new(&workshop);
    let (server, url) = stranger();
    for (step, status) in [(0, 301), (0, 302), (1, 301), (2, 307), (2, 308), (6, 307)] {
        let headers = vec![("Location", format!("{url}/somewhere"))];
        let count = hub.github.api.requests("").len();
        hub.github.api.misbehave_after("", step, encoderfile_testing::Fault::Status(status, headers), 1);
        let error = hub.refuse(1, &[]);
        assert!(error.contains("has another address now\n"), "{error}");
        assert_eq!(hub.github.api.requests("").len(), count + step + 1);
        for folder in hub.releases() {
            fs::remove_dir_all(hub.root.path().join(folder)).unwrap();
        }
    }
    let headers = vec![("Location", format!("{url}/somewhere"))];
    hub.github.uploads.misbehave("", encoderfile_testing::Fault::Status(307, headers), 1);
    hub.refuse(1, &[]);
    assert_eq!(server.requests("").len(), 0);
}

#[test]
fn a_next_page_at_another_server_does_not_get_the_token() {
    let workshop = signed();
    let hub = Hub::new(&workshop);
    let other = Server::start_with(|_| Reply::bytes(200, "[]").with("Content-Type", "application/json"));
    let next = format!("<{}/more>; rel=\"next\"", other.url());
    let (list, tag) = (hub.ask("/releases").to_string(), tag(&hub));
    let api = Server::start_with(move |request| {
        if request.path.contains("/git/ref/") {
            Reply::bytes(200, tag.as_bytes())
        } else {
            Reply::bytes(200, list.as_bytes()).with("Link", next.clone())
        }
    });
    let mut command = hub.command(&["--dry-run"]);
    command.env("GITHUB_API_URL", api.url());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", hub.checked(&output));
    let [request] = &other.requests("")[..] else { panic!("one request") };
    assert!(!request.headers.contains_key("authorization"), "{request:?}");
}

#[test]
fn a_file_that_is_read_back_is_asked_for_without_the_token_but_at_the_api() {
    let workshop = signed();
    let hub = Hub::new(&workshop);
    hub.github.without_digests();
    hub.publish(&[]);
    let downloads = hub.github.assets.requests("");
    assert!(!downloads.is_empty());
    assert!(downloads.iter().all(|request| !request.headers.contains_key("authorization")), "{downloads:?}");
}
