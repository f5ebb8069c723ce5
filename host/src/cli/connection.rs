//! How to reach a server: the options that `call` and `methods` share.

use super::output::Failure;
use crate::client::{Cause, Client, Error};
use std::env;
use std::path::PathBuf;
use std::time::Duration;

/// The variable that holds the password when `--user` has none; a command line is for all to see.
const PASSWORD_VARIABLE: &str = "HOTCALL_PASSWORD";

#[derive(clap::Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct Connection {
    /// Trust the certificates in this PEM file, and no others
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// Show the server the certificate in this PEM file
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Prove it with the private key in this PEM file
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Send this name and password; without one, that of the variable HOTCALL_PASSWORD
    #[arg(long, value_name = "NAME[:PASSWORD]")]
    user: Option<String>,
    /// Do not verify the server's certificate
    #[arg(long)]
    insecure: bool,
    /// Send this header too; may be given several times
    #[arg(long, value_name = "NAME: VALUE", value_parser = header)]
    header: Vec<(String, String)>,
    /// Ask for answers in gzip, and send requests of 1,400 bytes or more in gzip
    #[arg(long)]
    gzip: bool,
    /// Go through this proxy; without it, the variables https_proxy, http_proxy, all_proxy and
    /// no_proxy decide
    #[arg(long, value_name = "http://HOST:PORT")]
    proxy: Option<String>,
    /// Go through no proxy, whatever these variables say
    #[arg(long, conflicts_with = "proxy")]
    no_proxy: bool,
    /// Give up on connecting after this time
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    connect_timeout: Duration,
    /// Give up on a call after this time, from connecting to decoding the answer
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    timeout: Duration,
}

impl Connection {
    /// A client for the server at this address.
    pub(super) fn client(&self, url: &str) -> Result<Client, Failure> {
        let mut builder = Client::builder(url)
            .insecure(self.insecure)
            .gzip(self.gzip)
            .connect_timeout(self.connect_timeout)
            .timeout(self.timeout);
        for (name, value) in &self.header {
            builder = builder.header(name, value);
        }
        if self.no_proxy {
            builder = builder.no_proxy();
        } else if let Some(proxy) = &self.proxy {
            builder = builder.proxy(proxy);
        }
        if let Some(file) = &self.cacert {
            builder = builder.ca_file(file);
        }
        if let (Some(certificate), Some(key)) = (&self.cert, &self.key) {
            builder = builder.client_certificate(certificate, key);
        }
        if let Some(user) = &self.user {
            builder = match user.split_once(':') {
                Some((name, password)) => builder.basic(name, password),
                None => builder.basic(user, &env::var(PASSWORD_VARIABLE).unwrap_or_default()),
            };
        }
        builder.build().map_err(|error| failure(&error))
    }
}

/// What to tell the user of an error of the client.
pub(super) fn failure(error: &Error) -> Failure {
    let failure = Failure::new(error);
    match error {
        Error::Transport { cause, .. } => match cause {
            Cause::Unreachable => failure.hint("check the address, and that the server runs"),
            Cause::Timeout => failure.hint("check the address, or give it longer with --timeout"),
            Cause::Proxy => failure.hint("check the proxy, or pass --no-proxy"),
            Cause::Untrusted => failure
                .hint("name its CA's or its own certificate with --cacert, or pass --insecure"),
            Cause::Tls => failure.hint(
                "check that the server speaks TLS there and, when it wants a client certificate, \
                 pass --cert and --key",
            ),
            Cause::Broken => failure.hint("the server's log may say more"),
            Cause::TooLarge => failure,
        },
        Error::Http { status: 415, .. } => {
            failure.hint("this server may not take gzip: leave --gzip out")
        }
        Error::Http { status: 401, .. } => failure.hint("pass a name and password with --user"),
        Error::Http { status: 200 | 404, .. } | Error::Protocol(_) => {
            failure.hint("check the URL's path: most servers answer at /RPC2")
        }
        Error::Http { status: 300..=399, .. } => {
            failure.hint("call the address that the server moved to")
        }
        _ => failure,
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or_else(|| "not a NAME: VALUE".to_owned())?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let duration = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "not a number of seconds above 0".to_owned())
}
