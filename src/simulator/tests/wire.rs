//! What the edge and the connection show: versions, TLS, encodings, transfers, counts.

use std::io::Read;

use bytes::Bytes;
use http::Version;
use serde_json::json;

use super::*;

#[tokio::test]
async fn the_edge_signs_its_answers_and_sets_its_cookie_once() {
    let (simulator, _) = started().await;
    let key = simulator.full_key();
    let reply = Call::get("lead-labels", key).send(&simulator).await;
    assert_eq!(reply.fields["server"], "cloudflare");
    assert!(reply.fields.contains_key("cf-ray"));
    let cookie = reply.fields["set-cookie"].to_str().unwrap();
    assert!(cookie.starts_with("__cf_bm="), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    let again = Call::get("lead-labels", key).field("cookie", cookie).send(&simulator).await;
    assert!(!again.fields.contains_key("set-cookie"));
}

#[tokio::test]
async fn gzip_is_sent_to_those_who_take_it() {
    let (simulator, _) = started().await;
    let key = simulator.full_key();
    let plain = Call::get("lead-labels", key).send(&simulator).await;
    assert!(!plain.fields.contains_key("content-encoding"));
    let reply = Call::get("lead-labels", key).field("accept-encoding", "gzip, br").send(&simulator).await;
    assert_eq!(reply.fields["content-encoding"], "gzip");
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&reply.body[..]).read_to_end(&mut unpacked).unwrap();
    assert_eq!(unpacked, plain.body);
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let (simulator, _) = started().await;
    let key = simulator.full_key();
    let got = Call::get("lead-labels", key).send(&simulator).await;
    for reply in [
        Call::new("HEAD", "lead-labels", key).send(&simulator).await,
        Call::new("HEAD", "lead-labels", key).send_h2(&simulator).await,
    ] {
        let reply = reply.assert_status(200);
        assert_eq!(reply.fields["content-length"], got.body.len().to_string());
        assert!(reply.body.is_empty());
    }
    assert_eq!(simulator.counters().of(Verb::Head, Operation::ListLabels), 2);
}

#[tokio::test]
async fn no_content_and_not_modified_have_no_body() {
    let (simulator, _) = started().await;
    let key = simulator.full_key();
    let nothing = Call::new("DELETE", "sim/no-content", key).send(&simulator).await.assert_status(204);
    assert!(nothing.body.is_empty());
    let campaigns = Call::get("campaigns", key).send(&simulator).await.assert_status(200);
    let tag = campaigns.fields["etag"].to_str().unwrap();
    let known = Call::get("campaigns", key).field("if-none-match", tag).send(&simulator).await;
    assert_eq!(known.assert_status(304).fields["etag"], tag);
}

#[tokio::test]
async fn a_download_comes_whole_announced_or_chunked() {
    let (simulator, _) = started().await;
    for (query, length) in [("", Some("1000000")), ("&chunked=true", None)] {
        let target = format!("sim/download?bytes=1000000{query}");
        let reply = Call::get(&target, simulator.full_key()).send(&simulator).await.assert_status(200);
        assert_eq!(reply.fields.get("content-length").map(|l| l.to_str().unwrap()), length);
        assert_eq!(reply.body.len(), 1_000_000);
        assert!(reply.body.iter().zip(0..).all(|(&byte, offset)| byte == download_byte(offset)));
    }
}

#[tokio::test]
async fn an_upload_is_counted_and_hashed() {
    let (simulator, _) = started().await;
    let sent = Bytes::from(vec![7; 300_000]);
    let hash = blake3::hash(&sent).to_hex();
    for method in ["POST", "PUT"] {
        let upload = Call::new(method, "sim/upload", simulator.full_key()).body(sent.clone());
        let answer = upload.send(&simulator).await.assert_status(200).json();
        assert_eq!(answer, json!({"bytes": 300_000, "blake3": hash.as_str()}));
    }
    assert_eq!(simulator.counters().uploaded_bytes(), 600_000);
}

