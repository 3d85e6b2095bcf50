//! Attackers without a credential, as many as are asked for, each at its own pace.
//!
//! Whatever they make up has [`WORD`] in it, so that none of it can be taken for something else.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, header};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::client::Target;

/// In each name that an attacker makes up.
pub const WORD: &str = "evil";

/// What an attacker sends over a connection: `TOKEN` is a forged one, `N` is a number that is
/// another one each time. What has no end is left there.
const ATTACKS: [&str; 10] = [
    "GET /apis/evilN.io/vN/namespaces/evilN/evilN HTTP/1.1\r\nHost: p\r\nUser-Agent: evilN/1\r\nAuthorization: Bearer TOKEN\r\n\r\n",
    "GET /api/v1/pods?timeout=evilN HTTP/1.1\r\nHost: p\r\nUser-Agent: virt-controller/v1\r\nAuthorization: Bearer TOKEN\r\n\r\n",
    "GET /api/v1/namespaces/evilN/pods/evilN HTTP/1.1\r\nHost: p\r\nUser-Agent: evilN/1\r\n\r\n",
    "EVILN /evilN/evil HTTP/1.1\r\nHost: p\r\nUser-Agent: evilN/1\r\nAuthorization: Bearer  TOKEN\r\n\r\n",
    "GET /api/v1/watch HTTP/1.1\r\nHost: p\r\nUser-Agent: virt-controller/v1\r\nAuthorization: Bearer TOKEN\r\n\r\n",
    "GET /api/v1/namespaces/evilN/pods/evilN/exec?command=evil HTTP/1.1\r\nHost: p\r\nUser-Agent: evilN/1\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nAuthorization: Bearer TOKEN\r\n\r\n",
    "GET /apis/%2e%2e/evilN/%zz HTTP/1.1\r\nHost: p\r\nUser-Agent: evilN/1\r\nAuthorization: Bearer TOKEN\r\n\r\n",
    "POST /api/v1/namespaces/evilN/pods HTTP/1.1\r\nHost: p\r\nUser-Agent: virt-controller/v1\r\nAuthorization: Bearer TOKEN\r\nContent-Length: 99\r\n\r\n{evilN",
    "GET /evilN HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer TOKEN\r\nX-Evil: ",
    "PATCH /apis/evilN/v1/evils/evilN HTTP/1.1\r\nHost: p\r\nHost: evil\r\nUser-Agent: virt-controller/v1\r\nAuthorization: Bearer TOKEN\r\n\r\n",
];

/// Of each forged token.
const SIGNATURE: &str = "c2lnbmF0dXJl";
/// How long an attacker waits for an answer, or with what it has not ended.
const PATIENCE: Duration = Duration::from_millis(300);

/// A crowd at work.
pub struct Crowd {
    tasks: JoinSet<()>,
    stop: CancellationToken,
    sent: Arc<AtomicU64>,
}

impl Crowd {
    /// So many attackers, each of whom waits `pause` between its attacks.
    pub fn start(target: &Target, attackers: u64, pause: Duration) -> Self {
        let (stop, sent) = (CancellationToken::new(), Arc::<AtomicU64>::default());
        let mut tasks = JoinSet::new();
        for number in 0..attackers {
            let (target, stop, sent) = (target.clone(), stop.clone(), Arc::clone(&sent));
            tasks.spawn(async move {
                // Not all of them at the same moments.
                sleep(pause.mul_f64(number as f64 / attackers as f64)).await;
                while !stop.is_cancelled() {
                    let count = sent.fetch_add(1, Ordering::Relaxed);
                    stop.run_until_cancelled(attack(&target, number, count))
                        .await;
                    stop.run_until_cancelled(sleep(pause)).await;
                }
            });
        }
        Self { tasks, stop, sent }
    }

    /// Ends it; how many attacks there were.
    pub async fn stop(mut self) -> u64 {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
        self.sent.load(Ordering::Relaxed)
    }
}

/// One attack over a connection of its own. Whatever fails is what was to be expected.
async fn attack(target: &Target, attacker: u64, count: u64) {
    if attacker % 11 == 10 {
        half_a_handshake(target).await;
        return;
    }
    let Ok(mut stream) = target.connect("http/1.1").await else {
        return;
    };
    let at = usize::try_from(attacker + count).unwrap() % ATTACKS.len();
    let request = ATTACKS[at]
        .replace("TOKEN", &forged(count))
        .replace("evilN", &format!("{WORD}{count}"))
        .replace("EVILN", &format!("EVIL{count}"))
        .replace("vN", &format!("v{count}"));
    if stream.write_all(request.as_bytes()).await.is_err() {
        return;
    }
    let mut answer = vec![0; 16 << 10];
    let _ = timeout(PATIENCE, stream.read(&mut answer)).await;
}

async fn half_a_handshake(target: &Target) {
    if let Ok(mut stream) = TcpStream::connect(&target.address).await {
        let _ = stream.write_all(&[0x16]).await;
        sleep(PATIENCE).await;
    }
}

/// A token that says what that of virt-controller says, with a signature that is none.
pub fn forged(number: u64) -> String {
    let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
    let claims = format!(
        r#"{{"sub":"system:serviceaccount:kubevirt:kubevirt-controller","jti":"{WORD}{number}"}}"#
    );
    format!(
        "{}.{}.{SIGNATURE}",
        part(r#"{"alg":"RS256"}"#),
        part(&claims)
    )
}

/// Whether a request has a forged token, for an upstream that is none of Kubernetes's.
pub fn is_forged(headers: &HeaderMap) -> bool {
    let token = headers.get(header::AUTHORIZATION);
    token.is_some_and(|token| token.as_bytes().ends_with(SIGNATURE.as_bytes()))
}
