//! Proxies as the config file and the environment name them.

use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use petit_engine::name::ServerAddr;
use petit_engine::net::proxy::{Proxy, ProxyKind};
use secrecy::SecretString;

/// What the config says of proxies.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ProxySetting {
    /// What environment and system say.
    #[default]
    FromSystem,
    /// None, whatever they say.
    None,
    /// This one.
    Use(Proxy),
}

/// Reads a proxy as people write it. What is wrong is said without repeating it: it may hold a password.
///
/// # Errors
/// What is wrong, as a sentence.
pub fn parse(text: &str) -> Result<ProxySetting, String> {
    const FORM: &str =
        "expected a proxy such as \"http://proxy.example:3128\" or \"socks5://host:1080\", or \"none\"";
    if text == "none" {
        return Ok(ProxySetting::None);
    }
    let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref() {
        Some("http" | "socks5" | "socks5h") => {}
        Some("https") => {
            return Err(
                "proxies that are themselves spoken to over TLS are not supported; try http://".to_owned()
            );
        }
        _ => return Err(FORM.to_owned()),
    }
    // The matcher finds out how a login is written; any server will do for that.
    let matcher = Matcher::builder().all(text.to_owned()).build();
    let any = ServerAddr::new("server.invalid", 443).map_err(|_| FORM.to_owned())?;
    match from(&matcher, &any) {
        Some(proxy) => proxy.map(ProxySetting::Use),
        None => Err(FORM.to_owned()),
    }
}

/// The proxy that a matcher names for a server; an error when it cannot be used.
pub(crate) fn from(matcher: &Matcher, server: &ServerAddr) -> Option<Result<Proxy, String>> {
    let uri = format!("https://{server}").parse().ok()?;
    matcher.intercept(&uri).map(|found| proxy(&found))
}

fn proxy(found: &Intercept) -> Result<Proxy, String> {
    let uri = found.uri();
    let host = uri.host().ok_or("the proxy has no host")?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let socks = match uri.scheme_str() {
        Some("http") => false,
        Some("socks5" | "socks5h") => true,
        _ => return Err("only http:// and socks5:// proxies are supported".to_owned()),
    };
    let port = uri.port_u16().unwrap_or(if socks { 1080 } else { 80 });
    let address = ServerAddr::new(host, port).map_err(|error| error.to_string())?;
    let kind = if socks {
        let login = found.raw_auth();
        ProxyKind::Socks5(
            login.map(|(user, password)| (user.to_owned(), SecretString::from(password.to_owned()))),
        )
    } else {
        ProxyKind::Connect(found.basic_auth().cloned())
    };
    Ok(Proxy { address, kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_read_with_their_logins_and_never_show_them() {
        let used = |text: &str| match parse(text).unwrap() {
            ProxySetting::Use(proxy) => proxy,
            other => panic!("{other:?}"),
        };
        let proxy = used("http://anna:s%40crt@proxy.example:3128");
        assert_eq!(proxy.to_string(), "http://proxy.example:3128");
        assert_eq!(format!("{proxy:?}"), "http://proxy.example:3128");
        let ProxyKind::Connect(Some(login)) = &proxy.kind else { panic!("no login") };
        assert_eq!(login, &format!("Basic {}", data_encoding::BASE64.encode(b"anna:s@crt")));
        let socks = used("socks5://anna:secret@[::1]");
        assert_eq!(socks.to_string(), "socks5://[::1]:1080");
        assert!(matches!(&socks.kind, ProxyKind::Socks5(Some((user, _))) if user == "anna"));
        assert!(matches!(used("http://proxy:8080").kind, ProxyKind::Connect(None)));
        assert_eq!(parse("none"), Ok(ProxySetting::None));
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_repeating_a_password() {
        for bad in ["", "proxy:3128", "ftp://anna:secret@x", "https://anna:secret@x", "http://", "socks4://x"]
        {
            let error = parse(bad).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn exceptions_are_heeded() {
        let server = |text: &str| text.parse::<ServerAddr>().unwrap();
        let matcher = Matcher::builder()
            .all("http://proxy.example:3128")
            .no("internal.example, 10.0.0.0/8, localhost")
            .build();
        for direct in ["tunnel.internal.example:443", "10.1.2.3:443", "localhost:8453"] {
            assert!(from(&matcher, &server(direct)).is_none(), "{direct}");
        }
        assert!(from(&matcher, &server("tunnel.example.com:443")).is_some());
    }
}
