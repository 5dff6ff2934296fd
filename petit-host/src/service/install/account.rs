//! The account of a service on a Mac: dscl(1) knows who is there and makes who is not.

use std::collections::BTreeSet;
use std::io;
use std::process::Command;

use super::installed::Service;

/// The numbers that are looked at: below those of people (501), above those that the system gives to its own services.
const NUMBERS: std::ops::Range<u32> = 400..500;

/// A user and a group of one name and one number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub name: String,
    pub id: u32,
}

/// The service's account, which is made where it is not there.
///
/// # Errors
/// What dscl has said.
pub(super) fn find_or_make(service: &Service) -> Result<Account, String> {
    // A Mac's services have names that begin so.
    let name = format!("_{}", service.program);
    let users = numbers(&dscl(&["-list", "/Users", "UniqueID"])?);
    let groups = numbers(&dscl(&["-list", "/Groups", "PrimaryGroupID"])?);
    let of = |all: &[(String, u32)]| all.iter().find(|(known, _)| *known == name).map(|(_, id)| *id);
    let id = match (of(&users), of(&groups)) {
        (Some(user), Some(group)) if user == group => return Ok(Account { name, id: user }),
        (None, None) => free(&users, &groups).ok_or("all numbers for services are taken")?,
        _ => return Err(format!("there is another user or group called {name}; remove it first")),
    };
    for words in made(&name, id, service.title) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        dscl(&words)?;
    }
    Ok(Account { name, id })
}

/// What makes it: the group first, so that no user is left whose group is not there.
fn made(name: &str, id: u32, title: &str) -> Vec<Vec<String>> {
    let (user, group, id) = (format!("/Users/{name}"), format!("/Groups/{name}"), id.to_string());
    let set = |of: &str, key: &str, value: &str| ["-create", of, key, value].map(str::to_owned).to_vec();
    vec![
        set(&group, "PrimaryGroupID", &id),
        set(&group, "Password", "*"),
        set(&user, "UniqueID", &id),
        set(&user, "PrimaryGroupID", &id),
        set(&user, "RealName", title),
        set(&user, "NFSHomeDirectory", "/var/empty"),
        set(&user, "UserShell", "/usr/bin/false"),
        set(&user, "Password", "*"),
        set(&user, "IsHidden", "1"),
    ]
}

/// Names and numbers, as dscl lists them.
fn numbers(list: &str) -> Vec<(String, u32)> {
    let one = |line: &str| {
        let (name, number) = line.rsplit_once(char::is_whitespace)?;
        Some((name.trim_end().to_owned(), number.parse().ok()?))
    };
    list.lines().filter_map(one).collect()
}

/// A number that no user and no group has; the highest, as the system's own come from below.
fn free(users: &[(String, u32)], groups: &[(String, u32)]) -> Option<u32> {
    let taken: BTreeSet<u32> = users.iter().chain(groups).map(|(_, id)| *id).collect();
    NUMBERS.rev().find(|id| !taken.contains(id))
}

/// What dscl says of this computer's own accounts.
fn dscl(words: &[&str]) -> Result<String, String> {
    let cannot = |error: io::Error| format!("dscl cannot be run: {error}");
    let output = Command::new("/usr/bin/dscl").arg(".").args(words).output().map_err(cannot)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("dscl . {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_a_number_that_nobody_has() {
        let users =
            numbers("_amavisd                 83\nnobody                   -2\n_other  499\nAnna    501\n");
        assert_eq!(
            users,
            [("_amavisd".to_owned(), 83), ("_other".to_owned(), 499), ("Anna".to_owned(), 501)]
        );
        let groups = numbers("_others  498\n");
        assert_eq!(free(&users, &groups), Some(497));
        let all: Vec<(String, u32)> = NUMBERS.map(|id| (id.to_string(), id)).collect();
        assert_eq!(free(&all, &[]), None);
    }

    #[test]
    fn nobody_can_log_in_with_it() {
        let made = made("_petit-client", 497, "Petit client");
        let value = |key: &str| {
            let of = made.iter().filter(|words| words[2] == key && words[1] == "/Users/_petit-client");
            of.map(|words| words[3].as_str()).next().unwrap()
        };
        assert_eq!((value("UserShell"), value("Password"), value("IsHidden")), ("/usr/bin/false", "*", "1"));
        assert_eq!(
            made.iter().filter(|words| words[3] == "497").count(),
            3,
            "user, its group, and the group"
        );
    }
}
