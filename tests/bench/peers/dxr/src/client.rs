//! dxr_client, timed: tasks that share one client call `add` and wait for the result.

use dxr_client::{Client, Url};
use reqwest::Certificate;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

pub type Failure = Box<dyn Error + Send + Sync>;

/// Calls for this part of the time before what counts.
const WARM_UP_PART: u32 = 4;

/// Prints how many calls there are per second.
pub fn run(url: &str, ca: &str, callers: usize, time: Duration) -> Result<(), Failure> {
    // One caller is fastest on one thread.
    let runtime = match callers {
        1 => Builder::new_current_thread().enable_all().build()?,
        _ => Runtime::new()?,
    };
    let rate = runtime.block_on(async {
        let client = Arc::new(client(url, ca)?);
        call_until(&client, Instant::now() + time / WARM_UP_PART).await?;
        let began = Instant::now();
        let calling = |_| {
            let client = client.clone();
            tokio::spawn(async move { call_until(&client, began + time).await })
        };
        let mut calls = 0;
        for caller in (0..callers).map(calling).collect::<Vec<_>>() {
            calls += caller.await??;
        }
        Ok::<_, Failure>(f64::from(calls) / began.elapsed().as_secs_f64())
    })?;
    println!("{rate:.1}");
    Ok(())
}

/// As dxr_client builds its own, but with a certificate authority to trust.
fn client(url: &str, ca: &str) -> Result<Client, Failure> {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("text/xml"))]);
    let authority = Certificate::from_pem(&std::fs::read(ca)?)?;
    let client = reqwest::Client::builder().default_headers(headers).tls_certs_only([authority]);
    Ok(Client::with_client(Url::parse(url)?, client.build()?))
}

async fn call_until(client: &Client, end: Instant) -> Result<u32, Failure> {
    let mut calls = 0;
    while Instant::now() < end {
        let sum: i32 = client.call("add", (2, 3)).await?;
        if sum != 5 {
            return Err(format!("2 + 3 is {sum}").into());
        }
        calls += 1;
    }
    Ok(calls)
}
