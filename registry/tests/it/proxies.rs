//! What a company has between its machines and the internet: a proxy, and an authority of its own that signs certificates.
//! Both hold for the files of a release and for the requests to GitHub's API alike.
//!
//! deno#15921, deno#24719: custom certificates or proxies are honoured everywhere but in one download.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use encoderfile_registry::{
    GitHubConfig, Registry, RegistryConfig, Requirement, Source, TrustedKeys, TrustedSource, Wanted,
};
use encoderfile_testing::{GitHub, Server};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use url::Url;

use crate::bench::{Bench, LINUX, VERSION, block_on};

const REPOSITORY: &str = "acme/models";
/// Names that no resolver knows: only who goes through the proxy finds them.
const RELEASES: &str = "releases.example.com";
const API: &str = "api.example.com";

const CHILD_CACHE: &str = "REGISTRY_TEST_PROXIED_CACHE";
const CHILD_KEY: &str = "REGISTRY_TEST_PROXIED_KEY";
const CHILD_MIRROR: &str = "REGISTRY_TEST_PROXIED_MIRROR";
const CHILD_SERVER: &str = "REGISTRY_TEST_PROXIED_SERVER";
const CHILD_API: &str = "REGISTRY_TEST_PROXIED_API";

fn certificates() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates")
}

/// Takes connections on loopback for as long as the tests run.
fn listen(serve: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let serve = Arc::clone(&serve);
            // A client that goes away is its own affair.
            thread::spawn(move || serve(stream?));
        }
    });
    address
}

/// A request without its body, which nobody here sends.
fn read_head(stream: &mut impl Read) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    String::from_utf8(head).map_err(io::Error::other)
}

/// An HTTPS server whose certificate the test authority signed, in front of a server of plain HTTP.
fn https(server: &Server) -> SocketAddr {
    let inner = address(&server.url());
    let chain = vec![CertificateDer::from_pem_file(certificates().join("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(certificates().join("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap());
    listen(move |stream| {
        let connection = ServerConnection::new(Arc::clone(&config)).map_err(io::Error::other)?;
        let mut client = StreamOwned::new(connection, stream);
        let head = read_head(&mut client)?;
        let mut inner = TcpStream::connect(inner)?;
        inner.write_all(head.as_bytes())?;
        io::copy(&mut inner, &mut client)?;
        client.conn.send_close_notify();
        client.flush()
    })
}

fn address(url: &str) -> SocketAddr {
    url.strip_prefix("http://").unwrap().parse().unwrap()
}

/// Writes down what it is asked, and goes to where it was told that a name leads.
struct Proxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn start(names: &[(&str, SocketAddr)]) -> Self {
        let names: HashMap<_, _> =
            names.iter().map(|(name, address)| ((*name).to_owned(), *address)).collect();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&asked);
        let address = listen(move |mut client| {
            let head = read_head(&mut client)?;
            let (first, rest) = head.split_once("\r\n").unwrap();
            let (request, _) = first.rsplit_once(' ').unwrap();
            list.lock().unwrap().push(request.to_owned());
            let (method, target) = request.split_once(' ').unwrap();
            let find = |host: &str| names.get(host).copied().or_else(|| host.parse().ok());
            if method == "CONNECT" {
                let Some(found) = find(target) else {
                    return client.write_all(b"HTTP/1.1 502 Unknown\r\n\r\n");
                };
                let server = TcpStream::connect(found)?;
                client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n")?;
                let (mut upwards, mut server_end) = (client.try_clone()?, server.try_clone()?);
                thread::spawn(move || io::copy(&mut upwards, &mut server_end));
                return io::copy(&mut &server, &mut client).map(drop);
            }
            let url = Url::parse(target).map_err(io::Error::other)?;
            let host = format!("{}:{}", url.host_str().unwrap(), url.port_or_known_default().unwrap());
            let Some(found) = find(&host) else {
                return client.write_all(b"HTTP/1.1 502 Unknown\r\nContent-Length: 0\r\n\r\n");
            };
            let mut server = TcpStream::connect(found)?;
            let path = &url[url::Position::BeforePath..];
            write!(server, "{method} {path} HTTP/1.1\r\n{rest}")?;
            io::copy(&mut server, &mut client).map(drop)
        });
        Self { address, asked }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it was asked since the last time.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

/// Fetches in a process of its own, whose environment is this and nothing else: first from a mirror, or else the latest
/// from GitHub.
fn fetch_with(bench: &Bench, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "proxies::fetching_process", "--nocapture"]).env_clear();
    command.env(CHILD_CACHE, bench.cache()).env(CHILD_KEY, bench.key.public());
    command.envs(variables.iter().copied());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.split_once("came to: "));
    line.unwrap_or_else(|| panic!("{output:?}")).1.to_owned()
}

