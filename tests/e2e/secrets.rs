//! Canaries: secrets that are planted on the way, and looked for in everything that is written, said or shown.

use std::path::PathBuf;

use base64_of::forms;
use bytes::Bytes;
use http_body_util::Full;
use petit_engine::invite::Invite;
use petit_tests::bed::client_config;
use petit_tests::process::Program;
use petit_tests::service::Service;
use petit_tests::visitor::request;
use secrecy::SecretString;

mod base64_of {
    /// The forms in which bytes might be written.
    pub(super) fn forms(bytes: &[u8]) -> Vec<String> {
        use data_encoding::{BASE32_NOPAD, BASE64, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
        // Ends are left out: they depend on what stands around them.
        let core = |text: String| text.trim_end_matches('=').get(4..40).unwrap_or_default().to_owned();
        [HEXLOWER, HEXUPPER, BASE64, BASE64URL_NOPAD, BASE32_NOPAD]
            .map(|form| core(form.encode(bytes)))
            .to_vec()
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one life of both programs, from end to end")]
async fn no_secret_is_written_said_or_shown() {
    let service = Service::http("s").await;
    let server = Program::server().await;
    let config = std::fs::read_to_string(server.config()).unwrap();
    std::fs::write(server.config(), config.replace("[server]\n", "[server]\nlog_level = \"trace\"\n"))
        .unwrap();
    let server_process = server.up().await;
    let client = Program::client();
    let config = client_config(&[("web", service.address(), "http")]);
    let config = config.replace("[client]\n", "[client]\nlog_level = \"trace\"\n");
    std::fs::write(client.config(), config).unwrap();

    let link = server.invite([""; 0]).await;
    let spare = server.invite([""; 0]).await;
    let mut said = vec![client.run_with(["register"], &link).await.ok()];
    said.push(client.run_with(["register"], &spare).await);
    said.push(client.run_with(["register"], &spare[..spare.len() - 3]).await);
    let client_process = client.up().await;
    let id = client.until_green().await["services"][0]["id"].as_str().unwrap().to_owned();
    let visitor = server.visitor().await;
    let host = format!("{id}.localhost");
    let mut asked = request(
        &host,
        "POST",
        "/sum?token=canary-in-the-query",
        Full::new(Bytes::from("canary-in-the-body")),
    );
    for (name, value) in
        [("authorization", "Bearer canary-in-a-field"), ("cookie", "session=canary-in-a-cookie")]
    {
        asked.headers_mut().insert(name, value.parse().unwrap());
    }
    assert_eq!(visitor.send(asked).await.status, 200);
    let mut refused = request(&host, "GET", "/?token=canary-in-the-query", Full::new(Bytes::new()));
    refused.headers_mut().insert("x_canary", "canary-in-a-field".parse().unwrap());
    let answer = visitor.send(refused).await;
    assert_eq!(answer.status, 400);

    let views = [
        vec!["status"],
        vec!["doctor"],
        vec!["ping"],
        vec!["config", "show"],
        vec!["config", "check"],
        vec!["logs", "-n", "9999"],
        vec!["service", "list"],
    ];
    for arguments in &views {
        said.push(client.run([&arguments[..], &["--json"]].concat()).await);
        said.push(client.run(arguments.clone()).await);
    }
    // The password of a proxy that is not there: everybody speaks of the proxy, and nobody of that.
    client_process.kill().await;
    let config = std::fs::read_to_string(client.config()).unwrap();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = format!("[client]\nproxy = \"http://anna:canary-in-a-password@{nobody}\"\n");
    std::fs::write(client.config(), config.replace("[client]\n", &proxy)).unwrap();
    let client_process = client.up().await;
    client.until("a proxy that is missed", |status| status.to_string().contains("proxy")).await;
    for arguments in &views {
        said.push(client.run([&arguments[..], &["--json"]].concat()).await);
        said.push(client.run(arguments.clone()).await);
    }
    // The file itself is its owner's.
    std::fs::write(client.config(), config).unwrap();
    for arguments in [
        vec!["status"],
        vec!["clients", "list"],
        vec!["invite", "--list"],
        vec!["config", "show"],
        vec!["status", &id],
    ] {
        said.push(server.run([&arguments[..], &["--json"]].concat()).await);
        said.push(server.run(arguments).await);
    }

    let (canaries, keys) = canaries([&link, &spare], &client, &server);

    let find = |text: &str, place: &str| {
        for canary in &canaries {
            assert!(!text.contains(canary.as_str()), "{canary} is in {place}");
        }
    };
    let mut places = 0;
    for program in [&client, &server] {
        for (path, text) in program.texts() {
            if !keys.contains(&path) {
                find(&text, &path.display().to_string());
                places += 1;
            }
        }
    }
    assert!(places >= 8, "the search looks at config, registry, registration, logs: {places}");
    let log = std::fs::read_to_string(client.dir().join("logs/client.log")).unwrap();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "the logs were as talkative as they can be");
    for said in &said {
        find(&said.out, "an output");
        find(&said.err, "an error output");
    }
    find(&answer.text(), "an answer to a visitor");
    for process in [&server_process, &client_process] {
        process_tells_nothing(process.id(), &find);
    }
    for path in keys {
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
    }
}

/// Looks into what others can see of a process, and whether it may leave a core behind.
fn process_tells_nothing(process: u32, find: &impl Fn(&str, &str)) {
    for file in ["cmdline", "environ"] {
        // The environment of a process that cannot be dumped is root's alone.
        let bytes = std::fs::read(format!("/proc/{process}/{file}")).unwrap_or_default();
        find(&String::from_utf8_lossy(&bytes), file);
    }
    let limits = std::fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert!(core.split_whitespace().nth(4) == Some("0"), "core dumps are off: {core}");
}

/// What must not be found, in every form that it could have, and the files that hold the keys.
fn canaries(links: [&str; 2], client: &Program, server: &Program) -> (Vec<String>, Vec<PathBuf>) {
    let mut canaries: Vec<String> = ["query", "body", "a-field", "a-cookie"]
        .iter()
        .flat_map(|place| [format!("canary-in-the-{place}"), format!("canary-in-{place}")])
        .collect();
    canaries.push("canary-in-a-password".to_owned());
    // As proxies are told it.
    canaries.push(data_encoding::BASE64.encode(b"anna:canary-in-a-passwor"));
    for link in links {
        let coded = link.split_once("#v1.").unwrap().1;
        canaries.push(coded[..40].to_owned());
        canaries.push(coded[60..100].to_owned());
        let bytes = data_encoding::BASE64URL_NOPAD.decode(coded.as_bytes()).unwrap();
        let secret = &bytes[24..56];
        let parsed = Invite::parse(&SecretString::from(link)).unwrap();
        assert!(
            parsed.secret.hash()
                == petit_engine::secret::InviteSecret::from_bytes(secret.try_into().unwrap()).hash()
        );
        canaries.extend(forms(secret));
    }
    let mut keys = Vec::new();
    for (program, names) in [(client, &["device.key"][..]), (server, &["server.key", "backup.key"][..])] {
        for name in names {
            let path = program.dir().join(name);
            let text = std::fs::read_to_string(&path).unwrap();
            let base64: String = text.lines().filter(|line| !line.starts_with('-')).collect();
            // The last 32 bytes of PKCS#8 are the seed of an Ed25519 key.
            let pkcs8 = data_encoding::BASE64.decode(base64.as_bytes()).unwrap();
            canaries.extend(forms(&pkcs8[16..48]));
            canaries.push(base64[24..60].to_owned());
            keys.push(path);
        }
    }
    canaries.retain(|canary| canary.len() >= 15);
    (canaries, keys)
}

#[tokio::test]
async fn the_control_sockets_are_the_only_local_doors() {
    use std::os::unix::fs::PermissionsExt;
    let service = Service::http("s").await;
    let (server, server_process, client) = crate::recover::processes(&service).await;
    let client_process = client.up().await;
    client.until_green().await;
    for socket in [server.dir().join("server.sock"), client.dir().join("client.sock")] {
        assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    }
    // The client listens on no TCP port at all, the server on the two of its config.
    assert_eq!(listening(client_process.id()), 0);
    assert_eq!(listening(server_process.id()), 2);
}

/// TCP sockets in state LISTEN that a process holds.
fn listening(process: u32) -> usize {
    let links = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    let held: Vec<String> = links
        .filter_map(|link| std::fs::read_link(link.ok()?.path()).ok())
        .filter_map(|target| {
            Some(target.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned())
        })
        .collect();
    let tables =
        ["tcp", "tcp6"].map(|name| std::fs::read_to_string(format!("/proc/{process}/net/{name}")).unwrap());
    let lines = tables.iter().flat_map(|table| table.lines().skip(1));
    lines
        .filter(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            fields[3] == "0A" && held.iter().any(|inode| inode == fields[9])
        })
        .count()
}
