//! The programs behind a proxy, by a number each, so that no line has its text.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU32, Ordering},
};

use super::line::beginning;

/// Most of them that are told apart; the others have the number 0.
const CLIENTS_MAX: usize = 1_024;
/// Longest text that is kept of each header, in bytes.
const TEXT_MAX: usize = 256;

/// A program behind a proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Client {
    /// Its `User-Agent`.
    pub user_agent: Box<str>,
    /// The user that it acts as, or empty.
    pub impersonated: Box<str>,
}

/// All of them. Number 0 is what isn't known.
#[derive(Debug)]
pub struct Clients {
    known: Mutex<Vec<Client>>,
    /// The one that was asked for last: most proxies have one.
    last: AtomicU32,
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            known: Mutex::new(vec![Client::default()]),
            last: AtomicU32::new(0),
        }
    }
}

impl Clients {
    /// The number of a program.
    pub fn number(&self, user_agent: &str, impersonated: &str) -> u32 {
        let user_agent = beginning(user_agent, TEXT_MAX);
        let impersonated = beginning(impersonated, TEXT_MAX);
        let is_it = |known: &Client| {
            *known.user_agent == *user_agent && *known.impersonated == *impersonated
        };
        let mut known = self.known();
        let last = self.last.load(Ordering::Relaxed);
        if known.get(last as usize).is_some_and(is_it) {
            return last;
        }
        let place = known.iter().position(is_it).or_else(|| {
            let place = known.len();
            (place < CLIENTS_MAX).then(|| {
                known.push(Client {
                    user_agent: user_agent.into(),
                    impersonated: impersonated.into(),
                });
                place
            })
        });
        let number = place.and_then(|place| u32::try_from(place).ok());
        let number = number.unwrap_or_default();
        self.last.store(number, Ordering::Relaxed);
        number
    }

    /// All of them, each at the place of its number.
    pub fn all(&self) -> Vec<Client> {
        self.known().clone()
    }

    fn known(&self) -> MutexGuard<'_, Vec<Client>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_program_has_its_number_and_their_count_is_bounded() {
        let clients = Clients::default();
        assert_eq!(clients.number("", ""), 0);
        assert_eq!(clients.number("virt-api", ""), 1);
        assert_eq!(clients.number("virt-api", "jane"), 2);
        assert_eq!(clients.number("virt-api", ""), 1);
        for number in 3..CLIENTS_MAX {
            let found = clients.number(&number.to_string(), "");
            assert_eq!(found as usize, number);
        }
        assert_eq!(clients.number("one more", ""), 0);
        assert_eq!(clients.number("virt-api", "jane"), 2);
        let all = clients.all();
        assert_eq!(all.len(), CLIENTS_MAX);
        assert_eq!(&*all[2].impersonated, "jane");
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        let clients = Clients::default();
        let long = "é".repeat(200);
        assert_eq!(clients.number(&long, ""), 1);
        assert_eq!(clients.all()[1].user_agent.len(), TEXT_MAX);
        assert_eq!(clients.number(&format!("{long}x"), ""), 1);
    }
}
