//! What the server is told of a user follows from its tokens and the time, and from nothing else.

use std::collections::BTreeMap;
use std::time::SystemTime;

/// Every user that was given a token or lost its rights.
#[derive(Default)]
pub(super) struct Users {
    by_name: BTreeMap<String, User>,
    /// Nobody's token is a password.
    pub(super) refuse_logins: bool,
}

#[derive(Default)]
struct User {
    has_no_rights: bool,
    tokens: Vec<Token>,
}

struct Token {
    text: String,
    expires: SystemTime,
    is_revoked: bool,
}

impl Users {
    /// Whether the token is valid now: a revoked one stays revoked.
    pub(super) fn grant(
        &mut self,
        user: &str,
        token: &str,
        expires: SystemTime,
        now: SystemTime,
    ) -> bool {
        let tokens = &mut self.by_name.entry(user.to_owned()).or_default().tokens;
        let at = tokens.iter().position(|known| known.text == token);
        let at = at.unwrap_or_else(|| {
            tokens.push(Token {
                text: token.to_owned(),
                expires,
                is_revoked: false,
            });
            tokens.len() - 1
        });
        tokens[at].expires = expires;
        tokens[at].is_valid(now)
    }

    pub(super) fn revoke(&mut self, token: &str) {
        for known in self.tokens() {
            known.is_revoked |= known.text == token;
        }
    }

    /// Whether nobody may use the token any more.
    pub(super) fn has_ended(&mut self, token: &str, now: SystemTime) -> bool {
        !self
            .tokens()
            .any(|known| known.text == token && known.is_valid(now))
    }

    fn tokens(&mut self) -> impl Iterator<Item = &mut Token> {
        self.by_name.values_mut().flat_map(|user| &mut user.tokens)
    }

    pub(super) fn set_rights(&mut self, user: &str, has: bool) {
        self.by_name
            .entry(user.to_owned())
            .or_default()
            .has_no_rights = !has;
    }

    /// `ACL SETUSER`, for each user.
    pub(super) fn commands(&self, now: SystemTime) -> Vec<Vec<String>> {
        let of = |(name, user): (&String, &User)| {
            let rights = if user.has_no_rights { "-@all" } else { "+@all" };
            let rules = [
                "ACL",
                "SETUSER",
                name,
                "on",
                "resetpass",
                "~*",
                "&*",
                rights,
            ];
            let valid = user
                .tokens
                .iter()
                .filter(|token| !self.refuse_logins && token.is_valid(now));
            rules
                .map(str::to_owned)
                .into_iter()
                .chain(valid.map(|token| format!(">{}", token.text)))
                .collect()
        };
        self.by_name.iter().map(of).collect()
    }
}

impl Token {
    fn is_valid(&self, now: SystemTime) -> bool {
        !self.is_revoked && now < self.expires
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_user_has_its_valid_tokens_and_no_other() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let passwords = |users: &Users, now| {
            let words = users.commands(at(now)).concat();
            let passwords = words.into_iter().filter(|word| word.starts_with('>'));
            passwords.collect::<Vec<_>>()
        };
        let mut users = Users::default();
        assert!(users.grant("u", "a", at(10), at(0)));
        assert!(users.grant("u", "b", at(20), at(0)));
        assert!(!users.grant("u", "c", at(5), at(5)));
        assert_eq!(passwords(&users, 9), [">a", ">b"]);
        assert_eq!(passwords(&users, 10), [">b"]);
        assert!(users.has_ended("a", at(10)) && !users.has_ended("b", at(10)));
        assert!(users.grant("u", "a", at(30), at(10)));
        assert_eq!(passwords(&users, 10), [">a", ">b"]);
        users.revoke("b");
        assert!(!users.grant("u", "b", at(40), at(10)));
        assert_eq!(passwords(&users, 10), [">a"]);
        users.refuse_logins = true;
        assert_eq!(passwords(&users, 10), [""; 0]);
    }
}
