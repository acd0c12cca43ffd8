//! A server that answers as it is told.

use encoderfile_testing::{Fault, Reply, Server};

use crate::client::{Folder, get, request};

#[test]
fn a_handler_sees_the_request_and_so_does_the_test() {
    let server = Server::start_with(|request| {
        let said = format!("{} {} {:?}", request.method, request.query["who"], request.segments());
        Reply::bytes(201, said).with("X-Kind", "said")
    });
    let response = request("PUT", &format!("{}/a%2Fb/c?who=you+%26+me&page", server.url()), &[]);
    assert_eq!((response.status, &*response.headers["x-kind"]), (201, "said"));
    assert_eq!(String::from_utf8(response.body).unwrap(), r#"PUT you & me ["a/b", "c"]"#);
    let [request] = &server.requests("/c")[..] else { panic!("one request") };
    assert_eq!((&*request.path, &*request.target), ("/a%2Fb/c", "/a%2Fb/c?who=you+%26+me&page"));
    assert_eq!((&*request.query["page"], request.sent), ("", 25));
}

#[test]
fn faults_come_before_the_handler_or_spoil_its_answer() {
    let server = Server::start_with(|request| {
        assert_ne!(request.path, "/never");
        Reply::bytes(200, "0123456789")
    });
    server.misbehave("/never", Fault::Status(503, vec![("Retry-After", "1".to_owned())]), 1);
    let response = get(&format!("{}/never", server.url()), &[]);
    assert_eq!((response.status, &*response.headers["retry-after"]), (503, "1"));
    server.misbehave("/cut", Fault::CutAfter(4), 1);
    let cut = get(&format!("{}/cut", server.url()), &[]);
    assert_eq!((&*cut.headers["content-length"], &*cut.body), ("10", &b"0123"[..]));
    assert_eq!(get(&format!("{}/cut", server.url()), &[]).body, b"0123456789");
}

#[test]
fn a_folder_is_served_with_ranges_and_nothing_outside_of_it() {
    let folder = Folder::new();
    folder.write("in/file", b"0123456789");
    folder.write("out", b"secret");
    let server = Server::start(&folder.path().join("in"));
    let part = get(&format!("{}/file", server.url()), &[("Range", "bytes=7-")]);
    assert_eq!((part.status, &*part.headers["content-range"]), (206, "bytes 7-9/10"));
    assert_eq!(part.body, b"789");
    let after = get(&format!("{}/file", server.url()), &[("Range", "bytes=10-")]);
    assert_eq!((after.status, &*after.headers["content-range"]), (416, "bytes */10"));
    assert_eq!(get(&format!("{}/../out", server.url()), &[]).status, 404);
    assert_eq!(get(&format!("{}/missing", server.url()), &[]).status, 404);
}
