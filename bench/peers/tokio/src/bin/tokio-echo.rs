// SPDX-License-Identifier: Apache-2.0
//! tokio-echo - an echo server on tokio's current_thread runtime, a task for each connection.
use std::env;
use std::io;
use std::os::unix::io::AsRawFd;
use std::process::exit;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{tcp, unix, TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio::sync::broadcast;
use tokio::time::timeout;

const CHUNK_SIZE: usize = 16 * 1024;
const BACKLOG: u32 = 4096;

#[derive(Clone)]
enum Service {
    Echo,
    Timeout(Duration),
    Broadcast(broadcast::Sender<Arc<[u8]>>),
}

async fn echo<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> io::Result<()> {
    let mut buffer = [0; CHUNK_SIZE];
    loop {
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..length]).await?;
    }
}

async fn echo_in_time<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    limit: Duration,
) -> io::Result<()> {
    let mut buffer = [0; CHUNK_SIZE];
    loop {
        let length = timeout(limit, stream.read(&mut buffer)).await??;
        if length == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..length]).await?;
    }
}

async fn broadcast<S: Stream>(stream: S, sender: broadcast::Sender<Arc<[u8]>>) -> io::Result<()> {
    let (mut reader, mut writer) = stream.into_halves();
    let mut receiver = sender.subscribe();
    let mut buffer = [0; CHUNK_SIZE];
    loop {
        tokio::select! {
            length = reader.read(&mut buffer) => match length? {
                0 => return Ok(()),
                length => {
                    let _ = sender.send(Arc::from(&buffer[..length]));
                }
            },
            message = receiver.recv() => match message {
                Ok(message) => writer.write_all(&message).await?,
                Err(_) => return Ok(()), // too slow
            },
        }
    }
}

/// Halves of the stream's own kind: tokio::io::split has a lock between its two.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    type Reader: AsyncRead + Unpin + Send;
    type Writer: AsyncWrite + Unpin + Send;
    fn into_halves(self) -> (Self::Reader, Self::Writer);
}

impl Stream for TcpStream {
    type Reader = tcp::OwnedReadHalf;
    type Writer = tcp::OwnedWriteHalf;
    fn into_halves(self) -> (Self::Reader, Self::Writer) {
        self.into_split()
    }
}

impl Stream for UnixStream {
    type Reader = unix::OwnedReadHalf;
    type Writer = unix::OwnedWriteHalf;
    fn into_halves(self) -> (Self::Reader, Self::Writer) {
        self.into_split()
    }
}

fn serve<S: Stream>(stream: S, service: Service) {
    match service {
        Service::Echo => drop(tokio::spawn(echo(stream))),
        Service::Timeout(limit) => drop(tokio::spawn(echo_in_time(stream, limit))),
        Service::Broadcast(sender) => drop(tokio::spawn(broadcast(stream, sender))),
    }
}

/// Of the listener: connections inherit it, which spares a call for each.
fn set_tcp_option(fd: i32, option: i32, value: &[u8]) -> io::Result<()> {
    let result = unsafe {
        libc::setsockopt(
            fd,
            libc::IPPROTO_TCP,
            option,
            value.as_ptr().cast(),
            value.len() as libc::socklen_t,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn listen_tcp(address: &str, congestion: Option<&str>) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    if let Some(name) = congestion {
        set_tcp_option(socket.as_raw_fd(), libc::TCP_CONGESTION, name.as_bytes())?;
    }
    set_tcp_option(socket.as_raw_fd(), libc::TCP_NODELAY, &1i32.to_ne_bytes())?;
    socket.bind(address.parse().map_err(|_| io::ErrorKind::InvalidInput)?)?;
    socket.listen(BACKLOG)
}

fn raise_descriptor_limit() {
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}

fn wrong(why: &str) -> ! {
    eprintln!("tokio-echo: {why}");
    eprintln!("Usage: tokio-echo URL [--congestion NAME] [--timeout SECONDS] [--broadcast]");
    exit(2);
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let mut url = None;
    let mut congestion = None;
    let mut service = Service::Echo;
    let mut arguments = env::args().skip(1);

    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--congestion" => congestion = arguments.next(),
            "--timeout" => match arguments.next().and_then(|text| text.parse().ok()) {
                Some(seconds) => service = Service::Timeout(Duration::from_secs_f64(seconds)),
                None => wrong("--timeout: want a number of seconds"),
            },
            "--broadcast" => service = Service::Broadcast(broadcast::channel(1024).0),
            _ => url = Some(argument),
        }
    }
    raise_descriptor_limit();
    let url = url.unwrap_or_else(|| wrong("URL is missing"));
    if let Some(path) = url.strip_prefix("unix://") {
        let listener = UnixListener::bind(path)?;
        println!("listening on {url}");
        loop {
            let (stream, _) = listener.accept().await?;
            serve(stream, service.clone());
        }
    } else if let Some(address) = url.strip_prefix("tcp://") {
        let listener = listen_tcp(address, congestion.as_deref())?;
        println!("listening on tcp://{}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            serve(stream, service.clone());
        }
    }
    wrong("want tcp://127.0.0.1:7000 or unix:///run/echo.sock");
}
