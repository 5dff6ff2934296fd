//! Fields by which a visitor could pass for another, or have the service see another request than was checked.
//!
//! These are what widely used servers, frameworks, clouds and proxies are known to believe. A method that is asked for
//! in a field (`X-HTTP-Method-Override`) is none: it is the visitor's own request, and the service's to grant.

/// True for such a field. `name` is in lower case.
pub(super) fn is_claim(name: &str) -> bool {
    // Nearly all fields of nearly all requests are told apart by their first letter.
    match name.as_bytes().first() {
        Some(b'x') => name.strip_prefix("x-").is_some_and(is_claim_behind_x),
        Some(b'c') => {
            matches!(
                name,
                "client-ip" | "cf-connecting-ip" | "cf-connecting-ipv6" | "cf-ipcountry" | "cf-visitor"
            ) || name.starts_with("client-cert") // RFC 9440
        }
        Some(b'f') => matches!(
            name,
            "forwarded"
                | "forwarded-for"
                | "forwarded-host"
                | "forwarded-proto"
                | "fastly-client-ip"
                | "fly-client-ip"
                | "front-end-https"
        ),
        Some(b'p') => name == "proxy", // CGI makes HTTP_PROXY of it ("httpoxy")
        Some(b'r') => matches!(name, "remote-user" | "remote-addr"),
        Some(b's') => name.starts_with("ssl-client"),
        Some(b't') => name == "true-client-ip",
        _ => false,
    }
}

fn is_claim_behind_x(name: &str) -> bool {
    // The address and the scheme: nginx, HAProxy, Envoy, IIS, clouds, and who reads them.
    matches!(
        name,
        "real-ip"
            | "client-ip"
            | "cluster-client-ip"
            | "azure-clientip"
            | "azure-socketip"
            | "appengine-user-ip"
            | "originating-ip"
            | "remote-ip"
            | "remote-addr"
            | "proxyuser-ip"
            | "forward-for"
            | "original-forwarded-for"
            | "original-host"
            | "original-url"
            | "rewrite-url"
            | "host"
            | "scheme"
            | "url-scheme"
            | "https"
            | "client-cert"
            // Who the visitor is, by the word of a proxy that asked him.
            | "remote-user"
            | "authenticated-user"
            | "webauth-user"
            // "This request has been through the checks": Next.js (CVE-2025-29927).
            | "middleware-subrequest"
    ) || [
        "forwarded",
        "ssl-client",
        "arr-",       // IIS: TLS and the client's certificate
        "envoy-",     // "internal", "original-path", "external-address"
        "amzn-oidc-", // AWS: who has logged in
        "goog-iap-",  // Google: the same
        "goog-authenticated-user-",
        "ms-client-principal", // Azure: the same
        "auth-request-",       // oauth2-proxy: the same
    ]
    .iter()
    .any(|begin| name.starts_with(begin))
}
