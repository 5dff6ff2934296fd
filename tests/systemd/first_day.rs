//! `docs/deploy.md`, typed as it stands on a machine that has just been booted.
//!
//! What is not the page's: the names of the domain are served by BIND, with the key that the page shows, and the
//! authority is Pebble. Both run beside the machine, in its network. The page says so at its end.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use petit_tests::authority::Authority;
use petit_tests::figures::figure;
use petit_tests::process::programs;
use petit_tests::program::Running;
use petit_tests::stranger::PUBLIC;
use tempfile::TempDir;

use crate::machine::{Machine, done, made, on_a_machine};
use crate::packages::deb;
use crate::pair::{private_service, until_green};

const PAGE: &str = include_str!("../../docs/deploy.md");

/// The provider of names, whose address the page has, and the authority.
const PROVIDER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 53);
const ACME_PORT: u16 = 14000;
const ROOTS_PORT: u16 = 15000;

/// The part of the page under a heading, to the next one of the same rank or a higher one.
fn part(heading: &str) -> &'static str {
    let (_, body) = PAGE.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no {heading:?}"));
    let rank = heading.split(' ').next().unwrap().len();
    let is_next = |line: &str| {
        let hashes = line.bytes().take_while(|byte| *byte == b'#').count();
        (1..=rank).contains(&hashes) && line.as_bytes().get(hashes) == Some(&b' ')
    };
    let mut length = 0;
    let mut is_code = false;
    for line in body.split_inclusive('\n') {
        is_code ^= line.starts_with("```");
        if !is_code && is_next(line) {
            break;
        }
        length += line.len();
    }
    &body[..length]
}

/// The commands of a part, block by block.
fn blocks(heading: &str) -> Vec<&'static str> {
    let found: Vec<_> =
        part(heading).split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(!found.is_empty(), "{heading} has no commands");
    found
}

/// What the page has for a key of the file for certbot.
fn credential(key: &str) -> &'static str {
    let line = PAGE.lines().find_map(|line| line.strip_prefix(&format!("dns_rfc2136_{key} = ")));
    line.unwrap_or_else(|| panic!("the page has no dns_rfc2136_{key}"))
}

/// The internet, as far as the page needs it.
struct Internet {
    dir: TempDir,
    /// Whom certbot takes the authority for.
    authority: Authority,
    _names: Running,
    _pebble: Running,
}

impl Internet {
    /// Begins it in the network that this thread is in.
    fn begin() -> Self {
        for address in [PUBLIC, PROVIDER] {
            done(Command::new("ip").args(["address", "add", &format!("{address}/32"), "dev", "lo"]));
        }
        assert_eq!(credential("server"), PROVIDER.to_string());
        let dir = tempfile::tempdir().unwrap();
        let names = Running::start(names(dir.path().to_owned()));
        let authority = Authority::new();
        let pebble = Running::start(pebble(dir.path().to_owned(), &authority));
        Self { dir, authority, _names: names, _pebble: pebble }
    }

    /// Has a machine ask for names there, and trust both authorities.
    async fn of(&self, machine: &Machine) {
        let resolver = machine.path("/etc/resolv.conf");
        let _ = fs::remove_file(&resolver);
        fs::write(resolver, format!("nameserver {PROVIDER}\n")).unwrap();
        let folder = machine.path("/usr/local/share/ca-certificates");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("acme.crt"), self.authority.pem()).unwrap();
        fs::write(folder.join("root.crt"), self.root(machine).await).unwrap();
        machine.says("update-ca-certificates").await;
        machine
            .says(&format!(
                "printf '%s\\n' 'server = https://{PROVIDER}:{ACME_PORT}/dir' 'dns-rfc2136-propagation-seconds = 2' \
                 >>/etc/letsencrypt/cli.ini"
            ))
            .await;
    }

    /// Pebble's own root, which it makes anew at each start.
    async fn root(&self, machine: &Machine) -> String {
        fs::write(machine.path("/root/acme.pem"), self.authority.pem()).unwrap();
        let url = format!("https://{PROVIDER}:{ROOTS_PORT}/roots/0");
        machine.until(&format!("curl --silent --fail --cacert acme.pem {url} && rm acme.pem")).await.out
    }
}

/// BIND, for `example.com` alone; whoever has the page's key may change TXT records.
fn names(dir: PathBuf) -> tokio::process::Command {
    let zone = dir.join("example.com");
    let (name, secret) = (credential("name"), credential("secret"));
    let algorithm = credential("algorithm").to_lowercase();
    let text = format!(
        "$TTL 60\n@ SOA ns.example.com. operator.example.com. 1 3600 600 86400 60\n@ NS ns.example.com.\n\
         ns A {PROVIDER}\n* A {PUBLIC}\n"
    );
    fs::write(&zone, text).unwrap();
    let (folder, zone) = (dir.display(), zone.display());
    let config = format!(
        "options {{ directory \"{folder}\"; pid-file none; session-keyfile none; lock-file none;\n\
         listen-on {{ {PROVIDER}; }}; listen-on-v6 {{ none; }}; recursion no; allow-query {{ any; }}; }};\n\
         controls {{ }};\n\
         key \"{name}\" {{ algorithm {algorithm}; secret \"{secret}\"; }};\n\
         zone \"example.com\" {{ type primary; file \"{zone}\"; update-policy {{ grant {name} zonesub TXT; }}; }};\n"
    );
    let file = dir.join("named.conf");
    fs::write(&file, config).unwrap();
    let mut command = tokio::process::Command::new("named");
    command.arg("-g").arg("-c").arg(file);
    command
}