/// What [`fetch_with`] runs; alone it has nothing to do.
#[test]
fn fetching_process() {
    let Ok(cache) = std::env::var(CHILD_CACHE) else { return };
    let mut trusted_keys = TrustedKeys::none();
    trusted_keys.add(&std::env::var(CHILD_KEY).unwrap()).unwrap();
    let source = match std::env::var(CHILD_MIRROR) {
        Ok(mirror) => Source::parse(&mirror, true).unwrap(),
        Err(_) => Source::github(&GitHubConfig {
            server_url: std::env::var(CHILD_SERVER).ok(),
            api_url: std::env::var(CHILD_API).ok(),
            repository: Some(REPOSITORY.to_owned()),
            token: None,
        })
        .unwrap(),
    };
    let is_github = matches!(source, Source::GitHub(_));
    let mut config = RegistryConfig::with_sources(cache.into(), vec![TrustedSource { source, trusted_keys }]);
    config.network.retries = 0;
    let registry = Registry::new(config);
    let work = async {
        let mut version = VERSION;
        if is_github {
            let latest = Wanted { requirement: Requirement::Latest, pre_releases: false };
            version = registry.resolve(&latest, &()).await?;
            println!("resolved {version}");
        }
        registry.fetch(LINUX, &version, false, &()).await.map(drop)
    };
    match block_on(work) {
        Ok(()) => println!("came to: success"),
        Err(error) => {
            println!("came to: exit code {}: {}", error.exit_code(), error.to_string().escape_debug());
        }
    }
}

/// deno#24719: a proxy is honoured everywhere but in this download.
#[test]
fn every_file_comes_through_the_proxy() {
    let bench = Bench::new();
    let proxy = Proxy::start(&[("releases.example.com:80", address(&bench.server.url()))]);
    let mirror = format!("http://{RELEASES}");
    for variable in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        let outcome = fetch_with(&bench, &[(CHILD_MIRROR, &mirror), (variable, &proxy.url())]);
        assert_eq!(outcome, "success", "{variable}");
        let asked = proxy.asked();
        assert_eq!(asked.len(), 3, "{variable}: {asked:?}");
        assert!(asked.iter().all(|asked| asked.starts_with("GET http://releases.example.com/v0.2.0/")));
        std::fs::remove_dir_all(bench.cache()).unwrap();
    }
}

/// deno#24719: so are the requests to the API, which another library makes.
#[test]
fn the_api_is_asked_through_the_proxy() {
    let bench = Bench::new();
    let github = GitHub::start(&bench.www(), REPOSITORY);
    let proxy = Proxy::start(&[]);
    let (server, api) = (github.server_url(), github.api_url());
    let sources = [(CHILD_SERVER, &*server), (CHILD_API, &*api)];
    let outcome = fetch_with(&bench, &[&sources[..], &[("HTTP_PROXY", &proxy.url())]].concat());
    assert_eq!(outcome, "success");
    let asked = proxy.asked();
    let list = format!("GET {api}/repos/{REPOSITORY}/releases?per_page=100");
    assert_eq!(asked.iter().filter(|asked| **asked == list).count(), 1, "{asked:?}");
    let all = [&github.web, &github.api, &github.assets].map(|host| host.requests("").len());
    assert_eq!(all.iter().sum::<usize>(), asked.len(), "nothing went past the proxy");
}

