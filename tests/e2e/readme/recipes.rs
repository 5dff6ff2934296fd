//! The recipes, typed as they stand by people who have nothing but the README. Only what it cannot give is brought
//! along: DNS, a certificate, a service.

use std::net::{IpAddr, Ipv4Addr};

use petit_tests::process::Said;
use petit_tests::program;
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::stranger::{Computer, PRIVATE, PUBLIC, Person, is_open, on_a_computer_of};

use tokio::process::Command;

use super::{README, section};

/// The domain of the README.
const DOMAIN: &str = "example.com";

/// The lines of all `sh` blocks of a part, in their order.
fn lines(part: &'static str) -> Vec<&'static str> {
    let blocks = part.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.flat_map(str::lines).collect()
}

/// The line that begins with a command.
fn line(part: &'static str, begin: &str) -> &'static str {
    let found: Vec<&str> = lines(part).into_iter().filter(|line| line.starts_with(begin)).collect();
    assert_eq!(found.len(), 1, "{begin:?} stands there once");
    found[0]
}

/// A command that stands in the text, between backticks.
fn inline(begin: &str) -> &'static str {
    let found = README.split('`').skip(1).step_by(2).find(|code| code.starts_with(begin));
    found.unwrap_or_else(|| panic!("the README says no {begin:?}"))
}

/// A vendor, as the README makes one.
struct Vendor {
    person: Person,
    /// What each line said.
    said: Vec<(&'static str, Said)>,
}

impl Vendor {
    async fn new(computer: &Computer) -> Self {
        let part = section("First tunnel: the operator (vendor)");
        let person = computer.stranger();
        let mut said = Vec::new();
        for line in lines(part) {
            let answer = person.types(line).await;
            assert_eq!(answer.exit, 0, "{line}: {answer:?}");
            said.push((line, answer));
            if line.starts_with("petit-server init") {
                // What it says next, in prose: the certificate goes here.
                let [certificate, key] = ["server.crt", "server.key"].map(|name| {
                    let written = format!("~/.petit/certificates/{name}");
                    assert!(part.contains(&format!("`{written}`")), "{written}");
                    person.path(&written)
                });
                let folder = certificate.parent().unwrap();
                std::fs::create_dir_all(folder).unwrap();
                let identity = computer.authority.vouch_for(&[&format!("*.{DOMAIN}")]);
                assert_eq!(identity.write(folder, "server"), (certificate, key));
            }
        }
        Self { person, said }
    }

    fn said(&self, begin: &str) -> &str {
        &self.said.iter().find(|(line, _)| line.starts_with(begin)).expect("a line").1.out
    }

    /// A vendor with a proxy in front, as the README has it for those who have one.
    async fn behind_a_proxy(computer: &Computer) -> (Self, program::Running) {
        let part = section("First tunnel: the operator (vendor)");
        assert!(part.contains("Leave out `--port 443`, lead the proxy there with `Host` unchanged"));
        let person = computer.stranger();
        let init = line(part, "petit-server init").replace(" --port 443", "");
        let initialised = person.types(&init).await.ok();
        let next = &initialised.out;
        assert!(next.contains("in front of 127.0.0.1:8090"), "{next}");
        let path = person.path("~/.petit/config.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let trusting = text.replace("# trusted_proxies = []", "trusted_proxies = [\"127.0.0.1\"]");
        assert_ne!(trusting, text);
        std::fs::write(&path, trusting).unwrap();

        let home = person.path("~/.");
        let (certificate, key) =
            computer.authority.vouch_for(&[&format!("*.{DOMAIN}")]).write(&home, "front");
        let (home, certificate, key) = (home.display(), certificate.display(), key.display());
        let settings = format!(
            "daemon off; user root; error_log stderr; pid {home}/nginx.pid; events {{}}\n\
             http {{ access_log off; client_body_temp_path {home}/a; proxy_temp_path {home}/b;\n\
             fastcgi_temp_path {home}/c; uwsgi_temp_path {home}/d; scgi_temp_path {home}/e;\n\
             server {{ listen 443 ssl; ssl_certificate {certificate}; ssl_certificate_key {key};\n\
             location / {{ proxy_pass http://127.0.0.1:8090; proxy_set_header Host $host;\n\
             proxy_set_header X-Forwarded-For $remote_addr; }} }} }}\n"
        );
        let file = person.path("~/nginx.conf");
        std::fs::write(&file, settings).unwrap();
        let mut nginx = Command::new("nginx");
        nginx.arg("-c").arg(&file);
        let proxy = program::Running::start(nginx);
        let mut said = Vec::new();
        said.push((line(part, "petit-server init"), initialised));
        for begin in ["petit-server start", "petit-server invite"] {
            let line = line(part, begin);
            said.push((line, person.types(line).await.ok()));
        }
        (Self { person, said }, proxy)
    }

    /// Puts the line with the key, as `init` has said it, where somebody has it as the README says.
    fn give_key_to(&self, visitor: &Person) {
        let mut lines = self.said("petit-server init").lines().map(str::trim);
        let line = lines.find(|line| line.starts_with("Petit-Key: ")).expect("a key");
        std::fs::write(visitor.path("~/petit-key"), line).unwrap();
    }

    /// The first link of the invite that was made.
    fn invite(&self) -> String {
        let lines = self.said("petit-server invite").lines();
        lines.into_iter().find(|line| line.starts_with("https://")).expect("a link").to_owned()
    }
}

/// A service where the README has one.
async fn service() -> Service {
    Service::http_on("the private service", "127.0.0.1:3000".parse().unwrap()).await
}

/// Registers a customer at a terminal, as the README has it.
async fn registered(customer: &Person, vendor: &Vendor) {
    let line = line(section("First tunnel: the customer"), "petit-client register");
    assert!(line.contains("paste the invite; say where the service is (localhost:3000)"), "{line}");
    let mut terminal = customer.sits_down_and_types(line);
    // There is no keychain on this computer.
    terminal.until("Keep the key in a file that only you can read?").await;
    terminal.type_line("y").await;
    terminal.until("Paste the invite").await;
    terminal.type_line(&vendor.invite()).await;
    terminal.until("Go on? [Y/n]").await;
    terminal.type_line("").await;
    terminal.until("Where is the service \"web\"").await;
    terminal.type_line("localhost:3000").await;
    let (exit, shown) = terminal.end().await;
    assert_eq!(exit, 0, "{shown}");
    // Both have seen the same six words, in both languages.
    let words = shown.split("Its words").nth(1).expect("six words").lines().map(str::trim);
    for row in words.take(2) {
        assert_eq!(row.split(' ').count(), 6, "{row:?}");
        assert!(vendor.said("petit-server invite").contains(row), "{row:?}");
    }
}

/// Types a line until it says something.
async fn until(person: &Person, line: &str, text: &str) -> String {
    soon(&format!("{line:?} to say {text:?}"), async {
        loop {
            let said = person.types(line).await.out;
            if said.contains(text) {
                return said;
            }
        }
    })
    .await
}

/// A text in which what differs from one time to the next is left out: times, IDs, and the words of a key.
fn pattern(text: &str) -> String {
    let mut after_key = 0;
    let mut line = |line: &str| {
        after_key = if line.trim_start().starts_with("its key") { 2 } else { after_key };
        if after_key > 0 {
            after_key -= 1;
            let row = line.trim_start().trim_start_matches("its key").trim();
            return line.replace(row, &format!("({} words)", row.split(' ').count()));
        }
        let words: Vec<&str> = line.split(' ').collect();
        let is_unit = |word: Option<&&str>| word.is_some_and(|word| ["s", "ms", "s,"].contains(word));
        let word = |(at, word): (usize, &&str)| match word.strip_prefix("https://") {
            Some(host) => format!("https://({}).{DOMAIN}", host.split('.').next().unwrap().len()),
            None if is_unit(words.get(at + 1)) => "(time)".to_owned(),
            None => (*word).to_owned(),
        };
        words.iter().enumerate().map(word).collect::<Vec<_>>().join(" ")
    };
    text.lines().map(&mut line).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_stranger_gets_from_the_readme_to_a_tunnel_by_typing_what_stands_there() {
    on_a_computer_of(DOMAIN, PUBLIC, |computer| async move {
        let vendor = Vendor::new(&computer).await;
        let link = vendor.invite();
        assert!(link.starts_with("https://tunnel.example.com/enroll#"), "{link}");
        let visitor = computer.stranger();
        let page = visitor.types(&format!("curl -sS '{link}'")).await.ok();
        assert!(page.out.contains("This is an invite for Petit"), "{page:?}");

        let (_service, customer) = (service().await, computer.stranger());
        registered(&customer, &vendor).await;
        let part = section("First tunnel: the customer");
        customer.types(line(part, "petit-client start")).await.ok();
        let status = line(part, "petit-client status");
        let shown = until(&customer, status, "works end to end").await;
        let sample = part.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
        assert_eq!(pattern(shown.trim_end()), pattern(sample.trim_end()));

        vendor.give_key_to(&visitor);
        let with_key = inline("curl -H @petit-key");
        let got = visitor.types(with_key).await.ok();
        assert_eq!(got.text(), "the private service");
        let got = visitor.types("curl -sS https://acme.example.com/").await.ok();
        assert!(got.text().contains("key-required") || got.text().contains("asks for a key"), "{got:?}");
        let url = shown.split_whitespace().find(|word| word.starts_with("https://")).unwrap();
        let got = visitor.types(&format!("curl -sS -H @petit-key {url}/")).await.ok();
        assert_eq!(got.text(), "the private service");
        let doctor = customer.types(inline("petit-client doctor")).await.ok();
        assert!(doctor.out.contains("All is well."), "{doctor:?}");
        let explained = "petit-server explain https://acme.example.com/invoices --as key:default";
        let explained = vendor.person.types(explained).await.ok().out;
        assert!(explained.contains("goes through the tunnel to the service"), "{explained}");

        // Further services, of which the second is none of HTTP's.
        let _web = Service::http_on("accounts", "127.0.0.1:8080".parse().unwrap()).await;
        let _database = Service::start_again("ready", "127.0.0.1:5432".parse().unwrap()).await;
        let http = inline("petit-client service add");
        let tcp = inline("… add").replace('…', "petit-client service");
        for line in [http, &tcp] {
            customer.types(line).await.ok();
        }
        until(&customer, "petit-client check", "✔ service db").await;
        let status = vendor.person.types("petit-server status").await.ok().out;
        let tcp = status.split_whitespace().find(|word| word.starts_with("tcp://")).expect("the port of db");
        assert!(tcp.starts_with("tcp://127.0.0.1:20"), "{tcp}");

        // That is all there is to look after.
        let backup = inline("petit-server backup").replace("FOLDER", "safe");
        vendor.person.types(&backup).await.ok();
        assert!(vendor.person.path("~/safe/certificates/server.crt").exists());
        vendor.person.types("petit-server restart").await.ok();
        assert_eq!(visitor.types(with_key).await.ok().text(), "the private service");
    });
}

#[test]
fn a_script_registers_on_a_computer_without_a_keychain_by_the_line_that_the_readme_gives() {
    on_a_computer_of(DOMAIN, PUBLIC, |computer| async move {
        let vendor = Vendor::new(&computer).await;
        let (_service, customer) = (service().await, computer.stranger());
        std::fs::write(customer.path("~/invite.txt"), vendor.invite()).unwrap();
        let refused = customer.types("petit-client register --invite-file invite.txt").await;
        assert!(refused.exit == 1 && refused.err.contains("--key-store file"), "{refused:?}");
        customer.types(inline("petit-client register --key-store file")).await.ok();
        customer.types("petit-client start").await.ok();
        until(&customer, "petit-client status", "works end to end").await;
    });
}

#[test]
fn who_gets_in_is_who_the_readme_says() {
    on_a_computer_of(DOMAIN, PUBLIC, |computer| async move {
        let vendor = Vendor::new(&computer).await;
        let (_service, customer) = (service().await, computer.stranger());
        registered(&customer, &vendor).await;
        let _database = Service::start_again("ready", "127.0.0.1:5432".parse().unwrap()).await;
        customer.types("petit-client service add db localhost:5432 --tcp").await.ok();
        customer.types("petit-client start").await.ok();
        until(&customer, "petit-client check", "✔ service db").await;
        until(&customer, "petit-client check", "✔ service web").await;

        // By plain HTTP, and to raw TCP services, this machine alone.
        let (here, outside) = (IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(PUBLIC));
        let status = vendor.person.types("petit-server status").await.ok().out;
        let tcp = status.split_whitespace().find(|word| word.starts_with("tcp://127.0.0.1:")).unwrap();
        let tcp = tcp.rsplit(':').next().unwrap().parse().unwrap();
        for port in [8090, tcp] {
            assert!(is_open(here, port).await && !is_open(outside, port).await, "{port}");
        }
        // By HTTPS everybody who has the key and knows the name, and nobody who guesses one of the two.
        let (stranger, visitor) = (computer.stranger(), computer.stranger());
        vendor.give_key_to(&visitor);
        let status = "curl -sS -o /dev/null -w '%{http_code}'";
        for (name, without, with) in [("acme", "401", "200"), ("k3v5qyz2m7wbn4ta", "404", "404")] {
            let url = format!("https://{name}.{DOMAIN}/");
            let got = stranger.types(&format!("{status} {url}")).await.ok();
            assert_eq!(got.text(), without, "{name}");
            let got = visitor.types(&format!("{status} -H @petit-key {url}")).await.ok();
            assert_eq!(got.text(), with, "{name}");
        }

        // What the README says of further keys, and of trying a policy.
        let create = inline("petit-server key create billing");
        let made = vendor.person.types(create).await.ok().out;
        let line = made.lines().map(str::trim).find(|line| line.starts_with("Petit-Key: ")).unwrap();
        std::fs::write(visitor.path("~/petit-key"), line).unwrap();
        let ask = format!("{status} -H @petit-key https://acme.{DOMAIN}/");
        assert_eq!(visitor.types(&ask).await.ok().text(), "401");
        vendor.person.types(inline("petit-server policy set default")).await.ok();
        assert_eq!(visitor.types(&ask).await.ok().text(), "200");
        let test = vendor.person.types(inline("petit-server policy test default")).await.ok().out;
        assert!(test.ends_with("The visitor gets in.\n"), "{test}");
        vendor.person.types(inline("petit-server key create billing --rotate")).await.ok();
        assert_eq!(visitor.types(&ask).await.ok().text(), "200", "for another day");
        vendor.person.types(&format!("{} --yes", inline("petit-server key revoke billing"))).await.ok();
        assert_eq!(visitor.types(&ask).await.ok().text(), "401");

        // Opened up, it is for everybody who knows the name, and says so.
        for policy in ["default", "default-tcp"] {
            vendor.person.types(&format!("petit-server policy remove {policy} --yes")).await.ok();
        }
        let got = stranger.types(&format!("{status} https://acme.{DOMAIN}/")).await.ok();
        assert_eq!(got.text(), "200");
        let said = vendor.person.types("petit-server status").await.ok().out;
        assert!(said.contains("open to anybody who knows the name"), "{said}");
    });
}

/// Adds settings to the vendor's config file and has a new process read it.
async fn set(vendor: &Vendor, settings: &str) {
    let path = vendor.person.path("~/.petit/config.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let server = text.split("\n[server.fronts]\n").next().unwrap();
    std::fs::write(&path, format!("{server}\n[server.fronts]\n{settings}\n")).unwrap();
    vendor.person.types("petit-server restart").await.ok();
}

#[test]
fn lights_say_how_far_they_go_where_the_public_address_cannot_be_tried() {
    on_a_computer_of(DOMAIN, PRIVATE, |computer| async move {
        let vendor = Vendor::new(&computer).await;
        let (_service, customer) = (service().await, computer.stranger());
        registered(&customer, &vendor).await;
        customer.types("petit-client start").await.ok();
        let status = "petit-client status";
        let private = until(&customer, status, "the public address was not tried, because").await;
        assert!(private.contains("◐ web"), "{private}");
        set(&vendor, "private_networks = [\"10.77.0.0/16\"]").await;
        let tried = until(&customer, status, "works end to end").await;
        assert!(tried.contains("✔ web"), "{tried}");
        set(&vendor, "try_public = false").await;
        let switched_off = until(&customer, status, "the public address was not tried, because").await;
        assert!(switched_off.contains("◐ web"), "{switched_off}");
        let why = |text: &str| {
            text.split("was not tried, because").nth(1).unwrap().lines().next().unwrap().to_owned()
        };
        assert_ne!(why(&private), why(&switched_off));
    });
}

#[test]
fn an_alias_that_is_a_domain_of_its_own_is_tried_too() {
    on_a_computer_of(DOMAIN, PUBLIC, |computer| async move {
        let vendor = Vendor::new(&computer).await;
        let (_service, customer) = (service().await, computer.stranger());
        registered(&customer, &vendor).await;
        customer.types("petit-client start").await.ok();
        let shown = until(&customer, "petit-client status", "works end to end").await;
        let url = shown.split_whitespace().find(|word| word.starts_with("https://")).unwrap();
        let id = url.trim_start_matches("https://").split('.').next().unwrap();
        // Nobody's name server knows it.
        vendor.person.types(&format!("petit-server addalias {id} portal.acme.example")).await.ok();
        until(&customer, "petit-client status", "alias portal.acme.example ✘").await;
        until(&vendor.person, "petit-server status", "portal.acme.example:").await;
    });
}

#[test]
fn a_proxy_in_front_that_is_set_up_as_the_readme_says_is_let_through_and_proved() {
    on_a_computer_of(DOMAIN, PUBLIC, |computer| async move {
        let (vendor, _proxy) = Vendor::behind_a_proxy(&computer).await;
        let (_service, customer) = (service().await, computer.stranger());
        registered(&customer, &vendor).await;
        customer.types("petit-client start").await.ok();
        let shown = until(&customer, "petit-client status", "works end to end").await;
        assert!(shown.contains("Connected to tunnel.example.com:8453"), "{shown}");
        let visitor = computer.stranger();
        vendor.give_key_to(&visitor);
        let got = visitor.types(inline("curl -H @petit-key")).await.ok();
        assert_eq!(got.text(), "the private service");
    });
}