/// Pebble, which asks BIND for what proves that somebody holds a name.
fn pebble(dir: PathBuf, authority: &Authority) -> tokio::process::Command {
    let (certificate, key) = authority.vouch_for(&[&PROVIDER.to_string()]).write(&dir, "pebble");
    let config = serde_json::json!({ "pebble": {
        "listenAddress": format!("{PROVIDER}:{ACME_PORT}"),
        "managementListenAddress": format!("{PROVIDER}:{ROOTS_PORT}"),
        "certificate": certificate,
        "privateKey": key,
        "httpPort": 5002,
        "tlsPort": 5001,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": false,
        "retryAfter": { "authz": 1, "order": 1 },
    }});
    let file = dir.join("pebble.json");
    fs::write(&file, config.to_string()).unwrap();
    let mut command = tokio::process::Command::new(made("PETIT_PEBBLE"));
    command.arg("-config").arg(file).arg("-dnsserver").arg(format!("{PROVIDER}:53"));
    command.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_WFE_NONCEREJECT", "0");
    command
}

/// Types the page from its second step on, and asks as its visitor does.
async fn server_to_first_request(machine: &Machine) {
    let begin = Instant::now();
    for block in blocks("## 2. Its key, and a certificate") {
        machine.types(block).await;
    }
    let status = machine.says("petit-server status").await;
    assert!(status.contains("/certificates/example.com/fullchain.pem, good until"), "{status}");

    let [invite, customer] = blocks("## 3. The customer")[..] else { panic!("two blocks") };
    let invite = machine.types(invite).await;
    let link = invite.lines().find(|line| line.starts_with("https://")).expect("a link").to_owned();
    let package = machine.bring(&deb("petit-client"));
    assert!(package.contains("/petit-client_"), "{package}");
    machine.types_with(customer, &link).await;
    // Until something has passed all the way.
    until_green(machine).await;

    let [visitor] = blocks("## 4. The first request")[..] else { panic!("one block") };
    assert_eq!(machine.types(visitor).await, "web");
    let stranger =
        machine.run("curl --silent --output /dev/null --write-out '%{http_code}' https://acme.example.com/");
    assert_eq!(stranger.await.ok().text(), "401");
    figure(format!("docs/deploy.md, from init to the first request: {} s", begin.elapsed().as_secs()));
}

/// The serial number of the certificate that a visitor is shown.
async fn serial(machine: &Machine) -> String {
    let shown = "openssl s_client -connect acme.example.com:443 -servername acme.example.com </dev/null";
    machine.says(&format!("{shown} 2>/dev/null | openssl x509 -noout -serial")).await
}

#[test]
fn no_block_of_the_page_is_left_out() {
    let all = PAGE.matches("\n```sh\n").count();
    let typed = [
        "### By package",
        "### By program",
        "## 2. Its key, and a certificate",
        "## 3. The customer",
        "## 4. The first request",
    ];
    assert_eq!(typed.into_iter().map(|heading| blocks(heading).len()).sum::<usize>(), all);
}

#[test]
fn the_first_day_by_package_is_as_the_page_says() {
    on_a_machine(async |machine| {
        let internet = Internet::begin();
        internet.of(&machine).await;
        let _service = private_service().await;
        machine.bring(&deb("petit-server"));
        for block in blocks("### By package") {
            machine.types(block).await;
        }
        server_to_first_request(&machine).await;

        // As its timer does when the time has come.
        let (before, process) =
            (serial(&machine).await, crate::services::process(&machine, "petit-server").await);
        machine.says("certbot renew --force-renewal --no-random-sleep-on-renew").await;
        let after = serial(&machine).await;
        assert_ne!(after, before, "shown by the time that certbot is done");
        assert_eq!(crate::services::process(&machine, "petit-server").await, process, "without a restart");
        let kept = machine
            .says("find /var/lib/private/petit-server/certificates/example.com/ -type f -printf '%f %m %U\\n' | sort")
            .await;
        let user = machine.says("stat --format=%u /var/lib/private/petit-server").await;
        assert_eq!(kept, format!("fullchain.pem 600 {user}\nprivkey.pem 600 {user}"));
        assert!(machine.says("petit-server config check").await.contains("is fine"));
        drop(internet.dir);
    });
}

#[test]
fn the_first_day_by_program_is_as_the_page_says() {
    on_a_machine(async |machine| {
        let internet = Internet::begin();
        internet.of(&machine).await;
        let _service = private_service().await;
        machine.bring(&programs().join("petit-server"));
        for block in blocks("### By program") {
            machine.types(block).await;
        }
        server_to_first_request(&machine).await;
        drop(internet.dir);
    });
}