/// What need not go through the proxy does not.
#[test]
fn no_proxy_is_heeded() {
    let bench = Bench::new();
    let proxy = Proxy::start(&[]);
    let port = address(&bench.server.url()).port();
    for (host, exception) in [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "10.0.0.0/8, 127.0.0.0/8"),
        ("localhost", "localhost"),
        ("localhost", "*"),
    ] {
        let mirror = format!("http://{host}:{port}");
        let variables = [(CHILD_MIRROR, &*mirror), ("HTTP_PROXY", &*proxy.url()), ("NO_PROXY", exception)];
        assert_eq!(fetch_with(&bench, &variables), "success", "{exception}");
        assert_eq!(proxy.asked(), Vec::<String>::new(), "{exception}");
        std::fs::remove_dir_all(bench.cache()).unwrap();
    }
}

/// A proxy that does not let through is a failure of the network, and no reason to go without it.
#[test]
fn a_proxy_that_refuses_is_not_gone_around() {
    let bench = Bench::new();
    let proxy = Proxy::start(&[]);
    for (scheme, variable) in [("http", "HTTP_PROXY"), ("https", "HTTPS_PROXY")] {
        let mirror = format!("{scheme}://{RELEASES}");
        let outcome = fetch_with(&bench, &[(CHILD_MIRROR, &mirror), (variable, &proxy.url())]);
        assert!(outcome.starts_with("exit code 5: "), "{outcome}");
        assert_eq!(proxy.asked().len(), 1);
    }
    assert_eq!(bench.server.requests("").len(), 0);
}

/// deno#15921: a company's own authority, whose certificate the system has, or `SSL_CERT_FILE` names.
#[cfg(target_os = "linux")]
#[test]
fn a_custom_authority_is_believed_for_files_and_for_the_api() {
    let bench = Bench::new();
    let github = GitHub::start(&bench.www(), REPOSITORY);
    let mirror = format!("https://{}", https(&bench.server));
    let api = format!("https://{}", https(&github.api));
    let authority = certificates().join("authority.pem");
    let authority = ("SSL_CERT_FILE", authority.to_str().unwrap());

    let outcome = fetch_with(&bench, &[(CHILD_MIRROR, &mirror)]);
    assert!(outcome.starts_with("exit code 5: ") && outcome.contains("certificate"), "{outcome}");
    assert_eq!(bench.server.requests("").len(), 0);
    assert_eq!(fetch_with(&bench, &[(CHILD_MIRROR, &mirror), authority]), "success");
    std::fs::remove_dir_all(bench.cache()).unwrap();

    let server = github.server_url();
    let sources = [(CHILD_SERVER, &*server), (CHILD_API, &*api)];
    let outcome = fetch_with(&bench, &sources);
    assert!(outcome.starts_with("exit code 5: ") && outcome.contains("certificate"), "{outcome}");
    assert_eq!(github.api.requests("").len(), 0);
    assert_eq!(fetch_with(&bench, &[&sources[..], &[authority]].concat()), "success");
    assert_eq!(github.api.requests("/releases").len(), 1);
}

/// deno#15921, deno#24719: both at once, as behind most walls.
#[cfg(target_os = "linux")]
#[test]
fn https_goes_through_a_tunnel_to_a_server_of_the_custom_authority() {
    let bench = Bench::new();
    let github = GitHub::start(&bench.www(), REPOSITORY);
    let proxy = Proxy::start(&[
        ("releases.example.com:443", https(&bench.server)),
        ("api.example.com:443", https(&github.api)),
    ]);
    let authority = certificates().join("authority.pem");
    let way = [("HTTPS_PROXY", &*proxy.url()), ("SSL_CERT_FILE", authority.to_str().unwrap())];

    let mirror = format!("https://{RELEASES}");
    assert_eq!(fetch_with(&bench, &[&way[..], &[(CHILD_MIRROR, &mirror)]].concat()), "success");
    let asked = proxy.asked();
    assert!(!asked.is_empty() && asked.iter().all(|asked| asked == "CONNECT releases.example.com:443"));
    std::fs::remove_dir_all(bench.cache()).unwrap();

    let (server, api) = (github.server_url(), format!("https://{API}"));
    let sources = [(CHILD_SERVER, &*server), (CHILD_API, &*api)];
    assert_eq!(fetch_with(&bench, &[&way[..], &sources].concat()), "success");
    assert_eq!(proxy.asked(), ["CONNECT api.example.com:443"]);
}