#[tokio::test]
async fn leads_carry_the_numbers_of_labels() {
    let (simulator, _) = started().await;
    let call = Call::new("POST", "leads/list", simulator.full_key()).json(&json!({}));
    let leads = call.send(&simulator).await.assert_status(200).json();
    let number = simulator.first().labels()[0].interest_status;
    assert_eq!(leads["items"][0]["lt_interest_status"], number);
}

#[tokio::test]
async fn http2_is_spoken_with_prior_knowledge() {
    let (simulator, _) = started().await;
    Call::get("lead-labels", simulator.full_key()).send_h2(&simulator).await.assert_status(200);
    assert_eq!(simulator.counters().recent()[0].version, Version::HTTP_2);
}

#[tokio::test]
async fn tls_settles_the_version_by_alpn() {
    let (simulator, _) = start(|config| config.tls = true).await;
    assert!(simulator.url().starts_with("https://localhost:"));
    for (offers, settled) in [
        (&[b"h2".as_slice(), b"http/1.1".as_slice()] as &[&[u8]], Some(b"h2".to_vec())),
        (&[b"http/1.1"], Some(b"http/1.1".to_vec())),
        (&[], None),
    ] {
        let (alpn, reply) = Call::get("lead-labels", simulator.full_key()).send_tls(&simulator, offers).await;
        assert_eq!(alpn, settled);
        reply.assert_status(200);
    }
}

#[tokio::test]
async fn the_log_tells_requests_and_connections_apart_and_shows_no_token() {
    let (simulator, _) = started().await;
    let key = simulator.full_key();
    Call::get("lead-labels?limit=3", key).field("x-note", "a").send(&simulator).await;
    Call::without_key("GET", "campaigns").send(&simulator).await;
    let recent = simulator.counters().recent();
    let told: Vec<_> = recent.iter().map(|a| (a.target.as_str(), a.key, a.connection)).collect();
    assert_eq!(told, [("/api/v2/lead-labels?limit=3", Some(key.index()), 0), ("/api/v2/campaigns", None, 1)]);
    assert_eq!(recent[0].fields["x-note"], "a");
    assert!(!format!("{recent:?}").contains(key.secret()));
    assert_eq!(simulator.counters().connections(), 2);
    assert_eq!(simulator.counters().requests(), 2);
}

#[tokio::test]
async fn the_port_is_free_again_after_a_stop() {
    let (simulator, _) = started().await;
    let (address, key) = (simulator.address(), simulator.full_key().secret().to_owned());
    simulator.stop().await;
    let (again, _) = start(|config| config.address = address).await;
    assert_eq!(again.address(), address);
    assert_eq!(again.full_key().secret(), key);
}

#[tokio::test]
async fn a_disconnect_of_all_leaves_the_listener_open() {
    let (simulator, _) = started().await;
    let gate = Gate::new();
    let id = simulator.faults().arm(Aim::everything(), Fault::HoldRequest(gate.clone()));
    let held = Call::get("lead-labels", simulator.full_key()).attempt(&simulator);
    let cut = async {
        gate.arrived(1).await;
        simulator.disconnect();
    };
    let (held, ()) = tokio::join!(held, cut);
    assert!(held.is_err());
    simulator.faults().disarm(id);
    Call::get("lead-labels", simulator.full_key()).send(&simulator).await.assert_status(200);
}

#[tokio::test]
async fn a_refusal_arrives_though_its_upload_was_not_read() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let (simulator, _) = started().await;
    let body = vec![b'x'; 24 * 1024 * 1024];
    for _ in 0..4 {
        let mut stream =
            tokio::net::TcpStream::connect(simulator.url().trim_start_matches("http://")).await.unwrap();
        let head = "POST /api/v2/sim/upload HTTP/1.1\r\nhost: a\r\nauthorization: Bearer none\r\n";
        let head = format!("{head}content-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        // As most clients do it looks for an answer once all of its body is out.
        stream.write_all(&body).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer:?}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer:?}");
    }
}
