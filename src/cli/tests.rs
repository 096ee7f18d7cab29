//! Commands against an admin listener that answers what it is told to.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::thread::{self, JoinHandle};

use super::*;
use crate::config::{Loaded, load_values};

const TOKEN: &str = "0123456789abcdef";

/// Answers one exchange; gives back what it was asked.
fn admin_listener(answer: &'static str) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = Vec::new();
        let mut buffer = [0; 1024];
        while !is_whole(&asked) {
            let read = stream.read(&mut buffer).unwrap();
            asked.extend_from_slice(&buffer[..read]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(asked).unwrap()
    });
    (address, asked)
}

/// Requests of these tests end with their head, or with an object without a nested one.
fn is_whole(asked: &[u8]) -> bool {
    match asked.windows(4).position(|end| end == b"\r\n\r\n") {
        Some(head) => asked.starts_with(b"GET") || (asked.len() > head + 4 && asked.ends_with(b"}")),
        None => false,
    }
}

fn loaded(address: SocketAddr, token_file: Option<&str>) -> Loaded {
    let mut environment = vec![("INSTANTLY_PROXY_ADMIN__ADDRESS".to_owned(), address.to_string())];
    environment
        .extend(token_file.map(|path| ("INSTANTLY_PROXY_ADMIN__TOKEN_FILE".to_owned(), path.to_owned())));
    load_values(&[], environment.into_iter()).unwrap()
}

fn everything() -> purge::Arguments {
    match Cli::try_parse_from(["instantly-proxy", "purge"]).unwrap().command {
        Some(Command::Purge(arguments)) => arguments,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn files_named_before_and_behind_a_command_all_count_in_order() {
    let cli =
        Cli::try_parse_from(["instantly-proxy", "--config", "a", "check", "--config", "b", "--config", "c"]);
    let Cli { files, command: Some(Command::Check(more)) } = cli.unwrap() else { panic!("not check") };
    let setup = Setup { files: files.config, environment: Vec::new() }.and(more.files);
    assert_eq!(setup.files, ["a", "b", "c"].map(PathBuf::from));
}

#[test]
fn a_proxy_is_healthy_when_it_says_that_it_is_ready() {
    for (answer, healthy) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", true),
        ("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", false),
        ("HTTP/1.1 204 No Content\r\n\r\n", false),
        ("no HTTP", false),
    ] {
        let (address, asked) = admin_listener(answer);
        // The token's file may be gone for a moment while it is exchanged: readiness needs none.
        let result = health::run(&loaded(address, Some("/nonexistent/token")));
        assert_eq!(result.map_err(|failure| failure.code).err(), (!healthy).then_some(Failure::FAILED));
        let asked = asked.join().unwrap();
        assert!(asked.starts_with("GET /readyz HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains(&format!("host: {address}\r\n")), "{asked}");
    }
}

#[test]
fn nobody_listening_is_a_failure_with_address_and_reason() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let failure = health::run(&loaded(free, None)).unwrap_err();
    assert_eq!(failure.code, Failure::FAILED);
    assert!(failure.lines[0].starts_with(&format!("no answer from http://{free}/readyz: ")), "{failure:?}");
}

#[test]
fn a_port_that_is_not_known_is_misuse() {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    assert_eq!(health::run(&loaded(any, None)).unwrap_err().code, Failure::MISUSED);
}

#[test]
fn a_purge_carries_the_token_of_the_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{TOKEN}\n")).unwrap();
    let (address, asked) = admin_listener(
        "HTTP/1.1 200 OK\r\ncontent-length: 34\r\n\r\n{\"entries\":0,\"bytes\":0,\"proofs\":0}",
    );
    assert!(purge::run(&loaded(address, file.path().to_str()), &everything()).is_ok());
    let asked = asked.join().unwrap();
    assert!(asked.starts_with("POST /api/purge HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("content-type: application/json\r\n"), "{asked}");
    assert!(asked.contains(&format!("authorization: Bearer {TOKEN}\r\n")), "{asked}");
    assert!(asked.ends_with("\r\n\r\n{}"), "{asked}");
}

#[test]
fn a_refused_purge_tells_the_reason() {
    let (address, _asked) = admin_listener(
        "HTTP/1.1 403 Forbidden\r\ncontent-length: 35\r\n\r\n{\"message\":\"Set admin.token_file.\"}\n",
    );
    let failure = purge::run(&loaded(address, None), &everything()).unwrap_err();
    assert_eq!(failure.code, Failure::FAILED);
    assert!(failure.lines[0].ends_with("Set admin.token_file."), "{failure:?}");
}

#[test]
fn a_purge_whose_token_cannot_be_read_is_misuse_and_asks_nothing() {
    let unasked = SocketAddr::from(([127, 0, 0, 1], 1));
    let failure = purge::run(&loaded(unasked, Some("/nonexistent/token")), &everything()).unwrap_err();
    assert_eq!(failure.code, Failure::MISUSED);
    assert!(
        failure.lines[0].starts_with("admin.token_file: \"/nonexistent/token\" cannot be read"),
        "{failure:?}"
    );
}

#[test]
fn a_401_says_which_key_of_the_configuration_is_meant() {
    const REFUSED: &str = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 17\r\n\r\n{\"message\":\"No.\"}";
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{TOKEN}\n")).unwrap();
    for (token_file, said) in [
        (file.path().to_str(), "the running process has another token)"),
        (None, "(admin.token_file is not set here: give the running process's configuration)"),
    ] {
        for command in [&["status"][..], &["explain", "/x"], &["purge"]] {
            let (address, asked) = admin_listener(REFUSED);
            let loaded = loaded(address, token_file);
            let command = ["instantly-proxy"].iter().chain(command);
            let failure = match Cli::try_parse_from(command).unwrap().command {
                Some(Command::Status(arguments)) => status::run(&loaded, &arguments),
                Some(Command::Explain(arguments)) => explain::run(&loaded, &arguments),
                Some(Command::Purge(arguments)) => purge::run(&loaded, &arguments),
                other => panic!("{other:?}"),
            };
            let failure = failure.unwrap_err();
            let line = &failure.lines[0];
            assert!(line.starts_with("the admin listener answered 401 Unauthorized: No. ("), "{line}");
            assert!(line.ends_with(said) && !line.contains(TOKEN), "{line}");
            asked.join().unwrap();
        }
    }
}

#[test]
fn what_is_explained_is_the_request_that_was_named() {
    let (address, asked) = admin_listener("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
    let command = [
        "instantly-proxy",
        "explain",
        "/a?b=c",
        "--method",
        "PATCH",
        "--header",
        "X-As-Workspace: 7",
        "-o",
        "json",
    ];
    let Some(Command::Explain(arguments)) = Cli::try_parse_from(command).unwrap().command else {
        panic!("explain")
    };
    assert!(explain::run(&loaded(address, None), &arguments).is_ok());
    let asked = asked.join().unwrap();
    assert!(asked.starts_with("POST /api/explain HTTP/1.1\r\n"), "{asked}");
    let body = r#"{"headers":{"x-as-workspace":["7"]},"method":"PATCH","path":"/a?b=c"}"#;
    assert!(asked.ends_with(body), "{asked}");
}
