//! dxr_server on axum, as a peer of the bench `speed`; or dxr's decoder or dxr_client, timed.
//!
//! ```text
//! hotcall-peer-dxr plain
//! hotcall-peer-dxr tls CERTIFICATE KEY
//! hotcall-peer-dxr decode DOCUMENT MILLISECONDS
//! hotcall-peer-dxr client URL CA CALLERS MILLISECONDS
//! ```

mod client;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::HeaderMap;
use client::Failure;
use dxr::{Fault, MethodCall, TryFromParams, TryToValue, Value};
use dxr_server::{Handler, HandlerFn, HandlerResult, RouteBuilder, Server, async_trait};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use openssl::ssl::{Ssl, SslAcceptor, SslFiletype, SslMethod};
use std::hint::black_box;
use std::pin::Pin;
use std::thread;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_openssl::SslStream;

/// axum's own is 2 MB.
const BODY_BYTES_MAX: usize = 64 << 20;
const STRUCTS: i32 = 10_000;
const USAGE: &str = "usage: hotcall-peer-dxr plain | tls CERTIFICATE KEY \
                     | decode DOCUMENT MILLISECONDS | client URL CA CALLERS MILLISECONDS";

#[derive(TryToValue)]
struct Item {
    id: i32,
    name: String,
    value: f64,
}

/// Blocks a thread for 10 ms: not one of those that serve connections, as tokio's documentation has
/// it.
struct Block;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["plain"] => Runtime::new()?.block_on(serve_plain()),
        ["tls", certificate, key] => Runtime::new()?.block_on(serve_tls(certificate, key)),
        ["decode", document, milliseconds] => decode(document, milliseconds.parse()?),
        ["client", url, ca, callers, milliseconds] => {
            client::run(url, ca, callers.parse()?, Duration::from_millis(milliseconds.parse()?))
        }
        _ => Err(USAGE.into()),
    }
}

async fn serve_plain() -> Result<(), Failure> {
    let listener = listen("http").await?;
    Ok(Server::from_route(router()).serve_listener(NoDelay(listener)).await?)
}

async fn serve_tls(certificate: &str, key: &str) -> Result<(), Failure> {
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls())?;
    acceptor.set_certificate_chain_file(certificate)?;
    acceptor.set_private_key_file(key, SslFiletype::PEM)?;
    let acceptor = acceptor.build();
    let service = TowerToHyperService::new(router());
    let listener = listen("https").await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (ssl, service) = (Ssl::new(acceptor.context())?, service.clone());
        tokio::spawn(async move {
            // A client that goes away is its own affair.
            if let Ok(stream) = shake_hands(ssl, stream).await {
                let connection = auto::Builder::new(hyper_util::rt::TokioExecutor::new());
                drop(connection.serve_connection(TokioIo::new(stream), service).await);
            }
        });
    }
}

async fn shake_hands(ssl: Ssl, stream: TcpStream) -> Result<SslStream<TcpStream>, Failure> {
    let mut stream = SslStream::new(ssl, stream)?;
    Pin::new(&mut stream).accept().await?;
    Ok(stream)
}

async fn listen(scheme: &str) -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening {scheme}://{}/RPC2", listener.local_addr()?);
    Ok(listener)
}

/// Accepts as the listener does, and sets what axum's documentation leaves to
/// `ListenerExt::tap_io`.
struct NoDelay(TcpListener);

impl axum::serve::Listener for NoDelay {
    type Io = TcpStream;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, address) = axum::serve::Listener::accept(&mut self.0).await;
        drop(stream.set_nodelay(true));
        (stream, address)
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

fn router() -> Router {
    let routes = RouteBuilder::new()
        .set_path("/RPC2")
        .add_method("add", Box::new(add as HandlerFn))
        .add_method("sum", Box::new(sum as HandlerFn))
        .add_method("structs", Box::new(structs as HandlerFn))
        .add_method("echo", Box::new(echo as HandlerFn))
        .add_method("block10ms", Box::new(Block));
    routes.build().layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

fn add(params: &[Value], _headers: HeaderMap) -> HandlerResult {
    let (a, b): (i32, i32) = TryFromParams::try_from_params(params)?;
    let sum =
        a.checked_add(b).ok_or_else(|| Fault::new(1, "the sum exceeds 32 bits".to_owned()))?;
    Ok(sum.try_to_value()?)
}

fn sum(params: &[Value], _headers: HeaderMap) -> HandlerResult {
    let (numbers,): (Vec<i32>,) = TryFromParams::try_from_params(params)?;
    Ok(numbers.iter().sum::<i32>().try_to_value()?)
}

fn structs(_params: &[Value], _headers: HeaderMap) -> HandlerResult {
    let item = |id: i32| Item { id, name: format!("name {id}"), value: f64::from(id) + 0.5 };
    Ok((0..STRUCTS).map(item).collect::<Vec<_>>().try_to_value()?)
}

fn echo(params: &[Value], _headers: HeaderMap) -> HandlerResult {
    let (bytes,): (Vec<u8>,) = TryFromParams::try_from_params(params)?;
    Ok(bytes.try_to_value()?)
}

#[async_trait]
impl Handler for Block {
    async fn handle(&self, _params: &[Value], _headers: HeaderMap) -> HandlerResult {
        let slept = tokio::task::spawn_blocking(|| thread::sleep(Duration::from_millis(10))).await;
        slept.map_err(|error| Fault::new(1, error.to_string()))?;
        Ok(true.try_to_value()?)
    }
}

/// Prints how many nanoseconds it takes to decode the file once, over so many milliseconds.
fn decode(file: &str, milliseconds: u64) -> Result<(), Failure> {
    let document = std::fs::read_to_string(file)?;
    let (began, mut count) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_millis(milliseconds) {
        black_box(MethodCall::from_xml(&document)?);
        count += 1;
    }
    println!("{}", began.elapsed().as_nanos() / count);
    Ok(())
}
